/**
 * Batches on their way from a driver that pushes rows to a reader that pulls batches.
 *
 *     driver ── row by row ──► cells ── full ──► ready (1) ── next() ──► reader
 *        ▲                                          │
 *        └──────────── pause / resume ──────────────┘
 *
 * While a batch is ready the driver is paused; what it had received by then still arrives and goes
 * into the cells of the batch after it. So memory is two batches and what one read of a socket holds.
 */

import type { Cell, Column, TableBatch } from '../../domain/table.ts'

/** A batch is given before it is full where its rows took more than this on the wire. */
const BATCH_BYTES_MAX = 16 * 1024 * 1024

export interface BatchStream {
  /** Null at the end of the rows. One call at a time. @throws what the driver failed with. */
  next(): Promise<TableBatch | null>
}

export interface BatchQueueOptions {
  readonly columns: readonly Column[]
  readonly batchRows: number
  readonly pause: () => void
  readonly resume: () => void
}

export class BatchQueue implements BatchStream {
  /** Of the batch in the making, a list for each column. A row is added to all, then `rowAdded`. */
  cells: Cell[][]
  /** Rows that were added so far, in all batches. */
  rows = 0
  readonly #options: BatchQueueOptions
  readonly #ready: TableBatch[] = []
  #rowsInBatch = 0
  #bytesInBatch = 0
  #isPaused = false
  #end: { readonly error: unknown } | null = null
  #waiting: PromiseWithResolvers<void> | null = null

  constructor(options: BatchQueueOptions) {
    this.#options = options
    this.cells = options.columns.map(() => [])
  }

  get hasEnded(): boolean {
    return this.#end !== null
  }

  /** @param bytes that the row took, about. */
  rowAdded(bytes: number): void {
    this.rows += 1
    this.#rowsInBatch += 1
    this.#bytesInBatch += bytes
    if (this.#rowsInBatch >= this.#options.batchRows || this.#bytesInBatch >= BATCH_BYTES_MAX) {
      this.#flush()
    }
  }

  /** No more rows. The first end counts. */
  end(): void {
    if (this.#end !== null) return
    if (this.#rowsInBatch > 0) this.#flush()
    this.#end = { error: null }
    this.#waiting?.resolve()
  }

  /** Rows that are not in a ready batch are dropped. */
  fail(error: unknown): void {
    if (this.#end !== null) return
    this.#end = { error }
    this.#waiting?.resolve()
  }

  async next(): Promise<TableBatch | null> {
    while (this.#ready.length === 0 && this.#end === null) {
      if (this.#isPaused) {
        this.#isPaused = false
        this.#options.resume()
        // What waited at the driver may have come already.
        continue
      }
      this.#waiting = Promise.withResolvers()
      await this.#waiting.promise
      this.#waiting = null
    }
    const batch = this.#ready.shift()
    if (batch !== undefined) return batch
    if (this.#end !== null && this.#end.error !== null) throw this.#end.error
    return null
  }

  #flush(): void {
    const { columns } = this.#options
    this.#ready.push({ columns, rows: this.#rowsInBatch, cells: this.cells })
    this.cells = columns.map(() => [])
    this.#rowsInBatch = 0
    this.#bytesInBatch = 0
    if (this.#waiting !== null) {
      this.#waiting.resolve()
    } else if (!this.#isPaused) {
      this.#isPaused = true
      this.#options.pause()
    }
  }
}
