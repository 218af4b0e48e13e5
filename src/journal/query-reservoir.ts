/**
 * A sample of the queries that clients ask, in memory alone, for indexes that have opted in.
 *
 * Reservoir sampling (Vitter's algorithm R, 1985): each query asked so far is kept with the same
 * chance. But the count of those asked stops at ten times what is kept, so that old queries give way
 * and the sample follows the traffic. A seeded generator decides, never latency or outcome. Bounded:
 * so many queries an index, and so many bytes together.
 */

import { VectordError } from '../lib/errors.ts'
import { invariant } from '../lib/invariant.ts'
import { seededRandom, shuffle } from '../lib/seeded-random.ts'
import type { LiveQueries, LiveSample } from './truth-source.ts'

/** Queries that are kept of an index; an eval set takes 1,000. */
const KEPT_MAX = 2000

/** Queries asked, in multiples of those kept, beyond which old ones fade. */
const FADE_AFTER = 10

const BYTES_MAX = 256 * 2 ** 20

interface Reservoir {
  readonly dimension: number
  readonly vectors: Float32Array
  readonly random: () => number
  kept: number
  asked: number
}

export class QueryReservoir implements LiveQueries {
  readonly #reservoirs = new Map<string, Reservoir>()
  readonly #keptMax: number
  readonly #bytesMax: number
  #bytes = 0

  constructor({ keptMax = KEPT_MAX, bytesMax = BYTES_MAX } = {}) {
    this.#keptMax = keptMax
    this.#bytesMax = bytesMax
  }

  /**
   * Starts to sample the queries of an index; those of an index that is sampled already stay.
   *
   * @throws {VectordError} `memory_full` where the samples together would take too much.
   */
  enable(index: string, { dimension, seed }: { dimension: number; seed: number }): void {
    if (this.#reservoirs.get(index)?.dimension === dimension) return
    this.disable(index)
    const bytes = 4 * dimension * this.#keptMax
    if (this.#bytes + bytes > this.#bytesMax) {
      throw new VectordError('memory_full', 'The samples of live queries take all they may.', {
        details: { bytes_max: this.#bytesMax },
      })
    }
    const vectors = new Float32Array(dimension * this.#keptMax)
    const random = seededRandom(seed)
    this.#reservoirs.set(index, { dimension, vectors, random, kept: 0, asked: 0 })
    this.#bytes += bytes
  }

  /** Forgets the queries of an index, and keeps none any more. */
  disable(index: string): void {
    this.#bytes -= this.#reservoirs.get(index)?.vectors.byteLength ?? 0
    this.#reservoirs.delete(index)
  }

  /** Queries that are kept of an index. */
  count(index: string): number {
    return this.#reservoirs.get(index)?.kept ?? 0
  }

  /** Tells of a query that was asked; its numbers are copied, or nothing is. */
  offer(index: string, vector: Float32Array): void {
    const reservoir = this.#reservoirs.get(index)
    if (reservoir === undefined) return
    const { dimension, vectors, random } = reservoir
    invariant(vector.length === dimension, 'a query has the dimension of its index')
    reservoir.asked = Math.min(reservoir.asked + 1, FADE_AFTER * this.#keptMax)
    const isFilling = reservoir.kept < this.#keptMax
    const row = isFilling ? reservoir.kept : Math.floor(random() * reservoir.asked)
    if (row >= this.#keptMax) return
    vectors.set(vector, row * dimension)
    if (isFilling) reservoir.kept += 1
  }

  take(index: string, count: number): LiveSample {
    const reservoir = this.#reservoirs.get(index)
    if (reservoir === undefined) return { queries: new Float32Array(0), count: 0 }
    const { dimension, vectors, kept, asked } = reservoir
    const rows = Array.from({ length: kept }, (_, row) => row)
    const taken = shuffle(rows, seededRandom(asked)).slice(0, count)
    const queries = new Float32Array(taken.length * dimension)
    for (const [i, row] of taken.entries()) {
      queries.set(vectors.subarray(row * dimension, (row + 1) * dimension), i * dimension)
    }
    return { queries, count: taken.length }
  }
}
