/**
 * Batches on their way from a driver that pushes rows to a reader that pulls batches.
 *
 *     driver ── row by row ──► rows ── full ──► ready (1) ── next() ──► reader
 *        ▲                                          │
 *        └──────────── pause / resume ──────────────┘
 *
 * While a batch is ready the driver is paused; what it had received by then still arrives and goes
 * into the batch after it. So memory is two batches and what one read of a socket holds.
 */

import type { TableBatch } from '../../domain/table.ts'

/** A batch is given before it is full where its rows took more than this on the wire. */
export const BATCH_BYTES_MAX = 16 * 1024 * 1024

export interface BatchStream {
  /** Null at the end of the rows. One call at a time. @throws what the driver failed with. */
  next(): Promise<TableBatch | null>
}

export interface Driver {
  pause(): void
  resume(): void
}

export class BatchQueue implements BatchStream {
  readonly #driver: Driver
  readonly #ready: TableBatch[] = []
  #isPaused = false
  #end: { readonly error: Error | null } | null = null
  #waiting: PromiseWithResolvers<void> | null = null

  constructor(driver: Driver) {
    this.#driver = driver
  }

  get hasEnded(): boolean {
    return this.#end !== null
  }

  push(batch: TableBatch): void {
    if (this.#end !== null) return
    this.#ready.push(batch)
    if (this.#waiting !== null) {
      this.#waiting.resolve()
    } else if (!this.#isPaused) {
      this.#isPaused = true
      this.#driver.pause()
    }
  }

  /**
   * The first end counts; what is ready is still given.
   *
   * @param error null: no more batches, and the driver runs on for whoever asks it next.
   */
  end(error: Error | null): void {
    if (this.#end !== null) return
    this.#end = { error }
    this.#waiting?.resolve()
    if (error === null && this.#isPaused) {
      this.#isPaused = false
      this.#driver.resume()
    }
  }

  async next(): Promise<TableBatch | null> {
    while (this.#ready.length === 0 && this.#end === null) {
      if (this.#isPaused) {
        this.#isPaused = false
        // What waited at the driver may come at once.
        this.#driver.resume()
        continue
      }
      this.#waiting = Promise.withResolvers()
      await this.#waiting.promise
      this.#waiting = null
    }
    const batch = this.#ready.shift()
    if (batch !== undefined) return batch
    const error = this.#end?.error ?? null
    if (error !== null) throw error
    return null
  }
}
