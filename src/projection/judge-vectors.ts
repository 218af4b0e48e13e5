/**
 * Whether what an embedder answered are vectors of the index.
 *
 * Pure.
 */

import type { Metric } from '../domain/metric.ts'

/** @returns what is wrong with `vector`; null where nothing is. */
export function vectorProblem(
  vector: Float32Array | undefined,
  { dimension, metric }: { readonly dimension: number; readonly metric: Metric },
): string | null {
  if (!(vector instanceof Float32Array)) return 'The embedder made no vector of it.'
  if (vector.length !== dimension) {
    return `The embedder made a vector of ${vector.length} numbers, not of ${dimension}.`
  }
  let squaredLength = 0
  for (const value of vector) squaredLength += value * value
  // Infinite and NaN values make it so; far below, no float32 overflows in a distance.
  if (!Number.isFinite(squaredLength) || squaredLength >= SQUARED_LENGTH_MAX) {
    return 'The embedder made a vector with numbers that are not finite, or too large.'
  }
  if (metric === 'cosine' && squaredLength < SQUARED_LENGTH_MIN) {
    return 'The embedder made a vector without a direction, which a cosine index cannot hold.'
  }
  return null
}

/** As for vectors of clients: see `src/domain/vector-values.ts`. */
const SQUARED_LENGTH_MAX = 2 ** 126
const SQUARED_LENGTH_MIN = 2 ** -126
