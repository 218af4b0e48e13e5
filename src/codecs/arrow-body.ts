/**
 * Points that a client sends as an Arrow IPC stream, as columns.
 *
 *     id                utf8, large utf8, or a dictionary of these; never null
 *     vector            fixed-size list, list or large list of float32 or float64; null or left out
 *                       only where the index makes vectors of texts
 *     text, metadata    as id, and may be null or left out; metadata is JSON text
 *
 * Any number of record batches, columns in any order, no column besides these. All vectors have one
 * dimension. What comes out is no larger than what went in: a dictionary may not blow up its bytes.
 */

import { VectordError } from '../lib/errors.ts'
import type { ArrowColumn } from './arrow-columns.ts'
import { ArrowFault, type ArrowField, type ArrowSchema, type ArrowType } from './arrow-schema.ts'
import { ArrowStream, type ArrowBatch } from './arrow-stream.ts'
import {
  firstNull,
  float32View,
  float64View,
  hasValue,
  offsetsOf,
  stringsOf,
} from './arrow-values.ts'

/** Every column has `ids.length` rows, except `texts` and `metadata` that were left out: none. */
export interface ArrowBody {
  readonly ids: readonly string[]
  /** One after the other; may be a view of the input. Numbers are not checked. */
  readonly vectors: Float32Array
  /** The place of each row's vector among them, -1 where it is null; left out where all have one. */
  readonly places?: readonly number[]
  /** 0 where there are no rows to tell it. */
  readonly dimension: number
  readonly texts: readonly (string | null)[]
  readonly metadata: readonly (string | null)[]
}

const COLUMNS = ['id', 'vector', 'text', 'metadata'] as const
type ColumnName = (typeof COLUMNS)[number]

/** Far above what a request may hold: it only bounds what is decoded before the request says no. */
const ROWS_MAX = 1 << 20
/** Rows of a dictionary column share values; spelled out they may be as long as a plain body. */
const EXPANDED_CHARS_MAX = 32 * 1024 * 1024
const ECHO_CHARS_MAX = 64

/**
 * @param rowsMax rows after which decoding stops; an empty record batch counts as one.
 * @param isOptional vectors may be null or left out.
 * @throws {VectordError} `malformed_body` for bytes, columns or types that are not as above,
 *   `invalid_points` for a row, `limit_exceeded`.
 */
export function decodeArrowBody(
  bytes: Uint8Array,
  rowsMax: number = ROWS_MAX,
  isOptional = false,
): ArrowBody {
  try {
    const stream = new ArrowStream(bytes)
    const builder = new BodyBuilder(stream.schema, isOptional)
    let counted = 0
    for (const batch of stream.batches()) {
      counted += Math.max(1, batch.rows)
      if (counted > rowsMax) throw tooManyRows(rowsMax)
      builder.add(batch)
    }
    if (stream.end !== bytes.length) throw new ArrowFault('bytes follow the end of the stream')
    return builder.finish()
  } catch (error) {
    if (!(error instanceof ArrowFault)) throw error
    throw malformed(error)
  }
}

/** Where each column stands in a record batch; its type has been checked. */
type Places = ReadonlyMap<ColumnName, number>

class BodyBuilder {
  readonly #places: Places
  readonly #ids: string[] = []
  readonly #texts: (string | null)[] = []
  readonly #metadata: (string | null)[] = []
  readonly #vectors: VectorParts
  readonly #dictionaries = new Map<ArrowColumn, readonly (string | null)[]>()
  #expandedChars = 0

  /** @throws {ArrowFault} where the columns are not those of points. */
  constructor(schema: ArrowSchema, isOptional: boolean) {
    this.#places = placesOf(schema, isOptional)
    this.#vectors = new VectorParts(isOptional)
  }

