/**
 * The schema message of an Arrow IPC stream: which columns follow, and of which types.
 */

import { FlatTable } from './flat-table.ts'

/** What is wrong with a stream, in words that can go into an error message. */
export class ArrowFault extends Error {
  override readonly name = 'ArrowFault'
}

export type TimeUnit = 's' | 'ms' | 'us' | 'ns'

export type ArrowType =
  | { readonly kind: 'utf8' | 'large_utf8' | 'list' | 'large_list' }
  | { readonly kind: 'binary' | 'large_binary' | 'utf8_view' | 'binary_view' }
  | { readonly kind: 'null' | 'boolean' | 'struct' | 'map' }
  | { readonly kind: 'int'; readonly bits: number; readonly signed: boolean }
  | { readonly kind: 'float'; readonly bits: number }
  | { readonly kind: 'decimal'; readonly bits: number; readonly scale: number }
  | { readonly kind: 'date'; readonly unit: 'day' | 'ms' }
  | { readonly kind: 'time'; readonly bits: number; readonly unit: TimeUnit }
  | { readonly kind: 'timestamp' | 'duration'; readonly unit: TimeUnit }
  | { readonly kind: 'interval'; readonly unit: 'months' | 'day_time' | 'month_day_nano' }
  | { readonly kind: 'fixed_size_list' | 'fixed_size_binary'; readonly size: number }
  | { readonly kind: 'other'; readonly code: number }

export interface ArrowField {
  readonly name: string
  readonly nullable: boolean
  /** Of the values, also where the field is dictionary-encoded. */
  readonly type: ArrowType
  readonly children: readonly ArrowField[]
  readonly dictionary: { readonly id: number; readonly index: ArrowType } | null
  readonly metadata: ReadonlyMap<string, string>
}

export interface ArrowSchema {
  readonly fields: readonly ArrowField[]
  readonly metadata: ReadonlyMap<string, string>
}

/** What is taken: bounds keep a hostile header from costing more than its bytes. */
export interface ArrowScope {
  readonly headerBytesMax: number
  readonly fieldsMax: number
  readonly metadataPairsMax: number
  readonly depthMax: number
  /** The types that are known; a column of another one is refused by its code. */
  readonly types: 'of_points' | 'all'
}

/** Points of clients, and what vectord writes itself. */
export const POINTS_SCOPE: ArrowScope = {
  headerBytesMax: 256 * 1024,
  fieldsMax: 64,
  metadataPairsMax: 64,
  depthMax: 4,
  types: 'of_points',
}

/** Tables of other programs. */
export const TABLES_SCOPE: ArrowScope = {
  headerBytesMax: 64 * 1024 * 1024,
  fieldsMax: 65_536,
  metadataPairsMax: 4096,
  depthMax: 32,
  types: 'all',
}

/** @throws {ArrowFault} and `RangeError` where the header is damaged. */
export function readSchema(header: FlatTable, scope: ArrowScope): ArrowSchema {
  if (header.int16(0) !== 0) throw new ArrowFault('big-endian data is not read')
  const reader = new FieldReader(scope)
  const fields = header.tables(1, scope.fieldsMax).map((table) => reader.field(table, 1))
  return { fields, metadata: readPairs(header, 2, scope) }
}

class FieldReader {
  readonly #scope: ArrowScope
  #left: number

  constructor(scope: ArrowScope) {
    this.#scope = scope
    this.#left = scope.fieldsMax
  }

