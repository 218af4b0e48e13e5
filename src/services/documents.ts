/**
 * Documents: long texts that are written, read and deleted as a whole, and searched by their chunks.
 *
 *     put ─▶ turn of its ids ─▶ chunks that are there ─▶ ONE batch: new chunks, and emptied ones for
 *                                     those too many ─▶ emptied ones deleted
 *
 * A batch of the log is applied whole, so that a crash leaves the old document or the new one. What it
 * may leave behind is emptied chunks: points without text and vector, which no search and no read
 * of the document finds, and which the next write of the document deletes.
 */

import { chunksOf, type ChunkOptions } from '../domain/chunker.ts'
import {
  chunkId,
  chunkMetadata,
  DOCUMENT_FIELD,
  emptiedChunk,
  readChunk,
  type ChunkOfDocument,
  type Document,
  type DocumentChunk,
  type TextPoint,
} from '../domain/document.ts'
import type { Include } from '../domain/search.ts'
import { withDeadline } from '../indexes/deadline.ts'
import type {
  ManagedIndex,
  ReadOptions,
  ScrollRequest,
  WriteOptions,
} from '../indexes/index-api.ts'
import { afterLogging } from '../indexes/index-refusals.ts'
import { VectordError } from '../lib/errors.ts'
import { KeyedMutex } from '../lib/keyed-mutex.ts'

/** Writes points that have texts and no vectors. */
export interface TextWriter {
  /** @throws {VectordError} `not_configured` where the index cannot make vectors of texts. */
  check(index: ManagedIndex): void
  /** As `ManagedIndex.write`: one batch. */
  write(
    index: ManagedIndex,
    points: readonly TextPoint[],
    options: WriteOptions,
  ): Promise<{ readonly lsn: number }>
}

export interface DocumentsOptions {
  readonly texts: TextWriter
  /** Points of one write at the most. */
  readonly rowsMax: number
  readonly nowMs: () => number
}

export interface PutDocuments {
  readonly lsn: number
  readonly chunks: number
  /** Chunks that the documents had before and have no longer. */
  readonly removed: number
}

/** What is known of a chunk that is in the index. */
interface Known {
  readonly document: string
  readonly chunk: number
}

/**
 * How long a write may take that nobody waits for any more. It keeps the turn of its documents until
 * it is settled: a later write must know what this one left.
 */
const SETTLED_WITHIN_MS = 3_600_000
/** Documents that one filter names, and points of one page and of one fetch. */
const DOCUMENTS_A_FILTER = 5000
const PAGE = 1000
/** Chunking gives way to other requests after this long. */
const CHUNKING_SLICE_MS = 5
/** Ids that an error names. */
const NAMED_MAX = 10
const NO_FIELDS: Include = { metadata: false, vector: false, text: false }
const METADATA: Include = { metadata: true, vector: false, text: false }

export class Documents {
  readonly #options: DocumentsOptions
  readonly #turns = new KeyedMutex()

  constructor(options: DocumentsOptions) {
    this.#options = options
  }

  /** @throws {VectordError} `not_configured` where an index cannot hold documents. */
  check(index: ManagedIndex): void {
    this.#options.texts.check(index)
  }

