/**
 * Requests for ingests as what they ask for, and what is wrong with them.
 */

import type { Static } from '@fastify/type-provider-typebox'
import type { FastifyRequest } from 'fastify'
import { NAME_PATTERN } from '../src/domain/names.ts'
import { badField } from '../src/http/body-field.ts'
import { formatFor } from '../src/ingest/file-format.ts'
import type { DatasetTarget, IngestRequest } from '../src/ingest/ingest-request.ts'
import { parseDsn, type SqlSystemName } from '../src/ingest/sql/dsn.ts'
import type { SqlQuery } from '../src/ingest/sql/sql-source.ts'
import type { IndexTarget } from '../src/ingest/watch.ts'
import { VectordError } from '../src/lib/errors.ts'
import {
  BATCH_ROWS_DEFAULT,
  checkTargets,
  toIndexTarget,
  type FileQuery,
  type ObjectBody,
  type SqlBody,
} from './ingest-schemas.ts'

const PRIMARY = 'primary'
const BUCKET_HEADER = 'x-lakehouse-bucket'
const NAME = new RegExp(NAME_PATTERN)

/** @throws {VectordError} `bad_request`, `invalid_name`; none of them repeats the DSN. */
export function sqlRequest(
  request: FastifyRequest,
  body: Static<typeof SqlBody>,
  system: SqlSystemName,
): IngestRequest {
  const { dsn, key = null, resume, batch_rows: batchRows } = body
  if (parseDsn(dsn).system !== system) throw badField('dsn', `is not one of ${system}`)
  const select = selectOf(body)
  const dataset = datasetTarget(body.dataset ?? null, body.mode, resume)
  if (resume && key === null) throw badField('key', 'is missing: resume goes on behind a key')
  const index = toIndexTarget(body.index)
  checkTargets(dataset?.name ?? null, index)
  return {
    source: { kind: 'sql', system, dsn, query: { select, key } },
    bucket: bucketOf(request, body.bucket),
    ...{ dataset, index, batchRows },
  }
}

function selectOf(body: Static<typeof SqlBody>): SqlQuery['select'] {
  const { table, query, schema, columns } = body
  if (query === undefined) {
    if (table === undefined) throw badField('table', 'is missing: name it, or give a "query"')
    return {
      table,
      ...(schema !== undefined && { schema }),
      ...(columns !== undefined && { columns }),
    }
  }
  for (const [field, value] of Object.entries({ table, schema, columns })) {
    if (value !== undefined) throw badField(field, 'cannot come with a "query"')
  }
  return { query }
}

/** An object of a bucket. @throws {VectordError} `bad_request`, `invalid_name`. */
export function objectRequest(
  request: FastifyRequest,
  body: Static<typeof ObjectBody> | undefined,
): IngestRequest {
  if (body === undefined) throw badField('', 'is missing')
  const { bucket, key, format, mode, batch_rows: batchRows } = body
  const [stray] = Object.keys(request.query as object).filter((field) => field !== 'wait')
  if (stray !== undefined) throw badField(stray, 'stands in the query: here it is for the body')
  if (key.startsWith('_')) throw badField('key', 'begins with "_": it is of the service itself')
  const dataset = datasetTarget(body.dataset ?? null, mode, false)
  const index = toIndexTarget(body.index)
  checkTargets(dataset?.name ?? null, index)
  const source = { bucket, key, format: formatFor(key, format ?? null), identity: null }
  return {
    source: { kind: 'object', ...source },
    bucket: bucketOf(request, body.dataset_bucket),
    ...{ dataset, index, batchRows },
  }
}

/** A file that is the body: all but where it is. @throws {VectordError} as `objectRequest`. */
export function fileRequest(
  request: FastifyRequest,
  query: Static<typeof FileQuery>,
): Omit<IngestRequest, 'source'> {
  const index = indexOfQuery(query)
  const dataset = datasetTarget(query.dataset ?? null, query.mode, false)
  checkTargets(dataset?.name ?? null, index)
  const bucket = bucketOf(request, query.bucket)
  return { bucket, dataset, index, batchRows: query.batch_rows ?? BATCH_ROWS_DEFAULT }
}

function indexOfQuery(query: Static<typeof FileQuery>): IndexTarget | null {
  const { index: name, id_column, vector_column, text_column, on_bad_row } = query
  const metadata_columns = query.metadata_columns?.split(',')
  const columns = { id_column, vector_column, text_column, metadata_columns, on_bad_row }
  if (name === undefined) {
    for (const [field, value] of Object.entries(columns)) {
      if (value !== undefined) throw badField(field, 'needs an "index" in the query')
    }
    return null
  }
  if (id_column === undefined) throw badField('id_column', 'is missing in the query')
  return toIndexTarget({
    ...{ name, id_column },
    ...(on_bad_row !== undefined && { on_bad_row }),
    vector_column: vector_column ?? null,
    text_column: text_column ?? null,
    metadata_columns: metadata_columns ?? null,
  })
}

function datasetTarget(
  name: string | null,
  mode: DatasetTarget['mode'] | undefined,
  resume: boolean,
): DatasetTarget | null {
  if (name === null) {
    if (mode === undefined && !resume) return null
    throw badField('dataset', 'is missing: there is nothing to replace or to append to')
  }
  if (resume && mode === 'replace') throw badField('resume', 'appends, and the mode is "replace"')
  return { name, mode: mode ?? (resume ? 'append' : 'replace'), resume }
}

/** As asked in the request or its header, which must not differ. */
function bucketOf(request: FastifyRequest, asked: string | undefined): string {
  const header = request.headers[BUCKET_HEADER]
  if (header === undefined) return asked ?? PRIMARY
  if (typeof header !== 'string' || !NAME.test(header)) {
    throw new VectordError('invalid_name', 'X-Lakehouse-Bucket names no bucket.')
  }
  if (asked === undefined || asked === header) return header
  throw badField('bucket', 'is another one than in the header X-Lakehouse-Bucket')
}
