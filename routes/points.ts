/**
 * /vectors/indexes/{index}/points: upsert, delete, fetch one, scroll.
 *
 * A write is all or nothing, and durable when it is answered. Bodies are parsed by
 * `src/http/points-body.ts`; their schemas here only document them.
 */

import {
  Type,
  type FastifyPluginCallbackTypebox,
  type Static,
} from '@fastify/type-provider-typebox'
import type { onRequestHookHandler } from 'fastify'
import { ARROW_TYPE, installLateJson, NDJSON_TYPE, RawBody } from '../src/http/body-parsers.ts'
import { CURSOR_CHARS_MAX, fromCursor, toCursor } from '../src/http/cursor.ts'
import { parseDelete } from '../src/http/delete-body.ts'
import {
  deadlineOf,
  findIndex,
  includeOf,
  shapeOf,
  type IndexRoutesOptions,
} from '../src/http/index-access.ts'
import { ParseTurns } from '../src/http/parse-turns.ts'
import { parsePoints } from '../src/http/points-body.ts'
import { checkId, checkPage } from '../src/http/read-query.ts'
import {
  Filter,
  IndexParams,
  JSON_TYPE,
  Lsn,
  Metadata,
  Nullable,
  PAGE_DEFAULT,
  PointParams,
  ReadQuery,
  Vector,
  WriteQuery,
  WriteReply,
  replies,
} from '../src/http/schemas.ts'
import { queryFilter } from '../src/http/query-filter.ts'
import { pointJson } from '../src/http/search-reply.ts'
import { documentOnly } from '../src/http/validators.ts'
import type { Include, StoredPoint } from '../src/domain/search.ts'
import type { ManagedIndex, ReadOptions } from '../src/indexes/index-api.ts'
import { VectordError } from '../src/lib/errors.ts'

const STRICT = { additionalProperties: false } as const
const TAGS = ['points']

const PointJson = Type.Object(
  {
    id: Type.String({ minLength: 1 }),
    vector: Type.Optional(
      Nullable(
        Type.Unsafe<Static<typeof Vector>>({
          ...Vector,
          description: 'May be left out where the index has an embedder and the point a text.',
        }),
      ),
    ),
    text: Type.Optional(Nullable(Type.String())),
    metadata: Type.Optional(Nullable(Metadata)),
  },
  STRICT,
)

const RowsBody = Type.Object({ points: Type.Array(PointJson, { minItems: 1 }) }, STRICT)

const ColumnsBody = Type.Object(
  {
    ids: Type.Array(Type.String({ minLength: 1 }), { minItems: 1 }),
    vectors: Type.Optional(
      Type.Union([
        Type.Array(Nullable(Vector)),
        Type.String({ description: 'base64 of all vectors, row by row' }),
      ]),
    ),
    texts: Type.Optional(Type.Array(Nullable(Type.String()))),
    metadata: Type.Optional(Type.Array(Nullable(Metadata))),
  },
  STRICT,
)

const bytes = Type.String({ format: 'binary' })

export const UpsertBody = {
  content: {
    'application/json': { schema: documentOnly(Type.Union([RowsBody, ColumnsBody])) },
    [NDJSON_TYPE]: {
      schema: documentOnly(Type.Unsafe({ ...bytes, description: 'A point a line.' })),
    },
    [ARROW_TYPE]: {
      schema: documentOnly(Type.Unsafe({ ...bytes, description: 'An IPC stream.' })),
    },
  },
}

const DeleteBody = documentOnly(
  Type.Union([
    Type.Object({ ids: Type.Array(Type.String({ minLength: 1 }), { minItems: 1 }) }, STRICT),
    Type.Object({ filter: Filter }, STRICT),
  ]),
)

const DeleteReply = Type.Union([
  WriteReply,
  Type.Object({ lsn: Lsn, deleted: Type.Integer({ minimum: 0 }) }, STRICT),
])

export const StoredPointJson = Type.Object(
  {
    id: Type.String(),
    version: Lsn,
    metadata: Type.Optional(Nullable(Metadata)),
    text: Type.Optional(Nullable(Type.String())),
    vector: Type.Optional(Nullable(Vector)),
  },
  STRICT,
)