  add(batch: ArrowBatch): void {
    const firstRow = this.#ids.length
    for (const [row, id] of this.#strings(batch, 'id').entries()) {
      if (id === null) throw refused('id', firstRow + row, 'is null')
      this.#ids.push(id)
    }
    for (const text of this.#strings(batch, 'text')) this.#texts.push(text)
    for (const json of this.#strings(batch, 'metadata')) this.#metadata.push(json)
    const vectors = this.#column(batch, 'vector')
    if (vectors === null) this.#vectors.addNone(batch.rows)
    else this.#vectors.add(vectors, firstRow)
  }

  finish(): ArrowBody {
    return {
      ids: this.#ids,
      vectors: this.#vectors.joined(),
      ...(this.#vectors.places !== null && { places: this.#vectors.places }),
      dimension: this.#vectors.dimension,
      texts: this.#texts,
      metadata: this.#metadata,
    }
  }

  #column(batch: ArrowBatch, name: ColumnName): ArrowColumn | null {
    return batch.columns[this.#places.get(name) ?? -1] ?? null
  }

  #strings(batch: ArrowBatch, name: ColumnName): readonly (string | null)[] {
    const column = this.#column(batch, name)
    if (column === null) return []
    const { dictionary } = column
    return dictionary === null ? stringsOf(column) : this.#lookUp(column, dictionary)
  }

  #lookUp(column: ArrowColumn, dictionary: ArrowColumn): (string | null)[] {
    let values = this.#dictionaries.get(dictionary)
    if (values === undefined) {
      values = stringsOf(dictionary)
      this.#dictionaries.set(dictionary, values)
    }
    const { field, length } = column
    const indexAt = indexReader(column)
    const strings = new Array<string | null>(length).fill(null)
    for (let row = 0; row < length; row += 1) {
      if (!hasValue(column, row)) continue
      const value = values[indexAt(row)]
      if (value === undefined) {
        throw new ArrowFault(`row ${row} of column "${field.name}" is not in its dictionary`)
      }
      strings[row] = value
      this.#expandedChars += value?.length ?? 0
      if (this.#expandedChars > EXPANDED_CHARS_MAX) throw tooLong(field.name)
    }
    return strings
  }
}

/** The vectors of all batches: a view of the input where there is one batch of float32. */
class VectorParts {
  dimension = 0
  readonly #isOptional: boolean
  /** Null until a row has none. */
  #places: number[] | null = null
  #rows = 0
  #present = 0
  readonly #parts: (Float32Array | Float64Array)[] = []
  #floats = 0

  constructor(isOptional: boolean) {
    this.#isOptional = isOptional
  }

  get places(): readonly number[] | null {
    return this.#places
  }

  /** Rows without vectors. */
  addNone(rows: number): void {
    this.#places ??= Array.from({ length: this.#rows }, (_, row) => row)
    for (let row = 0; row < rows; row += 1) this.#places.push(-1)
    this.#rows += rows
  }

  add(column: ArrowColumn, firstRow: number): void {
    if (column.length === 0) return
    const nullRow = firstNull(column)
    if (nullRow >= 0 && !this.#isOptional) throw refused('vector', firstRow + nullRow, 'is null')
    const { child } = column
    if (child === null) throw new ArrowFault('column "vector" holds no numbers')
    if (nullRow < 0) this.#addRows(column, child, firstRow)
    else this.#addSome(column, child, firstRow)
  }

  /** Row by row: lists of null rows are passed over, whatever they hold. */
  #addSome(column: ArrowColumn, child: ArrowColumn, firstRow: number): void {
    const { type } = column.field
    const offsets = type.kind === 'fixed_size_list' ? null : offsetsOf(column, child.length)
    for (let row = 0; row < column.length; row += 1) {
      if (!hasValue(column, row)) {
        this.addNone(1)
        continue
      }
      const size = type.kind === 'fixed_size_list' ? type.size : 0
      const start = offsets === null ? row * size : (offsets[row] ?? 0)
      const end = offsets === null ? start + size : (offsets[row + 1] ?? 0)
      this.#expectDimension(end - start, firstRow + row)
      this.#addFloats(child, { start, end }, { rows: 1, firstRow: firstRow + row })
    }
  }

  #addRows(column: ArrowColumn, child: ArrowColumn, firstRow: number): void {
    const span = this.#span(column, child, firstRow)
    this.#addFloats(child, span, { rows: column.length, firstRow })
  }

  #addFloats(
    child: ArrowColumn,
    { start, end }: { readonly start: number; readonly end: number },
    { rows, firstRow }: { readonly rows: number; readonly firstRow: number },
  ): void {
    const nullFloat = firstNull(child, start, end)
    if (nullFloat >= 0) {
      const row = Math.floor((nullFloat - start) / this.dimension)
      throw refused('vector', firstRow + row, 'holds a null')
    }
    const { type } = child.field
    const isDouble = type.kind === 'float' && type.bits === 64
    const all = isDouble ? float64View(child.data, end) : float32View(child.data, end)
    this.#parts.push(all.subarray(start, end))
    this.#floats += end - start
    for (let row = 0; row < rows; row += 1) this.#places?.push(this.#present + row)
    this.#rows += rows
    this.#present += rows
  }

  joined(): Float32Array {
    const [first] = this.#parts
    if (this.#parts.length === 1 && first instanceof Float32Array) return first
    const all = new Float32Array(this.#floats)
    let at = 0
    for (const part of this.#parts) {
      all.set(part, at)
      at += part.length
    }
    return all
  }

  /** Where in the child the numbers of this column stand; every row has as many as row 0. */
  #span(
    column: ArrowColumn,
    child: ArrowColumn,
    firstRow: number,
  ): { readonly start: number; readonly end: number } {
    const { field, length } = column
    if (field.type.kind === 'fixed_size_list') {
      this.dimension = field.type.size
      return { start: 0, end: child.length }
    }
    const offsets = offsetsOf(column, child.length)
    const start = offsets[0] ?? 0
    let before = start
    for (let row = 0; row < length; row += 1) {
      const offset = offsets[row + 1] ?? 0
      this.#expectDimension(offset - before, firstRow + row)
      before = offset
    }
    return { start, end: before }
  }

  #expectDimension(size: number, row: number): void {
    if (this.dimension === 0) this.dimension = size
    if (size === 0) throw refused('vector', row, 'is empty')
    if (size === this.dimension) return
    throw refused('vector', row, `has ${size} numbers, row 0 has ${this.dimension}`)
  }
}

