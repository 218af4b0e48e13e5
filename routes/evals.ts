/**
 * /vectors/hnsw/evals: queries with exact ground truth, against which configurations are measured.
 *
 * Making one is an operation: 202 with its id, or with `?wait=true` 200 and the set. A key that is
 * limited to name prefixes sees the sets of its indexes alone.
 */

import {
  Type,
  type FastifyPluginCallbackTypebox,
  type Static,
} from '@fastify/type-provider-typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { checkTouch, mayTouch } from '../src/http/auth.ts'
import { checkEvalSize, parseQueries } from '../src/http/eval-body.ts'
import { findIndex, type IndexRoutesOptions, shapeOf } from '../src/http/index-access.ts'
import {
  Lsn,
  Name,
  NoQuery,
  Nullable,
  replies,
  StartedJson,
  started,
  WaitQuery,
} from '../src/http/schemas.ts'
import { METRICS } from '../src/domain/metric.ts'
import { toBase64 } from '../src/journal/eval-codec.ts'
import { EVAL_SOURCES, type EvalHalf, type EvalSet } from '../src/journal/eval-set.ts'
import { type EvalStore, summaryOf } from '../src/journal/eval-store.ts'
import { VectordError } from '../src/lib/errors.ts'
import type { EvalReport, EvalSets } from '../src/services/eval-sets.ts'
import type { Operation } from '../src/services/operation.ts'

export interface EvalRoutesOptions extends IndexRoutesOptions {
  readonly evals: EvalStore
  readonly evalSets: EvalSets
}

const STRICT = { additionalProperties: false } as const
const TAGS = ['tuning']
const K_DEFAULT = 10
const QUERIES_DEFAULT = 1000
const PAGE_DEFAULT = 100
const PAGE_MAX = 1000

const Params = Type.Object({ name: Name }, STRICT)
const Count = Type.Integer({ minimum: 0 })
const K = Type.Integer({ minimum: 1, description: 'Neighbours of a query.' })

const PutBody = Type.Object(
  {
    index: Name,
    k: Type.Integer({ minimum: 1, default: K_DEFAULT }),
    queries: Type.Optional(
      Type.Array(Type.Unknown(), { description: 'Vectors, at least two different ones.' }),
    ),
  },
  { ...STRICT, description: 'Without queries the set is only named: `autogen` makes them.' },
)

const AutogenBody = Type.Object(
  {
    index: Type.Optional(Name),
    k: Type.Optional(K),
    queries: Type.Integer({ minimum: 2, default: QUERIES_DEFAULT }),
    source: Type.Optional(
      Type.Enum(['index', 'live'], {
        description: 'Noisy rows of the index, or queries asked. Default: live if there are 400.',
      }),
    ),
  },
  { ...STRICT, description: '`index` and `k` are those of the set where it exists.' },
)

const HalfJson = Type.Object(
  {
    queries: Type.Optional(Type.String({ description: 'base64 of float32, row by row.' })),
    truth: Type.Optional(Type.Array(Type.Array(Type.String()))),
    distances: Type.Optional(Type.Array(Type.Array(Type.Number()))),
    self_ids: Type.Optional(Type.Array(Nullable(Type.String()))),
  },
  STRICT,
)

const EVAL_FIELDS = {
  name: Name,
  index: Name,
  k: K,
  metric: Type.Enum([...METRICS]),
  dimension: Count,
  source: Nullable(Type.Enum([...EVAL_SOURCES])),
  state: Type.Enum(['empty', 'building', 'ready']),
  stale: Nullable(Type.Boolean({ description: 'The index has moved: make the set again.' })),
  weak: Type.Boolean({ description: 'Under 400 queries: nothing is promoted by it.' }),
  lsn: Lsn,
  points: Count,
  tune_queries: Count,
  held_out_queries: Count,
  created_at: Type.String(),
}

const EvalJson = Type.Object(EVAL_FIELDS, STRICT)

const WholeJson = Type.Object(
  { ...EVAL_FIELDS, tune: Type.Optional(HalfJson), held_out: Type.Optional(HalfJson) },
  STRICT,
)

const ReadQuery = Type.Object(
  {
    include: Type.Optional(
      Type.String({
        pattern: '^(queries|truth)(,(queries|truth))?$',
        description: 'Comma-separated: queries, truth.',
      }),
    ),
  },
  STRICT,
)

const PageQuery = Type.Object(
  {
    limit: Type.Integer({ minimum: 1, maximum: PAGE_MAX, default: PAGE_DEFAULT }),
    cursor: Type.Optional(Name),
  },
  STRICT,
)

const PageJson = Type.Object(
  {
    evals: Type.Array(EvalJson),
    next_cursor: Nullable(Type.String()),
    errors: Type.Array(
      Type.Object(
        {
          bucket: Name,
          key: Nullable(Type.String()),
          code: Type.String(),
          message: Type.String(),
        },
        STRICT,
      ),
      { description: 'Buckets and objects that could not be read.' },
    ),
  },
  STRICT,
)

const PUT = {
  config: { role: 'write' },
  schema: {
    tags: TAGS,
    summary: 'Make an eval set of given queries, or name one',
    params: Params,
    querystring: WaitQuery,
    body: PutBody,
    response: replies({ 200: EvalJson, 202: StartedJson }),
  },
} as const

