/**
 * /vectors/indexes: create, list, read, change and drop indexes.
 *
 * A route parses, calls one component and names the shape. Rules about indexes live in
 * `src/indexes`; the failures it can throw are in `src/lib/errors.ts`.
 */

import {
  Type,
  type FastifyPluginCallbackTypebox,
  type Static,
} from '@fastify/type-provider-typebox'
import { configToJson, HNSW_BOUNDS, HNSW_DEFAULTS } from '../src/domain/hnsw-config.ts'
import { METRICS } from '../src/domain/metric.ts'
import type { ShardStats } from '../src/domain/search.ts'
import {
  changedStream,
  STREAM_BOUNDS,
  STREAM_DEFAULTS,
  streamToJson,
  type StreamSettings,
} from '../src/domain/stream-settings.ts'
import { checkTouch, mayTouch } from '../src/http/auth.ts'
import { badField } from '../src/http/body-field.ts'
import { etagOf, ifMatch } from '../src/http/conditional.ts'
import { findIndex, type IndexRoutesOptions } from '../src/http/index-access.ts'
import {
  IndexParams,
  Lsn,
  Name,
  NoQuery,
  Nullable,
  replies,
  started,
  StartedJson,
  WaitQuery,
} from '../src/http/schemas.ts'
import type { IndexChange, IndexInfo, ManagedIndex, NewIndex } from '../src/indexes/index-api.ts'
import type { Streams } from '../src/ingest/streams.ts'
import { VectordError } from '../src/lib/errors.ts'
import { deadShareOf } from '../src/services/compaction-cycle.ts'
import type { Moves } from '../src/services/moves.ts'

const STRICT = { additionalProperties: false } as const
const TAGS = ['indexes']
const SHARDS_MAX = 64
const VERSIONS_MAX = 1000

const bounds = ([minimum, maximum]: readonly [number, number]): {
  minimum: number
  maximum: number
} => ({ minimum, maximum })

const M = Type.Integer(bounds(HNSW_BOUNDS.m))
const EfConstruction = Type.Integer(bounds(HNSW_BOUNDS.efConstruction))
const EfSearch = Nullable(Type.Integer(bounds(HNSW_BOUNDS.efSearch)))
const Seed = Type.Integer(bounds(HNSW_BOUNDS.seed))
const Versions = Type.Integer({ minimum: 1, maximum: VERSIONS_MAX })

const streamSize = (name: 'bufferSize' | 'batchSize' | 'flushIntervalMs', what: string) =>
  Type.Integer({
    ...bounds(STREAM_BOUNDS[name]),
    description: `${what}; ${STREAM_DEFAULTS[name]} where nothing else was said.`,
  })

/** How an index takes a stream, as answers show it. */
export const StreamJson = Type.Object(
  {
    buffer_size: streamSize('bufferSize', 'Points that may wait'),
    batch_size: streamSize('batchSize', 'Points of one write'),
    flush_interval_ms: streamSize('flushIntervalMs', 'Longest wait for a full batch'),
  },
  STRICT,
)

const StreamBody = Type.Partial(StreamJson, STRICT)

const CreateBody = Type.Object(
  {
    name: Name,
    dimension: Type.Optional(Type.Integer({ minimum: 1 })),
    metric: Type.Enum([...METRICS], { default: 'cosine' }),
    bucket: Type.String({ ...Name, default: 'primary' }),
    backend: Type.Enum(['hnsw', 'lance'], { default: 'hnsw' }),
    hnsw: Type.Object(
      {
        m: Type.Integer({ ...bounds(HNSW_BOUNDS.m), default: HNSW_DEFAULTS.m }),
        ef_construction: Type.Integer({
          ...bounds(HNSW_BOUNDS.efConstruction),
          default: HNSW_DEFAULTS.efConstruction,
        }),
        ef_search: Type.Union([Type.Integer(bounds(HNSW_BOUNDS.efSearch)), Type.Null()], {
          default: HNSW_DEFAULTS.efSearch,
          description: 'null lets the server choose.',
        }),
        seed: Type.Integer({ ...bounds(HNSW_BOUNDS.seed), default: HNSW_DEFAULTS.seed }),
      },
      { ...STRICT, default: {} },
    ),
    shards: Type.Integer({ minimum: 1, maximum: SHARDS_MAX, default: 1 }),
    embedder: Type.Optional(Type.String({ minLength: 1, maxLength: 128 })),
    retention: Type.Object(
      { keep_last_versions: Type.Integer({ ...Versions, default: 1 }) },
      { ...STRICT, default: {} },
    ),
    stream: Type.Optional(StreamBody),
  },
  STRICT,
)