  /**
   * Writes documents with distinct ids, all or none; each replaces the one of its id.
   *
   * @throws {VectordError} `limit_exceeded` for too many chunks, `document_conflict` where a point
   * that is no chunk has the id of one.
   */
  async put(
    index: ManagedIndex,
    documents: readonly Document[],
    options: WriteOptions & { readonly chunking: ChunkOptions },
  ): Promise<PutDocuments> {
    this.check(index)
    const points = await this.#chunked(documents, options.chunking)
    const ids = documents.map((document) => document.id)
    return this.#inTurn(index, ids, options, async (settled) => {
      const known = await this.#known(index, ids, settled)
      const added = new Set(points.map((point) => point.id))
      await refuseOthers(index, { added, known }, settled)
      const extra = known.filter(({ document, chunk }) => !added.has(chunkId(document, chunk)))
      const batch = [...points, ...extra.map((old) => emptiedChunk(old.document, old.chunk))]
      this.#checkRows(batch.length, 'The chunks of the documents, old ones to remove included,')
      const { lsn } = await this.#options.texts.write(index, batch, settled)
      const gone = extra.map(({ document, chunk }) => chunkId(document, chunk))
      const last = await deleteAll(index, gone, settled).catch((error: unknown) => {
        throw afterLogging(error, lsn)
      })
      return { lsn: last ?? lsn, chunks: points.length, removed: gone.length }
    })
  }

  /** The chunks of a document in order, with their texts; none where there is no such document. */
  async get(
    index: ManagedIndex,
    id: string,
    options: ReadOptions,
  ): Promise<{ readonly chunks: readonly DocumentChunk[]; readonly lsn: number }> {
    const include = { ...METADATA, text: true }
    const { found, lsn } = await chunksWithin(index, { ids: [id], include }, options)
    // A chunk that is replaced between two pages is on both: the later one holds.
    const chunks = new Map(found.map(({ chunk }) => [chunk.chunk, chunk]))
    const filled = [...chunks.values()].filter(({ text }) => text !== null)
    return { chunks: filled.sort((one, other) => one.chunk - other.chunk), lsn }
  }

  /** Deletes a document, also what a crash has left of one. */
  async delete(
    index: ManagedIndex,
    id: string,
    options: WriteOptions,
  ): Promise<{ readonly lsn: number; readonly deleted: number }> {
    return this.#inTurn(index, [id], options, async (settled) => {
      const known = await this.#known(index, [id], settled)
      const gone = known.map(({ document, chunk }) => chunkId(document, chunk))
      const lsn = await deleteAll(index, gone, settled)
      return { lsn: lsn ?? index.info.lsn, deleted: gone.length }
    })
  }

  /** Runs `work` when no other work on these documents is left, however long that takes. */
  #inTurn<T>(
    index: ManagedIndex,
    ids: readonly string[],
    options: WriteOptions,
    work: (settled: WriteOptions) => Promise<T>,
  ): Promise<T> {
    const { nowMs } = this.#options
    const { name } = index.info
    // A name has no NUL: the keys of two indexes differ.
    const keys = ids.map((id) => `${name}\0${id}`)
    const turn = this.#turns.runAll(keys, async () => {
      if (nowMs() >= options.deadlineMs) throw tooLate()
      return work({ ack: options.ack, deadlineMs: nowMs() + SETTLED_WITHIN_MS })
    })
    const message = 'The documents were not written in time; it may still happen.'
    return withDeadline(turn, options.deadlineMs - nowMs(), message)
  }

  async #chunked(documents: readonly Document[], chunking: ChunkOptions): Promise<TextPoint[]> {
    const points: TextPoint[] = []
    let sliceMs = performance.now()
    for (const document of documents) {
      let chunk = 0
      for (const { text, start, end } of chunksOf(document.text, chunking)) {
        const metadata = chunkMetadata(document, chunk, { start, end })
        points.push({ id: chunkId(document.id, chunk), text, metadata })
        chunk += 1
        this.#checkRows(points.length, 'The chunks of the documents')
        if (performance.now() - sliceMs < CHUNKING_SLICE_MS) continue
        await new Promise((resolve) => setImmediate(resolve))
        sliceMs = performance.now()
      }
    }
    return points
  }

  #checkRows(rows: number, what: string): void {
    const { rowsMax } = this.#options
    if (rows <= rowsMax) return
    const text = `${what} are more than the ${rowsMax} points of a write; send fewer of them.`
    throw new VectordError('limit_exceeded', text, {
      details: { limit: 'rows_per_request', max: rowsMax },
    })
  }

  async #known(
    index: ManagedIndex,
    ids: readonly string[],
    { deadlineMs }: WriteOptions,
  ): Promise<Known[]> {
    const known: Known[] = []
    for (let from = 0; from < ids.length; from += DOCUMENTS_A_FILTER) {
      const some = ids.slice(from, from + DOCUMENTS_A_FILTER)
      const wanted = { ids: some, include: METADATA }
      const { found } = await chunksWithin(index, wanted, { minLsn: 0, deadlineMs })
      for (const { document, chunk } of found) known.push({ document, chunk: chunk.chunk })
    }
    return known
  }
}

/** Every chunk of some documents, the emptied ones too, in no order. */
async function chunksWithin(
  index: ManagedIndex,
  { ids, include }: { readonly ids: readonly string[]; readonly include: Include },
  options: ReadOptions,
): Promise<{ readonly found: readonly ChunkOfDocument[]; readonly lsn: number }> {
  const wanted = new Set(ids)
  const filter = JSON.stringify({ [DOCUMENT_FIELD]: { $in: ids } })
  const found: ChunkOfDocument[] = []
  let page: ScrollRequest = { after: null, limit: PAGE, filter, include }
  let seenLsn: number | null = null
  for (;;) {
    const { points, next, lsn } = await index.scroll(page, options)
    // Later pages have seen more, the first one this.
    seenLsn ??= lsn
    for (const point of points) {
      const chunk = readChunk(point)
      if (chunk !== null && wanted.has(chunk.document)) found.push(chunk)
    }
    if (next === null) return { found, lsn: seenLsn }
    page = { ...page, after: next }
  }
}

/** A point that somebody wrote by itself is not overwritten because a document has such an id. */
async function refuseOthers(
  index: ManagedIndex,
  { added, known }: { readonly added: ReadonlySet<string>; readonly known: readonly Known[] },
  { deadlineMs }: WriteOptions,
): Promise<void> {
  const own = new Set(known.map(({ document, chunk }) => chunkId(document, chunk)))
  const ids = [...added].filter((id) => !own.has(id))
  for (let from = 0; from < ids.length; from += PAGE) {
    const some = ids.slice(from, from + PAGE)
    const { points } = await index.fetch(some, NO_FIELDS, { minLsn: 0, deadlineMs })
    const others = points.flatMap((point) => (point === null ? [] : [point.id]))
    if (others.length > 0) throw conflict(others)
  }
}

function conflict(ids: readonly string[]): VectordError {
  const text = `Nothing was written: the point "${ids[0] ?? ''}" is there and is no chunk.`
  return new VectordError('document_conflict', text, {
    details: { ids: ids.slice(0, NAMED_MAX), ids_total: ids.length },
  })
}

/** The lsn of the last delete; null where there was nothing to delete. */
async function deleteAll(
  index: ManagedIndex,
  ids: readonly string[],
  options: WriteOptions,
): Promise<number | null> {
  let lsn: number | null = null
  for (let from = 0; from < ids.length; from += PAGE) {
    const batch = { kind: 'delete', ids: ids.slice(from, from + PAGE) } as const
    lsn = (await index.write(batch, options)).lsn
  }
  return lsn
}

function tooLate(): VectordError {
  return new VectordError('deadline_exceeded', 'Earlier writes of the documents took too long.')
}
