/**
 * Reading fields of stored JSON: each has the type and the bounds that it was written with, or the
 * whole is corrupt and the fault names the field.
 */

import type { JsonObject } from '../buckets/revision-codec.ts'
import { VectordError } from '../lib/errors.ts'

type Guard<T> = (value: unknown) => value is T

export interface JsonFields {
  /** @throws {VectordError} `object_corrupt` naming the field. */
  <T>(name: string, guard: Guard<T>): T
}

/** Reads fields of `json`; `what` names it in faults, such as `trial`. */
export function fieldsOf(what: string, json: unknown): JsonFields {
  return (name, guard) => {
    const value = isObject(json) ? json[name] : undefined
    if (guard(value)) return value
    throw corruptField(what, name)
  }
}

export function corruptField(what: string, name: string): VectordError {
  return new VectordError('object_corrupt', `The ${what} has a bad "${name}".`, {
    details: { what, field: name },
  })
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

export function isBoolean(value: unknown): value is boolean {
  return typeof value === 'boolean'
}

/** Text of at most `max` UTF-16 units. */
export function isText(max: number, min = 0): Guard<string> {
  return (value): value is string =>
    typeof value === 'string' && value.length >= min && value.length <= max
}

/** A time as ISO 8601 that reads back as the same. */
export function isTime(value: unknown): value is string {
  if (typeof value !== 'string') return false
  const ms = Date.parse(value)
  return Number.isFinite(ms) && new Date(ms).toISOString() === value
}

export function isNumberIn(min: number, max: number): Guard<number> {
  return (value): value is number =>
    typeof value === 'number' && Number.isFinite(value) && value >= min && value <= max
}

export function isIntegerIn(min: number, max = Number.MAX_SAFE_INTEGER): Guard<number> {
  return (value): value is number => isNumberIn(min, max)(value) && Number.isInteger(value)
}

export function isOneOf<T extends string>(words: readonly T[]): Guard<T> {
  return (value): value is T => words.some((word) => word === value)
}

export function isListOf<T>(guard: Guard<T>, max: number): Guard<readonly T[]> {
  return (value): value is readonly T[] =>
    Array.isArray(value) && value.length <= max && value.every((item) => guard(item))
}

export function orNull<T>(guard: Guard<T>): Guard<T | null> {
  return (value): value is T | null => value === null || guard(value)
}
