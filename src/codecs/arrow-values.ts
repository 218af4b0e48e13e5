/**
 * Values of Arrow columns as typed arrays and strings, checked against the bytes that are there.
 */

import { isUtf8 } from 'node:buffer'
import type { ArrowColumn } from './arrow-columns.ts'
import { ArrowFault } from './arrow-schema.ts'

/** True where row `row` has a value. */
export function hasValue(column: ArrowColumn, row: number): boolean {
  if (column.validity === null) return true
  return (((column.validity[row >> 3] ?? 0) >> (row & 7)) & 1) === 1
}

/** The first row of `[start, end)` without a value, or -1. */
export function firstNull(column: ArrowColumn, start = 0, end: number = column.length): number {
  if (column.validity === null) return -1
  for (let row = start; row < end; row += 1) if (!hasValue(column, row)) return row
  return -1
}

/**
 * The offsets of a column: ascending, within `[0, limit]`. A view of the input where it can be.
 *
 * @param limit the length of what the offsets point into: bytes, or elements of the child.
 */
export function offsetsOf(column: ArrowColumn, limit: number): Int32Array {
  const { offsets, length, field } = column
  if (length === 0) return new Int32Array(1)
  const large = field.type.kind === 'large_utf8' || field.type.kind === 'large_list'
  const count = length + 1
  if (offsets === null || offsets.length < count * (large ? 8 : 4)) {
    throw new ArrowFault(`the offsets of column "${field.name}" are too short`)
  }
  const all = large ? narrow(offsets, count) : int32View(offsets, count)
  let before = 0
  for (const offset of all) {
    if (offset < before || offset > limit) {
      throw new ArrowFault(`the offsets of column "${field.name}" are out of order`)
    }
    before = offset
  }
  return all
}

function narrow(bytes: Uint8Array, count: number): Int32Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return Int32Array.from({ length: count }, (_, i) => {
    const offset = view.getBigInt64(8 * i, true)
    return offset > 0x7fff_ffffn ? -1 : Number(offset)
  })
}

function int32View(bytes: Uint8Array, count: number): Int32Array {
  if (bytes.byteOffset % 4 === 0) return new Int32Array(bytes.buffer, bytes.byteOffset, count)
  return new Int32Array(bytes.slice(0, count * 4).buffer)
}

/** The first `count` values; a view of the input where it is aligned for one. */
export function float32View(bytes: Uint8Array, count: number): Float32Array {
  if (bytes.length < count * 4) throw new ArrowFault('a buffer of floats is too short')
  if (bytes.byteOffset % 4 === 0) return new Float32Array(bytes.buffer, bytes.byteOffset, count)
  return new Float32Array(bytes.slice(0, count * 4).buffer)
}

/** The first `count` values; a view of the input where it is aligned for one. */
export function float64View(bytes: Uint8Array, count: number): Float64Array {
  if (bytes.length < count * 8) throw new ArrowFault('a buffer of floats is too short')
  if (bytes.byteOffset % 8 === 0) return new Float64Array(bytes.buffer, bytes.byteOffset, count)
  return new Float64Array(bytes.slice(0, count * 8).buffer)
}

/** The strings of a UTF-8 column, null where there is none; bytes that are no UTF-8 are a fault. */
export function stringsOf(column: ArrowColumn): (string | null)[] {
  const { data, length, field } = column
  const offsets = offsetsOf(column, data.length)
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength)
  const first = offsets[0] ?? 0
  const last = offsets[length] ?? 0
  if (!isUtf8(bytes.subarray(first, last))) {
    throw new ArrowFault(`column "${field.name}" holds bytes that are no UTF-8`)
  }
  const strings = new Array<string | null>(length)
  let start = first
  for (let row = 0; row < length; row += 1) {
    const end = offsets[row + 1] ?? 0
    // The whole is valid UTF-8; a part is too unless it starts inside a character.
    if (start < end && ((bytes[start] ?? 0) & 0xc0) === 0x80) {
      throw new ArrowFault(`row ${row} of column "${field.name}" starts inside a character`)
    }
    strings[row] = hasValue(column, row) ? bytes.toString('utf8', start, end) : null
    start = end
  }
  return strings
}
