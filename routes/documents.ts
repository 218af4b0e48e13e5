/**
 * /vectors/indexes/{index}/documents: long texts, stored and searched as chunks.
 *
 * A write is all or nothing, and durable when it is answered. Its body is parsed by
 * `src/http/documents-body.ts`; the schema here only documents it.
 */

import {
  Type,
  type FastifyPluginCallbackTypebox,
  type Static,
} from '@fastify/type-provider-typebox'
import type { onRequestHookHandler } from 'fastify'
import { CHUNK_DEFAULTS } from '../src/domain/chunker.ts'
import type { DocumentChunk } from '../src/domain/document.ts'
import { installLateJson, RawBody } from '../src/http/body-parsers.ts'
import {
  DOCUMENT_CHARS_MAX,
  MAX_CHARS_BOUNDS,
  OVERLAP_BOUNDS,
  parseDocuments,
} from '../src/http/documents-body.ts'
import { deadlineOf, findIndex, type IndexRoutesOptions } from '../src/http/index-access.ts'
import { ParseTurns } from '../src/http/parse-turns.ts'
import { checkId } from '../src/http/read-query.ts'
import {
  IndexParams,
  Lsn,
  Metadata,
  Nullable,
  PointParams,
  ReadQuery,
  WriteQuery,
  replies,
} from '../src/http/schemas.ts'
import { documentOnly } from '../src/http/validators.ts'
import { VectordError } from '../src/lib/errors.ts'
import type { Documents } from '../src/services/documents.ts'

const STRICT = { additionalProperties: false } as const
const TAGS = ['documents']

const Count = Type.Integer({ minimum: 0 })

const DocumentJson = Type.Object(
  {
    id: Type.String({ minLength: 1, description: 'Chunks are the points "{id}#0", "{id}#1" …' }),
    text: Type.String({ minLength: 1, maxLength: DOCUMENT_CHARS_MAX }),
    metadata: Type.Optional(Nullable(Metadata)),
  },
  STRICT,
)

const ChunkingJson = Type.Object(
  {
    max_chars: Type.Integer({
      minimum: MAX_CHARS_BOUNDS[0],
      maximum: MAX_CHARS_BOUNDS[1],
      default: CHUNK_DEFAULTS.maxChars,
      description: 'Length of a chunk at the most, in UTF-16 code units.',
    }),
    overlap_sentences: Type.Integer({
      minimum: OVERLAP_BOUNDS[0],
      maximum: OVERLAP_BOUNDS[1],
      default: CHUNK_DEFAULTS.overlapSentences,
      description: 'Sentences that a chunk repeats of the one before, as far as they fit.',
    }),
    locale: Type.String({
      default: CHUNK_DEFAULTS.locale,
      description: 'A language tag: how sentences end.',
    }),
  },
  { ...STRICT, required: [] },
)

const PutBody = Type.Object(
  {
    documents: Type.Array(DocumentJson, { minItems: 1 }),
    chunking: Type.Optional(Nullable(ChunkingJson)),
  },
  STRICT,
)

const PutReply = Type.Object(
  {
    lsn: Lsn,
    accepted: Type.Integer({ description: 'Documents of the request.' }),
    chunks: Type.Integer({ description: 'Points that they are now.' }),
    removed: Type.Integer({ description: 'Chunks that they had before and have no longer.' }),
  },
  STRICT,
)

const ChunkJson = Type.Object(
  {
    id: Type.String({ description: 'That of its point.' }),
    chunk: Count,
    start: Type.Integer({ minimum: 0, description: 'In the text, in UTF-16 code units.' }),
    end: Count,
    version: Lsn,
    text: Nullable(Type.String()),
  },
  STRICT,
)

const DocumentReply = Type.Object(
  {
    id: Type.String(),
    metadata: Nullable(Metadata),
    chunks: Type.Array(ChunkJson, { description: 'In the order of the text.' }),
    lsn: Lsn,
  },
  STRICT,
)

const PUT = {
  config: { role: 'write' },
  schema: {
    tags: TAGS,
    summary: 'Write documents as chunks, all or none',
    description:
      'Each replaces the document of its id with all its chunks, in one step also where the ' +
      'server crashes. Needs an index with an embedder.',
    params: IndexParams,
    querystring: WriteQuery,
    body: { content: { 'application/json': { schema: documentOnly(PutBody) } } },
    response: replies({ 200: PutReply }),
  },
} as const