const PatchBody = Type.Object(
  {
    hnsw: Type.Optional(Type.Object({ ef_search: EfSearch }, STRICT)),
    retention: Type.Optional(Type.Object({ keep_last_versions: Versions }, STRICT)),
    stream: Type.Optional(Nullable(StreamBody)),
    bucket: Type.Optional(Name),
  },
  { ...STRICT, minProperties: 1 },
)

const Count = Type.Integer({ minimum: 0 })

const CompactionJson = Type.Object(
  {
    ratio: Type.Number({
      ...{ minimum: 0, maximum: 1 },
      description: 'Share that is dead of the rows in memory or of the graph: the larger one.',
    }),
    last_at: Nullable(Type.String({ description: 'Since this server serves the index.' })),
  },
  STRICT,
)

const StatsJson = Type.Object(
  {
    live_points: Count,
    rows: Count,
    dead_rows: Count,
    kept_versions: Type.Integer({
      minimum: 0,
      description: 'Older versions of points that can still be read.',
    }),
    kept_bytes: Type.Number({ description: 'Of their vectors and strings.' }),
    delta_points: Count,
    graph_elements: Count,
    tombstones: Count,
    generation: Count,
    applied_lsn: Lsn,
    indexed_lsn: Lsn,
    memory_bytes: Type.Number(),
    raw_bytes: Type.Number(),
    payload_bytes: Type.Number(),
    insert_rate: Type.Number({ description: 'Points a second that went into the graph lately.' }),
  },
  STRICT,
)

const IndexJson = Type.Object(
  {
    name: Name,
    dimension: Type.Integer(),
    metric: Type.Enum([...METRICS]),
    bucket: Name,
    backend: Type.Literal('hnsw'),
    hnsw: Type.Object(
      { m: M, ef_construction: EfConstruction, ef_search: EfSearch, seed: Seed },
      STRICT,
    ),
    shards: Type.Integer(),
    retention: Type.Object({ keep_last_versions: Versions }, STRICT),
    stream: Nullable(StreamJson),
    revision: Count,
    created_at: Type.String(),
    state: Type.Enum(['loading', 'ready', 'degraded', 'unavailable', 'deleting']),
    reason: Nullable(Type.String()),
    progress: Type.Number({ minimum: 0, maximum: 1 }),
    role: Nullable(
      Type.Enum(['owner', 'follower'], {
        description: 'Of this server: the owner writes the index, followers serve reads only.',
      }),
    ),
    owner: Nullable(Type.String({ description: 'Id of the server that writes the index.' })),
    lsn: Lsn,
    checkpoint_lsn: Lsn,
    log_bytes: Type.Number(),
    points: Nullable(Count),
    compaction: CompactionJson,
    stats: Nullable(StatsJson),
  },
  STRICT,
)

const IndexList = Type.Object({ indexes: Type.Array(IndexJson) }, STRICT)

const CREATE = {
  config: { role: 'admin', idempotencyKey: true },
  schema: {
    tags: TAGS,
    summary: 'Create an index',
    querystring: NoQuery,
    body: CreateBody,
    response: replies({ 201: IndexJson }),
  },
} as const

const LIST = {
  config: { role: 'read' },
  schema: {
    tags: TAGS,
    summary: 'List the indexes that the key may see',
    querystring: NoQuery,
    response: replies({ 200: IndexList }),
  },
} as const

