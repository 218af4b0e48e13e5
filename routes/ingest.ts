/**
 * /ingest: rows of databases and files become datasets and points.
 *
 * Each is an operation: 202 with its id, or with `?wait=true` what comes of it. They concern the whole
 * service, so keys that are limited to name prefixes have no part in them. The DSN of a request is
 * in no answer and in no log.
 */

import {
  Type,
  type FastifyPluginCallbackTypebox,
  type Static,
} from '@fastify/type-provider-typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { Readable } from 'node:stream'
import { badField } from '../src/http/body-field.ts'
import { checkEncoding } from '../src/http/body-parsers.ts'
import { replies, StartedJson, started, WaitQuery } from '../src/http/schemas.ts'
import { documentOnly } from '../src/http/validators.ts'
import { FILE_TYPES, formatFor, formatOfType } from '../src/ingest/file-format.ts'
import { systemOf, type DatasetTarget, type IngestRequest } from '../src/ingest/ingest-request.ts'
import { spool } from '../src/ingest/spool.ts'
import { NAME_PATTERN } from '../src/domain/names.ts'
import { VectordError } from '../src/lib/errors.ts'
import type { Ingests } from '../src/services/ingests.ts'
import {
  checkTargets,
  FileQuery,
  IngestReply,
  ObjectBody,
  SqlBody,
  toIndexTarget,
} from './ingest-schemas.ts'

export interface IngestRoutesOptions {
  readonly ingests: Ingests
  readonly fileBytesMax: number
}

const TAGS = ['ingest']
const PRIMARY = 'primary'
const BUCKET_HEADER = 'x-lakehouse-bucket'
const BATCH_ROWS_DEFAULT = 4096

const SHARED = { role: 'admin', wide: true } as const

const answers = replies({ 200: IngestReply, 202: StartedJson })

function sqlRoute(summary: string): {
  readonly config: typeof SHARED & { readonly idempotencyKey: true }
  readonly schema: {
    readonly tags: string[]
    readonly summary: string
    readonly description: string
    readonly querystring: typeof WaitQuery
    readonly body: typeof SqlBody
    readonly response: typeof answers
  }
} {
  return {
    config: { ...SHARED, idempotencyKey: true },
    schema: {
      ...{ tags: TAGS, summary },
      description:
        'Streams a table or a query, in constant memory. A dataset is published at the end, whole ' +
        'or not at all; points come into the index as they are read, and stay where it fails.',
      querystring: WaitQuery,
      body: SqlBody,
      response: answers,
    },
  }
}

const bytes = Type.String({ format: 'binary' })

const FILE = {
  config: { ...SHARED, longBody: true },
  schema: {
    tags: TAGS,
    summary: 'Ingest a file: the body itself, or an object of a bucket',
    description:
      'A body that is a file comes with its content type, and with what JSON would say in the query. ' +
      'Its size is bounded by ingest.file_bytes_max alone.',
    querystring: FileQuery,
    body: {
      content: {
        'application/json': { schema: ObjectBody },
        ...Object.fromEntries(
          FILE_TYPES.map((type) => [type, { schema: documentOnly(Type.Unsafe({ ...bytes })) }]),
        ),
      },
    },
    response: answers,
  },
} as const

export const ingestRoutes: FastifyPluginCallbackTypebox<IngestRoutesOptions> = (
  app,
  options,
  done,
) => {
  const { ingests } = options
  // In a scope of its own: here files come as streams.
  app.register(files, options)

  app.post('/ingest/mysql', sqlRoute('Ingest from MySQL or MariaDB'), (request, reply) =>
    begin(ingests, sqlRequest(request, request.body, 'mysql'), { reply, wait: request.query.wait }),
  )

  app.post('/ingest/db', sqlRoute('Ingest from PostgreSQL'), (request, reply) =>
    begin(ingests, sqlRequest(request, request.body, 'postgresql'), {
      reply,
      wait: request.query.wait,
    }),
  )
  done()
}

const files: FastifyPluginCallbackTypebox<IngestRoutesOptions> = (app, options, done) => {
  const { ingests, fileBytesMax } = options
  for (const type of FILE_TYPES) {
    if (app.hasContentTypeParser(type)) app.removeContentTypeParser(type)
    app.addContentTypeParser(type, (request, body, parsed) => {
      checkEncoding(request)
      parsed(null, body)
    })
  }

  app.post('/ingest/file', FILE, async (request, reply) => {
    const body: unknown = request.body
    const { wait } = request.query
    if (!(body instanceof Readable)) {
      const wanted = objectRequest(request, body as Static<typeof ObjectBody> | undefined)
      return begin(ingests, wanted, { reply, wait })
    }
    const format = formatOfType(request.headers['content-type'] ?? '')
    if (format === null) throw badField('', 'has no content type of a file')
    const wanted = fileRequest(request)
    ingests.check(wanted)
    const declaredBytes = Number(request.headers['content-length'] ?? 0)
    const path = await ingests.uploadPath()
    await spool(body, { path, bytesMax: fileBytesMax, declaredBytes })
    const source = { kind: 'upload', path, format } as const
    return begin(ingests, { ...wanted, source }, { reply, wait })
  })
  done()
}

