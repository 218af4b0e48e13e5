/**
 * /vectors/indexes/{index}/points/{id}/versions: what a point was before, as far as it is kept.
 */

import { Type, type FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import { positionFrom, toCursor } from '../src/http/cursor.ts'
import {
  deadlineOf,
  findIndex,
  includeOf,
  type IndexRoutesOptions,
} from '../src/http/index-access.ts'
import { checkId, checkPage } from '../src/http/read-query.ts'
import {
  JSON_TYPE,
  Lsn,
  Metadata,
  Nullable,
  PAGE_DEFAULT,
  PointParams,
  ReadQuery,
  Vector,
  replies,
} from '../src/http/schemas.ts'
import { versionJson } from '../src/http/search-reply.ts'
import { VectordError } from '../src/lib/errors.ts'

const STRICT = { additionalProperties: false } as const

const VersionJson = Type.Object(
  {
    version: Type.Integer({ minimum: 0, description: 'The lsn of the write that made it.' }),
    live: Type.Boolean({ description: 'It is the point as searches find it.' }),
    deleted: Type.Boolean({ description: 'The write was a delete.' }),
    ended_at: Nullable(
      Type.Integer({ description: 'The lsn of the next write of this id: it held until then.' }),
    ),
    metadata: Type.Optional(Nullable(Metadata)),
    text: Type.Optional(Nullable(Type.String())),
    vector: Type.Optional(Nullable(Vector)),
  },
  STRICT,
)

const VersionsJson = Type.Object(
  {
    id: Type.String(),
    versions: Type.Array(VersionJson, { description: 'Newest first.' }),
    next_cursor: Nullable(Type.String()),
    lsn: Lsn,
  },
  STRICT,
)

const VersionsQuery = Type.Object(
  {
    ...ReadQuery,
    limit: Type.Integer({ minimum: 1, default: PAGE_DEFAULT }),
    cursor: Type.Optional(Type.String({ minLength: 1, maxLength: 128 })),
  },
  STRICT,
)

const VERSIONS = {
  config: { role: 'read' },
  schema: {
    tags: ['points'],
    summary: 'The kept versions of a point',
    description:
      'The live version and older ones, up to retention.keep_last_versions of the index. A delete ' +
      'counts as a version; it is listed where the version that it ended is kept.',
    params: PointParams,
    querystring: VersionsQuery,
    response: replies({ 200: Type.Unsafe<string>(VersionsJson) }),
  },
} as const

export const versionRoutes: FastifyPluginCallbackTypebox<IndexRoutesOptions> = (
  app,
  options,
  done,
) => {
  const { indexes, limits } = options

  app.get('/vectors/indexes/:index/points/:id/versions', VERSIONS, async (request, reply) => {
    const { index: name, id } = request.params
    const { limit, cursor, vector_encoding, min_lsn, deadline_ms } = request.query
    checkId(id, limits)
    checkPage(limit, limits)
    const form = {
      include: includeOf(request.query.include),
      asBase64: vector_encoding === 'base64',
    }
    const before = cursor === undefined ? null : positionFrom(cursor).lsn
    const read = { minLsn: min_lsn ?? 0, deadlineMs: deadlineOf(options, deadline_ms) }
    const page = await findIndex(indexes, request, name).versions(
      { id, include: form.include, before, limit, only: null },
      read,
    )
    reply.header('x-vectord-lsn', page.lsn)
    if (!page.isKnown) {
      throw new VectordError('point_not_found', 'The index has no version of a point of this id.', {
        details: { index: name },
      })
    }
    const list = page.versions.map((version) => versionJson(version, form)).join(',')
    const last = page.done ? undefined : page.versions.at(-1)
    const next = last === undefined ? 'null' : `"${toCursor({ lsn: last.version, row: 0 })}"`
    return reply
      .header('content-type', JSON_TYPE)
      .send(
        `{"id":${JSON.stringify(id)},"versions":[${list}],"next_cursor":${next},"lsn":${page.lsn}}`,
      )
  })
  done()
}
