/**
 * The body of a write of documents:
 *
 *     {"documents": [{"id", "text", "metadata"?}], "chunking"?: {"max_chars"?, "overlap_sentences"?, "locale"?}}
 *
 * By hand, as bodies of points: it may be as large, and a refusal names the document and the field.
 */

import { CHUNK_DEFAULTS, checkLocale, type ChunkOptions } from '../domain/chunker.ts'
import { CHUNK_FIELDS, chunkId, type Document, type DocumentMetadata } from '../domain/document.ts'
import { VectordError } from '../lib/errors.ts'
import { badField, isObject } from './body-field.ts'
import { jsonBody, RawBody } from './body-parsers.ts'
import type { HttpLimits } from './limits.ts'
import { checkRows } from './points-builder.ts'
import { idProblem, metadataText, textProblem, type RowProblem } from '../domain/row-values.ts'
import { echo } from './validation-fault.ts'

export interface DocumentsRequest {
  readonly documents: readonly Document[]
  readonly chunking: ChunkOptions
}

/** Units of a chunk: fewer hold no sentence, more are beyond what embedders read. */
export const MAX_CHARS_BOUNDS = [50, 100_000] as const
export const OVERLAP_BOUNDS = [0, 20] as const
/** Units of one text: a shelf of books. It is cut in slices beside other requests. */
export const DOCUMENT_CHARS_MAX = 4_000_000

/** Chunks of one document that its id must leave room for. */
const CHUNK_NUMBER_MAX = 9_999_999
/** What chunks add to metadata, at its longest. */
const LONGEST = { chunk: CHUNK_NUMBER_MAX, chunk_start: 9_999_999, chunk_end: 9_999_999 }

/** @throws {VectordError} that names the document and the field; nothing was written then. */
export function parseDocuments(body: unknown, limits: HttpLimits): DocumentsRequest {
  const parsed = body instanceof RawBody ? jsonBody(jsonBytes(body)) : body
  if (!isObject(parsed)) throw badField('', 'must be an object with documents')
  const { documents, chunking, ...more } = parsed
  refuseMore('', more)
  if (!Array.isArray(documents)) throw badField('documents', 'must be an array')
  checkRows(documents.length, limits.rowsMax, 'documents')
  const seen = new Set<string>()
  return {
    documents: documents.map((one, i) => parseDocument(one, `documents[${i}]`, { seen, limits })),
    chunking: parseChunking(chunking),
  }
}

function jsonBytes({ kind, bytes }: RawBody): Uint8Array {
  if (kind === 'json') return bytes
  throw new VectordError('unsupported_media_type', 'Documents come as JSON.')
}

interface Rules {
  readonly seen: Set<string>
  readonly limits: HttpLimits
}

function parseDocument(json: unknown, at: string, { seen, limits }: Rules): Document {
  if (!isObject(json)) throw badField(at, 'must be an object')
  const { id, text, metadata = null, ...more } = json
  refuseMore(`${at}.`, more)
  const known = parseId(id, `${at}.id`, limits)
  if (seen.size === seen.add(known).size) {
    throw badField(`${at}.id`, 'comes twice in this request')
  }
  return {
    id: known,
    text: parseText(text, `${at}.text`),
    metadata:
      metadata === null ? null : parseMetadata(metadata, `${at}.metadata`, { known, limits }),
  }
}

function parseId(id: unknown, field: string, { idBytesMax }: HttpLimits): string {
  if (id === undefined) throw badField(field, 'is missing')
  const problem = idProblem(id, idBytesMax - Buffer.byteLength(chunkId('', CHUNK_NUMBER_MAX)))
  if (problem !== null) throw refusal(field, problem, 'id_bytes')
  return id as string
}

function parseText(text: unknown, field: string): string {
  if (text === undefined) throw badField(field, 'is missing')
  const problem = textProblem(text)
  if (problem !== null) throw badField(field, problem.text)
  const known = text as string
  if (known.length > DOCUMENT_CHARS_MAX) {
    const long = `is longer than ${DOCUMENT_CHARS_MAX} characters`
    throw refusal(field, { kind: 'limit', text: long }, 'document_chars')
  }
  if (!/\S/.test(known)) throw badField(field, 'must hold more than white space')
  return known
}

function parseMetadata(
  metadata: unknown,
  field: string,
  { known, limits }: { readonly known: string; readonly limits: HttpLimits },
): DocumentMetadata {
  if (!isObject(metadata)) throw badField(field, 'must be an object')
  // A client that copies it from a chunk need not take that one out.
  const { document_id = known, ...own } = metadata
  if (document_id !== known) throw badField(`${field}.document_id`, 'is not the id of the document')
  const taken = CHUNK_FIELDS.find((name) => Object.hasOwn(own, name))
  if (taken !== undefined) throw badField(`${field}.${taken}`, 'is a field of chunks')
  const whole = metadataText({ ...own, document_id, ...LONGEST }, limits.metadataBytesMax)
  if (typeof whole !== 'string') throw refusal(field, whole, 'metadata_bytes')
  return own
}

function parseChunking(json: unknown): ChunkOptions {
  if (json === undefined || json === null) return CHUNK_DEFAULTS
  if (!isObject(json)) throw badField('chunking', 'must be an object')
  const defaults = CHUNK_DEFAULTS
  const { max_chars = defaults.maxChars, locale = defaults.locale, ...others } = json
  const { overlap_sentences = defaults.overlapSentences, ...more } = others
  refuseMore('chunking.', more)
  if (typeof locale !== 'string') throw badField('chunking.locale', 'must be a string')
  checkLocale(locale)
  const overlap = integer(overlap_sentences, 'chunking.overlap_sentences', OVERLAP_BOUNDS)
  return {
    maxChars: integer(max_chars, 'chunking.max_chars', MAX_CHARS_BOUNDS),
    overlapSentences: overlap,
    locale,
  }
}

function integer(value: unknown, field: string, [min, max]: readonly [number, number]): number {
  const isFine = typeof value === 'number' && Number.isSafeInteger(value)
  if (isFine && min <= value && value <= max) return value
  throw badField(field, `must be an integer from ${min} to ${max}`)
}

function refuseMore(at: string, more: Readonly<Record<string, unknown>>): void {
  const [name] = Object.keys(more)
  if (name !== undefined) throw badField(`${at}${echo(name)}`, 'is not a known field')
}

function refusal(field: string, problem: RowProblem, limit: string): VectordError {
  if (problem.kind !== 'limit') return badField(field, problem.text)
  return new VectordError('limit_exceeded', `"${field}" in the body ${problem.text}.`, {
    details: { limit, part: 'body', field },
  })
}
