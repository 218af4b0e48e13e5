/**
 * Values of Arrow columns of numbers, times and bytes as cells, a row at a time.
 *
 * A reader is made once for each column of a batch: it checks the lengths of the buffers, so that no
 * row reads outside them.
 */

import type { Cell } from '../domain/table.ts'
import type { ArrowColumn } from './arrow-columns.ts'
import { ArrowFault, type ArrowType, type TimeUnit } from './arrow-schema.ts'
import { hasValue, offsetsOf } from './arrow-values.ts'
import { durationText, timeText } from './timestamp-text.ts'

/** The cell of a row that has a value; whether it has one is asked before. */
export type CellReader = (row: number) => Cell

/** A value that is sound in its file and is none that its column can hold. */
export class CellFault extends Error {
  override readonly name = 'CellFault'
}

type TypeOf<K extends ArrowType['kind']> = Extract<ArrowType, { readonly kind: K }>

export function booleansOf({ data, length }: ArrowColumn): CellReader {
  expectBytes(data, Math.ceil(length / 8))
  return (row) => (((data[row >> 3] ?? 0) >> (row & 7)) & 1) === 1
}

/** Integers as numbers, exact to 2^53. */
export function numbersOf(column: ArrowColumn, type: TypeOf<'int'>): (row: number) => number {
  const { data, length } = column
  if (type.bits === 64) {
    const values = type.signed ? bigInt64View(data, length) : bigUint64View(data, length)
    return (row) => Number(values[row])
  }
  const values = smallIntegers(data, length, type)
  return (row) => values[row] ?? 0
}

/** Integers as bigints of 64 bits with a sign. */
export function bigintsOf(
  { data, length }: ArrowColumn,
  type: TypeOf<'int'>,
): (row: number) => bigint {
  if (type.bits !== 64) {
    const values = smallIntegers(data, length, type)
    return (row) => BigInt(values[row] ?? 0)
  }
  if (type.signed) {
    const values = bigInt64View(data, length)
    return (row) => values[row] ?? 0n
  }
  const values = bigUint64View(data, length)
  return (row) => {
    const value = values[row] ?? 0n
    if (value <= INT64_MAX) return value
    throw new CellFault(`${value} is more than the largest int64, ${INT64_MAX}`)
  }
}

const INT64_MAX = 2n ** 63n - 1n

type SmallIntegers = Int8Array | Uint8Array | Int16Array | Uint16Array | Int32Array | Uint32Array

function smallIntegers(
  data: Uint8Array,
  length: number,
  { bits, signed }: TypeOf<'int'>,
): SmallIntegers {
  const { buffer, byteOffset } = aligned(data, length, bits / 8)
  switch (bits) {
    case 8:
      return signed
        ? new Int8Array(buffer, byteOffset, length)
        : new Uint8Array(buffer, byteOffset, length)
    case 16:
      return signed
        ? new Int16Array(buffer, byteOffset, length)
        : new Uint16Array(buffer, byteOffset, length)
    case 32:
      return signed
        ? new Int32Array(buffer, byteOffset, length)
        : new Uint32Array(buffer, byteOffset, length)
    default:
      throw new ArrowFault(`integers of ${bits} bits are not known`)
  }
}

export function floatsOf(
  { data, length }: ArrowColumn,
  { bits }: TypeOf<'float'>,
): (row: number) => number {
  const { buffer, byteOffset } = aligned(data, length, bits / 8)
  if (bits === 16) {
    const values = new Uint16Array(buffer, byteOffset, length)
    return (row) => float16(values[row] ?? 0)
  }
  if (bits !== 32 && bits !== 64) throw new ArrowFault('a width of floats is not known')
  const values =
    bits === 32
      ? new Float32Array(buffer, byteOffset, length)
      : new Float64Array(buffer, byteOffset, length)
  return (row) => values[row] ?? 0
}

