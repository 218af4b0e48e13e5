/**
 * The bytes of one revision of a document: JSON that a person can read, with a checksum over it.
 *
 *     {
 *       "format": 1,
 *       "revision": 7,
 *       "parent": "nonce of revision 6, or null",
 *       "author": "…", "reason": "…", "written_at": "2026-01-31T12:00:00.000Z",
 *       "nonce": "…",
 *       "document": { … } or null where this revision removes the document,
 *       "sha256": "of the text without this line"
 *     }
 *
 * The checksum is over the bytes as they are, not over parsed values: any flipped byte is found. A
 * newer format keeps the two fields `format` and `sha256`, so that it can be refused by its name.
 */

import { createHash } from 'node:crypto'
import { VectordError } from '../lib/errors.ts'

const REVISION_FORMAT = 1

export type Json = null | boolean | number | string | readonly Json[] | JsonObject
export interface JsonObject {
  readonly [name: string]: Json
}

/** One revision as it is stored. */
export interface StoredRevision {
  readonly revision: number
  /** Nonce of the revision before, null for the first. */
  readonly parent: string | null
  readonly author: string
  readonly reason: string
  readonly writtenMs: number
  /** Unique for each attempt to write: tells our own object from that of another writer. */
  readonly nonce: string
  /** Null removes the document: its numbers go on, so no late writer brings an old one back. */
  readonly document: JsonObject | null
}

const CHECKSUM_LINE = /,\n {2}"sha256": "([0-9a-f]{64})"\n\}\n$/

export function encodeRevision(stored: StoredRevision): Uint8Array {
  const { writtenMs, nonce, document, ...rest } = stored
  const fields = {
    format: REVISION_FORMAT,
    ...rest,
    written_at: new Date(writtenMs).toISOString(),
    nonce,
    document,
  }
  const text = JSON.stringify(fields, null, 2)
  return Buffer.from(`${text.slice(0, -2)},\n  "sha256": "${sha256(text)}"\n}\n`)
}

/**
 * @throws {VectordError} `object_corrupt` where a byte is not as it was written, `format_too_new`
 *   where a later version of vectord wrote it.
 */
export function decodeRevision(key: string, body: Uint8Array): StoredRevision {
  const text = Buffer.from(body).toString()
  const checksum = CHECKSUM_LINE.exec(text)
  if (checksum === null) throw corrupt(key, 'it has no checksum at its end')
  const rest = body.subarray(0, body.byteLength - checksum[0].length)
  if (checksum[1] !== sha256(rest, '\n}')) {
    throw corrupt(key, 'its bytes do not match its checksum')
  }
  const fields = parse(key, text)
  const format = fields['format']
  if (typeof format !== 'number' || !Number.isSafeInteger(format)) {
    throw corrupt(key, 'it has no format number')
  }
  if (format > REVISION_FORMAT) throw tooNew(key, format)
  return checkFields(key, fields)
}

function checkFields(key: string, fields: JsonObject): StoredRevision {
  const revision = fields['revision']
  const document = fields['document']
  const parent = fields['parent']
  if (typeof revision !== 'number') throw corrupt(key, 'it has no revision number')
  if (!isObjectOrNull(document)) throw corrupt(key, 'its document is not an object')
  if (typeof parent !== 'string' && parent !== null) throw corrupt(key, 'it names no parent')
  const writtenMs = Date.parse(stringOf(key, fields, 'written_at'))
  if (!Number.isFinite(writtenMs)) throw corrupt(key, 'its "written_at" is no time')
  return {
    revision,
    parent,
    author: stringOf(key, fields, 'author'),
    reason: stringOf(key, fields, 'reason'),
    writtenMs,
    nonce: stringOf(key, fields, 'nonce'),
    document,
  }
}

function parse(key: string, text: string): JsonObject {
  try {
    const value = JSON.parse(text) as Json
    if (isObjectOrNull(value) && value !== null) return value
  } catch {
    throw corrupt(key, 'it is not JSON')
  }
  throw corrupt(key, 'it is not a JSON object')
}

function stringOf(key: string, fields: JsonObject, name: string): string {
  const value = fields[name]
  if (typeof value !== 'string') throw corrupt(key, `its "${name}" is not a string`)
  return value
}

function isObjectOrNull(value: Json | undefined): value is JsonObject | null {
  return value === null || (typeof value === 'object' && !Array.isArray(value))
}

function sha256(...pieces: readonly (string | Uint8Array)[]): string {
  const hash = createHash('sha256')
  for (const piece of pieces) hash.update(piece)
  return hash.digest('hex')
}

function corrupt(key: string, fault: string): VectordError {
  const message = `The object "${key}" is corrupt: ${fault}.`
  return new VectordError('object_corrupt', message, { details: { key, fault } })
}

function tooNew(key: string, format: number): VectordError {
  const message = `The object "${key}" has format ${format}; this version reads up to ${REVISION_FORMAT}.`
  return new VectordError('format_too_new', message, {
    details: { key, format, format_max: REVISION_FORMAT },
  })
}
