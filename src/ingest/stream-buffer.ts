/**
 * The points that wait for the log, in the order in which they came, with the requests that wait
 * for them.
 *
 *     requests   [ a a a a a ] [ b b ] [ c c c c … ]
 *     points       ✓ ✓ · · ·     · ·     · · · ·
 *                settled ┘└ first(3): what is written next
 *
 * Points are settled from the front on, so a request has a settled prefix at any time. What is
 * being written still counts: it leaves the buffer when it is settled or its request is dropped.
 *
 * Bounded by points and by bytes. Pure: no clock, no I/O.
 */

import { rowOf, upsertOf, type UpsertBatch } from '../domain/write-batch.ts'
import type { VectordError } from '../lib/errors.ts'
import { invariant } from '../lib/invariant.ts'

/** Vectors and strings that may wait on each index, whatever its bound of points is. */
const BUFFER_BYTES_MAX = 256 * 2 ** 20
const UNIT_BYTES = 2

/** Where a row goes that cannot be written: durable once resolved. `row` is that of the request. */
export type Bury = (batch: UpsertBatch, row: number, reason: unknown) => Promise<void>

/** What became of the points of a request. */
export interface StreamOutcome {
  /** Points from the first on that are durable, in the log or as dead letters. */
  readonly accepted: number
  /** Of the last of them in the log; null where none is. */
  readonly lsn: number | null
  readonly deadLettered: number
  /** Why the rest was not taken; null where all were. Its details say what was. */
  readonly error: VectordError | null
}

/** The points of one request that were taken into the buffer. */
export interface StreamEntry {
  /** Every row of it waits, or is settled. */
  readonly batch: UpsertBatch
  readonly sinceMs: number
  readonly bury: Bury
  /** Called once, when all are settled or with the error that keeps the rest from it. */
  readonly answer: (error: VectordError | null) => void
  settled: number
  lsn: number | null
  deadLettered: number
  /** False once it was answered. */
  isOpen: boolean
}

export interface QueuedPoint {
  readonly entry: StreamEntry
  readonly row: number
}

export interface StreamBufferOptions {
  readonly pointsMax: number
  readonly bytesMax?: number
}

export class StreamBuffer {
  readonly #pointsMax: number
  readonly #bytesMax: number
  /** Oldest first. */
  readonly #entries = new Set<StreamEntry>()
  #points = 0
  #bytes = 0

  constructor({ pointsMax, bytesMax = BUFFER_BYTES_MAX }: StreamBufferOptions) {
    this.#pointsMax = pointsMax
    this.#bytesMax = bytesMax
  }

  /** Points that are not settled. */
  get points(): number {
    return this.#points
  }

  get requests(): number {
    return this.#entries.size
  }

  get oldest(): StreamEntry | null {
    const [oldest] = this.#entries
    return oldest ?? null
  }

  /** How many points of `batch`, from its first on, fit beside `others` that count as well. */
  fitting(batch: UpsertBatch, others: number): number {
    const rowsMax = Math.min(batch.ids.length, this.#pointsMax - this.#points - others)
    let bytes = this.#bytes
    let rows = 0
    while (rows < rowsMax) {
      bytes += rowBytes(batch, rows)
      // One point is taken into an empty buffer, however large it is.
      if (bytes > this.#bytesMax && this.#points + rows > 0) break
      rows += 1
    }
    return rows
  }

  add(entry: StreamEntry): void {
    this.#entries.add(entry)
    this.#points += entry.batch.ids.length
    for (let row = 0; row < entry.batch.ids.length; row += 1) {
      this.#bytes += rowBytes(entry.batch, row)
    }
  }

  /** Up to `pointsMax` points from the front, no id twice: a later one belongs to the next batch. */
  first(pointsMax: number): QueuedPoint[] {
    const points: QueuedPoint[] = []
    const seen = new Set<string>()
    for (const entry of this.#entries) {
      const { ids } = entry.batch
      for (let row = entry.settled; row < ids.length; row += 1) {
        const id = ids[row]
        if (id === undefined || points.length === pointsMax || seen.has(id)) return points
        seen.add(id)
        points.push({ entry, row })
      }
    }
    return points
  }

  /** The next point of its request is durable; after the last one the request is answered. */
  settle({ entry, row }: QueuedPoint): void {
    invariant(entry.settled === row, 'points are settled in order')
    this.#bytes -= rowBytes(entry.batch, row)
    this.#points -= 1
    entry.settled += 1
    if (entry.settled === entry.batch.ids.length) this.#end(entry, null)
  }

  /** Takes what is not settled of a request out, and answers it with `error`. */
  drop(entry: StreamEntry, error: VectordError): void {
    const rows = entry.batch.ids.length
    for (let row = entry.settled; row < rows; row += 1) this.#bytes -= rowBytes(entry.batch, row)
    this.#points -= rows - entry.settled
    this.#end(entry, error)
  }

  dropAll(error: (entry: StreamEntry) => VectordError): void {
    for (const entry of this.#entries) this.drop(entry, error(entry))
  }

  #end(entry: StreamEntry, error: VectordError | null): void {
    this.#entries.delete(entry)
    entry.isOpen = false
    entry.answer(error)
  }
}

/** The first `rows` of a batch, in memory of its own: the rest can go. */
export function firstRows(batch: UpsertBatch, rows: number): UpsertBatch {
  if (rows === batch.ids.length) return batch
  return upsertOf(
    batch.dimension,
    batch.ids.slice(0, rows).map((_, row) => rowOf(batch, row)),
  )
}

/** The points as one write; no id comes twice. */
export function batchOf(points: readonly QueuedPoint[]): UpsertBatch {
  const [first] = points
  invariant(first !== undefined, 'a batch has points')
  const { dimension } = first.entry.batch
  const rows = points.map(({ entry, row }) => {
    invariant(entry.batch.dimension === dimension, 'an index has one dimension')
    return rowOf(entry.batch, row)
  })
  return upsertOf(dimension, rows)
}

function rowBytes({ dimension, ids, texts, metadata }: UpsertBatch, row: number): number {
  const units = (ids[row]?.length ?? 0) + (texts[row]?.length ?? 0) + (metadata[row]?.length ?? 0)
  return Float32Array.BYTES_PER_ELEMENT * dimension + UNIT_BYTES * units
}