function float16(bits: number): number {
  const sign = bits >> 15 === 0 ? 1 : -1
  const exponent = (bits >> 10) & 31
  const fraction = bits & 1023
  if (exponent === 0) return sign * fraction * 2 ** -24
  if (exponent === 31) return fraction === 0 ? sign * Infinity : NaN
  return sign * (1024 + fraction) * 2 ** (exponent - 25)
}

/** Decimals as the nearest float64. */
export function decimalsOf(
  { data, length }: ArrowColumn,
  { bits, scale }: TypeOf<'decimal'>,
): (row: number) => number {
  if (![32, 64, 128, 256].includes(bits))
    throw new ArrowFault(`decimals of ${bits} bits are not known`)
  expectBytes(data, length * (bits / 8))
  const view = viewOf(data)
  return (row) => decimal(unscaled(view, row * (bits / 8), bits), scale)
}

function unscaled(view: DataView, at: number, bits: number): bigint {
  if (bits === 32) return BigInt(view.getInt32(at, true))
  const words = bits / 64
  let value = view.getBigInt64(at + 8 * (words - 1), true)
  for (let word = words - 2; word >= 0; word -= 1) {
    value = (value << 64n) | view.getBigUint64(at + 8 * word, true)
  }
  return value
}

/** Powers of ten up to this one are exact float64. */
const EXACT_POWER_MAX = 22

function decimal(value: bigint, scale: number): number {
  const number = Number(value)
  // Both exact: then the quotient is the nearest number there is.
  if (Number.isSafeInteger(number) && scale >= 0 && scale <= EXACT_POWER_MAX)
    return number / 10 ** scale
  return Number(`${value}e${-scale}`)
}

const DAY_US = 86_400_000_000n
const DAYS_MAX = Number(INT64_MAX / DAY_US)

/** Days, or milliseconds, as microseconds since the epoch. */
export function datesOf({ data, length }: ArrowColumn, { unit }: TypeOf<'date'>): CellReader {
  if (unit === 'ms') return microsOf(bigInt64View(data, length), 'ms')
  const days = smallIntegers(data, length, { kind: 'int', bits: 32, signed: true })
  return (row) => {
    const day = days[row] ?? 0
    if (Math.abs(day) > DAYS_MAX) throw new CellFault('the date is too far away to be a timestamp')
    return BigInt(day) * DAY_US
  }
}

export function timestampsOf({ data, length }: ArrowColumn, unit: TimeUnit): CellReader {
  return microsOf(bigInt64View(data, length), unit)
}

function microsOf(values: BigInt64Array, unit: TimeUnit): (row: number) => bigint {
  switch (unit) {
    case 'us':
      return (row) => values[row] ?? 0n
    case 'ns':
      return (row) => floorDivide(values[row] ?? 0n, 1000n)
    case 's':
    case 'ms': {
      const factor = unit === 's' ? 1_000_000n : 1000n
      return (row) => {
        const micros = (values[row] ?? 0n) * factor
        if (BigInt.asIntN(64, micros) === micros) return micros
        throw new CellFault('the time is too far away to be a timestamp')
      }
    }
  }
}

function floorDivide(value: bigint, by: bigint): bigint {
  return value / by - (value % by < 0n ? 1n : 0n)
}

/** Times of a day as text such as `23:59:59.5`. */
export function timesOf({ data, length }: ArrowColumn, { bits, unit }: TypeOf<'time'>): CellReader {
  const factor = NANOS[unit]
  if (bits === 64) {
    const values = bigInt64View(data, length)
    return (row) => timeText((values[row] ?? 0n) * factor)
  }
  const values = smallIntegers(data, length, { kind: 'int', bits: 32, signed: true })
  return (row) => timeText(BigInt(values[row] ?? 0) * factor)
}

const NANOS = { s: 1_000_000_000n, ms: 1_000_000n, us: 1000n, ns: 1n } as const

