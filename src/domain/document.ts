/**
 * A long text with an id of its own: in the index it is points, one for each chunk.
 *
 *     {"id": "report", "text": …, "metadata": {"year": 2020}}
 *       ─▶ point "report#0" {"year": 2020, "document_id": "report", "chunk": 0, "chunk_start": 0, "chunk_end": 940}
 *          point "report#1" {…, "chunk": 1, "chunk_start": 872, …}
 *
 * What stands behind the last "#" is the number, so two documents never share an id of a point,
 * whatever their own ids are. A point is a chunk of a document where id and metadata agree about it.
 */

import type { Span } from './chunker.ts'
import type { StoredPoint } from './search.ts'

/** Fields of metadata that the document itself must not have. */
export const CHUNK_FIELDS = ['document_id', 'chunk', 'chunk_start', 'chunk_end'] as const

export const DOCUMENT_FIELD = 'document_id'

export type DocumentMetadata = Readonly<Record<string, unknown>>

export interface Document {
  readonly id: string
  readonly text: string
  /** A JSON object without the fields of chunks; null where there is none. */
  readonly metadata: DocumentMetadata | null
}

/** A point with a text and no vector, as it is to be stored. */
export interface TextPoint {
  readonly id: string
  /** Null takes the text away: the point is in no search from then on. */
  readonly text: string | null
  /** JSON text of an object. */
  readonly metadata: string
}

/** A chunk as it is stored. */
export interface DocumentChunk extends Span {
  readonly id: string
  /** Counted from 0. */
  readonly chunk: number
  readonly version: number
  /** Null where it was taken away, and where it was not asked for. */
  readonly text: string | null
  readonly metadata: DocumentMetadata | null
}

export interface ChunkOfDocument {
  /** The id of the document. */
  readonly document: string
  readonly chunk: DocumentChunk
}

export function chunkId(document: string, chunk: number): string {
  return `${document}#${chunk}`
}

/** JSON text of the metadata of one chunk. */
export function chunkMetadata(
  { id, metadata }: Pick<Document, 'id' | 'metadata'>,
  chunk: number,
  { start, end }: Span,
): string {
  return JSON.stringify({
    ...metadata,
    ...{ document_id: id, chunk, chunk_start: start, chunk_end: end },
  })
}

/** What a chunk is overwritten with that its document no longer has: no search finds it. */
export function emptiedChunk(document: string, chunk: number): TextPoint {
  const metadata = chunkMetadata({ id: document, metadata: null }, chunk, { start: 0, end: 0 })
  return { id: chunkId(document, chunk), text: null, metadata }
}

/** The chunk that a point is; null where it is none. */
export function readChunk(point: StoredPoint): ChunkOfDocument | null {
  const { id, version, text } = point
  const fields = parsed(point.metadata)
  const { document_id: document, chunk, chunk_start, chunk_end, ...rest } = fields
  if (typeof document !== 'string' || !isCount(chunk)) return null
  if (!isCount(chunk_start) || !isCount(chunk_end) || id !== chunkId(document, chunk)) return null
  const metadata = Object.keys(rest).length === 0 ? null : rest
  const span = { start: chunk_start, end: chunk_end }
  return { document, chunk: { id, chunk, version, text, metadata, ...span } }
}

function parsed(metadata: string | null): Record<string, unknown> {
  return metadata === null ? {} : (JSON.parse(metadata) as Record<string, unknown>)
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
}
