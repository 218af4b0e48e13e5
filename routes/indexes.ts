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
import { HNSW_BOUNDS, HNSW_DEFAULTS } from '../src/domain/hnsw-config.ts'
import type { LanceSettings } from '../src/domain/lance-settings.ts'
import { METRICS } from '../src/domain/metric.ts'
import type { EmbedderStamp } from '../src/domain/pending-text.ts'
import { changedStream, type StreamSettings } from '../src/domain/stream-settings.ts'
import { checkTouch, mayTouch } from '../src/http/auth.ts'
import { badField } from '../src/http/body-field.ts'
import { etagOf, ifMatch } from '../src/http/conditional.ts'
import { findIndex, type IndexRoutesOptions } from '../src/http/index-access.ts'
import {
  IndexParams,
  Name,
  NoQuery,
  Nullable,
  replies,
  started,
  StartedJson,
  WaitQuery,
} from '../src/http/schemas.ts'
import type { IndexChange, ManagedIndex, NewIndex } from '../src/indexes/index-api.ts'
import type { Streams } from '../src/ingest/streams.ts'
import { VectordError } from '../src/lib/errors.ts'
import { embedderFor, type IdentityOf } from '../src/services/index-embedders.ts'
import type { Moves } from '../src/services/moves.ts'
import {
  bounds,
  EfSearch,
  IndexJson,
  indexJson,
  LanceJson,
  StreamJson,
  Versions,
  type IndexAnswer,
} from './index-answers.ts'

const STRICT = { additionalProperties: false } as const
const TAGS = ['indexes']
const SHARDS_MAX = 64

const Embedder = Type.String({ minLength: 1, maxLength: 128 })
const StreamBody = Type.Partial(StreamJson, STRICT)

/** Settings given by hand are shown to find nothing: `shown` is null then. */
const LanceBody = Type.Partial(Type.Pick(LanceJson, ['nprobes', 'refine_factor', 'ef']), {
  ...STRICT,
  minProperties: 1,
  description: 'Of an index of the backend lance; POST /vectors/lance/recall/{index} solves them.',
})

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
    embedder: Type.Optional(Embedder),
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
    lance: Type.Optional(LanceBody),
    embedder: Type.Optional(Embedder),
    acknowledge_rebuild: Type.Optional(
      Type.Boolean({
        description: 'With another embedder every text is embedded again: true says that you know.',
      }),
    ),
    bucket: Type.Optional(Name),
  },
  { ...STRICT, minProperties: 1 },
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
  readonly identityOf: IdentityOf
}

export const indexRoutes: FastifyPluginCallbackTypebox<IndexChangeRoutesOptions> = (
  app,
  options,
  done,
) => {
  const { indexes } = options

  app.post('/vectors/indexes', CREATE, async (request, reply) => {
    checkTouch(request.caller, request.body.name)
    const { embedder: name } = request.body
    const embedder = name === undefined ? null : await options.identityOf(name)
    const settings = toSettings(request.body, embedder, options.limits.dimensionMax)
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
  { indexes, moves, streams, identityOf },
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
    const embedder = await embedderOf(before, settings, identityOf)
    const update = () => indexes.update(index, { ...toChange(settings), ...embedder }, author)
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

type Settings = Omit<Static<typeof PatchBody>, 'bucket'>

async function embedderOf(
  index: ManagedIndex,
  { embedder: name, acknowledge_rebuild }: Settings,
  identityOf: IdentityOf,
): Promise<Pick<IndexChange, 'embedder'>> {
  if (name === undefined) {
    if (acknowledge_rebuild === undefined) return {}
    throw badField('acknowledge_rebuild', 'goes with "embedder" alone')
  }
  const wish = { name, isAcknowledged: acknowledge_rebuild === true }
  const count = (of: EmbedderStamp) => index.texts.count(of)
  return { embedder: await embedderFor(index.info, wish, { identityOf, count }) }
}

function toChange({ hnsw, retention, stream, lance }: Settings): IndexChange {
  return {
    ...(lance !== undefined && { lance: lanceSettings(lance) }),
    ...(hnsw !== undefined && { efSearch: hnsw.ef_search }),
    ...(retention !== undefined && { keepLastVersions: retention.keep_last_versions }),
    ...(stream !== undefined && { stream: stream && streamSettings(stream) }),
  }
}

function lanceSettings({
  nprobes,
  refine_factor,
  ef,
}: Static<typeof LanceBody>): Partial<LanceSettings> {
  return {
    ...(nprobes !== undefined && { nprobes }),
    ...(refine_factor !== undefined && { refineFactor: refine_factor }),
    ...(ef !== undefined && { ef }),
    shown: null,
  }
}

function toSettings(
  body: Static<typeof CreateBody>,
  embedder: EmbedderStamp | null,
  dimensionMax: number,
): Omit<NewIndex, 'createdBy'> {
  const { name, metric, bucket, backend, hnsw, shards, retention } = body
  const { stream } = body
  if (backend === 'lance') checkLance(body)
  const dimension = dimensionOf(body.dimension, embedder)
  if (dimension > dimensionMax) {
    throw new VectordError('limit_exceeded', `"dimension" must be at most ${dimensionMax}.`, {
      details: { limit: 'dimension', max: dimensionMax, part: 'body', field: 'dimension' },
    })
  }
  return {
    ...{ name, dimension, metric, bucket, backend, shards },
    ...(embedder !== null && { embedder }),
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

/** A table has no shards, and keeps its versions by their age. */
function checkLance({ shards, retention }: Static<typeof CreateBody>): void {
  if (shards !== 1) throw badField('shards', 'must be 1 for the backend "lance"')
  if (retention.keep_last_versions === 1) return
  const problem = 'must be 1 for the backend "lance", which keeps versions by their age'
  throw badField('retention.keep_last_versions', problem)
}

/** The embedder brings it; one that is given must be the same. */
function dimensionOf(given: number | undefined, embedder: EmbedderStamp | null): number {
  const dimension = given ?? embedder?.dimension
  if (dimension === undefined) throw badField('dimension', 'is missing')
  if (embedder === null || dimension === embedder.dimension) return dimension
  const problem = `must be ${embedder.dimension}, that of the embedder "${embedder.name}"`
  throw badField('dimension', problem)
}

function streamSettings(given: Static<typeof StreamBody>): Partial<StreamSettings> {
  const { buffer_size, batch_size, flush_interval_ms } = given
  return {
    ...(buffer_size !== undefined && { bufferSize: buffer_size }),
    ...(batch_size !== undefined && { batchSize: batch_size }),
    ...(flush_interval_ms !== undefined && { flushIntervalMs: flush_interval_ms }),
  }
}