/** Intervals as ISO 8601 durations, such as `P1M2DT3.5S`. */
export function intervalsOf(
  { data, length }: ArrowColumn,
  { unit }: TypeOf<'interval'>,
): CellReader {
  const width = { months: 4, day_time: 8, month_day_nano: 16 }[unit]
  expectBytes(data, length * width)
  const view = viewOf(data)
  const int32 = (at: number): number => view.getInt32(at, true)
  return (row) => {
    const at = row * width
    switch (unit) {
      case 'months':
        return durationText({ months: int32(at), days: 0, nanos: 0n })
      case 'day_time':
        return durationText({ months: 0, days: int32(at), nanos: BigInt(int32(at + 4)) * NANOS.ms })
      case 'month_day_nano':
        return durationText({
          months: int32(at),
          days: int32(at + 4),
          nanos: view.getBigInt64(at + 8, true),
        })
    }
  }
}

/** Views of the input. */
export function bytesOf(column: ArrowColumn): (row: number) => Uint8Array {
  const { data, length } = column
  const { type } = column.field
  switch (type.kind) {
    case 'fixed_size_binary': {
      const { size } = type
      if (size < 0) throw new ArrowFault('a size is negative')
      expectBytes(data, length * size)
      return (row) => data.subarray(row * size, (row + 1) * size)
    }
    case 'utf8_view':
    case 'binary_view':
      return viewedBytes(column)
    default: {
      const offsets = offsetsOf(column, data.length)
      return (row) => data.subarray(offsets[row], offsets[row + 1])
    }
  }
}

const VIEW_BYTES = 16
const INLINE_BYTES_MAX = 12

/** Short values lie in their view, longer ones in a pool that it names. */
function viewedBytes({ data, length, pools, field }: ArrowColumn): (row: number) => Uint8Array {
  expectBytes(data, length * VIEW_BYTES)
  const view = viewOf(data)
  return (row) => {
    const at = row * VIEW_BYTES
    const bytes = view.getInt32(at, true)
    if (bytes >= 0 && bytes <= INLINE_BYTES_MAX) return data.subarray(at + 4, at + 4 + bytes)
    const pool = pools[view.getInt32(at + 8, true)]
    const start = view.getInt32(at + 12, true)
    if (bytes < 0 || start < 0 || pool === undefined || start + bytes > pool.length) {
      throw new ArrowFault(`a value of column "${field.name}" lies outside its pool`)
    }
    return pool.subarray(start, start + bytes)
  }
}

/** Looks indices up among values, which are read once for all batches that share them. */
export function lookUp(column: ArrowColumn, values: readonly Cell[]): CellReader {
  const index = column.field.dictionary?.index
  if (index?.kind !== 'int') throw new ArrowFault(`column "${column.field.name}" has no indices`)
  const places = numbersOf(column, index)
  return (row) => {
    const value = values[places(row)]
    if (value !== undefined) return value
    throw new ArrowFault(`column "${column.field.name}" points outside its dictionary`)
  }
}

/** All cells of a column. */
export function allCells(column: ArrowColumn, reader: CellReader): Cell[] {
  return Array.from({ length: column.length }, (_, row) =>
    hasValue(column, row) ? reader(row) : null,
  )
}

function bigInt64View(data: Uint8Array, length: number): BigInt64Array {
  const { buffer, byteOffset } = aligned(data, length, 8)
  return new BigInt64Array(buffer, byteOffset, length)
}

function bigUint64View(data: Uint8Array, length: number): BigUint64Array {
  const { buffer, byteOffset } = aligned(data, length, 8)
  return new BigUint64Array(buffer, byteOffset, length)
}

/** The same bytes where values of that width may begin; a copy where they do not. */
function aligned(
  data: Uint8Array,
  length: number,
  width: number,
): { readonly buffer: ArrayBufferLike; readonly byteOffset: number } {
  expectBytes(data, length * width)
  if (data.byteOffset % width === 0) return data
  return { buffer: data.slice(0, length * width).buffer, byteOffset: 0 }
}

function expectBytes(data: Uint8Array, bytes: number): void {
  if (data.length < bytes) throw new ArrowFault('a buffer of values is too short')
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
