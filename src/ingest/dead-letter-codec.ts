/**
 * A dead letter as a stored object: `docs/formats/dead-letters.md`.
 */

import { corruptObject, openSealedJson, sealJson, type JsonObject } from '../buckets/sealed-json.ts'
import type { UpsertRow } from '../domain/write-batch.ts'

/** Of points with a vector, which older readers know, and of texts without one. */
const FORMATS = { vector: 1, text: 2 } as const

export type DeadPoint = UpsertRow

export interface DeadLetter {
  readonly id: string
  readonly index: string
  readonly atMs: number
  readonly reason: { readonly code: string; readonly message: string }
  readonly point: DeadPoint
}

export function encodeLetter({ id, index, atMs, reason, point }: DeadLetter): Uint8Array {
  const vector = point.vector === null ? null : toBase64(point.vector)
  const format = vector === null ? FORMATS.text : FORMATS.vector
  const { code, message } = reason
  const fields = {
    ...{ format, id, index, at: new Date(atMs).toISOString(), reason: { code, message } },
    point: { id: point.id, vector, text: point.text, metadata: point.metadata },
  }
  return sealJson(fields, 0)
}

function toBase64({ buffer, byteOffset, byteLength }: Float32Array): string {
  return Buffer.from(buffer, byteOffset, byteLength).toString('base64')
}

/** @throws {VectordError} `object_corrupt`, `format_too_new`. */
export function decodeLetter(key: string, body: Uint8Array): DeadLetter {
  const fields = openSealedJson(key, body, FORMATS.text)
  const text = (object: JsonObject, name: string): string => {
    const value = object[name]
    if (typeof value === 'string') return value
    throw corruptObject(key, `its "${name}" is no text`)
  }
  const reason = objectAt(key, fields, 'reason')
  const point = objectAt(key, fields, 'point')
  const orNull = (name: string): string | null => (point[name] === null ? null : text(point, name))
  const atMs = Date.parse(text(fields, 'at'))
  if (!Number.isFinite(atMs)) throw corruptObject(key, 'its "at" is no time')
  const vector = fields['format'] === FORMATS.vector ? text(point, 'vector') : orNull('vector')
  return {
    ...{ id: text(fields, 'id'), index: text(fields, 'index'), atMs },
    reason: { code: text(reason, 'code'), message: text(reason, 'message') },
    point: {
      id: text(point, 'id'),
      vector: vector === null ? null : fromBase64(key, vector),
      text: orNull('text'),
      metadata: orNull('metadata'),
    },
  }
}

function fromBase64(key: string, text: string): Float32Array {
  const bytes = Buffer.from(text, 'base64')
  if (bytes.length % Float32Array.BYTES_PER_ELEMENT !== 0) {
    throw corruptObject(key, 'its "vector" is no float32')
  }
  // In memory of its own: that of small buffers is shared, and begins anywhere.
  return new Float32Array(new Uint8Array(bytes).buffer)
}

function objectAt(key: string, fields: JsonObject, name: string): JsonObject {
  const value = fields[name]
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return value as JsonObject
  }
  throw corruptObject(key, `its "${name}" is no object`)
}
