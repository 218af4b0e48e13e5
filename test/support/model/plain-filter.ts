/**
 * The filter language once more, evaluated on the JSON of one point: what the inverted index of the
 * service is compared with. It shares no code with it.
 *
 * Filters are taken for valid; refusals have kinds of operations of their own.
 */

import type { Json, JsonObject, Scalar } from './model-point.ts'

/** True where a point with `metadata` matches; null is a point without any. */
export function plainMatch(filter: JsonObject, metadata: JsonObject | null): boolean {
  return Object.entries(filter).every(([name, wanted]) => {
    if (name === '$and') return objects(wanted).every((one) => plainMatch(one, metadata))
    if (name === '$or') return objects(wanted).some((one) => plainMatch(one, metadata))
    if (name === '$not') return !plainMatch(objectOf(wanted), metadata)
    return fieldMatches(lookUp(metadata ?? {}, name), wanted)
  })
}

/** What stands at a path; undefined where nothing does. A literal name at the top wins. */
function lookUp(metadata: JsonObject, path: string): Json | undefined {
  if (Object.hasOwn(metadata, path)) return metadata[path]
  let at: Json | undefined = metadata
  for (const name of path.split('.')) {
    if (at === undefined || !isObject(at) || !Object.hasOwn(at, name)) return undefined
    at = at[name]
  }
  return at
}

function fieldMatches(found: Json | undefined, wanted: Json): boolean {
  if (!isObject(wanted)) return equalsAny(found, [wanted])
  return Object.entries(wanted).every(([op, value]) => holds(found, op, value))
}

function holds(found: Json | undefined, op: string, value: Json): boolean {
  switch (op) {
    case '$eq':
      return equalsAny(found, [value])
    case '$ne':
      return !equalsAny(found, [value])
    case '$in':
      return equalsAny(found, listOf(value))
    case '$nin':
      return !equalsAny(found, listOf(value))
    case '$exists':
      return (found !== undefined) === value
    default:
      return scalarsOf(found).some((one) => compares(one, op, value))
  }
}

function equalsAny(found: Json | undefined, values: readonly Json[]): boolean {
  return scalarsOf(found).some((one) => values.includes(one))
}

/** Comparisons hold only between two numbers or two strings. */
function compares(one: Scalar, op: string, bound: Json): boolean {
  if (typeof one === 'boolean' || typeof one !== typeof bound) return false
  const limit = bound as string | number
  if (op === '$gt') return one > limit
  if (op === '$gte') return one >= limit
  return op === '$lt' ? one < limit : one <= limit
}

function scalarsOf(found: Json | undefined): readonly Scalar[] {
  return (Array.isArray(found) ? (found as readonly Json[]) : [found]).filter(
    (one) => typeof one === 'string' || typeof one === 'number' || typeof one === 'boolean',
  )
}

function objects(json: Json): readonly JsonObject[] {
  return listOf(json).map(objectOf)
}

function listOf(json: Json): readonly Json[] {
  return json as readonly Json[]
}

function objectOf(json: Json): JsonObject {
  return json as JsonObject
}

function isObject(json: Json): json is JsonObject {
  return typeof json === 'object' && json !== null && !Array.isArray(json)
}
