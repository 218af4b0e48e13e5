/**
 * Gathers rows into batches, column by column.
 */

import type { Cell, Column, TableBatch } from '../domain/table.ts'

export class RowBatcher {
  readonly #columns: readonly Column[]
  readonly #batchRows: number
  #cells: Cell[][]
  #rows = 0

  constructor(columns: readonly Column[], batchRows: number) {
    this.#columns = columns
    this.#batchRows = batchRows
    this.#cells = columns.map(() => [])
  }

  /** @returns a batch where this row fills one. */
  add(cellOf: (column: Column, at: number) => Cell): TableBatch | null {
    for (const [at, column] of this.#columns.entries()) this.#cells[at]?.push(cellOf(column, at))
    this.#rows += 1
    return this.#rows === this.#batchRows ? this.rest() : null
  }

  /** The rows that are left; null where there are none. */
  rest(): TableBatch | null {
    if (this.#rows === 0) return null
    const batch = { columns: this.#columns, rows: this.#rows, cells: this.#cells }
    this.#cells = this.#columns.map(() => [])
    this.#rows = 0
    return batch
  }
}
