/**
 * The first 512 bytes of a segment file or a group object: who wrote it and where it stands.
 *
 *     0   magic, 8 bytes     8  format, uint32     12  CRC-32 of all but these four bytes
 *     16  JSON, then zeros
 *
 * Magic, format and checksum lie so in every format, so that a newer one is refused by name and
 * damage is told from it.
 */

import { crc32 } from 'node:zlib'
import { VectordError } from '../lib/errors.ts'
import { invariant } from '../lib/invariant.ts'

export const LOG_HEADER_BYTES = 512
const LOG_FORMAT = 1

export type LogFileKind = 'segment' | 'group'

/** Eight bytes; the first is no ASCII, so that tools do not take the file for text. */
const MAGIC: Readonly<Record<LogFileKind, Buffer>> = {
  segment: Buffer.from('\x89VLOGSEG', 'latin1'),
  group: Buffer.from('\x89VLOGGRP', 'latin1'),
}

/** Where a log file stands in the chain of its log. */
export interface ChainLink {
  readonly incarnation: string
  /** The lsn of the first record, or of the first to come. */
  readonly firstLsn: number
  /** The last durable lsn before this file: what lies between was given to appends that failed. */
  readonly previousLsn: number
}

/** What a group object says besides. */
export interface GroupHeader extends ChainLink {
  readonly sequence: number
  readonly epoch: number
  readonly owner: string
  /** Of the writer: tells its own group from another's after a lost answer. */
  readonly nonce: string
  readonly records: number
  readonly bodyBytes: number
}

export function encodeSegmentHeader(link: ChainLink): Buffer {
  return encode('segment', linkToJson(link))
}

export function encodeGroupHeader(group: GroupHeader): Buffer {
  const { sequence, epoch, owner, nonce, records, bodyBytes } = group
  const own = { sequence, epoch, owner, nonce, records, body_bytes: bodyBytes }
  return encode('group', { ...linkToJson(group), ...own })
}

/** @throws {VectordError} `log_corrupt`, `format_too_new`; `file` names it in the message. */
export function decodeSegmentHeader(file: string, bytes: Buffer): ChainLink {
  return linkOf(new Fields(file, decode('segment', file, bytes)))
}

/** @throws {VectordError} `log_corrupt`, `format_too_new`; `file` names it in the message. */
export function decodeGroupHeader(file: string, bytes: Buffer): GroupHeader {
  const fields = new Fields(file, decode('group', file, bytes))
  return {
    ...linkOf(fields),
    sequence: fields.count('sequence'),
    epoch: fields.count('epoch'),
    owner: fields.text('owner'),
    nonce: fields.text('nonce'),
    records: fields.count('records'),
    bodyBytes: fields.count('body_bytes'),
  }
}

/** A fault of a log file or object. `offset` is in bytes from its start. */
export function logCorrupt(
  file: string,
  offset: number,
  problem: string,
  cause?: unknown,
): VectordError {
  return new VectordError('log_corrupt', `The log file "${file}": ${problem} (byte ${offset}).`, {
    details: { file, offset, problem },
    cause,
  })
}

function encode(kind: LogFileKind, json: Record<string, unknown>): Buffer {
  const text = Buffer.from(JSON.stringify(json))
  invariant(text.length <= LOG_HEADER_BYTES - 16, 'a log header fits')
  const out = Buffer.alloc(LOG_HEADER_BYTES)
  MAGIC[kind].copy(out)
  out.writeUInt32LE(LOG_FORMAT, 8)
  text.copy(out, 16)
  out.writeUInt32LE(checksum(out), 12)
  return out
}

function decode(kind: LogFileKind, file: string, bytes: Buffer): Record<string, unknown> {
  if (bytes.length < LOG_HEADER_BYTES) throw logCorrupt(file, bytes.length, 'it ends too early')
  const header = bytes.subarray(0, LOG_HEADER_BYTES)
  if (!header.subarray(0, 8).equals(MAGIC[kind])) throw logCorrupt(file, 0, `it is no ${kind}`)
  if (header.readUInt32LE(12) !== checksum(header)) {
    throw logCorrupt(file, 0, 'its header does not match its checksum')
  }
  const format = header.readUInt32LE(8)
  if (format > LOG_FORMAT) throw tooNew(file, format)
  return parseObject(file, header.subarray(16))
}

/** The text up to the first zero; the checksum covers the zeros too. */
function parseObject(file: string, bytes: Buffer): Record<string, unknown> {
  const end = bytes.indexOf(0)
  try {
    const json: unknown = JSON.parse(bytes.toString('utf8', 0, end < 0 ? bytes.length : end))
    if (typeof json === 'object' && json !== null) return json as Record<string, unknown>
  } catch {
    // Reported below: the checksum fits, so whoever wrote it wrote no JSON.
  }
  throw logCorrupt(file, 16, 'its header is no JSON object')
}

/** Of the magic and the format, and of everything after the checksum. */
function checksum(header: Buffer): number {
  return crc32(header.subarray(16), crc32(header.subarray(0, 12)))
}

function tooNew(file: string, format: number): VectordError {
  return new VectordError(
    'format_too_new',
    `The log file "${file}" has format ${format}; this server reads up to ${LOG_FORMAT}.`,
    { details: { file, format, supported: LOG_FORMAT } },
  )
}

function linkToJson(link: ChainLink): Record<string, unknown> {
  return {
    incarnation: link.incarnation,
    first_lsn: link.firstLsn,
    previous_lsn: link.previousLsn,
  }
}

function linkOf(fields: Fields): ChainLink {
  const link = {
    incarnation: fields.text('incarnation'),
    firstLsn: fields.count('first_lsn'),
    previousLsn: fields.count('previous_lsn'),
  }
  if (link.firstLsn <= link.previousLsn) throw fields.fault('first_lsn')
  return link
}

class Fields {
  readonly #file: string
  readonly #json: Record<string, unknown>

  constructor(file: string, json: Record<string, unknown>) {
    this.#file = file
    this.#json = json
  }

  text(name: string): string {
    const value = this.#json[name]
    if (typeof value === 'string') return value
    throw this.fault(name)
  }

  count(name: string): number {
    const value = this.#json[name]
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value
    throw this.fault(name)
  }

  fault(name: string): VectordError {
    return logCorrupt(this.#file, 16, `the field "${name}" of its header is wrong`)
  }
}
