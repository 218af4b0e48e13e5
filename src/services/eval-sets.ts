/**
 * Making eval sets: long work that collects queries, computes their exact neighbours and stores both.
 *
 *     wanted ─▶ queries (given, or live ones, or noisy rows) ─▶ split ─▶ truth ─▶ stored
 *
 * Of one set the newest wish is made: whoever asks again before the work has begun replaces it, and
 * both hear of the same set. Until the new one is stored, the old set stays.
 */

import { crc32 } from 'node:zlib'
import type { Metric } from '../domain/metric.ts'
import { searchablePoints } from '../domain/search.ts'
import type { Indexes } from '../indexes/index-api.ts'
import {
  type EvalHalf,
  type EvalSet,
  type EvalSource,
  type IndexNow,
  isStale,
  NO_QUERIES,
  type Queries,
  QUERIES_MIN,
  splitQueries,
  WEAK_BELOW,
} from '../journal/eval-set.ts'
import { type EvalStore, type EvalSummary, summaryOf } from '../journal/eval-store.ts'
import type {
  LiveQueries,
  TruthAnswer,
  TruthControl,
  TruthSource,
} from '../journal/truth-source.ts'
import { VectordError } from '../lib/errors.ts'
import { invariant } from '../lib/invariant.ts'
import type { Operation } from './operation.ts'
import type { OperationKind, Operations } from './operations.ts'

/** Live queries from which they are preferred to rows of the index. */
const LIVE_FROM = WEAK_BELOW

/** As far from a row as a new point would lie. */
const NOISE = 1

/** Sets that wait to be made; each may hold the queries of a whole body. */
const WAITING_MAX = 16

/** A set as the API answers it. */
export interface EvalReport {
  readonly name: string
  readonly index: string
  readonly k: number
  readonly metric: Metric
  readonly dimension: number
  readonly source: EvalSource | null
  readonly state: 'empty' | 'building' | 'ready'
  /** Null where it cannot be told: the set is empty, or the index does not serve now. */
  readonly stale: boolean | null
  readonly weak: boolean
  readonly lsn: number
  readonly points: number
  readonly tune_queries: number
  readonly held_out_queries: number
  readonly created_at: string
}

/** What a set shall be made of. */
export type EvalWish = {
  readonly name: string
  readonly index: string
  readonly k: number
} & (
  | { readonly source: 'given'; readonly queries: Float32Array }
  | { readonly source: 'index' | 'live' | null; readonly count: number }
)

export interface EvalSetsOptions {
  readonly store: EvalStore
  readonly truth: TruthSource
  readonly live: LiveQueries
  readonly indexes: Indexes
  readonly operations: Operations
  readonly nowMs: () => number
}

export class EvalSets {
  readonly #options: EvalSetsOptions
  readonly #kind: OperationKind<EvalReport>
  /** By index and name: what is made next. */
  readonly #waiting = new Map<string, EvalWish>()
  readonly #running = new Set<string>()

  constructor(options: EvalSetsOptions) {
    this.#options = options
    this.#kind = options.operations.ofKind('eval_set')
  }

  /**
   * Names a set that gets its queries later, in place of any other of its name.
   *
   * @throws {VectordError} `index_not_found`, and what the bucket throws.
   */
  async name(wish: Pick<EvalWish, 'name' | 'index' | 'k'>): Promise<EvalReport> {
    const { name, index, k } = wish
    const { dimension, metric } = this.#options.indexes.get(index).info
    const set: EvalSet = {
      ...{ name, index, k, metric, dimension, source: null, seed: seedOf(name) },
      ...{ lsn: 0, points: 0, createdMs: this.#options.nowMs() },
      ...{ tune: NO_QUERIES, heldOut: NO_QUERIES },
    }
    await this.#options.store.put(set)
    return this.report(summaryOf(set))
  }

  /**
   * Makes a set, in place of any other of its name.
   *
   * @throws {VectordError} `overloaded` where too many sets wait, `shutting_down`.
   */
  make(wish: EvalWish): Operation<EvalReport> {
    const { name, index } = wish
    const key = keyOf(wish)
    if (!this.#waiting.has(key) && this.#waiting.size >= WAITING_MAX) {
      throw new VectordError('overloaded', `${WAITING_MAX} eval sets wait to be made.`, {
        details: { max: WAITING_MAX },
        retryAfterS: 10,
      })
    }
    const operation = this.#kind.start(index, (control) => this.#run(name, index, control), name)
    this.#waiting.set(key, wish)
    void operation.ended().then(() => {
      // One that was cancelled before it began has left it.
      if (this.#waiting.get(key) === wish) this.#waiting.delete(key)
    })
    return operation
  }

  report(set: EvalSummary): EvalReport {
    const { name, index, k, metric, dimension, source, lsn, points } = set
    const count = set.tuneQueries + set.heldOutQueries
    const isMade = this.#waiting.has(keyOf(set)) || this.#running.has(keyOf(set))
    return {
      ...{ name, index, k, metric, dimension, source },
      state: isMade ? 'building' : count === 0 ? 'empty' : 'ready',
      stale: count === 0 ? null : this.#isStale(set),
      weak: count < WEAK_BELOW,
      ...{ lsn, points, tune_queries: set.tuneQueries, held_out_queries: set.heldOutQueries },
      created_at: new Date(set.createdMs).toISOString(),
    }
  }

  async #run(name: string, index: string, control: TruthControl): Promise<EvalReport> {
    const key = keyOf({ name, index })
    const wish = this.#waiting.get(key)
    invariant(wish !== undefined, 'a set that is made was wished for')
    this.#waiting.delete(key)
    this.#running.add(key)
    let set: EvalSet
    try {
      set = await this.#make(wish, control)
      await this.#options.store.put(set)
    } finally {
      this.#running.delete(key)
    }
    return this.report(summaryOf(set))
  }

  async #make(wish: EvalWish, control: TruthControl): Promise<EvalSet> {
    const { name, index, k } = wish
    const { truth, nowMs } = this.#options
    const seed = seedOf(name)
    control.progress('collecting queries')
    const { source, ...queries } = await this.#collect(wish, seed, control)
    const { dimension, metric } = queries
    const halves = splitQueries(queries, seed)
    if (halves.tune.length === 0 || halves.heldOut.length === 0) {
      throw new VectordError('bad_request', `An eval set needs ${QUERIES_MIN} different queries.`, {
        details: { index, queries: queries.selfIds.length },
      })
    }
    control.progress('computing the truth', { done: 0, total: queries.selfIds.length })
    const { selfIds } = queries
    const asked = { queries: queries.queries, dimension, k, selfIds }
    const answer = await truth.truth(index, asked, control)
    control.signal.throwIfAborted()
    checkAnswer(answer, { count: selfIds.length, k })
    control.progress('storing')
    return {
      ...{ name, index, k, metric, dimension, source, seed },
      ...{ lsn: answer.lsn, points: answer.points, createdMs: nowMs() },
      tune: halfOf(queries, answer, halves.tune),
      heldOut: halfOf(queries, answer, halves.heldOut),
    }
  }

