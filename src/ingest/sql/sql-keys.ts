/**
 * Keys by which rows are paged: what may be one, and which pages follow from its order.
 *
 * A page begins with the last row of the page before it. In one snapshot that row must be there: where
 * another one stands in its place, several rows have that key, and some of them would be lost.
 */

import type { Cell, Column, TableBatch } from '../../domain/table.ts'
import { VectordError } from '../../lib/errors.ts'

/**
 * Whether the first row of a page is the last one that was given: `must` in the same snapshot, `may` in
 * a newer one, where that row may be gone.
 */
export type Overlap = 'none' | 'may' | 'must'

/** Checks the rows of a read one batch after the other, and cuts off a row that was given before. */
export class KeyOrder {
  readonly #column: Column
  readonly #index: number
  #last: Cell

  /** @param last the key of the last row that was given; null: none was. */
  constructor(column: Column, index: number, last: Cell) {
    this.#column = column
    this.#index = index
    this.#last = last
  }

  /** The key of the last row that was given. */
  get last(): Cell {
    return this.#last
  }

  /**
   * The rows of `batch` that were not given before.
   *
   * @param overlap of its first row.
   * @throws {VectordError} `bad_request` where the key is null or not unique.
   */
  take(batch: TableBatch, overlap: Overlap): TableBatch {
    const keys = batch.cells[this.#index] ?? []
    const isRepeated = overlap !== 'none' && isSame(keys[0], this.#last)
    if (overlap === 'must' && !isRepeated) throw this.#notUnique(this.#last)
    const skipped = isRepeated ? 1 : 0
    this.#follow(keys, skipped)
    if (skipped === 0) return batch
    const cells = batch.cells.map((column) => column.slice(skipped))
    return { columns: batch.columns, rows: batch.rows - skipped, cells }
  }

  #follow(keys: readonly Cell[], start: number): void {
    for (const key of start === 0 ? keys : keys.slice(start)) {
      if (key === null) throw refusedKey(this.#column.name, 'is NULL in some rows')
      if (isSame(key, this.#last)) throw this.#notUnique(key)
      this.#last = key
    }
  }

  #notUnique(key: Cell): VectordError {
    const shown = key instanceof Uint8Array ? 'some value' : String(key).slice(0, 100)
    return refusedKey(this.#column.name, `is not unique: several rows have ${shown}`)
  }
}

/** @param reason a clause behind the name of the column. */
export function refusedKey(column: string, reason: string): VectordError {
  return new VectordError(
    'bad_request',
    `The key "${column}" ${reason}. A key is unique, without NULL, and of whole numbers, text, bytes or times.`,
    { details: { field: 'key', column } },
  )
}

/** @throws {VectordError} `bad_request` where a column has no name, or the name of another. */
export function checkNames(columns: readonly Column[]): void {
  const seen = new Set<string>()
  for (const { name } of columns) {
    if (name === '' || seen.has(name)) {
      const fault = name === '' ? 'A column has no name' : `Two columns are called "${name}"`
      throw new VectordError('bad_request', `${fault}: name columns with AS.`, {
        details: { field: 'select', column: name },
      })
    }
    seen.add(name)
  }
}

/**
 * The place of the key among the columns.
 *
 * @throws {VectordError} `bad_request` where it is none of them, or `after` is no value of it.
 */
export function keyIndexOf(
  columns: readonly Column[],
  key: string | null,
  after: Cell,
): number | null {
  if (key === null) {
    if (after === null) return null
    throw new VectordError('bad_request', '`after` needs a `key` to resume by.', {
      details: { field: 'after' },
    })
  }
  const index = columns.findIndex(({ name }) => name === key)
  const column = columns[index]
  if (column === undefined) throw refusedKey(key, 'is none of the columns that are read')
  if (after !== null && !fits(after, column)) {
    throw new VectordError('bad_request', `\`after\` is no value of the key "${key}".`, {
      details: { field: 'after', type: column.type },
    })
  }
  return index
}

function fits(after: Cell, { type }: Column): boolean {
  switch (type) {
    case 'int32':
    case 'int64':
      return typeof after === 'bigint' || Number.isSafeInteger(after)
    case 'timestamp':
      return typeof after === 'bigint'
    case 'utf8':
      return typeof after === 'string'
    case 'binary':
      return after instanceof Uint8Array
    default:
      return false
  }
}

function isSame(one: Cell | undefined, other: Cell): boolean {
  if (one instanceof Uint8Array && other instanceof Uint8Array) {
    return Buffer.compare(one, other) === 0
  }
  return one === other
}
