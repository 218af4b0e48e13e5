/**
 * Vectors as clients send them: a JSON array of numbers, or base64 of little-endian float32.
 *
 * Whatever passes is safe for every engine: right dimension, finite as float32, and long enough to
 * be normalised under cosine. Its squared length stays below 2^126, so that no distance between two
 * stored vectors overflows float32 and becomes Infinity, which JSON cannot say.
 */

import { endianness } from 'node:os'
import type { Metric } from './metric.ts'
import { invariant } from '../lib/invariant.ts'

export interface VectorProblem {
  readonly kind: 'dimension' | 'value'
  /** Position of the number that is wrong, or null where it is the whole vector. */
  readonly at: number | null
  readonly text: string
}

/** |a - b|² is at most 4 times this: just below the largest float32. */
const SQUARED_LENGTH_MAX = 2 ** 126

/** The smallest normal float32: below it, 1/|v| is no longer a float32. */
const SQUARED_LENGTH_MIN = 2 ** -126

invariant(endianness() === 'LE', 'vectors are read from memory as they came over the wire')

/**
 * Writes the vector `value` into `out` at `offset`; the metric only decides about zero vectors.
 *
 * @returns what is wrong with it, or null; then `out` holds it. What was written meanwhile is void.
 */
export function readVector(
  value: unknown,
  metric: Metric,
  out: Float32Array,
  place: { readonly offset: number; readonly dimension: number },
): VectorProblem | null {
  if (Array.isArray(value)) return readArray(value, metric, out, place)
  if (typeof value !== 'string') {
    return { kind: 'value', at: null, text: 'must be an array of numbers or a base64 string' }
  }
  const { offset, dimension } = place
  const bytes = base64Length(value)
  if (bytes !== 4 * dimension) return wrongBytes(bytes, dimension)
  if (!readBase64(value, out, offset)) return NOT_BASE64
  return checkVector(out, metric, place)
}

const NOT_BASE64 = { kind: 'value', at: null, text: 'is not valid base64' } as const

/** The bytes that a base64 text of this length holds, with or without padding. */
export function base64Length(text: string): number {
  const padding = text.endsWith('==') ? 2 : text.endsWith('=') ? 1 : 0
  return Math.floor((3 * (text.length - padding)) / 4)
}

/** Decodes the whole of `text` into `out` at `offset`; false where it is not valid base64. */
export function readBase64(text: string, out: Float32Array, offset: number): boolean {
  const bytes = base64Length(text)
  const target = Buffer.from(out.buffer, out.byteOffset + 4 * offset, bytes)
  // Node skips or stops at what is no base64, and so writes less: no need to look at each character.
  return target.write(text, 'base64') === bytes
}

function wrongBytes(bytes: number, dimension: number): VectorProblem {
  if (bytes % 4 !== 0) {
    return { kind: 'value', at: null, text: `holds ${bytes} bytes, which is no number of float32` }
  }
  return wrongDimension(bytes / 4, dimension)
}

function wrongDimension(got: number, dimension: number): VectorProblem {
  return { kind: 'dimension', at: null, text: `has ${got} numbers, the index has ${dimension}` }
}

function readArray(
  value: readonly unknown[],
  metric: Metric,
  out: Float32Array,
  place: { readonly offset: number; readonly dimension: number },
): VectorProblem | null {
  const { offset, dimension } = place
  if (value.length !== dimension) return wrongDimension(value.length, dimension)
  for (let i = 0; i < dimension; i += 1) {
    const number = value[i]
    if (typeof number !== 'number') return { kind: 'value', at: i, text: 'is not a number' }
    out[offset + i] = number
  }
  return checkVector(out, metric, place)
}

/** Checks numbers that are in place already. */
export function checkVector(
  vectors: Float32Array,
  metric: Metric,
  place: { readonly offset: number; readonly dimension: number },
): VectorProblem | null {
  const { offset, dimension } = place
  let squares = 0
  for (let i = offset; i < offset + dimension; i += 1) {
    const number = vectors[i] ?? 0
    squares += number * number
  }
  if (squares < SQUARED_LENGTH_MAX && (squares >= SQUARED_LENGTH_MIN || metric !== 'cosine')) {
    return null
  }
  // Squares of finite float32 cannot overflow a double: only now is there something to look for.
  for (let i = 0; i < dimension; i += 1) {
    if (!Number.isFinite(vectors[offset + i])) {
      return { kind: 'value', at: i, text: 'is not a finite float32' }
    }
  }
  if (squares < SQUARED_LENGTH_MIN) {
    return { kind: 'value', at: null, text: 'is zero, which has no direction under cosine' }
  }
  return { kind: 'value', at: null, text: 'is too long: distances to it would overflow float32' }
}