const READ = {
  config: { role: 'read' },
  schema: {
    tags: TAGS,
    summary: 'Settings and state of an index',
    params: IndexParams,
    querystring: NoQuery,
    response: replies({ 200: IndexJson }),
  },
} as const

const CHANGE = {
  config: { role: 'admin' },
  schema: {
    tags: TAGS,
    summary: 'Change settings of an index, or move it to another bucket',
    description:
      'A move is an operation: 202 with its id, or with `?wait=true` the index as it is then. The ' +
      'index serves meanwhile; for a moment at the end writes wait.',
    params: IndexParams,
    querystring: WaitQuery,
    body: PatchBody,
    response: replies({ 200: IndexJson, 202: StartedJson }),
  },
} as const

const DROP = {
  config: { role: 'admin' },
  schema: {
    tags: TAGS,
    summary: 'Drop an index with all its objects',
    params: IndexParams,
    querystring: NoQuery,
    response: replies({ 204: Type.Null() }),
  },
} as const

export interface IndexChangeRoutesOptions extends IndexRoutesOptions {
  readonly moves: Moves
  /** Does something while the stream of an index takes nothing. */
  readonly streams: Pick<Streams, 'whileDrained'>
}

export const indexRoutes: FastifyPluginCallbackTypebox<IndexChangeRoutesOptions> = (
  app,
  options,
  done,
) => {
  const { indexes } = options

  app.post('/vectors/indexes', CREATE, async (request, reply) => {
    checkTouch(request.caller, request.body.name)
    const settings = toSettings(request.body, options.limits.dimensionMax)
    const { info } = await indexes.create({ ...settings, createdBy: request.caller.name })
    reply.header('location', `/vectors/indexes/${info.name}`)
    return reply.code(201).header('etag', etagOf(info.revision)).send(indexJson(info))
  })

  app.get('/vectors/indexes', LIST, (request) => ({
    indexes: indexes
      .list()
      .map((index) => index.info)
      .filter((info) => mayTouch(request.caller, info.name))
      .map(indexJson),
  }))

  app.get('/vectors/indexes/:index', READ, async (request, reply) => {
    const { info } = findIndex(indexes, request, request.params.index)
    return reply.header('etag', etagOf(info.revision)).send(indexJson(info))
  })

  changes(app, options, () => undefined)
  done()
}

/** PATCH and DELETE: both honour `If-Match`. */
const changes: FastifyPluginCallbackTypebox<IndexChangeRoutesOptions> = (
  app,
  { indexes, moves, streams },
  done,
) => {
  app.patch('/vectors/indexes/:index', CHANGE, async (request, reply) => {
    const { index } = request.params
    const { bucket, ...settings } = request.body
    const before = findIndex(indexes, request, index)
    const isMove = bucket !== undefined && bucket !== before.info.bucket
    const author = { ifRevision: ifMatch(request), by: request.caller.name }
    if (isMove) await moves.check(index, bucket, author)
    const isChanged = !isMove || Object.keys(settings).length > 0
    const update = () => indexes.update(index, toChange(settings), author)
    const changed =
      settings.stream === undefined ? update : () => streams.whileDrained(index, update)
    const { info } = isChanged ? await changed() : before
    if (!isMove) return reply.header('etag', etagOf(info.revision)).send(indexJson(info))
    const condition = isChanged ? { ...author, ifRevision: info.revision } : author
    const answer = (moved: ManagedIndex): IndexAnswer => indexJson(moved.info)
    const operation = moves.start(index, { bucket, condition, answer })
    if (!request.query.wait) return reply.code(202).send(started(reply, operation.id))
    await operation.result()
    const moved = indexes.get(index).info
    return reply.header('etag', etagOf(moved.revision)).send(indexJson(moved))
  })

  app.delete('/vectors/indexes/:index', DROP, async (request, reply) => {
    const { index } = request.params
    findIndex(indexes, request, index)
    const author = { ifRevision: ifMatch(request), by: request.caller.name }
    await streams.whileDrained(index, () => indexes.delete(index, author))
    return reply.code(204).send(null)
  })
  done()
}

