/**
 * One object of a log in a bucket: a group of records, or a fence that holds none.
 *
 *     header bytes u32 | crc32 of the header | header, JSON | frames (see `record.ts`)
 *
 * A *fence* is what a new owner writes first: it takes the number that an earlier owner would write
 * to next, so that one finds out.
 */

import { crc32 } from 'node:zlib'
import { VectordError } from '../lib/errors.ts'
import { logCorrupt } from './log-header.ts'
import type { LogRecord } from './log-store.ts'
import { encodeFrames, readFrame } from './record.ts'

export const GROUP_FORMAT = 1
const LENGTHS_BYTES = 8

export interface GroupHeader {
  readonly incarnation: string
  /** Of the owner that wrote it; it never falls along the log. */
  readonly epoch: number
  readonly owner: string
  /** Of the log that was opened, a slash, and the attempt: no two objects share it. */
  readonly nonce: string
  /** The last lsn before this group. */
  readonly previousLsn: number
  readonly firstLsn: number
  /** 0 for a fence. */
  readonly records: number
}

export interface Group {
  readonly header: GroupHeader
  readonly records: readonly LogRecord[]
}

/** The last lsn once this group is written. */
export function lastLsnOf(header: GroupHeader): number {
  return header.records === 0 ? header.previousLsn : header.firstLsn + header.records - 1
}

export function encodeGroup(header: GroupHeader, payloads: readonly Uint8Array[]): Buffer {
  const json = Buffer.from(
    JSON.stringify({
      format: GROUP_FORMAT,
      incarnation: header.incarnation,
      epoch: header.epoch,
      owner: header.owner,
      nonce: header.nonce,
      previous_lsn: header.previousLsn,
      first_lsn: header.firstLsn,
      records: header.records,
    }),
  )
  const lengths = Buffer.alloc(LENGTHS_BYTES)
  lengths.writeUInt32LE(json.length, 0)
  lengths.writeUInt32LE(crc32(json), 4)
  return Buffer.concat([lengths, json, encodeFrames(header.firstLsn, payloads)])
}

/**
 * @param key names the object in errors.
 * @throws {VectordError} `log_corrupt`, `format_too_new`.
 */
export function decodeGroup(key: string, body: Uint8Array): Group {
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength)
  const { header, end } = readHeader(key, bytes)
  const records: LogRecord[] = []
  let at = end
  while (at < bytes.length) {
    const frame = readFrame(bytes, at)
    if (frame.kind !== 'record') throw logCorrupt(key, at, 'a record is damaged')
    if (frame.lsn !== header.firstLsn + records.length) throw logCorrupt(key, at, 'a wrong lsn')
    records.push({ lsn: frame.lsn, payload: frame.payload })
    at = frame.end
  }
  if (records.length !== header.records) throw logCorrupt(key, at, 'records are missing')
  return { header, records }
}

function readHeader(key: string, bytes: Buffer): { header: GroupHeader; end: number } {
  if (bytes.length < LENGTHS_BYTES) throw logCorrupt(key, 0, 'it is shorter than a header')
  const end = LENGTHS_BYTES + bytes.readUInt32LE(0)
  const json = bytes.subarray(LENGTHS_BYTES, end)
  if (end > bytes.length || crc32(json) !== bytes.readUInt32LE(4)) {
    throw logCorrupt(key, 0, 'its header does not match its checksum')
  }
  return { header: parseHeader(key, JSON.parse(json.toString('utf8'))), end }
}

function parseHeader(key: string, json: unknown): GroupHeader {
  const fields = json as Record<string, unknown>
  const integer = (name: string): number => {
    const value = fields[name]
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value
    throw logCorrupt(key, 0, `its header has no "${name}"`)
  }
  const text = (name: string): string => {
    const value = fields[name]
    if (typeof value === 'string') return value
    throw logCorrupt(key, 0, `its header has no "${name}"`)
  }
  const format = integer('format')
  if (format > GROUP_FORMAT) {
    throw new VectordError(
      'format_too_new',
      `"${key}" has format ${format}; this server reads up to ${GROUP_FORMAT}.`,
      { details: { key, format, supported: GROUP_FORMAT } },
    )
  }
  return {
    incarnation: text('incarnation'),
    epoch: integer('epoch'),
    owner: text('owner'),
    nonce: text('nonce'),
    previousLsn: integer('previous_lsn'),
    firstLsn: integer('first_lsn'),
    records: integer('records'),
  }
}
