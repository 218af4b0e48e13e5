/**
 * A Lance table in memory: every version is a whole map, every distance computed. What an index of the
 * vectors would miss is up to the test.
 */

import type {
  LanceAnswer,
  LancePage,
  LanceRows,
  LanceScroll,
  LanceSearch,
  LanceStats,
  LanceTable,
  LanceVersion,
} from '../../src/domain/lance-table.ts'
import type { Metric } from '../../src/domain/metric.ts'
import type { Hit, Include, StoredPoint } from '../../src/domain/search.ts'
import { VectordError } from '../../src/lib/errors.ts'
import { matching, shown, type Row } from './memory-row.ts'
import { plainDistance } from './model/plain-distance.ts'

export class MemoryLanceTable implements LanceTable {
  readonly metric: Metric
  /** By version, from 1 on. */
  readonly states = [new Map<string, Row>()]
  /** Every search that was asked. */
  readonly searches: LanceSearch[] = []
  /** Commits that were made, by the ids that each wrote. */
  readonly commits: string[][] = []
  /** Called before each commit. */
  beforeCommit: () => Promise<void> = () => Promise.resolve()
  /** What the index of the vectors finds of all hits; null: there is no index. */
  found: ((hits: readonly Hit[], search: LanceSearch) => readonly Hit[]) | null = null
  indices: LanceStats['indices'] = []
  fragments = 1

  constructor(metric: Metric = 'l2') {
    this.metric = metric
  }

  get version(): number {
    return this.states.length
  }

  async upsert(rows: LanceRows): Promise<{ readonly version: number }> {
    return this.#commit(rows.ids, (state) => {
      const dimension = rows.vectors.length / rows.ids.length
      for (const [row, id] of rows.ids.entries()) {
        const vector = rows.vectors.slice(row * dimension, (row + 1) * dimension)
        const { texts, metadata } = rows
        const kept = { text: texts[row] ?? null, metadata: metadata[row] ?? null }
        state.set(id, { id, lsn: this.version + 1, row, vector, ...kept })
      }
    })
  }

  append(rows: LanceRows): Promise<{ readonly version: number }> {
    return this.upsert(rows)
  }

  delete(ids: readonly string[]): Promise<{ readonly version: number }> {
    return this.#commit(ids, (state) => {
      for (const id of ids) state.delete(id)
    })
  }

  async deleteMatching(
    filter: string,
  ): Promise<{ readonly version: number; readonly deleted: number }> {
    const ids = matching(this.#rows(null), filter).map(({ id }) => id)
    return { ...(await this.delete(ids)), deleted: ids.length }
  }

  async search(search: LanceSearch): Promise<LanceAnswer> {
    this.searches.push(search)
    const { vector, k, filter, include, asOf, exact } = search
    const all = matching(this.#rows(asOf), filter)
      .map((row) => ({ ...shown(row, include), distance: this.#distance(vector, row) }))
      .sort((a, b) => a.distance - b.distance)
    const isIvf = this.found !== null && !exact
    const hits = isIvf ? (this.found?.(all, search) ?? []) : all
    const path = !isIvf ? 'exact' : filter === null ? 'ivf' : 'ivf_filtered'
    return { hits: hits.slice(0, k), path, version: asOf ?? this.version, tookUs: tookOf(search) }
  }

  async fetch(
    ids: readonly string[],
    include: Include,
    asOf: number | null,
  ): Promise<{ readonly points: (StoredPoint | null)[]; readonly version: number }> {
    const state = this.#state(asOf)
    const points = ids.map((id) => {
      const row = state.get(id)
      return row === undefined ? null : shown(row, include)
    })
    return { points, version: asOf ?? this.version }
  }

  async scroll({ after, limit, filter, include, asOf }: LanceScroll): Promise<LancePage> {
    const rows = matching(this.#rows(asOf), filter)
      .filter(({ id }) => after === null || id > after)
      .sort((a, b) => (a.id < b.id ? -1 : 1))
    const points = rows.slice(0, limit).map((row) => shown(row, include))
    return { points, done: rows.length <= limit, version: asOf ?? this.version }
  }

  async count(
    filter: string | null,
  ): Promise<{ readonly count: number; readonly version: number }> {
    return { count: matching(this.#rows(null), filter).length, version: this.version }
  }

  async sample(
    rows: number,
  ): Promise<{ readonly ids: readonly string[]; readonly vectors: Float32Array }> {
    const some = this.#rows(null).slice(0, rows)
    const vectors = Float32Array.from(some.flatMap(({ vector }) => [...(vector ?? [])]))
    return { ids: some.map(({ id }) => id), vectors }
  }

  async repeated(): Promise<readonly string[]> {
    const ids = this.#rows(null).map(({ id }) => id)
    return [...new Set(ids.filter((id, i) => ids.indexOf(id) !== i))]
  }

  buildIndex(): Promise<{ readonly version: number }> {
    return this.#commit([], () => undefined)
  }

  buildScalarIndex(): Promise<{ readonly version: number }> {
    return this.#commit([], () => undefined)
  }

  optimize(): Promise<{ readonly version: number }> {
    return this.#commit([], () => undefined)
  }

  async versions(): Promise<readonly LanceVersion[]> {
    return this.states.map((_, i) => ({ version: i + 1, createdMs: i }))
  }

  async stats(): Promise<LanceStats> {
    const { version, fragments, indices } = this
    return { rows: this.#rows(null).length, version, fragments, bytes: 0, indices }
  }

  #rows(asOf: number | null): Row[] {
    return [...this.#state(asOf).values()]
  }

  #state(asOf: number | null): Map<string, Row> {
    const state = this.states[(asOf ?? this.version) - 1]
    if (state === undefined) throw new VectordError('lance_version_gone', 'It is gone.')
    return state
  }

  async #commit(
    ids: readonly string[],
    change: (state: Map<string, Row>) => void,
  ): Promise<{ readonly version: number }> {
    await this.beforeCommit()
    const next = new Map(this.#state(null))
    change(next)
    this.states.push(next)
    this.commits.push([...ids])
    return { version: this.version }
  }

  #distance(query: Float32Array, { vector }: Row): number {
    return vector === null ? Infinity : plainDistance(this.metric, query, vector)
  }
}

/** More lists and more refined candidates cost more. */
function tookOf({ nprobes, refineFactor, ef, exact }: LanceSearch): number {
  return exact ? 100_000 : (nprobes ?? 20) * 10 + (refineFactor ?? 0) * 100 + (ef ?? 0)
}