function toChange({ hnsw, retention, stream }: Static<typeof PatchBody>): IndexChange {
  return {
    ...(hnsw !== undefined && { efSearch: hnsw.ef_search }),
    ...(retention !== undefined && { keepLastVersions: retention.keep_last_versions }),
    ...(stream !== undefined && { stream: stream && streamSettings(stream) }),
  }
}

function toSettings(
  body: Static<typeof CreateBody>,
  dimensionMax: number,
): Omit<NewIndex, 'createdBy'> {
  const { name, dimension, metric, bucket, backend, hnsw, shards, embedder, retention } = body
  const { stream } = body
  if (backend !== 'hnsw') {
    throw new VectordError('not_configured', `The backend "${backend}" is not available here.`)
  }
  if (embedder !== undefined) {
    throw new VectordError('not_configured', `The embedder "${embedder}" is not configured here.`)
  }
  if (dimension === undefined) throw badField('dimension', 'is missing')
  if (dimension > dimensionMax) {
    throw new VectordError('limit_exceeded', `"dimension" must be at most ${dimensionMax}.`, {
      details: { limit: 'dimension', max: dimensionMax, part: 'body', field: 'dimension' },
    })
  }
  return {
    ...{ name, dimension, metric, bucket, shards },
    hnsw: {
      m: hnsw.m,
      efConstruction: hnsw.ef_construction,
      efSearch: hnsw.ef_search,
      seed: hnsw.seed,
    },
    keepLastVersions: retention.keep_last_versions,
    ...(stream !== undefined && { stream: changedStream(null, streamSettings(stream)) }),
  }
}

function streamSettings(given: Static<typeof StreamBody>): Partial<StreamSettings> {
  const { buffer_size, batch_size, flush_interval_ms } = given
  return {
    ...(buffer_size !== undefined && { bufferSize: buffer_size }),
    ...(batch_size !== undefined && { batchSize: batch_size }),
    ...(flush_interval_ms !== undefined && { flushIntervalMs: flush_interval_ms }),
  }
}

type IndexAnswer = Static<typeof IndexJson>

function indexJson(info: IndexInfo): IndexAnswer {
  const { name, dimension, metric, bucket, backend, hnsw, shards, stats } = info
  const { revision, state, reason, progress, role, owner, lsn } = info
  return {
    ...{ name, dimension, metric, bucket, backend },
    hnsw: configToJson(hnsw),
    shards,
    retention: { keep_last_versions: info.keepLastVersions },
    stream: info.stream === undefined ? null : streamToJson(info.stream),
    revision,
    created_at: new Date(info.createdMs).toISOString(),
    ...{ state, reason, progress, role, owner, lsn },
    checkpoint_lsn: info.checkpointLsn,
    log_bytes: info.logBytes,
    points: stats?.livePoints ?? null,
    compaction: {
      ratio: deadShareOf(stats),
      last_at: info.compactedMs === null ? null : new Date(info.compactedMs).toISOString(),
    },
    stats: stats === null ? null : statsJson(stats),
  }
}

function statsJson(stats: ShardStats): Static<typeof StatsJson> {
  return {
    live_points: stats.livePoints,
    rows: stats.rows,
    dead_rows: stats.deadRows,
    kept_versions: stats.keptVersions,
    kept_bytes: stats.keptBytes,
    delta_points: stats.deltaPoints,
    graph_elements: stats.graphElements,
    tombstones: stats.tombstones,
    generation: stats.generation,
    applied_lsn: stats.appliedLsn,
    indexed_lsn: stats.indexedLsn,
    memory_bytes: stats.memoryBytes,
    raw_bytes: stats.rawBytes,
    payload_bytes: stats.payloadBytes,
    insert_rate: stats.insertRate,
  }
}