const ScrollJson = Type.Object(
  { points: Type.Array(StoredPointJson), next_cursor: Nullable(Type.String()), lsn: Lsn },
  STRICT,
)

const FetchQuery = Type.Object(
  {
    ...ReadQuery,
    version: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: Number.MAX_SAFE_INTEGER,
        description: 'The version that this lsn wrote, where it is live or kept.',
      }),
    ),
  },
  STRICT,
)

const ScrollQuery = Type.Object(
  {
    ...ReadQuery,
    limit: Type.Integer({ minimum: 1, default: PAGE_DEFAULT }),
    cursor: Type.Optional(Type.String({ minLength: 1, maxLength: CURSOR_CHARS_MAX })),
    filter: Type.Optional(Type.String({ description: 'A filter as JSON text.' })),
  },
  STRICT,
)

const UPSERT = {
  config: { role: 'write' },
  schema: {
    tags: TAGS,
    summary: 'Upsert points, all or none',
    params: IndexParams,
    querystring: WriteQuery,
    body: UpsertBody,
    response: replies({ 200: WriteReply }),
  },
} as const

const DELETE = {
  config: { role: 'write' },
  schema: {
    tags: TAGS,
    summary: 'Delete points by id or by filter',
    description: 'Unknown ids are no error.',
    params: IndexParams,
    querystring: WriteQuery,
    body: DeleteBody,
    response: replies({ 200: DeleteReply }),
  },
} as const

const FETCH = {
  config: { role: 'read' },
  schema: {
    tags: TAGS,
    summary: 'Fetch one point, as it is or one of its kept versions',
    params: PointParams,
    querystring: FetchQuery,
    response: replies({ 200: Type.Unsafe<string>(StoredPointJson) }),
  },
} as const

const SCROLL = {
  config: { role: 'read' },
  schema: {
    tags: TAGS,
    summary: 'Scroll through the points in the order of their writes',
    description: 'A Lance index gives them in the order of their ids.',
    params: IndexParams,
    querystring: ScrollQuery,
    response: replies({ 200: Type.Unsafe<string>(ScrollJson) }),
  },
} as const

export const pointRoutes: FastifyPluginCallbackTypebox<IndexRoutesOptions> = (
  app,
  options,
  done,
) => {
  // In a scope of its own: its bodies are parsed when their turn comes.
  app.register(upserts, options)
  deletes(app, options, () => undefined)
  reads(app, options, () => undefined)
  done()
}

const upserts: FastifyPluginCallbackTypebox<IndexRoutesOptions> = (app, options, done) => {
  const { indexes, limits, metrics } = options
  const turns = new ParseTurns()
  installLateJson(app)

  // Under overload most writes are refused: that must not cost reading and parsing their bodies.
  const refuseEarly: onRequestHookHandler = (request, _reply, proceed) => {
    const { index } = request.params as { index: string }
    // A name that is wrong in any way is for the handler to tell.
    if (indexes.has(index)) indexes.get(index).checkWritable()
    proceed()
  }

  const upsert = { ...UPSERT, onRequest: refuseEarly }
  app.post('/vectors/indexes/:index/points', upsert, async (request, reply) => {
    const index = findIndex(indexes, request, request.params.index)
    const { ack, deadline_ms } = request.query
    const deadlineMs = deadlineOf(options, deadline_ms)
    const { body } = request
    const batch = await turns.run(body instanceof RawBody ? body.bytes.length : 0, () => {
      // Those before it may have filled the index: then it need not be parsed.
      index.checkWritable()
      return parsePoints(body, { ...shapeOf(index), limits, takesTexts: index.takesTexts })
    })
    const { lsn } = await index.write(batch, {
      ack: ack === 'logged' ? 'logged' : 'applied',
      deadlineMs,
    })
    metrics.wrote('upsert', batch.ids.length)
    return reply.header('x-vectord-lsn', lsn).send({ lsn, accepted: batch.ids.length })
  })
  done()
}

