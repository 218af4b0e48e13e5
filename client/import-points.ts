/**
 * Points from any source into an index: in batches, several at once, and no faster than the source
 * is read or the service takes them.
 *
 *     source ──▶ batch fills ──▶ [ in flight: at most `concurrency` ] ──▶ acknowledged in any order
 *        └── is asked for more only while a batch may still be sent
 *
 * The last of several points with one id wins, as it would one after the other: a batch waits for
 * those in flight that share an id with it.
 */

import { ImportError } from './errors.ts'
import type { PointInput, WriteOptions, WriteResult } from './types.ts'

export interface ImportProgress {
  /** Points that were acknowledged. */
  readonly accepted: number
  /** Points that were taken from the source. */
  readonly read: number
  /** Everything before this place in the source is durable. */
  readonly resumeAt: number
  readonly batches: number
  /** Of the newest write. */
  readonly lsn: number
}

export interface ImportOptions extends WriteOptions {
  /** Points of a batch; 500 by default. */
  readonly batchPoints?: number
  /** Numbers of a batch in all its vectors: 1,000,000 (4 MB) by default. */
  readonly batchNumbers?: number
  /** Batches in flight; 4 by default. */
  readonly concurrency?: number
  /** Told after each batch that was acknowledged. */
  readonly onProgress?: (progress: ImportProgress) => void
}

export type PointSource = AsyncIterable<PointInput> | Iterable<PointInput>

type Send = (points: readonly PointInput[]) => Promise<Pick<WriteResult, 'lsn'>>

const BATCH_POINTS = 500
const BATCH_NUMBERS = 1_000_000
const CONCURRENCY = 4

/** @throws {ImportError} that says where to go on. */
export async function importPoints(
  source: PointSource,
  send: Send,
  options: ImportOptions = {},
): Promise<ImportProgress> {
  const flights = new Flights(send, options)
  try {
    let batch = new Batch(0)
    for await (const point of source) {
      options.signal?.throwIfAborted()
      batch.add(point)
      if (!batch.isFull(options)) continue
      await flights.start(batch)
      batch = new Batch(flights.read)
    }
    if (batch.points.length > 0) await flights.start(batch)
    await flights.settled()
    return flights.progress
  } catch (error) {
    await flights.settled().catch(() => undefined)
    throw new ImportError(error, flights.progress)
  }
}

class Batch {
  /** Place of its first point in the source. */
  readonly from: number
  readonly ids = new Set<string>()
  readonly points: PointInput[] = []
  #numbers = 0

  constructor(from: number) {
    this.from = from
  }

  add(point: PointInput): void {
    this.points.push(point)
    this.ids.add(point.id)
    this.#numbers += point.vector?.length ?? 0
  }

  isFull({ batchPoints = BATCH_POINTS, batchNumbers = BATCH_NUMBERS }: ImportOptions): boolean {
    return this.points.length >= batchPoints || this.#numbers >= batchNumbers
  }
}

class Flights {
  readonly #send: Send
  readonly #options: ImportOptions
  readonly #flying = new Map<Batch, Promise<void>>()
  readonly #failed: Batch[] = []
  #error: { readonly reason: unknown } | null = null
  #accepted = 0
  #batches = 0
  #lsn = 0
  /** Points in batches that were started. */
  read = 0

  constructor(send: Send, options: ImportOptions) {
    this.#send = send
    this.#options = options
  }

  get progress(): ImportProgress {
    const open = [...this.#flying.keys(), ...this.#failed].map((batch) => batch.from)
    return {
      accepted: this.#accepted,
      read: this.read,
      resumeAt: Math.min(this.read, ...open),
      batches: this.#batches,
      lsn: this.#lsn,
    }
  }

  /** Resolves when there is room for another batch. @throws what a batch failed with. */
  async start(batch: Batch): Promise<void> {
    for (;;) {
      this.#throwFailure()
      const before = [...this.#flying].find(([flying]) => sharesId(flying, batch))
      if (before === undefined) break
      await before[1]
    }
    this.read = batch.from + batch.points.length
    this.#flying.set(batch, this.#fly(batch))
    while (this.#flying.size >= (this.#options.concurrency ?? CONCURRENCY)) {
      await Promise.race(this.#flying.values())
    }
    this.#throwFailure()
  }

  async settled(): Promise<void> {
    await Promise.all(this.#flying.values())
    this.#throwFailure()
  }

  /** Never rejects: what failed is thrown where batches are started. */
  async #fly(batch: Batch): Promise<void> {
    try {
      const { lsn } = await this.#send(batch.points)
      this.#accepted += batch.points.length
      this.#batches += 1
      this.#lsn = Math.max(this.#lsn, lsn)
      this.#flying.delete(batch)
      this.#options.onProgress?.(this.progress)
    } catch (reason) {
      this.#flying.delete(batch)
      this.#failed.push(batch)
      this.#error ??= { reason }
    }
  }

  #throwFailure(): void {
    if (this.#error !== null) throw this.#error.reason
  }
}

function sharesId(a: Batch, b: Batch): boolean {
  const [few, many] = a.ids.size < b.ids.size ? [a.ids, b.ids] : [b.ids, a.ids]
  for (const id of few) if (many.has(id)) return true
  return false
}
