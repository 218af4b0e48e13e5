/** Journals and eval sets over one bucket in memory, with a truth that is computed by plainness. */

import { MemoryStore } from '../../src/buckets/memory-store.ts'
import { DecisionLog } from '../../src/journal/decision-log.ts'
import { EvalStore } from '../../src/journal/eval-store.ts'
import { QueryReservoir } from '../../src/journal/query-reservoir.ts'
import { TrialJournal } from '../../src/journal/trial-journal.ts'
import type { TruthSource } from '../../src/journal/truth-source.ts'
import { VectordError } from '../../src/lib/errors.ts'
import { EvalSets } from '../../src/services/eval-sets.ts'
import type { Operations } from '../../src/services/operations.ts'
import type { MemoryIndexes } from './memory-indexes.ts'
import { randomVectors } from './vectors.ts'

export interface MemoryJournals {
  readonly store: MemoryStore
  readonly trials: TrialJournal
  readonly decisions: DecisionLog
  readonly evals: EvalStore
  readonly evalSets: EvalSets
  readonly live: QueryReservoir
  readonly truth: MemoryTruth
}

/** Searches the index one query after the other. */
export class MemoryTruth implements TruthSource {
  readonly #indexes: MemoryIndexes
  /** What the next truths wait for. */
  gate: Promise<void> = Promise.resolve()
  failure: Error | null = null

  constructor(indexes: MemoryIndexes) {
    this.#indexes = indexes
  }

  async truth(
    name: string,
    { queries, dimension, k, selfIds }: Parameters<TruthSource['truth']>[1],
  ): ReturnType<TruthSource['truth']> {
    await this.gate
    if (this.failure !== null) throw this.failure
    const index = this.#indexes.get(name)
    const truth = []
    for (const [row, selfId] of selfIds.entries()) {
      const vector = queries.subarray(row * dimension, (row + 1) * dimension)
      const include = { metadata: false, vector: false, text: false }
      const query = { target: { vector }, k: k + 1, ef: null, exact: true, filter: null, include }
      const { hits } = await index.search(query, { minLsn: 0, deadlineMs: Infinity })
      const found = hits.filter(({ id }) => id !== selfId).slice(0, k)
      truth.push({ ids: found.map(({ id }) => id), distances: found.map((hit) => hit.distance) })
    }
    return { lsn: index.info.lsn, points: index.size, truth }
  }

  async sample(
    name: string,
    { count, seed }: { readonly count: number; readonly seed: number },
  ): ReturnType<TruthSource['sample']> {
    const { size, info } = this.#indexes.get(name)
    const rows = Math.min(count, size)
    const selfIds = Array.from({ length: rows }, (_, i) => `p-${i}`)
    return { queries: randomVectors(rows, info.dimension, seed).values, selfIds }
  }
}

export function memoryJournals(options: {
  readonly indexes: MemoryIndexes
  readonly operations: Operations
  readonly nowMs: () => number
}): MemoryJournals {
  const { indexes, operations, nowMs } = options
  const store = new MemoryStore(new Map(), nowMs)
  const onTrouble = (error: unknown): never => {
    throw error
  }
  const storeOf = (index: string): MemoryStore => {
    if (!indexes.has(index)) throw new VectordError('index_not_found', 'There is no such index.')
    return store
  }
  const evals = new EvalStore({
    buckets: { names: () => ['primary'], store: () => store },
    homeOf: (index) => (indexes.has(index) ? 'primary' : null),
  })
  const live = new QueryReservoir()
  const truth = new MemoryTruth(indexes)
  return {
    ...{ store, evals, live, truth },
    trials: new TrialJournal({ storeOf, nowMs, onTrouble }),
    decisions: new DecisionLog({ storeOf, nowMs, onTrouble }),
    evalSets: new EvalSets({ store: evals, truth, live, indexes, operations, nowMs }),
  }
}
