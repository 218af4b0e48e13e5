/**
 * The columns of an Arrow table, whose vectors get their dimension from the first ones found.
 *
 *     fields ─▶ look(batch) until `isKnown` or the table ends ─▶ columns()
 *
 * A list of numbers becomes a vector with as many numbers as the first list that is not empty. Lists
 * of integers that differ within the batch in which the first is found are taken for lists, not for
 * vectors, and become JSON text; so does a column of lists that has none.
 */

import type { Cell, Column, TableBatch } from '../domain/table.ts'
import { cellReader, columnOf, firstLength, isEven, isNumberList } from './arrow-cells.ts'
import type { ArrowColumn } from './arrow-columns.ts'
import { ArrowFault, type ArrowField } from './arrow-schema.ts'
import { CellFault } from './arrow-scalars.ts'
import type { ArrowBatch } from './arrow-stream.ts'

export class TableShape {
  readonly #fields: readonly ArrowField[]
  readonly #dimensions = new Map<string, number>()
  readonly #open = new Set<string>()

  /** @throws {ArrowFault} where there are no columns, or two of one name. */
  constructor(fields: readonly ArrowField[]) {
    if (fields.length === 0) throw new ArrowFault('it has no columns')
    const names = new Set<string>()
    for (const { name } of fields) {
      if (names.has(name)) throw new ArrowFault(`it has two columns "${name}"`)
      names.add(name)
    }
    this.#fields = fields
    for (const field of fields) this.#begin(field)
  }

  /** Columns whose dimension is not known yet. */
  get open(): readonly string[] {
    return [...this.#open]
  }

  /** Columns are found by their names: a batch may have some of them alone. */
  look({ columns }: ArrowBatch): void {
    for (const column of columns) {
      const { name } = column.field
      if (!this.#open.has(name)) continue
      const dimension = firstLength(column)
      if (dimension === null) continue
      this.#open.delete(name)
      if (isEven(column) || !isOfIntegers(column.field)) this.#dimensions.set(name, dimension)
    }
  }

  columns(): readonly Column[] {
    return this.#fields.map((field) => columnOf(field, this.#dimensions.get(field.name) ?? null))
  }

  #begin(field: ArrowField): void {
    if (!isNumberList(field)) return
    const { name, type } = field
    if (type.kind !== 'fixed_size_list') this.#open.add(name)
    else if (type.size > 0) this.#dimensions.set(name, type.size)
  }
}

function isOfIntegers({ children }: ArrowField): boolean {
  return children[0]?.type.kind === 'int'
}

/** A cell that its column cannot hold. */
export class RowFault extends Error {
  override readonly name = 'RowFault'
  readonly column: string
  /** Counted within the batch. */
  readonly row: number

  constructor(column: string, row: number, { message }: CellFault) {
    super(message)
    this.column = column
    this.row = row
  }
}

/**
 * The rows of an Arrow batch, cut into batches of at most `batchRows`.
 *
 * @throws {ArrowFault} {RowFault}
 */
export function* tableBatches(
  columns: readonly Column[],
  batch: ArrowBatch,
  batchRows: number,
): Generator<TableBatch, undefined> {
  const readers = columns.map((column, at) => readerOf(batch.columns[at], column))
  for (let from = 0; from < batch.rows; from += batchRows) {
    const rows = Math.min(batchRows, batch.rows - from)
    yield { columns, rows, cells: readers.map((read) => read(from, rows)) }
  }
}

function readerOf(
  source: ArrowColumn | undefined,
  column: Column,
): (from: number, rows: number) => Cell[] {
  if (source === undefined) throw new ArrowFault(`a batch has no column "${column.name}"`)
  const read = cellReader(source, column)
  return (from, rows) => {
    const cells = new Array<Cell>(rows)
    for (let row = 0; row < rows; row += 1) {
      try {
        cells[row] = read(from + row)
      } catch (error) {
        if (error instanceof CellFault) throw new RowFault(column.name, from + row, error)
        throw error
      }
    }
    return cells
  }
}
