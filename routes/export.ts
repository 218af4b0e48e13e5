/**
 * GET /vectors/indexes/{index}/export: the points of an index as a file.
 */

import type { Readable } from 'node:stream'
import { Type, type FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import { TABLE_FORMATS, type TableFormat } from '../src/codecs/table-reader.ts'
import { ARROW_TYPE, NDJSON_TYPE } from '../src/http/body-parsers.ts'
import { findIndex } from '../src/http/index-access.ts'
import { queryFilter } from '../src/http/query-filter.ts'
import { IndexParams, replies } from '../src/http/schemas.ts'
import type { Indexes } from '../src/indexes/index-api.ts'
import type { Exports } from '../src/snapshots/exports.ts'

export interface ExportRoutesOptions {
  readonly indexes: Indexes
  readonly exports: Pick<Exports, 'open'>
}

const FILES: Readonly<Record<TableFormat, { readonly type: string; readonly extension: string }>> =
  {
    parquet: { type: 'application/vnd.apache.parquet', extension: 'parquet' },
    arrow: { type: ARROW_TYPE, extension: 'arrows' },
    ndjson: { type: NDJSON_TYPE, extension: 'ndjson' },
    csv: { type: 'text/csv; charset=utf-8', extension: 'csv' },
  }

/** For its types: a file is sent as a stream. */
const FileBytes = Type.Unsafe<Readable>(Type.String({ description: 'The file.' }))

const EXPORT = {
  config: { role: 'read' },
  // The answer to HEAD would cost as much as the file.
  exposeHeadRoute: false,
  schema: {
    tags: ['points'],
    summary: 'The points of an index as a file',
    description:
      'Every write up to the lsn in the header `x-vectord-lsn` is in the file, and none after it. ' +
      'Rows of NDJSON are what POST …/points takes. A file that breaks off resets its connection.',
    params: IndexParams,
    querystring: Type.Object(
      {
        format: Type.Enum([...TABLE_FORMATS], { default: 'parquet' }),
        include_vectors: Type.Boolean({ default: true }),
        filter: Type.Optional(Type.String({ description: 'A filter as JSON text.' })),
      },
      { additionalProperties: false },
    ),
    produces: Object.values(FILES).map(({ type }) => type),
    response: replies({ 200: FileBytes }),
  },
} as const

export const exportRoutes: FastifyPluginCallbackTypebox<ExportRoutesOptions> = (
  app,
  { indexes, exports },
  done,
) => {
  app.get('/vectors/indexes/:index/export', EXPORT, async (request, reply) => {
    const { index } = request.params
    findIndex(indexes, request, index)
    const { format, include_vectors: includeVectors, filter } = request.query
    const matching = filter === undefined ? null : queryFilter(filter)
    const { lsn, body } = await exports.open(index, { format, includeVectors, filter: matching })
    const { socket } = request.raw
    // Also where the framework would only close it, which looks like an end to older clients.
    body.once('error', () => socket.resetAndDestroy())
    if (socket.destroyed) body.destroy()
    const { type, extension } = FILES[format]
    return reply
      .header('content-type', type)
      .header('content-disposition', `attachment; filename="${index}-${lsn}.${extension}"`)
      .header('x-vectord-lsn', String(lsn))
      .send(body)
  })
  done()
}
