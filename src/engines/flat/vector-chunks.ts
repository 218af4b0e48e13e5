/**
 * Vectors as the client sent them, in rows numbered from 0, and their distances to a query.
 *
 * Rows lie in chunks of a fixed number of rows, so that growth copies nothing. Under cosine each
 * row has the inverse of its norm beside it. A chunk can be released when no row of it is needed:
 * views of it are then empty.
 */

import type { Metric } from '../../domain/metric.ts'
import { VectordError } from '../../lib/errors.ts'
import { invariant } from '../../lib/invariant.ts'
import type { TopK } from '../top-k.ts'
import { dot, squaredDistance, squaredNorm } from './kernels.ts'

/** Bytes of a chunk: large enough for few objects, small enough for many small indexes. */
const CHUNK_BYTES = 2 ** 20
const CHUNK_ROWS_MAX = 4096

/** A query made ready by `VectorChunks.prepare`: in doubles, of unit length under cosine. */
export interface PreparedQuery {
  readonly values: Float64Array
}

interface Chunk {
  readonly vectors: Float32Array<ArrayBuffer>
  /** Under cosine; otherwise empty. */
  readonly inverseNorms: Float64Array<ArrayBuffer>
}

export class VectorChunks {
  readonly dimension: number
  readonly metric: Metric
  readonly chunkRows: number
  readonly #shift: number
  readonly #chunks: (Chunk | null)[] = []
  #rows = 0
  #heldChunks = 0

  constructor(dimension: number, metric: Metric) {
    this.dimension = dimension
    this.metric = metric
    const fitting = Math.min(CHUNK_ROWS_MAX, CHUNK_BYTES / (dimension * 4))
    this.#shift = Math.max(4, Math.floor(Math.log2(fitting)))
    this.chunkRows = 2 ** this.#shift
  }

  get rows(): number {
    return this.#rows
  }

  get memoryBytes(): number {
    const rowBytes = this.dimension * 4 + (this.metric === 'cosine' ? 8 : 0)
    return this.#heldChunks * this.chunkRows * rowBytes
  }

  /**
   * Makes room for `rows` more, so that `append` cannot fail.
   *
   * @throws {VectordError} `memory_full`.
   */
  reserve(rows: number): void {
    try {
      while (this.#chunks.length * this.chunkRows < this.#rows + rows) {
        this.#chunks.push(this.#allocate())
        this.#heldChunks += 1
      }
    } catch (cause) {
      throw new VectordError('memory_full', 'There is no memory for more vectors.', { cause })
    }
  }

  /** Copies the vector at `offset` of `source` into the next row; answers its number. */
  append(source: Float32Array, offset: number): number {
    this.reserve(1)
    const row = this.#rows
    const { vectors, inverseNorms } = this.#chunk(row)
    const base = this.#base(row)
    for (let i = 0; i < this.dimension; i += 1) vectors[base + i] = source[offset + i] as number
    if (this.metric === 'cosine') {
      const norm = Math.sqrt(squaredNorm(vectors, base, this.dimension))
      inverseNorms[row & (this.chunkRows - 1)] = 1 / norm
    }
    this.#rows += 1
    return row
  }

  /** Takes the next row for no vector: what is there is never read. */
  appendBlank(): number {
    this.reserve(1)
    this.#rows += 1
    return this.#rows - 1
  }

  /** The stored vector: a view that is valid until its chunk is released. */
  view(row: number): Float32Array {
    const base = this.#base(row)
    return this.#chunk(row).vectors.subarray(base, base + this.dimension)
  }

  copy(row: number): Float32Array {
    return this.view(row).slice()
  }

  /** Frees the chunk `chunk` (rows `chunk * chunkRows` and on): none of its rows is read again. */
  release(chunk: number): void {
    const held = this.#chunks[chunk]
    if (held === undefined || held === null) return
    this.#heldChunks -= 1
    this.#chunks[chunk] = null
    // Detached, its memory goes back now; a core that rests would not collect it for long.
    held.vectors.buffer.transfer(0)
    held.inverseNorms.buffer.transfer(0)
  }

  /** Frees every chunk: nothing is read or appended afterwards. */
  releaseAll(): void {
    for (const chunk of this.#chunks.keys()) this.release(chunk)
  }

  isReleased(chunk: number): boolean {
    return this.#chunks[chunk] === null
  }

  /** @throws {VectordError} `vector_dimension_mismatch`, `invalid_vector`. */
  prepare(vector: Float32Array): PreparedQuery {
    checkVector(vector, this.dimension, this.metric)
    const values = new Float64Array(vector)
    if (this.metric === 'cosine') {
      const inverse = 1 / Math.sqrt(squaredNorm(vector, 0, vector.length))
      for (let i = 0; i < values.length; i += 1) values[i] = (values[i] as number) * inverse
    }
    return { values }
  }

  /** The distance of `src/domain/metric.ts`; rounding never makes a cosine distance negative. */
  distance(query: PreparedQuery, row: number): number {
    const { vectors, inverseNorms } = this.#chunk(row)
    const base = this.#base(row)
    if (this.metric === 'l2') return squaredDistance(query.values, vectors, base)
    const product = dot(query.values, vectors, base)
    if (this.metric === 'ip') return 1 - product
    const cosine = product * (inverseNorms[row & (this.chunkRows - 1)] as number)
    return Math.max(0, 1 - cosine)
  }

  /** Offers each row of `from` to `to` (exclusive) that `mask` (one bit a row) has. */
  scan(query: PreparedQuery, mask: Uint32Array, range: ScanRange, top: TopK): void {
    const { from, to } = range
    let bound = top.bound
    for (let row = from; row < to; row += 1) {
      const word = mask[row >>> 5] as number
      if (word === 0) {
        row |= 31
        continue
      }
      if ((word & (1 << (row & 31))) === 0) continue
      const distance = this.distance(query, row)
      if (distance <= bound) {
        top.offer(distance, row)
        bound = top.bound
      }
    }
  }

  #chunk(row: number): Chunk {
    const chunk = this.#chunks[row >>> this.#shift]
    invariant(chunk !== undefined && chunk !== null, 'a vector that is read is held')
    return chunk
  }

  #base(row: number): number {
    return (row & (this.chunkRows - 1)) * this.dimension
  }

  #allocate(): Chunk {
    return {
      vectors: new Float32Array(this.chunkRows * this.dimension),
      inverseNorms: new Float64Array(this.metric === 'cosine' ? this.chunkRows : 0),
    }
  }
}

export interface ScanRange {
  readonly from: number
  readonly to: number
}

/**
 * Refuses what no engine can hold: hnswlib aborts the process on a non-number and takes NaN in
 * silence.
 *
 * @throws {VectordError} `vector_dimension_mismatch`, `invalid_vector`.
 */
export function checkVector(vector: Float32Array, dimension: number, metric: Metric): void {
  if (vector.length !== dimension) {
    throw new VectordError(
      'vector_dimension_mismatch',
      `The vector has ${vector.length} numbers; the index has dimension ${dimension}.`,
      { details: { expected: dimension, got: vector.length } },
    )
  }
  const sum = squaredNorm(vector, 0, dimension)
  if (!Number.isFinite(sum)) {
    throw new VectordError('invalid_vector', 'The vector has a number that is not finite.')
  }
  if (metric === 'cosine' && sum === 0) {
    throw new VectordError('invalid_vector', 'A zero vector has no direction for cosine.')
  }
}