const GET = {
  config: { role: 'read' },
  schema: {
    tags: TAGS,
    summary: 'Read a document: its metadata and its chunks in order',
    params: PointParams,
    querystring: Type.Object(
      { min_lsn: ReadQuery.min_lsn, deadline_ms: ReadQuery.deadline_ms },
      STRICT,
    ),
    response: replies({ 200: DocumentReply }),
  },
} as const

const DELETE = {
  config: { role: 'write' },
  schema: {
    tags: TAGS,
    summary: 'Delete a document with all its chunks',
    description: 'An unknown one is no error.',
    params: PointParams,
    querystring: WriteQuery,
    response: replies({ 200: Type.Object({ lsn: Lsn, deleted: Count }, STRICT) }),
  },
} as const

export interface DocumentRoutesOptions extends IndexRoutesOptions {
  readonly documents: Documents
}

export const documentRoutes: FastifyPluginCallbackTypebox<DocumentRoutesOptions> = (
  app,
  options,
  done,
) => {
  const { indexes, limits, metrics, documents } = options
  // In a scope of its own: its bodies are parsed when their turn comes.
  app.register(puts, options)

  app.get('/vectors/indexes/:index/documents/:id', GET, async (request, reply) => {
    const { index: name, id } = request.params
    checkId(id, limits)
    const { min_lsn, deadline_ms } = request.query
    const read = { minLsn: min_lsn ?? 0, deadlineMs: deadlineOf(options, deadline_ms) }
    const { chunks, lsn } = await documents.get(findIndex(indexes, request, name), id, read)
    reply.header('x-vectord-lsn', lsn)
    if (chunks[0] === undefined) throw notThere(name)
    const metadata = chunks[0].metadata as Static<typeof Metadata> | null
    return { id, metadata, chunks: chunks.map(chunkJson), lsn }
  })

  app.delete('/vectors/indexes/:index/documents/:id', DELETE, async (request, reply) => {
    const { index: name, id } = request.params
    checkId(id, limits)
    const { ack, deadline_ms } = request.query
    const { lsn, deleted } = await documents.delete(findIndex(indexes, request, name), id, {
      ack: ack === 'logged' ? 'logged' : 'applied',
      deadlineMs: deadlineOf(options, deadline_ms),
    })
    metrics.wrote('delete', deleted)
    return reply.header('x-vectord-lsn', lsn).send({ lsn, deleted })
  })
  done()
}

const puts: FastifyPluginCallbackTypebox<DocumentRoutesOptions> = (app, options, done) => {
  const { indexes, limits, metrics, documents } = options
  const turns = new ParseTurns()
  installLateJson(app)

  // What is refused anyway must not cost reading and parsing its body.
  const refuseEarly: onRequestHookHandler = (request, _reply, proceed) => {
    const { index } = request.params as { index: string }
    // A name that is wrong in any way is for the handler to tell.
    if (indexes.has(index)) {
      indexes.get(index).checkWritable()
      documents.check(indexes.get(index))
    }
    proceed()
  }

  const put = { ...PUT, onRequest: refuseEarly }
  app.post('/vectors/indexes/:index/documents', put, async (request, reply) => {
    const index = findIndex(indexes, request, request.params.index)
    const { ack, deadline_ms } = request.query
    const deadlineMs = deadlineOf(options, deadline_ms)
    const { body } = request
    const wanted = await turns.run(body instanceof RawBody ? body.bytes.length : 0, () => {
      index.checkWritable()
      return parseDocuments(body, limits)
    })
    const { lsn, chunks, removed } = await documents.put(index, wanted.documents, {
      ack: ack === 'logged' ? 'logged' : 'applied',
      ...{ deadlineMs, chunking: wanted.chunking },
    })
    metrics.wrote('upsert', chunks)
    const accepted = wanted.documents.length
    return reply.header('x-vectord-lsn', lsn).send({ lsn, accepted, chunks, removed })
  })
  done()
}

function chunkJson({
  id,
  chunk,
  start,
  end,
  version,
  text,
}: DocumentChunk): Static<typeof ChunkJson> {
  return { id, chunk, start, end, version, text }
}

function notThere(index: string): VectordError {
  return new VectordError('document_not_found', 'The index has no document with this id.', {
    details: { index },
  })
}
