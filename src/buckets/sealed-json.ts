/**
 * A JSON object with a checksum over its bytes as its last field.
 *
 *     { "format": 1, …, "sha256": "of the text without this field" }
 *
 * The checksum is over the bytes as they are, not over parsed values: any flipped byte is found. A
 * newer format keeps the two fields `format` and `sha256`, so that it can be refused by its name.
 */

import { createHash } from 'node:crypto'
import { VectordError } from '../lib/errors.ts'

export type Json = null | boolean | number | string | readonly Json[] | JsonObject
export interface JsonObject {
  readonly [name: string]: Json
}

/** On a line of its own where the object is indented, else right behind the field before. */
const SEAL = /,(\n {2}|)"sha256":( ?)"([0-9a-f]{64})"(\n?)\}\n$/

const SEAL_CHARS_MAX = 100

/** `indent` 2 is for people, 0 for large objects. */
export function sealJson(fields: JsonObject, indent: 0 | 2): Uint8Array {
  const text = JSON.stringify(fields, null, indent)
  const sum = sha256(text)
  if (indent === 0) return Buffer.from(`${text.slice(0, -1)},"sha256":"${sum}"}\n`)
  return Buffer.from(`${text.slice(0, -2)},\n  "sha256": "${sum}"\n}\n`)
}

/**
 * The fields of an object that `sealJson` wrote.
 *
 * @throws {VectordError} `object_corrupt` where a byte is not as it was written, `format_too_new`
 *   where its format is above `formatMax`.
 */
export function openSealedJson(key: string, body: Uint8Array, formatMax: number): JsonObject {
  const text = Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString()
  const seal = SEAL.exec(text.slice(-SEAL_CHARS_MAX))
  if (seal === null) throw corruptObject(key, 'it has no checksum at its end')
  const rest = body.subarray(0, body.byteLength - seal[0].length)
  const end = seal[1] === '' ? '}' : '\n}'
  if (seal[3] !== sha256(rest, end)) throw corruptObject(key, 'its bytes do not match its checksum')
  const fields = parse(key, text)
  const format = fields['format']
  if (typeof format !== 'number' || !Number.isSafeInteger(format)) {
    throw corruptObject(key, 'it has no format number')
  }
  if (format > formatMax) throw tooNew(key, format, formatMax)
  return fields
}

export function corruptObject(key: string, fault: string): VectordError {
  const message = `The object "${key}" is corrupt: ${fault}.`
  return new VectordError('object_corrupt', message, { details: { key, fault } })
}

function parse(key: string, text: string): JsonObject {
  try {
    const value = JSON.parse(text) as Json
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
      return value as JsonObject
    }
  } catch {
    throw corruptObject(key, 'it is not JSON')
  }
  throw corruptObject(key, 'it is not a JSON object')
}

function sha256(...pieces: readonly (string | Uint8Array)[]): string {
  const hash = createHash('sha256')
  for (const piece of pieces) hash.update(piece)
  return hash.digest('hex')
}

function tooNew(key: string, format: number, formatMax: number): VectordError {
  const message = `The object "${key}" has format ${format}; this version reads up to ${formatMax}.`
  return new VectordError('format_too_new', message, {
    details: { key, format, format_max: formatMax },
  })
}
