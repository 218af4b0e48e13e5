/**
 * Types of PostgreSQL, and how the values of a binary COPY become cells.
 *
 * Types whose binary form is plain are read in it; all others are cast to text by the server.
 */

import type { FieldDef } from 'pg'
import type { Cell, ColumnType } from '../../domain/table.ts'
import { ValueRefusal } from './sql-session.ts'

/** A column of a statement. */
export interface PostgresColumn {
  readonly name: string
  readonly type: ColumnType
  readonly read: PostgresReader
  /** Whether the server must cast it to text for that. */
  readonly isCast: boolean
  /** The type of a literal that is compared with it; null: rows cannot be paged by it. */
  readonly keyType: string | null
}

/** The value that lies at `offset`, `length` bytes long. @throws {ValueRefusal} */
export type PostgresReader = (bytes: Buffer, offset: number, length: number) => Cell

type PlainType = Omit<PostgresColumn, 'name' | 'isCast'>

/** By object id; those of the built-in types never change. */
const PLAIN_TYPES: ReadonlyMap<number, PlainType> = new Map([
  [16, { type: 'boolean', read: readBoolean, keyType: null }],
  [17, { type: 'binary', read: readBytes, keyType: 'bytea' }],
  [20, { type: 'int64', read: readInt64, keyType: 'int8' }],
  [21, { type: 'int32', read: readInt16, keyType: 'int2' }],
  [23, { type: 'int32', read: readInt32, keyType: 'int4' }],
  [25, { type: 'utf8', read: readText, keyType: 'text' }],
  [26, { type: 'int64', read: readOid, keyType: 'oid' }],
  [114, { type: 'utf8', read: readText, keyType: null }],
  [700, { type: 'float64', read: readFloat32, keyType: null }],
  [701, { type: 'float64', read: readFloat64, keyType: null }],
  [1043, { type: 'utf8', read: readText, keyType: 'text' }],
  [1082, { type: 'timestamp', read: readDate, keyType: 'date' }],
  [1114, { type: 'timestamp', read: readTimestamp, keyType: 'timestamp' }],
  [1184, { type: 'timestamp', read: readTimestamp, keyType: 'timestamptz' }],
  [2950, { type: 'utf8', read: readUuid, keyType: 'uuid' }],
  [3802, { type: 'utf8', read: readJsonb, keyType: null }],
] as const)

const NUMERIC = 1700
/** `char(n)`: as text without the spaces that fill it. */
const BPCHAR = 1042

/** From 1970 to 2000, where PostgreSQL begins to count. */
const EPOCH_DAYS = 10_957
const DAY_MICROS = 86_400_000_000
const EPOCH_MICROS = EPOCH_DAYS * DAY_MICROS

const INT32_MAX = 2 ** 31 - 1
const INT64_MAX = 2n ** 63n - 1n
/** Half of a number of microseconds: below it, they are exact as a number. */
const EXACT_HIGH = 2 ** 19

export function postgresColumn({ name, dataTypeID }: FieldDef): PostgresColumn {
  const plain = PLAIN_TYPES.get(dataTypeID)
  if (plain !== undefined) return { name, ...plain, isCast: false }
  if (dataTypeID === NUMERIC) {
    return { name, type: 'float64', read: readNumeric, isCast: true, keyType: null }
  }
  const keyType = dataTypeID === BPCHAR ? 'bpchar' : null
  return { name, type: 'utf8', read: readText, isCast: true, keyType }
}

function readBoolean(bytes: Buffer, offset: number): Cell {
  return bytes[offset] !== 0
}

function readInt16(bytes: Buffer, offset: number): Cell {
  return bytes.readInt16BE(offset)
}

function readInt32(bytes: Buffer, offset: number): Cell {
  return bytes.readInt32BE(offset)
}

function readInt64(bytes: Buffer, offset: number): Cell {
  return bytes.readBigInt64BE(offset)
}

function readOid(bytes: Buffer, offset: number): Cell {
  return BigInt(bytes.readUInt32BE(offset))
}

function readFloat32(bytes: Buffer, offset: number): Cell {
  return bytes.readFloatBE(offset)
}

function readFloat64(bytes: Buffer, offset: number): Cell {
  return bytes.readDoubleBE(offset)
}

function readText(bytes: Buffer, offset: number, length: number): Cell {
  return bytes.toString('utf8', offset, offset + length)
}

/** Behind a byte that says in which version. */
function readJsonb(bytes: Buffer, offset: number, length: number): Cell {
  return bytes.toString('utf8', offset + 1, offset + length)
}

/** A copy: the bytes are a part of what was received. */
function readBytes(bytes: Buffer, offset: number, length: number): Cell {
  return new Uint8Array(bytes.subarray(offset, offset + length))
}

function readUuid(bytes: Buffer, offset: number): Cell {
  const hex = bytes.toString('hex', offset, offset + 16)
  const rest = `${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${rest}`
}

function readNumeric(bytes: Buffer, offset: number, length: number): Cell {
  const text = bytes.toString('latin1', offset, offset + length)
  const value = Number(text)
  if (Number.isFinite(value) || /^-?(NaN|Infinity)$/.test(text)) return value
  throw new ValueRefusal('is larger than a float64')
}

function readDate(bytes: Buffer, offset: number): Cell {
  const days = bytes.readInt32BE(offset)
  if (days === INT32_MAX || days === -INT32_MAX - 1) throw new ValueRefusal('is an infinite date')
  const micros = (days + EPOCH_DAYS) * DAY_MICROS
  if (Number.isSafeInteger(micros)) return BigInt(micros)
  return inInt64(BigInt(days + EPOCH_DAYS) * BigInt(DAY_MICROS))
}

function readTimestamp(bytes: Buffer, offset: number): Cell {
  const high = bytes.readInt32BE(offset)
  if (high < EXACT_HIGH && high > -EXACT_HIGH) {
    return BigInt(high * 2 ** 32 + bytes.readUInt32BE(offset + 4) + EPOCH_MICROS)
  }
  const micros = bytes.readBigInt64BE(offset)
  if (micros === INT64_MAX || micros === -INT64_MAX - 1n) {
    throw new ValueRefusal('is an infinite time')
  }
  return inInt64(micros + BigInt(EPOCH_MICROS))
}

function inInt64(micros: bigint): bigint {
  if (micros <= INT64_MAX && micros >= -INT64_MAX) return micros
  throw new ValueRefusal('is too far from 1970 for microseconds')
}
