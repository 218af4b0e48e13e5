/**
 * A dead letter as a stored object: `docs/formats/dead-letters.md`.
 */

import { corruptObject, openSealedJson, sealJson, type JsonObject } from '../buckets/sealed-json.ts'
import type { UpsertBatch } from '../domain/write-batch.ts'

const FORMAT = 1

export interface DeadPoint {
  readonly id: string
  readonly vector: Float32Array
  readonly text: string | null
  /** JSON text of an object. */
  readonly metadata: string | null
}

export interface DeadLetter {
  readonly id: string
  readonly index: string
  readonly atMs: number
  readonly reason: { readonly code: string; readonly message: string }
  readonly point: DeadPoint
}

export function pointAt({ dimension, ids, ...batch }: UpsertBatch, row: number): DeadPoint {
  return {
    id: ids[row] ?? '',
    vector: batch.vectors.subarray(row * dimension, (row + 1) * dimension),
    text: batch.texts[row] ?? null,
    metadata: batch.metadata[row] ?? null,
  }
}

export function encodeLetter({ id, index, atMs, reason, point }: DeadLetter): Uint8Array {
  const { buffer, byteOffset, byteLength } = point.vector
  const vector = Buffer.from(buffer, byteOffset, byteLength).toString('base64')
  const { code, message } = reason
  const fields = {
    ...{ format: FORMAT, id, index, at: new Date(atMs).toISOString(), reason: { code, message } },
    point: { id: point.id, vector, text: point.text, metadata: point.metadata },
  }
  return sealJson(fields, 0)
}

/** @throws {VectordError} `object_corrupt`, `format_too_new`. */
export function decodeLetter(key: string, body: Uint8Array): DeadLetter {
  const fields = openSealedJson(key, body, FORMAT)
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
  const bytes = Buffer.from(text(point, 'vector'), 'base64')
  if (bytes.length % Float32Array.BYTES_PER_ELEMENT !== 0) {
    throw corruptObject(key, 'its "vector" is no float32')
  }
  return {
    ...{ id: text(fields, 'id'), index: text(fields, 'index'), atMs },
    reason: { code: text(reason, 'code'), message: text(reason, 'message') },
    point: {
      id: text(point, 'id'),
      // In memory of its own: that of small buffers is shared, and begins anywhere.
      vector: new Float32Array(new Uint8Array(bytes).buffer),
      text: orNull('text'),
      metadata: orNull('metadata'),
    },
  }
}

function objectAt(key: string, fields: JsonObject, name: string): JsonObject {
  const value = fields[name]
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return value as JsonObject
  }
  throw corruptObject(key, `its "${name}" is no object`)
}
