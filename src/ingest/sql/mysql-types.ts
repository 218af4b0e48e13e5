/**
 * Types of MySQL and MariaDB, and how the values that the driver gives become cells.
 *
 * The driver reads the binary protocol: the text protocol rounds FLOAT, and its parser of DOUBLE is off
 * by a bit now and then.
 */

import type { FieldPacket } from 'mysql2'
import type { Cell, Column, ColumnType } from '../../domain/table.ts'
import { VectordError } from '../../lib/errors.ts'
import { ValueRefusal } from './sql-session.ts'
import { microsOfText } from './utc-text.ts'

/** A column of a statement. */
export interface MysqlColumn {
  readonly name: string
  readonly type: ColumnType
  readonly kind: MysqlKind
  /** Whether rows can be paged by it: its values are written as they are compared. */
  readonly canBeKey: boolean
  /** Of a BIT: how many. */
  readonly bits?: number
}

/** How it is asked for, and read. */
export type MysqlKind =
  | 'boolean'
  | 'integer'
  | 'bigint'
  | 'float'
  | 'decimal'
  /** As text, or as microseconds where the server is asked to count them. */
  | 'time'
  | 'text'
  | 'bits'
  | 'bytes'
  /** Asked for as text. */
  | 'geometry'

const TYPE = {
  tiny: 1,
  short: 2,
  long: 3,
  float: 4,
  double: 5,
  null: 6,
  timestamp: 7,
  longlong: 8,
  int24: 9,
  date: 10,
  time: 11,
  datetime: 12,
  year: 13,
  newDate: 14,
  bit: 16,
  vector: 242,
  json: 245,
  newDecimal: 246,
  decimal: 0,
  geometry: 255,
} as const

const FLAG = { unsigned: 32, enum: 256, set: 2048 } as const

/** The character set of what is no text. */
const BINARY = 63

const INT64_MAX = 2n ** 63n - 1n

/** @throws {VectordError} `bad_request` for a type that cannot be read. */
export function mysqlColumn(field: FieldPacket): MysqlColumn {
  const { name } = field
  const number = numberColumn(field)
  if (number !== null) return { name, ...number }
  switch (field.columnType) {
    case TYPE.timestamp:
    case TYPE.date:
    case TYPE.datetime:
    case TYPE.newDate:
      return { name, type: 'timestamp', kind: 'time', canBeKey: true }
    case TYPE.bit:
      return { name, type: 'utf8', kind: 'bits', canBeKey: false, bits: field.columnLength ?? 1 }
    case TYPE.time:
    case TYPE.json:
    case TYPE.null:
      return { name, type: 'utf8', kind: 'text', canBeKey: false }
    case TYPE.geometry:
      return { name, type: 'utf8', kind: 'geometry', canBeKey: false }
    case TYPE.vector:
      throw new VectordError(
        'bad_request',
        `Column "${name}" is a VECTOR: select VECTOR_TO_STRING of it in a query.`,
        { details: { column: name } },
      )
    default:
      return { name, ...stringColumn(field) }
  }
}

type Kind = Omit<MysqlColumn, 'name'>

function numberColumn({ columnType, flags, columnLength }: FieldPacket): Kind | null {
  const isUnsigned = (Number(flags) & FLAG.unsigned) !== 0
  switch (columnType) {
    case TYPE.tiny:
      // What BOOLEAN is another word for.
      if (columnLength === 1) return { type: 'boolean', kind: 'boolean', canBeKey: false }
      return { type: 'int32', kind: 'integer', canBeKey: true }
    case TYPE.short:
    case TYPE.int24:
    case TYPE.year:
      return { type: 'int32', kind: 'integer', canBeKey: true }
    case TYPE.long:
      if (isUnsigned) return { type: 'int64', kind: 'bigint', canBeKey: true }
      return { type: 'int32', kind: 'integer', canBeKey: true }
    case TYPE.longlong:
      return { type: 'int64', kind: 'bigint', canBeKey: true }
    case TYPE.float:
    case TYPE.double:
      return { type: 'float64', kind: 'float', canBeKey: false }
    case TYPE.decimal:
    case TYPE.newDecimal:
      return { type: 'float64', kind: 'decimal', canBeKey: false }
    default:
      return null
  }
}

function stringColumn({ flags, characterSet, extendedFormat }: FieldPacket): Kind {
  if (characterSet === BINARY) return { type: 'binary', kind: 'bytes', canBeKey: true }
  // An ENUM is sorted by the place of its value, not by its text.
  const isPlain = (Number(flags) & (FLAG.enum | FLAG.set)) === 0 && extendedFormat !== 'json'
  return { type: 'utf8', kind: 'text', canBeKey: isPlain }
}

export function tableColumn({ name, type, kind }: MysqlColumn, isNullable: boolean): Column {
  // A NOT NULL date may be the zero date, which is none.
  return { name, type, nullable: isNullable || kind === 'time' }
}

/** A row as the driver gives it. */
export type MysqlRow = readonly unknown[]

/** The cells of a column, one for each row. @throws {ValueRefusal} for one that has no place in it. */
export function mysqlCells(
  { kind, bits = 1 }: MysqlColumn,
  rows: readonly MysqlRow[],
  index: number,
): readonly Cell[] {
  switch (kind) {
    case 'integer':
    case 'float':
    case 'text':
    case 'geometry':
      return rows.map((row) => row[index] as Cell)
    case 'boolean':
      return rows.map((row) => orNull(row[index], toBoolean))
    case 'bigint':
      return rows.map((row) => orNull(row[index], toBigint))
    case 'decimal':
      return rows.map((row) => orNull(row[index], Number))
    case 'time':
      return rows.map((row) => orNull(row[index], toMicros))
    case 'bits':
      return rows.map((row) => orNull(row[index], (value) => toBits(value, bits)))
    case 'bytes':
      return rows.map((row) => orNull(row[index], toBytes))
  }
}

function orNull(value: unknown, read: (value: unknown) => Cell): Cell {
  return value === null ? null : read(value)
}

function toBoolean(value: unknown): Cell {
  if (value === 1) return true
  if (value === 0) return false
  throw new ValueRefusal(`${String(value)} of a TINYINT(1) is neither 0 nor 1; cast it to SIGNED`)
}

function toBigint(value: unknown): Cell {
  if (typeof value === 'number') return BigInt(value)
  const whole = BigInt(value as string)
  if (whole > INT64_MAX) throw new ValueRefusal(`${whole} is larger than an int64`)
  return whole
}

function toMicros(value: unknown): Cell {
  if (typeof value === 'number') return BigInt(value)
  const text = value as string
  return text.charCodeAt(4) === 45 && text.length >= 10 ? microsOfText(text) : BigInt(text)
}

function toBits(value: unknown, bits: number): Cell {
  const bytes = Array.from(value as Uint8Array, (byte) => byte.toString(2).padStart(8, '0'))
  return bytes.join('').slice(-bits)
}

/** A copy: the driver's bytes are a part of what it received. */
function toBytes(value: unknown): Cell {
  return new Uint8Array(value as Uint8Array)
}
