/**
 * What may be the key of an object, and the order of keys: the same for every backend.
 *
 * A key that one backend takes and another one refuses would strand an index on its move, so the
 * rules are those of the strictest: a folder on a disk. Nothing is sanitised, odd keys are refused.
 */

import { VectordError } from '../lib/errors.ts'

/** Leaves half of S3's 1024 bytes to the prefix of a bucket. */
const KEY_BYTES_MAX = 512

/** What file systems allow in one name. */
const KEY_PART_BYTES_MAX = 255

/** No key starts with this: what lies there in the root of a local bucket is no object. */
const RESERVED = '.vectord'

/** Temporary files of local buckets. */
export const TEMPORARY_FOLDER = `${RESERVED}-tmp`

/** Secrets that came with requests; the storage root may be the root of a bucket too. */
export const SECRETS_FOLDER = `${RESERVED}-secrets`

/** @throws {VectordError} `bad_request` where `key` cannot name an object. */
export function checkKey(key: string): string {
  const fault = faultOfKey(key)
  if (fault !== null) throw refusal('key', key, fault)
  return key
}

/** True where `key` can name an object. */
export function isKey(key: string): boolean {
  return faultOfKey(key) === null
}

/** Checks the start of keys: empty, or a key that may end with a slash or within a part. */
export function checkPrefix(prefix: string): string {
  if (prefix === '') return prefix
  const cut = prefix.lastIndexOf('/')
  const fault = faultOfText(prefix) ?? faultOfParts(prefix.slice(0, cut + 1).split('/'), true)
  if (fault !== null) throw refusal('prefix', prefix, fault)
  return prefix
}

/** Byte order of the UTF-8 forms; plain `<` compares UTF-16 units, which sorts emoji wrongly. */
export function compareKeys(a: string, b: string): number {
  const length = Math.min(a.length, b.length)
  for (let i = 0; i < length; i += 1) {
    const unitA = a.charCodeAt(i)
    const unitB = b.charCodeAt(i)
    if (unitA !== unitB) return rank(unitA) - rank(unitB)
  }
  return a.length - b.length
}

/** Moves surrogates, which stand for the highest code points, above U+E000 to U+FFFF. */
function rank(unit: number): number {
  if (unit >= 0xe000) return unit - 0x800
  return unit >= 0xd800 ? unit + 0x2000 : unit
}

function faultOfKey(key: string): string | null {
  return faultOfText(key) ?? faultOfParts(key.split('/'), false)
}

function faultOfText(text: string): string | null {
  const bytes = Buffer.byteLength(text)
  if (bytes === 0 || bytes > KEY_BYTES_MAX) return `has not 1 to ${KEY_BYTES_MAX} bytes`
  if (!text.isWellFormed()) return 'is not well-formed Unicode'
  return text.includes('\0') || text.includes('\\') ? 'holds a NUL or a backslash' : null
}

function faultOfParts(parts: readonly string[], mayEndOpen: boolean): string | null {
  if (parts[0]?.startsWith(RESERVED) === true) return `starts with "${RESERVED}"`
  const whole = mayEndOpen ? parts.slice(0, -1) : parts
  for (const part of whole) {
    if (part === '') return 'has an empty part, or a slash at an end'
    if (part === '.' || part === '..') return `has "${part}" as a part`
    if (Buffer.byteLength(part) > KEY_PART_BYTES_MAX) {
      return `has a part of more than ${KEY_PART_BYTES_MAX} bytes`
    }
  }
  return null
}

function refusal(what: string, text: string, fault: string): VectordError {
  const shown = text.slice(0, 64)
  return new VectordError('bad_request', `The object ${what} ${JSON.stringify(shown)} ${fault}.`, {
    details: { [what]: shown, fault },
  })
}
