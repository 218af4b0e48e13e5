/**
 * Vectors of 768 numbers, made from GloVe because no real ones can be had here.
 *
 *     row = unit(word) × P + NOISE × normal numbers,   P: a fixed random 100 × 768 matrix
 *
 * P keeps the angles between words nearly as they are, so the rows cluster as real embeddings do;
 * the noise gives them full rank. Cost and size of a search are those of any 768 numbers; its
 * recall is that of this data only.
 */

import { cachedNumbers } from './cache.ts'
import { gloveSplit, GLOVE_DIMENSION, type Split } from './glove.ts'
import { normal } from './prng.ts'
import { normalized, readVectors } from './vectors.ts'

const WIDE_DIMENSION = 768
const SEED = 768
/** Of each number; the projected word has about 1 / sqrt(768) = 0.036 there. */
const NOISE = 0.012

export function wideSplit(rows: number, queries: number): Split {
  const file = cachedNumbers(`wide-${SEED}-${NOISE}-${rows}-${queries}.f32`, () => {
    const words = gloveSplit(rows, queries)
    return project([normalized(words.base), normalized(words.queries)])
  })
  const ref = { file, dimension: WIDE_DIMENSION }
  return {
    name:
      `synthetic ${rows} x ${WIDE_DIMENSION}: GloVe words through a fixed random projection ` +
      `plus normal noise of ${NOISE} a number, seed ${SEED}`,
    base: readVectors({ ...ref, first: 0, rows }),
    queries: readVectors({ ...ref, first: rows, rows: queries }),
  }
}

function project(parts: readonly Float32Array[]): Float32Array {
  const random = normal(SEED)
  const scale = 1 / Math.sqrt(WIDE_DIMENSION)
  const matrix = Float32Array.from(
    { length: GLOVE_DIMENSION * WIDE_DIMENSION },
    () => random() * scale,
  )
  const rows = parts.reduce((sum, part) => sum + part.length / GLOVE_DIMENSION, 0)
  const out = new Float32Array(rows * WIDE_DIMENSION)
  let row = 0
  for (const part of parts) {
    for (let from = 0; from < part.length; from += GLOVE_DIMENSION, row += 1) {
      const to = out.subarray(row * WIDE_DIMENSION, (row + 1) * WIDE_DIMENSION)
      for (let j = 0; j < WIDE_DIMENSION; j += 1) to[j] = NOISE * random()
      for (let i = 0; i < GLOVE_DIMENSION; i += 1) {
        addScaled(to, matrix, i * WIDE_DIMENSION, part[from + i] ?? 0)
      }
    }
  }
  return out
}

function addScaled(to: Float32Array, matrix: Float32Array, start: number, factor: number): void {
  for (let j = 0; j < to.length; j += 1) to[j] = (to[j] ?? 0) + factor * (matrix[start + j] ?? 0)
}
