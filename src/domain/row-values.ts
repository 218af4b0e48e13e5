/**
 * Ids, texts and metadata of points as clients send them. What passes can be stored and given back
 * unchanged: strings are well-formed Unicode, numbers finite, depth and size bounded.
 */

export interface RowProblem {
  /** A `limit` is a bound of the service, a `dimension` that of the index, else the value is bad. */
  readonly kind: 'value' | 'limit' | 'dimension'
  readonly text: string
}

/** Nesting of metadata: filters reach values by dotted paths, nobody needs more. */
const METADATA_DEPTH_MAX = 16

/** @returns what is wrong with `id`, or null; then it is a string. */
export function idProblem(id: unknown, bytesMax: number): RowProblem | null {
  if (typeof id !== 'string') return { kind: 'value', text: 'must be a string' }
  if (id === '') return { kind: 'value', text: 'must not be empty' }
  // A character takes at most three bytes for each UTF-16 unit.
  if (3 * id.length > bytesMax && Buffer.byteLength(id) > bytesMax) {
    return { kind: 'limit', text: `is longer than ${bytesMax} bytes` }
  }
  return id.isWellFormed() ? null : { kind: 'value', text: 'has half of a surrogate pair' }
}

export function textProblem(text: unknown): RowProblem | null {
  if (typeof text !== 'string') return { kind: 'value', text: 'must be a string' }
  return text.isWellFormed() ? null : { kind: 'value', text: 'has half of a surrogate pair' }
}

/**
 * The JSON text of a metadata object.
 *
 * @returns the text, or what is wrong. Values are strings, finite numbers, booleans, null, and
 * arrays and objects of them.
 */
export function metadataText(metadata: unknown, bytesMax: number): string | RowProblem {
  if (typeof metadata !== 'object' || metadata === null || Array.isArray(metadata)) {
    return { kind: 'value', text: 'must be an object' }
  }
  const problem = valueProblem(metadata, 1)
  if (problem !== null) return { kind: 'value', text: problem }
  const text = JSON.stringify(metadata)
  if (3 * text.length > bytesMax && Buffer.byteLength(text) > bytesMax) {
    return { kind: 'limit', text: `is longer than ${bytesMax} bytes as JSON` }
  }
  return text
}

function valueProblem(value: unknown, depth: number): string | null {
  if (typeof value === 'number') {
    return Number.isFinite(value) ? null : 'holds a number beyond the range of a double'
  }
  if (typeof value === 'string') return value.isWellFormed() ? null : 'holds half a surrogate pair'
  if (typeof value !== 'object' || value === null) return null
  if (depth > METADATA_DEPTH_MAX) return `is nested deeper than ${METADATA_DEPTH_MAX}`
  if (Array.isArray(value)) return firstProblem(value, depth)
  const names = Object.keys(value)
  if (!names.every((name) => name.isWellFormed())) return 'holds half a surrogate pair'
  return firstProblem(Object.values(value), depth)
}

function firstProblem(values: readonly unknown[], depth: number): string | null {
  for (const value of values) {
    const problem = valueProblem(value, depth + 1)
    if (problem !== null) return problem
  }
  return null
}
