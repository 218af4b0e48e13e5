/**
 * How good the answers of an index are, as measured: live recall, and recall against ef.
 */

import {
  Type,
  type FastifyPluginCallbackTypebox,
  type Static,
} from '@fastify/type-provider-typebox'
import type { EfEstimate } from '../src/autotune/recall-window.ts'
import type { CurvePoint } from '../src/domain/trial.ts'
import { findIndex, type IndexRoutesOptions } from '../src/http/index-access.ts'
import { IndexParams, Name, NoQuery, Nullable, replies } from '../src/http/schemas.ts'
import type { Indexes } from '../src/indexes/index-api.ts'
import type { StratumReport } from '../src/services/index-recall.ts'
import type { LiveRecallWatch } from '../src/services/live-recall-watch.ts'
import type { RecallReport } from '../src/services/recall-report.ts'

/** The curve that the trial of the promoted configuration has measured. */
export interface TrialCurve {
  readonly trialId: string
  readonly k: number
  readonly curve: readonly CurvePoint[]
}

export interface RecallRoutesOptions extends IndexRoutesOptions {
  readonly recall: Pick<LiveRecallWatch, 'report' | 'curve'>
  /** Those with a graph, which alone have a curve. */
  readonly graphs: Indexes
  /** Null where nothing is promoted, or its trial is not in the journal. */
  readonly trialCurve: (index: string) => Promise<TrialCurve | null>
}

const STRICT = { additionalProperties: false } as const
const TAGS = ['tuning']
const Count = Type.Integer({ minimum: 0 })
const Share = Type.Number({ minimum: 0, maximum: 1 })
const Ef = Type.Integer({ minimum: 1 })
const Age = Nullable(Type.Number({ minimum: 0, description: 'Of the newest sample.' }))
const Status = Type.Enum(['ok', 'at_risk', 'violated', 'unknown'], {
  description: 'unknown under 100 samples, and where the newest is older than a day.',
})

const SloJson = Type.Object(
  {
    goal: Share,
    window: Type.Object({ samples: Count, age_s: Age }, STRICT),
    status: Status,
    budget_left: Nullable(
      Type.Number({ description: 'Share of the allowed misses that is left; below 0: overspent.' }),
    ),
  },
  STRICT,
)

const StratumJson = Type.Object(
  {
    generation: Nullable(Count),
    k_bucket: Type.String({ description: 'The k of its searches, such as 1-10.' }),
    filter_bucket: Type.String({ description: 'Share of the points that match; 1: no filter.' }),
    n: Type.Integer({ minimum: 1, description: 'Samples since the ef last changed.' }),
    recall: Share,
    interval: Type.Array(Share, {
      minItems: 2,
      maxItems: 2,
      description: '95 %, and it holds however often one looks.',
    }),
    lcb: Nullable({ ...Share, description: 'One-sided lower 95 % bound that decisions rest on.' }),
    status: Status,
    alarm: Type.Boolean({ description: 'The recall has fallen under the goal.' }),
    ef: Ef,
  },
  STRICT,
)

const RecallJson = Type.Object(
  {
    recall_slo: SloJson,
    generation: Nullable(Count),
    ef: Nullable({ ...Ef, description: 'Of searches that name none; null: chosen by k.' }),
    ef_source: Type.Enum(['live', 'promoted', 'default']),
    samples: Type.Integer({ minimum: 0, description: 'Of this generation and configuration.' }),
    sampled_share: Share,
    age_s: Age,
    strata: Type.Array(StratumJson),
  },
  STRICT,
)

const LivePointJson = Type.Object(
  { ef: Ef, n: Count, recall: Share, recall_lcb: Share, recall_ucb: Share },
  STRICT,
)

const TrialPointJson = Type.Object(
  { ef: Ef, n: Count, recall: Share, recall_lcb: Share, cpu_us: Type.Number() },
  STRICT,
)

