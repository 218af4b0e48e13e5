/**
 * Arrow columns as columns of a table: which type a field becomes, and the cells of a batch.
 *
 * `docs/data.md` has the table of types. A list of numbers becomes a vector, where it is known how
 * many numbers each has; everything else that is nested becomes JSON text.
 */

import { isUtf8 } from 'node:buffer'
import type { Cell, Column, ColumnType } from '../domain/table.ts'
import type { ArrowColumn } from './arrow-columns.ts'
import { ArrowFault, type ArrowField, type ArrowType } from './arrow-schema.ts'
import {
  allCells,
  bigintsOf,
  booleansOf,
  bytesOf,
  CellFault,
  type CellReader,
  datesOf,
  decimalsOf,
  floatsOf,
  intervalsOf,
  lookUp,
  numbersOf,
  timesOf,
  timestampsOf,
} from './arrow-scalars.ts'
import { hasValue, offsetsOf } from './arrow-values.ts'
import { cellJson } from './table-ndjson-writer.ts'

/** A column of a type that no column of a table can be. */
export class TypeFault extends Error {
  override readonly name = 'TypeFault'
  readonly column: string
  readonly type: string

  constructor({ name }: ArrowField, type: string) {
    super(`column "${name}" has a type that is not read: ${type}`)
    this.column = name
    this.type = type
  }
}

/** The extension type of Arrow that fields of 16 bytes may have. */
export const UUID_EXTENSION: readonly [string, string] = ['ARROW:extension:name', 'arrow.uuid']

/** Whether a field is a list of numbers, which is a vector if all of its lists have one length. */
export function isNumberList({ type, children, dictionary }: ArrowField): boolean {
  const [item] = children
  if (dictionary !== null || item === undefined || item.dictionary !== null) return false
  if (!['list', 'large_list', 'fixed_size_list'].includes(type.kind)) return false
  return ['float', 'int', 'decimal'].includes(item.type.kind)
}

/** @param dimension of a list of numbers; null where it is none, or has lists of any length. */
export function columnOf(field: ArrowField, dimension: number | null): Column {
  const { name, nullable } = field
  if (dimension !== null) return { name, type: 'vector', nullable, dimension }
  // A column of type null has nothing else, whatever it says.
  return { name, type: columnType(field), nullable: nullable || field.type.kind === 'null' }
}

function columnType(field: ArrowField): ColumnType {
  const { type, metadata } = field
  switch (type.kind) {
    case 'boolean':
      return 'boolean'
    case 'int':
      return type.bits < 32 || (type.bits === 32 && type.signed) ? 'int32' : 'int64'
    case 'float':
    case 'decimal':
      return 'float64'
    case 'date':
    case 'timestamp':
      return 'timestamp'
    case 'duration':
      return 'int64'
    case 'binary':
    case 'large_binary':
    case 'binary_view':
      return 'binary'
    case 'fixed_size_binary':
      return isUuid(type, metadata) ? 'utf8' : 'binary'
    case 'other':
      return refuse(field, type.code)
    default:
      return 'utf8'
  }
}

function isUuid(type: ArrowType, metadata: ReadonlyMap<string, string>): boolean {
  const isSized = type.kind === 'fixed_size_binary' && type.size === 16
  return isSized && metadata.get(UUID_EXTENSION[0]) === UUID_EXTENSION[1]
}

function refuse(field: ArrowField, code: number): never {
  throw new TypeFault(field, TYPES_NOT_READ[code] ?? `number ${code}`)
}

const TYPES_NOT_READ: Partial<Record<number, string>> = {
  14: 'union',
  22: 'run-end encoded',
  25: 'list view',
  26: 'large list view',
}

/**
 * Reads the cells of a column of one batch, null where a row has no value.
 *
 * @param column what `columnOf` made of its field.
 * @throws {ArrowFault}; the reader also {CellFault} for a value that the column cannot hold.
 */
