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
import type { FastifyReply } from 'fastify'
import { Readable } from 'node:stream'
import { badField } from '../src/http/body-field.ts'
import { checkEncoding } from '../src/http/body-parsers.ts'
import { replies, StartedJson, started, WaitQuery } from '../src/http/schemas.ts'
import { documentOnly } from '../src/http/validators.ts'
import { FILE_TYPES, formatOfType } from '../src/ingest/file-format.ts'
import type { IngestRequest } from '../src/ingest/ingest-request.ts'
import { spool } from '../src/ingest/spool.ts'
import type { IngestJson } from '../src/services/ingest-result.ts'
import type { Ingests } from '../src/services/ingests.ts'
import { fileRequest, objectRequest, sqlRequest } from './ingest-requests.ts'
import { FileQuery, IngestReply, ObjectBody, SqlBody } from './ingest-schemas.ts'

export interface IngestRoutesOptions {
  readonly ingests: Ingests
  readonly fileBytesMax: number
}

const TAGS = ['ingest']

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
    const wanted = fileRequest(request, request.query)
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
): Promise<IngestJson | Static<typeof StartedJson>> {
  const operation = ingests.start(wanted)
  if (wait) return operation.result()
  reply.code(202)
  return started(reply, operation.id)
}