const CurveJson = Type.Object(
  {
    index: Name,
    generation: Nullable(Count),
    ef: Nullable(Ef),
    live: Nullable(
      Type.Object(
        {
          k_bucket: Type.String(),
          filter_bucket: Type.String(),
          points: Type.Array(LivePointJson, { description: 'Bounds are one-sided, 95 %.' }),
        },
        { ...STRICT, description: 'Of the searches that the ef follows.' },
      ),
    ),
    promoted: Nullable(
      Type.Object({ trial_id: Type.String(), k: Ef, points: Type.Array(TrialPointJson) }, STRICT),
    ),
  },
  STRICT,
)

const RECALL = {
  config: { role: 'read' },
  schema: {
    tags: TAGS,
    summary: 'Recall of live searches, as measured on samples that were run again exactly',
    description:
      'Of searches that name no ef of their own. A Lance index has no ef here but its nprobes, in strata. Where ef is chosen by k, an ef is that of k = 10,' +
      ' and other k have theirs in proportion.',
    params: IndexParams,
    querystring: NoQuery,
    response: replies({ 200: RecallJson }),
  },
} as const

const CURVE = {
  config: { role: 'read' },
  schema: {
    tags: TAGS,
    summary: 'Recall against ef: of live searches, and as the promoted trial measured it',
    params: IndexParams,
    querystring: NoQuery,
    response: replies({ 200: CurveJson }),
  },
} as const

export const recallRoutes: FastifyPluginCallbackTypebox<RecallRoutesOptions> = (
  app,
  { indexes, graphs, recall, trialCurve },
  done,
) => {
  app.get('/vectors/indexes/:index/recall', RECALL, (request) => {
    const { index } = request.params
    findIndex(indexes, request, index)
    return recallJson(recall.report(index))
  })

  app.get('/vectors/hnsw/curve/:index', CURVE, async (request) => {
    const { index } = request.params
    findIndex(graphs, request, index)
    const trial = await trialCurve(index)
    const { generation, ef } = recall.report(index)
    return {
      index,
      generation,
      ef,
      live: liveJson(recall.curve(index)),
      promoted: trialJson(trial),
    }
  })
  done()
}

function recallJson(report: RecallReport): Static<typeof RecallJson> {
  const { slo, generation, ef, efSource, samples, sampledShare, strata } = report
  const ageS = slo.window.ageMs === null ? null : slo.window.ageMs / 1000
  return {
    recall_slo: {
      goal: slo.goal,
      window: { samples: slo.window.samples, age_s: ageS },
      status: slo.status,
      budget_left: slo.budgetLeft,
    },
    ...{ generation, ef, ef_source: efSource, samples, sampled_share: sampledShare, age_s: ageS },
    strata: strata.map((stratum) => ({ generation, ...stratumJson(stratum) })),
  }
}

function stratumJson(stratum: StratumReport): Omit<Static<typeof StratumJson>, 'generation'> {
  const { kBucket, filterBucket, samples, recall, interval, lcb, status, isAlarmed, ef } = stratum
  return {
    ...{ k_bucket: kBucket, filter_bucket: filterBucket, n: samples, recall },
    ...{ interval: [...interval], lcb, status, alarm: isAlarmed, ef },
  }
}

function liveJson(live: ReturnType<LiveRecallWatch['curve']>): Static<typeof CurveJson>['live'] {
  if (live === null) return null
  const { kBucket, filterBucket, points } = live
  return { k_bucket: kBucket, filter_bucket: filterBucket, points: points.map(livePointJson) }
}

function livePointJson({ ef, samples, recall, lcb, ucb }: EfEstimate) {
  return { ef, n: samples, recall, recall_lcb: lcb, recall_ucb: ucb }
}

function trialJson(trial: TrialCurve | null): Static<typeof CurveJson>['promoted'] {
  if (trial === null) return null
  const points = trial.curve.map(({ ef, queries, recall, recallLcb, cpuUs }) => {
    return { ef, n: queries, recall, recall_lcb: recallLcb, cpu_us: cpuUs }
  })
  return { trial_id: trial.trialId, k: trial.k, points }
}
