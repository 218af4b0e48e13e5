/**
 * /vectors/hnsw/trials, /vectors/agent/decisions: what was tried on an index, and what was decided.
 */

import { Type, type FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import { findIndex, type IndexRoutesOptions } from '../src/http/index-access.ts'
import { IndexParams, Name, Nullable, replies } from '../src/http/schemas.ts'
import { METRICS } from '../src/domain/metric.ts'
import { STRATEGIES, TRIAL_STATES } from '../src/domain/trial.ts'
import { type DecisionLog, decisionToJson } from '../src/journal/decision-log.ts'
import { boundaryToJson, trialToJson } from '../src/journal/trial-codec.ts'
import type { TrialJournal } from '../src/journal/trial-journal.ts'
import { VectordError } from '../src/lib/errors.ts'

export interface TrialRoutesOptions extends Pick<IndexRoutesOptions, 'indexes'> {
  readonly trials: Pick<TrialJournal, 'list' | 'get' | 'best'>
  readonly decisions: Pick<DecisionLog, 'list'>
}

const STRICT = { additionalProperties: false } as const
const TAGS = ['tuning']
const PAGE_DEFAULT = 100
const PAGE_MAX = 1000

const Amount = Type.Number({ minimum: 0 })
const Share = Type.Number({ minimum: 0, maximum: 1 })
const Count = Type.Integer({ minimum: 0 })
const AnyObject = Type.Object({}, { additionalProperties: true })

const CurvePointJson = Type.Object(
  {
    ef: Count,
    queries: Count,
    recall: Share,
    recall_lcb: Type.Number({ description: 'One-sided lower 95 % bound.' }),
    p10: Type.Number({ description: 'Recall that nine of ten queries have at least.' }),
    cpu_us: Type.Number({ description: 'CPU time of a query.' }),
    ...{ p50_us: Amount, p95_us: Amount, p99_us: Amount },
  },
  STRICT,
)

const BoundaryJson = Type.Object(
  {
    goal: Share,
    ef: Nullable(Type.Integer({ description: 'The smallest whose lower bound meets the goal.' })),
    cpu_us: Nullable(Amount),
    held_out: Nullable(CurvePointJson),
  },
  STRICT,
)

/** A line of the journal. */
export const TrialJson = Type.Object(
  {
    seq: Count,
    trial_id: Type.String(),
    index: Name,
    epoch: Type.Object(
      {
        fingerprint: Type.String({ description: 'Trials of other data are not compared.' }),
        ...{ points: Count, dimension: Count, metric: Type.Enum([...METRICS]) },
      },
      STRICT,
    ),
    strategy: Type.Enum([...STRATEGIES]),
    explain: AnyObject,
    config: Type.Object(
      { m: Count, ef_construction: Count, ef_search: Nullable(Count), seed: Count },
      STRICT,
    ),
    canonical_key: Type.String(),
    graph_id: Nullable(Type.String()),
    state: Type.Enum([...TRIAL_STATES]),
    reason: Nullable(Type.String()),
    build: Nullable(
      Type.Object(
        {
          ...{ cpu_s: Amount, wall_s: Amount, bytes: Count, predicted_cpu_s: Nullable(Amount) },
          cached: Type.Boolean(),
        },
        STRICT,
      ),
    ),
    curve: Type.Array(CurvePointJson, { description: 'On the tune queries.' }),
    boundaries: Type.Array(BoundaryJson),
    eval: Type.Object(
      {
        ...{ name: Name, lsn: Count, k: Count, tune_queries: Count, held_out_queries: Count },
        weak: Type.Boolean(),
      },
      STRICT,
    ),
    environment: Type.Object(
      {
        ...{ host: Type.String(), cpu: Type.String(), node: Type.String(), engine: Type.String() },
        load1: Amount,
      },
      STRICT,
    ),
    note: Nullable(Type.String()),
    started_at: Type.String(),
    finished_at: Nullable(Type.String()),
    lease_until: Nullable(Type.String()),
  },
  STRICT,
)

const ProblemsJson = Type.Array(
  Type.Object(
    {
      key: Type.String(),
      line: Nullable(Count),
      code: Type.String(),
      message: Type.String(),
    },
    STRICT,
  ),
  { description: 'Parts of the journal that cannot be read.' },
)

const ListQuery = Type.Object(
  {
    limit: Type.Integer({ minimum: 1, maximum: PAGE_MAX, default: PAGE_DEFAULT }),
    cursor: Type.Optional(Type.String()),
    state: Type.Optional(Type.Enum([...TRIAL_STATES])),
    pareto: Type.Boolean({
      default: false,
      description: 'Only those of the newest data that no other beats in recall and cost at once.',
    }),
  },
  STRICT,
)

const BestQuery = Type.Object(
  {
    min_recall: Type.Number({ minimum: 0, maximum: 1, default: 0.9 }),
    goal: Type.Optional(Type.Number({ minimum: 0, maximum: 1 })),
  },
  STRICT,
)

const PageQuery = Type.Object(
  {
    limit: Type.Integer({ minimum: 1, maximum: PAGE_MAX, default: PAGE_DEFAULT }),
    cursor: Type.Optional(Type.String()),
  },
  STRICT,
)

const DecisionJson = Type.Object(
  {
    decision_id: Type.String(),
    at: Type.String(),
    index: Name,
    kind: Type.String(),
    trial_id: Nullable(Type.String()),
    verdict: Type.String(),
    reason: Type.String(),
    evidence: AnyObject,
    by: Type.String(),
    dry_run: Type.Boolean({ description: 'Nothing was changed.' }),
  },
  STRICT,
)

const LIST = {
  config: { role: 'read' },
  schema: {
    tags: TAGS,
    summary: 'The journal of trials of an index, newest first',
    params: IndexParams,
    querystring: ListQuery,
    response: replies({
      200: Type.Unsafe<object>(
        Type.Object(
          {
            trials: Type.Array(TrialJson),
            next_cursor: Nullable(Type.String()),
            problems: ProblemsJson,
          },
          STRICT,
        ),
      ),
    }),
  },
} as const

const BEST = {
  config: { role: 'read' },
  schema: {
    tags: TAGS,
    summary: 'The cheapest trial that shows its recall on held-out queries',
    description: 'Of the completed trials on the newest data; 404 where none shows it.',
    params: IndexParams,
    querystring: BestQuery,
    response: replies({
      200: Type.Unsafe<object>(Type.Object({ trial: TrialJson, boundary: BoundaryJson }, STRICT)),
    }),
  },
} as const

const READ = {
  config: { role: 'read' },
  schema: {
    tags: TAGS,
    summary: 'One trial',
    params: Type.Object(
      { index: Name, trial_id: Type.String({ minLength: 1, maxLength: 128 }) },
      STRICT,
    ),
    querystring: Type.Object({}, STRICT),
    response: replies({ 200: Type.Unsafe<object>(TrialJson) }),
  },
} as const

const DECISIONS = {
  config: { role: 'read' },
  schema: {
    tags: TAGS,
    summary: 'Every verdict about the configuration of an index, newest first',
    params: IndexParams,
    querystring: PageQuery,
    response: replies({
      200: Type.Unsafe<object>(
        Type.Object(
          {
            decisions: Type.Array(DecisionJson),
            next_cursor: Nullable(Type.String()),
            problems: ProblemsJson,
          },
          STRICT,
        ),
      ),
    }),
  },
} as const

export const trialRoutes: FastifyPluginCallbackTypebox<TrialRoutesOptions> = (
  app,
  { indexes, trials, decisions },
  done,
) => {
  app.get('/vectors/hnsw/trials/:index', LIST, async (request) => {
    const { index } = request.params
    findIndex(indexes, request, index)
    const { limit, cursor, state, pareto } = request.query
    const after = cursor === undefined ? null : seqOf(cursor)
    const page = await trials.list(index, { limit, after, state, pareto })
    return {
      trials: page.trials.map(trialToJson),
      next_cursor: page.next === null ? null : String(page.next),
      problems: page.problems,
    }
  })

  app.get('/vectors/hnsw/trials/:index/best', BEST, async (request) => {
    const { index } = request.params
    findIndex(indexes, request, index)
    const { min_recall: minRecall, goal } = request.query
    const best = await trials.best(index, { minRecall, goal })
    if (best === null) throw noneMeets(index, minRecall)
    return { trial: trialToJson(best.trial), boundary: boundaryToJson(best.boundary) }
  })

  app.get('/vectors/hnsw/trials/:index/:trial_id', READ, async (request) => {
    const { index, trial_id: trialId } = request.params
    findIndex(indexes, request, index)
    return trialToJson(await trials.get(index, trialId))
  })

  app.get('/vectors/agent/decisions/:index', DECISIONS, async (request) => {
    const { index } = request.params
    findIndex(indexes, request, index)
    const { limit, cursor = null } = request.query
    const page = await decisions.list(index, { limit, after: cursor })
    return {
      decisions: page.decisions.map((decision) => ({
        decision_id: decision.decisionId,
        ...decisionToJson(decision),
      })),
      next_cursor: page.next,
      problems: page.problems,
    }
  })
  done()
}

function seqOf(cursor: string): number {
  if (/^[1-9]\d{0,14}$/.test(cursor)) return Number(cursor)
  throw new VectordError('invalid_cursor', 'The cursor is not one of ours: start from none.')
}

function noneMeets(index: string, minRecall: number): VectordError {
  const message = `No trial on the newest data of "${index}" shows a recall of ${minRecall}.`
  return new VectordError('trial_not_found', message, { details: { index, min_recall: minRecall } })
}