function placesOf(schema: ArrowSchema, isOptional: boolean): Places {
  const places = new Map<ColumnName, number>()
  for (const [at, field] of schema.fields.entries()) {
    const name = COLUMNS.find((known) => known === field.name)
    if (name === undefined) throw new ColumnFault(field.name, 'is not a known column')
    if (places.has(name)) throw new ColumnFault(name, 'comes twice')
    if (name === 'vector') checkVectorType(field)
    else checkStringType(field)
    places.set(name, at)
  }
  for (const name of ['id', 'vector'] as const) {
    const isNeeded = name === 'id' || !isOptional
    if (isNeeded && !places.has(name)) throw new ColumnFault(name, 'is missing')
  }
  return places
}

function checkStringType({ name, type, dictionary }: ArrowField): void {
  if (type.kind !== 'utf8' && type.kind !== 'large_utf8') {
    throw new ColumnFault(name, `must be utf8, it is ${typeName(type)}`)
  }
  if (dictionary !== null && !isIndexType(dictionary.index)) {
    throw new ColumnFault(name, 'has a dictionary whose indices are no integers')
  }
}

function isIndexType(type: ArrowType): boolean {
  return type.kind === 'int' && [8, 16, 32, 64].includes(type.bits)
}

function checkVectorType({ name, type, children, dictionary }: ArrowField): void {
  const isList = ['fixed_size_list', 'list', 'large_list'].includes(type.kind)
  if (!isList) throw new ColumnFault(name, `must be a list of floats, it is ${typeName(type)}`)
  if (type.kind === 'fixed_size_list' && type.size < 1) {
    throw new ColumnFault(name, `has lists of ${type.size} numbers`)
  }
  const [child] = children
  const isPlain = dictionary === null && child?.dictionary === null
  if (child === undefined || !isPlain) throw new ColumnFault(name, 'must be a list of plain floats')
  if (child.type.kind !== 'float' || child.type.bits < 32) {
    throw new ColumnFault(name, `must hold float32 or float64, it holds ${typeName(child.type)}`)
  }
}

function typeName(type: ArrowType): string {
  switch (type.kind) {
    case 'int':
      return `${type.signed ? '' : 'u'}int${type.bits}`
    case 'float':
      return `float${type.bits}`
    case 'other':
      return `of type ${type.code} of Arrow's list of types`
    default:
      return type.kind
  }
}

/** Reads an index of a dictionary column; what is no index comes out as one that nothing has. */
function indexReader(column: ArrowColumn): (row: number) => number {
  const { data, length, field } = column
  const index = field.dictionary?.index
  if (index?.kind !== 'int') throw new ArrowFault(`column "${field.name}" has no indices`)
  if (data.length < (length * index.bits) / 8) {
    throw new ArrowFault(`the indices of column "${field.name}" are too short`)
  }
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength)
  switch (index.bits) {
    case 8:
      return (row) => (index.signed ? view.getInt8(row) : view.getUint8(row))
    case 16:
      return (row) => (index.signed ? view.getInt16(2 * row, true) : view.getUint16(2 * row, true))
    case 32:
      return (row) => (index.signed ? view.getInt32(4 * row, true) : view.getUint32(4 * row, true))
    default:
      return (row) => Number(view.getBigInt64(8 * row, true))
  }
}

/** A fault of one column as a whole. */
class ColumnFault extends ArrowFault {
  readonly column: string

  constructor(column: string, problem: string) {
    const short = column.length <= ECHO_CHARS_MAX ? column : `${column.slice(0, ECHO_CHARS_MAX)}…`
    const name = short.toWellFormed()
    super(`column "${name}" ${problem}`)
    this.column = name
  }
}

function malformed(fault: ArrowFault): VectordError {
  const column = fault instanceof ColumnFault ? { column: fault.column } : {}
  return new VectordError('malformed_body', `The Arrow body cannot be read: ${fault.message}.`, {
    details: { ...column, problem: fault.message },
    cause: fault,
  })
}

/** `details` are those that rows of other kinds of bodies are refused with. */
function refused(field: ColumnName, row: number, problem: string): VectordError {
  const message = `Nothing was written. Row ${row}: "${field}" ${problem}.`
  return new VectordError('invalid_points', message, {
    details: { rejected: [{ row, id: null, field, problem }], rejected_total: 1 },
  })
}

function tooManyRows(max: number): VectordError {
  return new VectordError('limit_exceeded', `A request may hold ${max} rows at the most.`, {
    details: { limit: 'rows_per_request', max },
  })
}

function tooLong(column: string): VectordError {
  const message = `The dictionary columns spell out to more than ${EXPANDED_CHARS_MAX} characters.`
  return new VectordError('limit_exceeded', message, {
    details: { limit: 'dictionary_characters', max: EXPANDED_CHARS_MAX, column },
  })
}
