/**
 * /vectors/lance/…: long work on Lance indexes. Each is an operation: 202 with its id, or with
 * `?wait=true` what comes of it.
 */

import {
  Type,
  type FastifyPluginCallbackTypebox,
  type Static,
} from '@fastify/type-provider-typebox'
import type { FastifyRequest } from 'fastify'
import { LANCE_INDEX_KINDS } from '../src/domain/lance-table.ts'
import { checkTouch } from '../src/http/auth.ts'
import { findIndex } from '../src/http/index-access.ts'
import {
  IndexParams,
  Lsn,
  Name,
  Nullable,
  replies,
  started,
  StartedJson,
  WaitQuery,
} from '../src/http/schemas.ts'
import { INDEX_BACKENDS, type Indexes } from '../src/indexes/index-api.ts'
import type { LanceIndex } from '../src/indexes/lance-index.ts'
import { LANCE_QUERIES_MIN, type LanceRecallWish } from '../src/services/lance-recall.ts'
import type { LanceWork } from '../src/services/lance-work.ts'

const STRICT = { additionalProperties: false } as const
const TAGS = ['lance']
const QUERIES_MAX = 2000
const K_MAX = 1000
const Count = Type.Integer({ minimum: 0 })
const Share = Type.Number({ minimum: 0, maximum: 1 })

const recallFields = {
  queries: Type.Integer({
    ...{ minimum: LANCE_QUERIES_MIN, maximum: QUERIES_MAX, default: 200 },
    description: 'Sampled rows: half of them choose settings, half of them show what they find.',
  }),
  k: Type.Integer({ minimum: 1, maximum: K_MAX, default: 10 }),
  min_recall: Type.Optional(
    Type.Number({
      ...{ exclusiveMinimum: 0, exclusiveMaximum: 1 },
      description: 'Floor of the recall; recall.goal of the configuration where it is left out.',
    }),
  ),
  solve: Type.Boolean({ default: true, description: 'false measures alone, and changes nothing.' }),
}

const RecallBody = Type.Object(recallFields, STRICT)

const IndexBody = Type.Object({ kind: Type.Enum([...LANCE_INDEX_KINDS]), ...recallFields }, STRICT)

const MigrateBody = Type.Object(
  {
    to: Type.Enum([...INDEX_BACKENDS], { description: 'The backend that the source has not.' }),
    name: { ...Name, description: 'Of the new index.' },
    bucket: Type.Optional({ ...Name, description: 'That of the source where it is left out.' }),
  },
  STRICT,
)

const PointJson = Type.Object(
  {
    nprobes: Nullable(Type.Integer()),
    refine_factor: Nullable(Type.Integer()),
    ef: Nullable(Type.Integer()),
    queries: Count,
    recall: Share,
    recall_lcb: { ...Share, description: 'One-sided 95 %, as the upper bound.' },
    recall_ucb: Share,
    recall_p10: { ...Share, description: 'Nine of ten queries have at least this.' },
    took_ms_p50: Type.Number(),
  },
  STRICT,
)

const RecallJson = Type.Object(
  {
    index: Name,
    index_kind: Nullable(Type.String()),
    k: Count,
    min_recall: Share,
    version: Lsn,
    current: PointJson,
    solved: Nullable(
      Type.Object(
        {
          reached: Type.Boolean({
            description: 'The lower bound of what is kept is at the floor.',
          }),
          changed: Type.Boolean({ description: 'false: the settings before are as good.' }),
          kept: PointJson,
          tried: Type.Array(PointJson, { description: 'On the half that chooses.' }),
        },
        { ...STRICT, description: 'null where nothing was to be solved: every row is compared.' },
      ),
    ),
  },
  STRICT,
)

const BuiltJson = Type.Object(
  { version: Lsn, kind: Type.Enum([...LANCE_INDEX_KINDS]), recall: Nullable(RecallJson) },
  STRICT,
)

const VersionedJson = Type.Object({ version: Lsn }, STRICT)

const MigratedJson = Type.Object(
  {
    index: Name,
    backend: Type.Enum([...INDEX_BACKENDS]),
    bucket: Name,
    points: Count,
    source: Name,
    source_lsn: { ...Lsn, description: 'The state of the source that was copied.' },
  },
  STRICT,
)

const BUILD = {
  config: { role: 'write', idempotencyKey: true },
  schema: {
    tags: TAGS,
    summary: 'Build an index of the vectors, and choose its settings by measured recall',
    description: 'In place of the one that there is. Searches and writes go on meanwhile.',
    params: IndexParams,
    querystring: WaitQuery,
    body: IndexBody,
    response: replies({ 200: BuiltJson, 202: StartedJson }),
  },
} as const

