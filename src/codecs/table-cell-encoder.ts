/**
 * The cells of one column as the buffers of an Arrow column. Cells are checked, so that nothing is
 * rounded, cut off or wrapped round on its way into a file.
 */

import type { Cell, Column, ColumnType } from '../domain/table.ts'
import { VectordError } from '../lib/errors.ts'
import { bitmap, NOTHING, type Column as EncodedColumn } from './batch-writer.ts'

/** A column of vectors becomes two: the list and its numbers. */
export function encodeCells(
  column: Column,
  cells: readonly Cell[],
  rows: number,
): readonly EncodedColumn[] {
  if (cells.length !== rows) throw refused(column, cells.length, 'is missing')
  const nulls = countNulls(column, cells)
  const validity = nulls === 0 ? NOTHING : bitmap(cells)
  const encoded = (...buffers: readonly Uint8Array[]): EncodedColumn => ({
    rows,
    nulls,
    buffers: [validity, ...buffers],
  })
  switch (column.type) {
    case 'utf8': {
      const { offsets, bytes } = measureStrings(column, cells)
      const strings = { values: cells as readonly (string | null)[], bytes }
      return [{ ...encoded(bytesOf(offsets)), strings }]
    }
    case 'binary':
      return [encoded(...encodeBinary(column, cells))]
    case 'vector':
      return encodeVectors(column, cells, encoded())
    default:
      return [encoded(FIXED[column.type](column, cells))]
  }
}

type FixedType = Exclude<ColumnType, 'utf8' | 'binary' | 'vector'>
const FIXED: Readonly<Record<FixedType, (column: Column, cells: readonly Cell[]) => Uint8Array>> = {
  boolean: encodeBooleans,
  int32: encodeInt32,
  int64: encodeInt64,
  float64: encodeFloat64,
  timestamp: encodeInt64,
}

function countNulls(column: Column, cells: readonly Cell[]): number {
  let nulls = 0
  for (const cell of cells) if (cell === null) nulls += 1
  if (nulls > 0 && !column.nullable) throw refused(column, cells.indexOf(null), 'is null')
  return nulls
}

function encodeBooleans(column: Column, cells: readonly Cell[]): Uint8Array {
  const bits = new Uint8Array(Math.ceil(cells.length / 8))
  for (let row = 0; row < cells.length; row += 1) {
    const cell = cells[row] ?? null
    if (cell === null || cell === false) continue
    if (cell !== true) throw wrongType(column, row)
    bits[row >> 3] = (bits[row >> 3] ?? 0) | (1 << (row & 7))
  }
  return bits
}

function encodeInt32(column: Column, cells: readonly Cell[]): Uint8Array {
  const values = new Int32Array(cells.length)
  for (let row = 0; row < cells.length; row += 1) {
    const cell = cells[row] ?? null
    if (cell === null) continue
    if (typeof cell !== 'number' || cell !== (cell | 0)) throw wrongType(column, row)
    values[row] = cell
  }
  return bytesOf(values)
}

function encodeInt64(column: Column, cells: readonly Cell[]): Uint8Array {
  const values = new BigInt64Array(cells.length)
  for (let row = 0; row < cells.length; row += 1) {
    const cell = cells[row] ?? null
    if (cell === null) continue
    if (typeof cell !== 'bigint') throw wrongType(column, row)
    values[row] = cell
    if (values[row] !== cell) throw wrongType(column, row)
  }
  return bytesOf(values)
}

function encodeFloat64(column: Column, cells: readonly Cell[]): Uint8Array {
  const values = new Float64Array(cells.length)
  for (let row = 0; row < cells.length; row += 1) {
    const cell = cells[row] ?? null
    if (cell === null) continue
    if (typeof cell !== 'number') throw wrongType(column, row)
    values[row] = cell
  }
  return bytesOf(values)
}

function measureStrings(
  column: Column,
  cells: readonly Cell[],
): { readonly offsets: Int32Array; readonly bytes: number } {
  const offsets = new Int32Array(cells.length + 1)
  let bytes = 0
  for (let row = 0; row < cells.length; row += 1) {
    const cell = cells[row] ?? null
    if (cell !== null) {
      if (typeof cell !== 'string') throw wrongType(column, row)
      if (!cell.isWellFormed()) throw refused(column, row, 'is not well-formed Unicode')
      bytes += Buffer.byteLength(cell)
    }
    offsets[row + 1] = bytes
  }
  checkSize(column, bytes)
  return { offsets, bytes }
}

function encodeBinary(column: Column, cells: readonly Cell[]): readonly [Uint8Array, Uint8Array] {
  const offsets = new Int32Array(cells.length + 1)
  let bytes = 0
  for (let row = 0; row < cells.length; row += 1) {
    const cell = cells[row] ?? null
    if (cell !== null && !(cell instanceof Uint8Array)) throw wrongType(column, row)
    bytes += cell?.length ?? 0
    offsets[row + 1] = bytes
  }
  checkSize(column, bytes)
  const data = new Uint8Array(bytes)
  for (let row = 0; row < cells.length; row += 1) {
    const cell = cells[row]
    if (cell instanceof Uint8Array) data.set(cell, offsets[row] ?? 0)
  }
  return [bytesOf(offsets), data]
}

function encodeVectors(
  column: Column,
  cells: readonly Cell[],
  list: EncodedColumn,
): readonly EncodedColumn[] {
  const { dimension = 0 } = column
  const numbers = new Float32Array(cells.length * dimension)
  for (let row = 0; row < cells.length; row += 1) {
    const cell = cells[row] ?? null
    if (cell === null) continue
    if (!(cell instanceof Float32Array)) throw wrongType(column, row)
    if (cell.length !== dimension) {
      throw refused(column, row, `has ${cell.length} numbers instead of ${dimension}`)
    }
    numbers.set(cell, row * dimension)
  }
  const child = { rows: numbers.length, nulls: 0, buffers: [NOTHING, bytesOf(numbers)] }
  return [list, child]
}

/** Offsets of Arrow's plain strings have 31 bits. */
const COLUMN_BYTES_MAX = 2 ** 31 - 1

function checkSize(column: Column, bytes: number): void {
  if (bytes <= COLUMN_BYTES_MAX) return
  throw new VectordError('limit_exceeded', `A batch of column "${column.name}" is over 2 GiB.`, {
    details: { column: column.name, bytes },
  })
}

function bytesOf(values: ArrayBufferView): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
}

function wrongType(column: Column, row: number): VectordError {
  return refused(column, row, `is no ${column.type}`)
}

function refused({ name }: Column, row: number, what: string): VectordError {
  return new VectordError('invalid_value', `Row ${row} of column "${name}" ${what}.`, {
    details: { column: name, row },
  })
}
