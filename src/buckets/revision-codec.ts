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
 * The checksum and its rules are those of `sealed-json.ts`.
 */

import {
  corruptObject,
  type Json,
  type JsonObject,
  openSealedJson,
  sealJson,
} from './sealed-json.ts'

export type { Json, JsonObject } from './sealed-json.ts'

const REVISION_FORMAT = 1

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

export function encodeRevision(stored: StoredRevision): Uint8Array {
  const { writtenMs, nonce, document, ...rest } = stored
  const fields = {
    format: REVISION_FORMAT,
    ...rest,
    written_at: new Date(writtenMs).toISOString(),
    nonce,
    document,
  }
  return sealJson(fields, 2)
}

/**
 * @throws {VectordError} `object_corrupt` where a byte is not as it was written, `format_too_new`
 *   where a later version of vectord wrote it.
 */
export function decodeRevision(key: string, body: Uint8Array): StoredRevision {
  return checkFields(key, openSealedJson(key, body, REVISION_FORMAT))
}

function checkFields(key: string, fields: JsonObject): StoredRevision {
  const revision = fields['revision']
  const document = fields['document']
  const parent = fields['parent']
  if (typeof revision !== 'number') throw corruptObject(key, 'it has no revision number')
  if (!isObjectOrNull(document)) throw corruptObject(key, 'its document is not an object')
  if (typeof parent !== 'string' && parent !== null) throw corruptObject(key, 'it names no parent')
  const writtenMs = Date.parse(stringOf(key, fields, 'written_at'))
  if (!Number.isFinite(writtenMs)) throw corruptObject(key, 'its "written_at" is no time')
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

function stringOf(key: string, fields: JsonObject, name: string): string {
  const value = fields[name]
  if (typeof value !== 'string') throw corruptObject(key, `its "${name}" is not a string`)
  return value
}

function isObjectOrNull(value: Json | undefined): value is JsonObject | null {
  return value === null || (typeof value === 'object' && !Array.isArray(value))
}
