/**
 * Metadata of benchmark rows, and filters over it whose selectivity is known.
 *
 *     lot     0 to 9999, by seed: has nothing to do with the vector
 *     group   "g0" to "g999", by seed
 *     rank    0 to 9999: 0 is farthest from the pole, see `ranksFrom`
 */

import { uniform } from './prng.ts'
import { normalized, rowOf, type Vectors } from './vectors.ts'

/** `lot` and `rank` below n select n / 10,000 of the rows. */
export const LOTS = 10_000
export const GROUPS = 1000
const SEED = 7

export interface RowMetadata {
  readonly lot: number
  readonly group: string
  readonly rank: number
}

/** The same for the same row in every process. */
export function rowMetadata(row: number, ranks: Int32Array): RowMetadata {
  const random = uniform(SEED + row * 7919)
  return {
    lot: Math.floor(random() * LOTS),
    group: `g${Math.floor(random() * GROUPS)}`,
    rank: ranks[row] ?? 0,
  }
}

/** Rows in the order of their cosine to `pole`, as numbers from 0 (farthest) to `LOTS` - 1. */
export function ranksFrom(base: Vectors, pole: Float32Array): Int32Array {
  const cosines = cosinesTo(base, pole)
  const order = Uint32Array.from({ length: base.rows }, (_, row) => row)
  order.sort((a, b) => (cosines[a] ?? 0) - (cosines[b] ?? 0))
  const ranks = new Int32Array(base.rows)
  for (const [place, row] of order.entries()) ranks[row] = Math.floor((place * LOTS) / base.rows)
  return ranks
}

/** Up to the length of `pole`, which orders the same. */
export function cosinesTo(vectors: Vectors, pole: Float32Array): Float64Array {
  const unit: Vectors = { ...vectors, data: normalized(vectors) }
  return Float64Array.from({ length: vectors.rows }, (_, i) => {
    const row = rowOf(unit, i)
    return row.reduce((sum, value, j) => sum + value * (pole[j] ?? 0), 0)
  })
}
