/**
 * Brings rows into the columns of the dataset that they are appended to, where nothing is lost by that:
 *
 *     int32 ─▶ int64, float64          what has no value in any row ─▶ any type
 *
 * A file tells the types of its own rows alone: of small numbers, of whole ones, of none. What does not
 * fit is told before the first row, or at the first value of a column that should have none.
 */

import { mergedColumns, mismatch } from '../datasets/dataset.ts'
import type { Cell, Column, TableBatch } from '../domain/table.ts'

type Turn = (cells: readonly Cell[]) => readonly Cell[]

export class ColumnFit {
  /** In the order of what is read. */
  readonly columns: readonly Column[]
  /** For each column; null where its cells stay as they are. */
  readonly #turns: readonly (Turn | null)[]

  /**
   * @param wanted the columns of the dataset; null takes all as they are.
   * @throws {VectordError} `dataset_schema_mismatch`, which names the column.
   */
  constructor(found: readonly Column[], wanted: readonly Column[] | null) {
    const byName = new Map(wanted?.map((column) => [column.name, column]))
    const fits = found.map((column) => fitOf(column, byName.get(column.name) ?? column))
    this.columns = fits.map(({ column }) => column)
    this.#turns = fits.map(({ turn }) => turn)
    if (wanted !== null) mergedColumns(wanted.map(plain), this.columns.map(plain))
  }

  /** @throws {VectordError} `dataset_schema_mismatch`. */
  fit({ rows, cells }: TableBatch): TableBatch {
    const fitted = cells.map((column, at) => this.#turns[at]?.(column) ?? column)
    return { columns: this.columns, rows, cells: fitted }
  }
}

interface Fit {
  readonly column: Column
  readonly turn: Turn | null
}

function fitOf(found: Column, wanted: Column): Fit {
  const { name, type, nullable } = found
  if (wanted.type === type) return { column: found, turn: null }
  const { dimension } = wanted
  const shape = dimension === undefined ? {} : { dimension }
  const column = { name, type: wanted.type, nullable, ...shape }
  if (type === 'int32' && wanted.type === 'float64') return { column, turn: null }
  if (type === 'int32' && wanted.type === 'int64') return { column, turn: toBigints }
  if (type === 'utf8') return { column, turn: noneOf(found, wanted) }
  return { column: found, turn: null }
}

function toBigints(cells: readonly Cell[]): readonly Cell[] {
  return cells.map((cell) => (cell === null ? null : BigInt(cell as number)))
}

/** For a column whose type was told by no value. */
function noneOf({ name, type }: Column, wanted: Column): Turn {
  return (cells) => {
    if (cells.every((cell) => cell === null)) return cells
    throw mismatch(name, `is ${type}, and ${wanted.type} in the dataset`)
  }
}

function plain(column: Column): Column & { readonly pii: readonly [] } {
  return { ...column, pii: [] }
}