const deletes: FastifyPluginCallbackTypebox<IndexRoutesOptions> = (app, options, done) => {
  const { indexes, limits, metrics } = options

  app.post('/vectors/indexes/:index/points/delete', DELETE, async (request, reply) => {
    const index = findIndex(indexes, request, request.params.index)
    const wanted = parseDelete(request.body, limits)
    const { ack, deadline_ms } = request.query
    const write = {
      ack: ack === 'logged' ? ('logged' as const) : ('applied' as const),
      deadlineMs: deadlineOf(options, deadline_ms),
    }
    if (wanted.kind === 'filter') {
      const { lsn, deleted } = await index.deleteMatching(wanted.filter, write)
      metrics.wrote('delete', deleted)
      return reply.header('x-vectord-lsn', lsn).send({ lsn, deleted })
    }
    const { lsn } = await index.write({ kind: 'delete', ids: wanted.ids }, write)
    metrics.wrote('delete', wanted.ids.length)
    return reply.header('x-vectord-lsn', lsn).send({ lsn, accepted: wanted.ids.length })
  })
  done()
}

const reads: FastifyPluginCallbackTypebox<IndexRoutesOptions> = (app, options, done) => {
  const { indexes, limits } = options

  app.get('/vectors/indexes/:index/points/:id', FETCH, async (request, reply) => {
    const { index: name, id } = request.params
    checkId(id, limits)
    const { version, vector_encoding, min_lsn, deadline_ms } = request.query
    const form = {
      include: includeOf(request.query.include),
      asBase64: vector_encoding === 'base64',
    }
    const read = { minLsn: min_lsn ?? 0, deadlineMs: deadlineOf(options, deadline_ms) }
    const index = findIndex(indexes, request, name)
    const wanted = { id, version, include: form.include }
    const { point, lsn } = await fetchOne(index, wanted, read)
    reply.header('x-vectord-lsn', lsn)
    if (point === null) throw notThere(name, version)
    return reply.header('content-type', JSON_TYPE).send(pointJson(point, form))
  })

  app.get('/vectors/indexes/:index/points', SCROLL, async (request, reply) => {
    const { limit, cursor, filter, vector_encoding, min_lsn, deadline_ms } = request.query
    const form = {
      include: includeOf(request.query.include),
      asBase64: vector_encoding === 'base64',
    }
    checkPage(limit, limits)
    const page = {
      after: cursor === undefined ? null : fromCursor(cursor),
      limit,
      filter: filter === undefined ? null : queryFilter(filter),
      include: form.include,
    }
    const read = { minLsn: min_lsn ?? 0, deadlineMs: deadlineOf(options, deadline_ms) }
    const index = findIndex(indexes, request, request.params.index)
    const { points, next, lsn } = await index.scroll(page, read)
    const list = points.map((point) => pointJson(point, form)).join(',')
    const nextCursor = next === null ? 'null' : `"${toCursor(next)}"`
    return reply
      .headers({ 'x-vectord-lsn': lsn, 'content-type': JSON_TYPE })
      .send(`{"points":[${list}],"next_cursor":${nextCursor},"lsn":${lsn}}`)
  })
  done()
}

interface Wanted {
  readonly id: string
  readonly version: number | undefined
  readonly include: Include
}

async function fetchOne(
  index: ManagedIndex,
  { id, version, include }: Wanted,
  read: ReadOptions,
): Promise<{ readonly point: StoredPoint | null; readonly lsn: number }> {
  if (version === undefined) {
    const { points, lsn } = await index.fetch([id], include, read)
    return { point: points[0] ?? null, lsn }
  }
  const request = { id, include, before: null, limit: 1, only: { version } }
  const { versions, lsn } = await index.versions(request, read)
  return { point: versions[0] ?? null, lsn }
}

function notThere(index: string, version: number | undefined): VectordError {
  if (version === undefined) {
    return new VectordError('point_not_found', 'The index has no point with this id.', {
      details: { index },
    })
  }
  const text = `The index keeps no version ${version} of a point with this id.`
  return new VectordError('point_not_found', text, { details: { index, version } })
}