export function cellReader(source: ArrowColumn, column: Column): CellReader {
  const reader =
    column.type === 'vector' ? vectorsOf(source, column) : valuesOf(source, column.type)
  if (source.validity === null) return reader
  return (row) => (hasValue(source, row) ? reader(row) : null)
}

/** Values of dictionaries that were read: each serves many batches. */
const dictionaryCells = new WeakMap<ArrowColumn, readonly Cell[]>()

function valuesOf(source: ArrowColumn, type: ColumnType): CellReader {
  const { dictionary } = source
  if (dictionary === null) return plainValuesOf(source, type)
  let cells = dictionaryCells.get(dictionary)
  if (cells === undefined) {
    cells = allCells(dictionary, plainValuesOf(dictionary, type))
    dictionaryCells.set(dictionary, cells)
  }
  return lookUp(source, cells)
}

function plainValuesOf(source: ArrowColumn, wanted: ColumnType): CellReader {
  const { type } = source.field
  switch (type.kind) {
    case 'null':
      return () => null
    case 'boolean':
      return booleansOf(source)
    case 'int':
      return columnType(source.field) === 'int32'
        ? numbersOf(source, type)
        : bigintsOf(source, type)
    case 'float':
      return floatsOf(source, type)
    case 'decimal':
      return decimalsOf(source, type)
    case 'date':
      return datesOf(source, type)
    case 'timestamp':
    case 'duration':
      return timestampsOf(source, type.unit)
    case 'time':
      return timesOf(source, type)
    case 'interval':
      return intervalsOf(source, type)
    case 'utf8':
    case 'large_utf8':
    case 'utf8_view':
      return textsOf(source)
    case 'binary':
    case 'large_binary':
    case 'binary_view':
      return bytesOf(source)
    case 'fixed_size_binary':
      return wanted === 'utf8' ? uuidsOf(source) : bytesOf(source)
    case 'other':
      return refuse(source.field, type.code)
    default:
      return nestedOf(source)
  }
}

function textsOf(source: ArrowColumn): CellReader {
  const bytes = bytesOf(source)
  const isSound = isAllUtf8(source)
  return (row) => {
    const text = bytes(row)
    // Of sound text a part is sound too, unless it starts inside a character.
    const isPart = isSound && ((text[0] ?? 0) & 0xc0) !== 0x80
    if (!isPart && !isUtf8(text)) {
      throw new ArrowFault(`column "${source.field.name}" holds bytes that are no UTF-8`)
    }
    return Buffer.from(text.buffer, text.byteOffset, text.length).toString()
  }
}

/** Asked once for all rows: asking for each takes longer than decoding it. */
function isAllUtf8(source: ArrowColumn): boolean {
  if (source.offsets === null) return false
  const offsets = offsetsOf(source, source.data.length)
  return isUtf8(source.data.subarray(offsets[0] ?? 0, offsets[source.length] ?? 0))
}

function uuidsOf(source: ArrowColumn): CellReader {
  const bytes = bytesOf(source)
  return (row) => {
    const hex = Buffer.from(bytes(row)).toString('hex')
    return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
  }
}

/** Where the elements of a list of a row begin and end. */
function rangesOf(source: ArrowColumn, child: ArrowColumn): (row: number) => [number, number] {
  const { type } = source.field
  if (type.kind === 'fixed_size_list') {
    const { size } = type
    return (row) => [row * size, (row + 1) * size]
  }
  const offsets = offsetsOf(source, child.length)
  return (row) => [offsets[row] ?? 0, offsets[row + 1] ?? 0]
}

/** The length of the first list that is not null and not empty; null where there is none. */
export function firstLength(source: ArrowColumn): number | null {
  for (const length of lengthsOf(source)) if (length > 0) return length
  return null
}

/** Whether lists that are not null all have one length. */
export function isEven(source: ArrowColumn): boolean {
  return new Set(lengthsOf(source)).size <= 1
}