const AUTOGEN = {
  config: { role: 'write' },
  schema: {
    tags: TAGS,
    summary: 'Make an eval set of live queries or of rows of the index',
    params: Params,
    querystring: WaitQuery,
    body: AutogenBody,
    response: replies({ 200: EvalJson, 202: StartedJson }),
  },
} as const

const READ = {
  config: { role: 'read' },
  schema: {
    tags: TAGS,
    summary: 'An eval set: its counts, whether it is stale; its queries and truth if asked for',
    params: Params,
    querystring: ReadQuery,
    response: replies({ 200: WholeJson }),
  },
} as const

const LIST = {
  config: { role: 'read' },
  schema: {
    tags: TAGS,
    summary: 'The eval sets of all buckets, by name',
    querystring: PageQuery,
    response: replies({ 200: PageJson }),
  },
} as const

const DELETE = {
  config: { role: 'write' },
  schema: {
    tags: TAGS,
    summary: 'Delete an eval set',
    params: Params,
    querystring: NoQuery,
    response: replies({ 204: Type.Null() }),
  },
} as const

export const evalRoutes: FastifyPluginCallbackTypebox<EvalRoutesOptions> = (app, options, done) => {
  const { evals, evalSets, indexes, limits } = options

  app.put('/vectors/hnsw/evals/:name', PUT, async (request, reply) => {
    const { name } = request.params
    const { index, k, queries } = request.body
    checkTouch(request.caller, index)
    const rules = { ...shapeOf(findIndex(indexes, request, index)), limits }
    checkEvalSize({ k, count: queries?.length ?? 0 }, rules)
    await findOwn(evals, request, name)
    if (queries === undefined) return evalSets.name({ name, index, k })
    const vectors = parseQueries(queries, rules)
    const operation = evalSets.make({ name, index, k, source: 'given', queries: vectors })
    return answer(reply, operation, request.query.wait)
  })

  app.post('/vectors/hnsw/evals/:name/autogen', AUTOGEN, async (request, reply) => {
    const { name } = request.params
    const { queries: count, source = null } = request.body
    const known = await findOwn(evals, request, name)
    const index = request.body.index ?? known?.index
    const k = request.body.k ?? known?.k ?? K_DEFAULT
    if (index === undefined) throw notFound(name)
    checkTouch(request.caller, index)
    findIndex(indexes, request, index)
    checkEvalSize({ k, count }, { limits })
    const operation = evalSets.make({ name, index, k, source, count })
    return answer(reply, operation, request.query.wait)
  })

  app.get('/vectors/hnsw/evals/:name', READ, async (request) => {
    const set = await getOwn(evals, request, request.params.name)
    const report = evalSets.report(summaryOf(set))
    const { include } = request.query
    if (include === undefined) return report
    const names = include.split(',')
    return { ...report, tune: halfJson(set.tune, names), held_out: halfJson(set.heldOut, names) }
  })

  app.get('/vectors/hnsw/evals', LIST, async (request) => {
    const { limit, cursor = null } = request.query
    const isVisible = ({ index }: EvalSet): boolean => mayTouch(request.caller, index)
    const { sets, next, errors } = await evals.list(isVisible, { after: cursor, limit })
    // Where something lies is not for keys that may not see it.
    const shown = request.caller.prefixes === null ? errors.map((error) => ({ ...error })) : []
    return { evals: sets.map((set) => evalSets.report(set)), next_cursor: next, errors: shown }
  })

  app.delete('/vectors/hnsw/evals/:name', DELETE, async (request, reply) => {
    const { name } = request.params
    if (request.caller.prefixes !== null) await getOwn(evals, request, name)
    await evals.delete(name)
    return reply.code(204).send(null)
  })
  done()
}

async function answer(
  reply: FastifyReply,
  operation: Operation<EvalReport>,
  isAwaited: boolean,
): Promise<EvalReport | Static<typeof StartedJson>> {
  if (isAwaited) return operation.result()
  reply.code(202)
  return started(reply, operation.id)
}

/**
 * The set that the caller is about to replace, or null.
 *
 * @throws {VectordError} `forbidden` where it is of an index that the caller may not touch.
 */
async function findOwn(
  evals: EvalStore,
  request: FastifyRequest,
  name: string,
): Promise<EvalSet | null> {
  const found = await evals.find(name)
  if (found !== null) checkTouch(request.caller, found.index)
  return found
}

/** @throws {VectordError} `eval_not_found`, also for one that the caller may not know of. */
async function getOwn(evals: EvalStore, request: FastifyRequest, name: string): Promise<EvalSet> {
  const set = await evals.get(name)
  if (mayTouch(request.caller, set.index)) return set
  throw notFound(name)
}

function notFound(name: string): VectordError {
  return new VectordError('eval_not_found', `There is no eval set "${name}".`, {
    details: { name },
  })
}

function halfJson(half: EvalHalf, include: readonly string[]): Static<typeof HalfJson> {
  const { queries, truth, selfIds } = half
  return {
    ...(include.includes('queries') && { queries: toBase64(queries) }),
    ...(include.includes('truth') && {
      truth: truth.map(({ ids }) => [...ids]),
      distances: truth.map(({ distances }) => [...distances]),
      self_ids: [...selfIds],
    }),
  }
}