const SCALAR = {
  config: { role: 'write' },
  schema: {
    tags: TAGS,
    summary: 'Build a BTree of the ids: points are fetched faster',
    params: IndexParams,
    querystring: WaitQuery,
    response: replies({ 200: VersionedJson, 202: StartedJson }),
  },
} as const

const OPTIMIZE = {
  config: { role: 'write' },
  schema: {
    tags: TAGS,
    summary: 'Merge files, take new rows into the indices, drop old versions',
    params: IndexParams,
    querystring: WaitQuery,
    response: replies({ 200: VersionedJson, 202: StartedJson }),
  },
} as const

const RECALL = {
  config: { role: 'write', idempotencyKey: true },
  schema: {
    tags: TAGS,
    summary: 'Measure recall against exact search, and solve the search settings for a floor',
    description:
      'The cheapest settings whose lower bound reaches the floor, on queries that they were not ' +
      'chosen by, are stored with what was shown of them. Where nothing reaches it, the best are.',
    params: IndexParams,
    querystring: WaitQuery,
    body: RecallBody,
    response: replies({ 200: RecallJson, 202: StartedJson }),
  },
} as const

const MIGRATE = {
  config: { role: 'admin', idempotencyKey: true },
  schema: {
    tags: TAGS,
    summary: 'Copy the points of an index into a new one of the other backend',
    description: 'As of one lsn. The new index is there when all of its points are, or not at all.',
    params: IndexParams,
    querystring: WaitQuery,
    body: MigrateBody,
    response: replies({ 200: MigratedJson, 202: StartedJson }),
  },
} as const

export interface LanceWorkRoutesOptions {
  /** Of every backend. */
  readonly indexes: Indexes
  /** @throws {VectordError} `wrong_backend` for one of another backend. */
  readonly lanceIndex: (name: string) => LanceIndex
  readonly work: LanceWork
  /** Floor of the recall where a request names none. */
  readonly goal: number
}

export const lanceWorkRoutes: FastifyPluginCallbackTypebox<LanceWorkRoutesOptions> = (
  app,
  { indexes, lanceIndex, work, goal },
  done,
) => {
  const checked = checker({ indexes, lanceIndex })
  const recallOf = recallWish(goal)

  app.post('/vectors/lance/index/:index', BUILD, async (request, reply) => {
    const name = checked(request, request.params.index)
    const { kind, ...recall } = request.body
    const wish = { kind, recall: recallOf(recall, request.caller.name) }
    const operation = work.build(name, wish)
    if (request.query.wait) return operation.result()
    return reply.code(202).send(started(reply, operation.id))
  })

  app.post('/vectors/lance/scalar-index/:index', SCALAR, async (request, reply) => {
    const operation = work.buildScalar(checked(request, request.params.index))
    if (request.query.wait) return operation.result()
    return reply.code(202).send(started(reply, operation.id))
  })

  app.post('/vectors/lance/optimize/:index', OPTIMIZE, async (request, reply) => {
    const operation = work.optimize(checked(request, request.params.index))
    if (request.query.wait) return operation.result()
    return reply.code(202).send(started(reply, operation.id))
  })

  app.post('/vectors/lance/recall/:index', RECALL, async (request, reply) => {
    const name = checked(request, request.params.index)
    const operation = work.recall(name, recallOf(request.body, request.caller.name))
    if (request.query.wait) return operation.result()
    return reply.code(202).send(started(reply, operation.id))
  })

  app.post('/vectors/lance/migrate/:index', MIGRATE, async (request, reply) => {
    const source = request.params.index
    findIndex(indexes, request, source)
    const { to, name, bucket } = request.body
    checkTouch(request.caller, name)
    const wish = { to, name, bucket: bucket ?? null, by: request.caller.name }
    const operation = work.migrate(source, wish)
    if (request.query.wait) return operation.result()
    return reply.code(202).send(started(reply, operation.id))
  })
  done()
}

/** Of an index that can be worked on here. */
function checker({
  indexes,
  lanceIndex,
}: Pick<LanceWorkRoutesOptions, 'indexes' | 'lanceIndex'>): (
  request: FastifyRequest,
  name: string,
) => string {
  return (request, name) => {
    findIndex(indexes, request, name)
    lanceIndex(name).checkWritable()
    return name
  }
}

type RecallFields = Static<typeof RecallBody>

function recallWish(goal: number): (fields: RecallFields, by: string) => LanceRecallWish {
  return ({ queries, k, min_recall, solve }, by) => {
    return { queries, k, solve, minRecall: min_recall ?? goal, by }
  }
}