  async #collect(
    wish: EvalWish,
    seed: number,
    control: TruthControl,
  ): Promise<Queries & { readonly source: EvalSource }> {
    const { index } = wish
    const { truth, live, indexes } = this.#options
    const { dimension, metric } = indexes.get(index).info
    const shape = { dimension, metric }
    if (wish.source === 'given') {
      return {
        ...shape,
        source: 'given',
        queries: wish.queries,
        selfIds: nobody(wish.queries, shape),
      }
    }
    const { count } = wish
    const { queries, count: found } = live.take(index, wish.source === 'index' ? 0 : count)
    if (wish.source === 'live' && found < QUERIES_MIN) throw noLiveQueries(index, found)
    if (wish.source === 'live' || found >= LIVE_FROM) {
      return { ...shape, source: 'live', queries, selfIds: nobody(queries, shape) }
    }
    const sample = await truth.sample(index, { count, seed, noise: NOISE }, control)
    return { ...shape, source: 'index', ...sample }
  }

  #isStale(set: EvalSummary): boolean | null {
    const { indexes } = this.#options
    if (!indexes.has(set.index)) return true
    const { lsn, stats, dimension, metric } = indexes.get(set.index).info
    if (dimension !== set.dimension || metric !== set.metric) return true
    if (stats === null) return null
    const now: IndexNow = { lsn, points: searchablePoints(stats), deletes: null }
    return isStale(set, now)
  }
}

function keyOf({ index, name }: Pick<EvalWish, 'index' | 'name'>): string {
  return `${index} ${name}`
}

/** The same name gets the same split and the same sample: a set can be made again as it was. */
function seedOf(name: string): number {
  return crc32(name)
}

function nobody(queries: Float32Array, { dimension }: { readonly dimension: number }): null[] {
  return new Array<null>(queries.length / dimension).fill(null)
}

function halfOf(queries: Queries, { truth }: TruthAnswer, rows: readonly number[]): EvalHalf {
  const { dimension, selfIds } = queries
  const half = new Float32Array(rows.length * dimension)
  for (const [i, row] of rows.entries()) {
    half.set(queries.queries.subarray(row * dimension, (row + 1) * dimension), i * dimension)
  }
  return {
    queries: half,
    truth: rows.map((row) => truth[row] ?? { ids: [], distances: [] }),
    selfIds: rows.map((row) => selfIds[row] ?? null),
  }
}

/** A truth that is none would make every trial look bad, or good. */
function checkAnswer(
  { truth }: TruthAnswer,
  { count, k }: { readonly count: number; readonly k: number },
): void {
  invariant(truth.length === count, 'there is a truth for each query')
  for (const { ids, distances } of truth) {
    invariant(
      ids.length === distances.length && ids.length <= k,
      'a truth has at most k neighbours',
    )
    const ascends = distances.every((distance, i) => i === 0 || distance >= (distances[i - 1] ?? 0))
    invariant(ascends, 'a truth has the nearest first')
  }
}

function noLiveQueries(index: string, found: number): VectordError {
  const message = `Of index "${index}" there are ${found} live queries: sampling them is opt-in.`
  return new VectordError('not_configured', message, { details: { index, found } })
}
