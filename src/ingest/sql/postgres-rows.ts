/**
 * Rows of a binary COPY, turned into columns: where the time of a read is spent.
 */

import type { Cell, Column } from '../../domain/table.ts'
import { BATCH_BYTES_MAX, type BatchQueue } from './batch-queue.ts'
import type { PostgresColumn } from './postgres-types.ts'
import { nameRefusal, ValueRefusal } from './sql-session.ts'

export interface PostgresRead {
  readonly found: readonly PostgresColumn[]
  readonly columns: readonly Column[]
  readonly keyIndex: number | null
  readonly rowsBefore: number
  readonly batchRows: number
}

export class PostgresRows {
  readonly #queue: BatchQueue
  readonly #read: PostgresRead
  #cells: Cell[][]
  #rows = 0
  #bytes = 0
  #rowsBefore: number

  constructor(queue: BatchQueue, read: PostgresRead) {
    this.#queue = queue
    this.#read = read
    this.#cells = read.columns.map(() => [])
    this.#rowsBefore = read.rowsBefore
  }

  /** A row whose first column begins at `offset`. */
  add(bytes: Buffer, offset: number): void {
    if (this.#queue.hasEnded) return
    try {
      this.#addCells(bytes, offset)
    } catch (error) {
      if (!(error instanceof ValueRefusal)) throw error
      this.#queue.end(this.#named(error, bytes, offset))
      return
    }
    this.#rows += 1
    this.#bytes += bytes.length
    if (this.#rows >= this.#read.batchRows || this.#bytes >= BATCH_BYTES_MAX) this.flush()
  }

  flush(): void {
    if (this.#rows === 0) return
    const { columns } = this.#read
    this.#queue.push({ columns, rows: this.#rows, cells: this.#cells })
    this.#rowsBefore += this.#rows
    this.#cells = columns.map(() => [])
    this.#rows = 0
    this.#bytes = 0
  }

  #addCells(bytes: Buffer, start: number): void {
    const { found } = this.#read
    const cells = this.#cells
    let offset = start
    for (let index = 0; index < cells.length; index += 1) {
      const length = bytes.readInt32BE(offset)
      offset += 4
      const column = cells[index] as Cell[]
      if (length < 0) {
        column.push(null)
      } else {
        column.push((found[index] as PostgresColumn).read(bytes, offset, length))
        offset += length
      }
    }
  }

  /** The row has added cells up to the one that was refused. */
  #named(refusal: ValueRefusal, bytes: Buffer, start: number): Error {
    const { found, keyIndex } = this.#read
    const index = this.#cells.findIndex((column) => column.length === this.#rows)
    return nameRefusal(refusal, {
      column: found[index]?.name ?? '',
      row: this.#rowsBefore + this.#rows + 1,
      keyColumn: keyIndex === null ? null : (found[keyIndex]?.name ?? null),
      key: keyIndex === null ? null : this.#valueAt(bytes, start, keyIndex),
    })
  }

  /** Null also for a value that is refused itself. */
  #valueAt(bytes: Buffer, start: number, index: number): Cell {
    let offset = start
    for (let column = 0; column < index; column += 1) {
      offset += 4 + Math.max(0, bytes.readInt32BE(offset))
    }
    const length = bytes.readInt32BE(offset)
    if (length < 0) return null
    try {
      return this.#read.found[index]?.read(bytes, offset + 4, length) ?? null
    } catch (error) {
      if (error instanceof ValueRefusal) return null
      throw error
    }
  }
}
