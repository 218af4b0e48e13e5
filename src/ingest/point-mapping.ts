/**
 * Which columns of a table become the points of an index, and the cells of a row as the parts of one.
 *
 *     id        a string or an integer                 text      a string
 *     vector    a list of float32, text such as "[1,2]" or "{1,2}", or bytes of little-endian float32
 *     metadata  one field for each column that has a value in the row
 *
 * Nothing here says whether a point is good: `row-points.ts` does.
 */

import type { Cell, Column } from '../domain/table.ts'
import { VectordError } from '../lib/errors.ts'

export interface PointMapping {
  readonly idColumn: string
  /** One of the two is there, or both. */
  readonly vectorColumn: string | null
  readonly textColumn: string | null
  /** Null: every other column but those of vectors and of bytes. */
  readonly metadataColumns: readonly string[] | null
}

/** Positions of the columns of a mapping in a table; -1 where there is none. */
export interface MappedColumns {
  readonly id: number
  readonly vector: number
  readonly text: number
  readonly metadata: readonly {
    readonly name: string
    readonly at: number
    readonly isTime: boolean
  }[]
}

/** @throws {VectordError} `bad_request` where the table lacks a column, with those that it has. */
export function mapColumns(mapping: PointMapping, columns: readonly Column[]): MappedColumns {
  const at = (name: string | null, field: string): number => {
    if (name === null) return -1
    const found = columns.findIndex((column) => column.name === name)
    if (found < 0) throw noColumn(name, field, columns)
    return found
  }
  const id = at(mapping.idColumn, 'id_column')
  const vector = at(mapping.vectorColumn, 'vector_column')
  const text = at(mapping.textColumn, 'text_column')
  const places = mapping.metadataColumns?.map((name) => at(name, 'metadata_columns'))
  const others = columns.flatMap(({ type }, place) => {
    const isOther = ![id, vector, text].includes(place) && type !== 'vector' && type !== 'binary'
    return isOther ? place : []
  })
  const metadata = (places ?? others).map((place) => {
    const column = columns[place]
    return { name: column?.name ?? '', at: place, isTime: column?.type === 'timestamp' }
  })
  return { id, vector, text, metadata }
}

/** An id as text; what is neither a string nor an integer comes back as it is. */
export function idOf(cell: Cell): unknown {
  if (typeof cell === 'bigint') return String(cell)
  return typeof cell === 'number' && Number.isSafeInteger(cell) ? String(cell) : cell
}

/**
 * A vector as an array of whatever its text holds, or as float32; null where the cell has none, and
 * the cell itself where it is none.
 */
export function vectorCell(cell: Cell): unknown {
  if (typeof cell === 'string') return vectorText(cell)
  if (cell instanceof Uint8Array && cell.byteLength % 4 === 0) {
    // The bytes need not lie where a float may.
    return new Float32Array(cell.slice().buffer)
  }
  return cell
}

function vectorText(text: string): unknown {
  const inner = text.trim()
  // PostgreSQL writes its arrays in braces and pgvector its vectors in brackets.
  const isBraced = inner.startsWith('{') && inner.endsWith('}')
  try {
    return JSON.parse(isBraced ? `[${inner.slice(1, -1)}]` : inner) as unknown
  } catch {
    return text
  }
}

/** The fields of a row; columns without a value in it are left out. */
export function metadataOf(
  { metadata }: MappedColumns,
  cellAt: (column: number) => Cell,
): Record<string, unknown> | null {
  if (metadata.length === 0) return null
  const fields: Record<string, unknown> = {}
  for (const { name, at, isTime } of metadata) {
    const cell = cellAt(at)
    if (cell === null) continue
    // A column may have any name, also that of the prototype.
    Object.defineProperty(fields, name, { value: fieldOf(cell, isTime), ...PLAIN })
  }
  return fields
}

const PLAIN = { enumerable: true, configurable: true, writable: true } as const

/** Integers beyond those that a double can tell apart become text, as times and bytes do. */
function fieldOf(cell: Cell, isTime: boolean): unknown {
  if (typeof cell === 'bigint') return isTime ? timeText(cell) : integerField(cell)
  if (cell instanceof Float32Array) return [...cell]
  return cell instanceof Uint8Array ? Buffer.from(cell).toString('base64') : cell
}

function integerField(value: bigint): number | string {
  const number = Number(value)
  return Number.isSafeInteger(number) ? number : String(value)
}

/** Times that no `Date` can hold stay microseconds. */
function timeText(microseconds: bigint): string {
  const date = new Date(Number(microseconds / 1000n))
  return Number.isNaN(date.getTime()) ? String(microseconds) : date.toISOString()
}

function noColumn(name: string, field: string, columns: readonly Column[]): VectordError {
  const known = columns.slice(0, 100).map((column) => column.name)
  return new VectordError('bad_request', `The table has no column ${JSON.stringify(name)}.`, {
    details: { field, column: name, columns: known },
  })
}