  field(table: FlatTable, depth: number): ArrowField {
    const { fieldsMax, depthMax } = this.#scope
    this.#left -= 1
    if (this.#left < 0) throw new ArrowFault(`more than ${fieldsMax} fields`)
    if (depth > depthMax) throw new ArrowFault('fields are nested too deep')
    const encoding = table.table(4)
    return {
      name: table.string(0),
      nullable: table.uint8(1) !== 0,
      type: this.#type(table.uint8(2), table.table(3)),
      children: table.tables(5, fieldsMax).map((child) => this.field(child, depth + 1)),
      dictionary: encoding === null ? null : readEncoding(encoding),
      metadata: this.#scope.types === 'all' ? readPairs(table, 6, this.#scope) : NO_PAIRS,
    }
  }

  #type(code: number, table: FlatTable | null): ArrowType {
    const type = readPointType(code, table)
    if (type.kind !== 'other' || this.#scope.types === 'of_points') return type
    return readOtherType(code, table)
  }
}

const NO_PAIRS: ReadonlyMap<string, string> = new Map()

function readPairs(
  table: FlatTable,
  field: number,
  { metadataPairsMax }: ArrowScope,
): ReadonlyMap<string, string> {
  const pairs = table.tables(field, metadataPairsMax)
  return new Map(pairs.map((pair) => [pair.string(0), pair.string(1)]))
}

function readEncoding(table: FlatTable): { id: number; index: ArrowType } {
  const index = table.table(1)
  return {
    id: table.count(0),
    index: index === null ? { kind: 'int', bits: 32, signed: true } : readPointType(2, index),
  }
}

function readPointType(code: number, table: FlatTable | null): ArrowType {
  switch (code) {
    case 2:
      return { kind: 'int', bits: table?.int32(0) ?? 0, signed: table?.uint8(1) === 1 }
    case 3:
      return { kind: 'float', bits: [16, 32, 64][table?.int16(0) ?? 0] ?? 0 }
    case 5:
      return { kind: 'utf8' }
    case 12:
      return { kind: 'list' }
    case 16:
      return { kind: 'fixed_size_list', size: table?.int32(0) ?? 0 }
    case 20:
      return { kind: 'large_utf8' }
    case 21:
      return { kind: 'large_list' }
    default:
      return { kind: 'other', code }
  }
}

const PLAIN = {
  1: 'null',
  4: 'binary',
  6: 'boolean',
  13: 'struct',
  17: 'map',
  19: 'large_binary',
  23: 'binary_view',
  24: 'utf8_view',
} as const

function readOtherType(code: number, table: FlatTable | null): ArrowType {
  const plain = (PLAIN as Partial<Record<number, (typeof PLAIN)[keyof typeof PLAIN]>>)[code]
  if (plain !== undefined) return { kind: plain }
  const at = table ?? NO_FIELDS
  switch (code) {
    case 7:
      return { kind: 'decimal', bits: at.int32(2, 128), scale: at.int32(1) }
    case 8:
      return { kind: 'date', unit: at.int16(0, 1) === 0 ? 'day' : 'ms' }
    case 9:
      return { kind: 'time', unit: unitOf(at, 1), bits: at.int32(1, 32) }
    case 10:
      return { kind: 'timestamp', unit: unitOf(at, 0) }
    case 11:
      return { kind: 'interval', unit: INTERVALS[at.int16(0)] ?? 'months' }
    case 15:
      return { kind: 'fixed_size_binary', size: at.int32(0) }
    case 18:
      return { kind: 'duration', unit: unitOf(at, 1) }
    default:
      return { kind: 'other', code }
  }
}

/** What a type is made of where nothing is told: each field has its default. */
const NO_FIELDS: Pick<FlatTable, 'int16' | 'int32'> = {
  int16: (_field, absent) => absent ?? 0,
  int32: (_field, absent) => absent ?? 0,
}

const INTERVALS = ['months', 'day_time', 'month_day_nano'] as const
const UNITS = ['s', 'ms', 'us', 'ns'] as const

/** @param absent the unit where none is named: that of the format differs from type to type. */
function unitOf(table: Pick<FlatTable, 'int16'>, absent: number): TimeUnit {
  const unit = UNITS[table.int16(0, absent)]
  if (unit === undefined) throw new ArrowFault('a unit of time is not known')
  return unit
}