function* lengthsOf(source: ArrowColumn): Generator<number, undefined> {
  const range = rangesOf(source, childOf(source))
  for (let row = 0; row < source.length; row += 1) {
    if (!hasValue(source, row)) continue
    const [start, end] = range(row)
    yield end - start
  }
}

/** Views of the input where it has float32. */
function vectorsOf(source: ArrowColumn, { dimension }: Column): CellReader {
  const child = childOf(source)
  const range = rangesOf(source, child)
  const numbers = float32sOf(child)
  const mayHaveNulls = child.validity !== null
  return (row) => {
    const [start, end] = range(row)
    if (end - start !== dimension) {
      throw new CellFault(`the vector has ${end - start} numbers instead of ${dimension}`)
    }
    for (let at = start; mayHaveNulls && at < end; at += 1) {
      if (!hasValue(child, at)) throw new CellFault('a number of the vector is null')
    }
    return numbers.subarray(start, end)
  }
}

function childOf({ child, field }: ArrowColumn): ArrowColumn {
  if (child === null) throw new ArrowFault(`the list column "${field.name}" has no elements`)
  return child
}

function float32sOf(child: ArrowColumn): Float32Array {
  const { type } = child.field
  const { data, length } = child
  if (type.kind === 'float' && type.bits === 32 && data.byteOffset % 4 === 0) {
    if (data.length < 4 * length) throw new ArrowFault('a buffer of values is too short')
    return new Float32Array(data.buffer, data.byteOffset, length)
  }
  const reader = numberReader(child, type)
  const numbers = new Float32Array(length)
  for (let at = 0; at < length; at += 1) numbers[at] = reader(at)
  return numbers
}

function numberReader(child: ArrowColumn, type: ArrowType): (row: number) => number {
  if (type.kind === 'float') return floatsOf(child, type)
  if (type.kind === 'int') return numbersOf(child, type)
  if (type.kind === 'decimal') return decimalsOf(child, type)
  throw new ArrowFault(`a vector of ${type.kind} is not read`)
}

/** Lists, structs and maps as JSON text. */
function nestedOf(source: ArrowColumn): CellReader {
  const { type } = source.field
  if (type.kind === 'struct') {
    const fields = source.children.map((child) => ({
      name: JSON.stringify(child.field.name),
      json: jsonReader(child),
    }))
    return (row) => `{${fields.map(({ name, json }) => `${name}:${json(row)}`).join()}}`
  }
  const child = childOf(source)
  const range = rangesOf(source, child)
  const [key, value, ...others] = child.children
  if (type.kind === 'map' && key !== undefined && value !== undefined && others.length === 0) {
    return mapsOf(range, key, value)
  }
  const json = jsonReader(child)
  return (row) => `[${rowsOf(range(row)).map(json).join()}]`
}

/** Maps of texts are objects, others are lists of pairs. */
function mapsOf(
  range: (row: number) => [number, number],
  keys: ArrowColumn,
  values: ArrowColumn,
): CellReader {
  const key = jsonReader(keys)
  const value = jsonReader(values)
  if (columnOf(keys.field, null).type === 'utf8') {
    return (row) =>
      `{${rowsOf(range(row))
        .map((at) => `${key(at)}:${value(at)}`)
        .join()}}`
  }
  return (row) =>
    `[${rowsOf(range(row))
      .map((at) => `[${key(at)},${value(at)}]`)
      .join()}]`
}

function rowsOf([start, end]: readonly [number, number]): number[] {
  return Array.from({ length: end - start }, (_, i) => start + i)
}

function jsonReader(source: ArrowColumn): (row: number) => string {
  const column = columnOf(source.field, null)
  const reader = cellReader(source, column)
  const { kind } = source.field.type
  const isJson = kind === 'struct' || kind === 'map' || kind.endsWith('list')
  return (row) => {
    const cell = reader(row)
    return isJson && typeof cell === 'string' ? cell : cellJson(column.type, cell)
  }
}
