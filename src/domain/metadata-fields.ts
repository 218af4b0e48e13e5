/**
 * What the filter language sees of one metadata object.
 *
 *     {"a": {"b": [1, "x"]}, "c.d": true}  ─▶  a: present · a.b: present, 1, "x" · c.d: present, true
 *
 * A dotted path walks objects by their own keys; a key of the top level that has that literal name
 * wins. Paths deeper than `FIELD_DEPTH_MAX` are not seen: their names would grow with the square of
 * the depth.
 */

import type { Scalar } from './filter.ts'

export const FIELD_DEPTH_MAX = 16

export interface FieldValue {
  readonly field: string
  /** Distinct values that a condition can hold for; empty for null and for objects. */
  readonly values: readonly Scalar[]
}

type Json = Readonly<Record<string, unknown>>

/** Every field of `metadata`, each once. */
export function fieldsOf(metadata: Json): FieldValue[] {
  const fields: FieldValue[] = []
  for (const [key, value] of Object.entries(metadata)) {
    fields.push({ field: key, values: valuesOf(value) })
    if (!key.includes('.') && isObject(value)) nested(value, key, { metadata, fields }, 2)
  }
  return fields
}

interface Sink {
  readonly metadata: Json
  readonly fields: FieldValue[]
}

function nested(object: Json, prefix: string, sink: Sink, depth: number): void {
  if (depth > FIELD_DEPTH_MAX) return
  for (const [key, value] of Object.entries(object)) {
    // A path walks by names without dots; a literal name at the top was seen already.
    if (key.includes('.')) continue
    const field = `${prefix}.${key}`
    if (!Object.hasOwn(sink.metadata, field)) sink.fields.push({ field, values: valuesOf(value) })
    if (isObject(value)) nested(value, field, sink, depth + 1)
  }
}

function valuesOf(value: unknown): Scalar[] {
  if (isScalar(value)) return [value]
  return Array.isArray(value) ? [...new Set(value.filter(isScalar))] : []
}

function isScalar(value: unknown): value is Scalar {
  return typeof value === 'string' || typeof value === 'boolean' || typeof value === 'number'
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