async function begin(
  ingests: Ingests,
  wanted: IngestRequest,
  { reply, wait }: { readonly reply: FastifyReply; readonly wait: boolean },
): Promise<object> {
  const operation = ingests.start(wanted)
  if (wait) return operation.result()
  return reply.code(202).send(started(reply, operation.id))
}

function sqlRequest(
  request: FastifyRequest,
  body: Static<typeof SqlBody>,
  system: 'mysql' | 'postgresql',
): IngestRequest {
  const { dsn, table, query, schema, columns, key = null, resume, batch_rows: batchRows } = body
  // What is wrong with a DSN is told without the DSN.
  if (systemOf(dsn) !== system) throw badField('dsn', `is not one of ${system}`)
  if ((table === undefined) === (query === undefined)) {
    throw badField('table', 'or "query" must be there, and not both')
  }
  if (query !== undefined && (schema !== undefined || columns !== undefined)) {
    throw badField('query', 'cannot come with "schema" or "columns"')
  }
  const dataset = datasetTarget(body.dataset ?? null, body.mode, resume)
  if (resume && key === null) throw badField('key', 'is missing: resume goes on behind a key')
  const index = toIndexTarget(body.index)
  checkTargets(dataset?.name ?? null, index)
  const select =
    query !== undefined
      ? { query }
      : {
          table: table ?? '',
          ...(schema !== undefined && { schema }),
          ...(columns !== undefined && { columns }),
        }
  return {
    source: { kind: 'sql', system, dsn, query: { select, key } },
    bucket: bucketOf(request, body.bucket),
    ...{ dataset, index, batchRows },
  }
}

function objectRequest(
  request: FastifyRequest,
  body: Static<typeof ObjectBody> | undefined,
): IngestRequest {
  if (body === undefined) throw badField('', 'is missing')
  const { bucket, key, format, mode, batch_rows: batchRows } = body
  const { wait: _wait, ...others } = request.query as Static<typeof FileQuery>
  const [stray] = Object.keys(others)
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

/** All but where the file is. */
function fileRequest(request: FastifyRequest): Omit<IngestRequest, 'source'> {
  const query = request.query as Static<typeof FileQuery>
  const { index: name, id_column, vector_column, text_column, metadata_columns } = query
  const parts = [id_column, vector_column, text_column, metadata_columns, query.on_bad_row]
  if (name === undefined && parts.some((part) => part !== undefined)) {
    throw badField('index', 'is missing in the query: columns are those of an index')
  }
  if (name !== undefined && id_column === undefined) {
    throw badField('id_column', 'is missing in the query')
  }
  const index = toIndexTarget(
    name === undefined || id_column === undefined
      ? null
      : {
          ...{ name, id_column, on_bad_row: query.on_bad_row ?? 'fail' },
          ...(vector_column !== undefined && { vector_column }),
          ...(text_column !== undefined && { text_column }),
          ...(metadata_columns !== undefined && {
            metadata_columns: [...new Set(metadata_columns.split(','))],
          }),
        },
  )
  const dataset = datasetTarget(query.dataset ?? null, query.mode, false)
  checkTargets(dataset?.name ?? null, index)
  const bucket = bucketOf(request, query.bucket)
  return { bucket, dataset, index, batchRows: query.batch_rows ?? BATCH_ROWS_DEFAULT }
}

function datasetTarget(
  name: string | null,
  mode: 'replace' | 'append' | undefined,
  resume: boolean,
): DatasetTarget | null {
  if (name === null) {
    if (mode !== undefined || resume) throw badField('dataset', 'is missing: there is nothing to change')
    return null
  }
  if (resume && mode === 'replace') throw badField('resume', 'appends, and the mode is "replace"')
  return { name, mode: mode ?? (resume ? 'append' : 'replace'), resume }
}

/** As asked in the request or its header; both must not differ. */
function bucketOf(request: FastifyRequest, asked: string | undefined): string {
  const header = request.headers[BUCKET_HEADER]
  if (header === undefined) return asked ?? PRIMARY
  if (typeof header !== 'string' || !new RegExp(NAME_PATTERN).test(header)) {
    throw new VectordError('invalid_name', 'X-Lakehouse-Bucket names no bucket.')
  }
  if (asked !== undefined && asked !== header) {
    throw badField('bucket', 'is another one than in the header X-Lakehouse-Bucket')
  }
  return header
}
