/**
 * The words of the texts of a shard, gathered from its first search by keywords on.
 *
 *     none ──first search──▶ behind ──slices, 5 ms each──▶ up to date ◀──▶ behind (rows were written)
 *
 * A search is answered only where every row is in: a few that were just written are taken in by the
 * search itself, and where there are more it is refused, to be asked again after `prepare`. So it sees
 * every write that was acknowledged before it, and no write waits for its words.
 */

import type { KeywordStatistics, ShardAnswer, ShardQuery } from '../domain/search.ts'
import { TopK, type Nearest } from '../engines/top-k.ts'
import { VectordError } from '../lib/errors.ts'
import { KeywordIndex } from './keyword-index.ts'
import type { PointTable } from './point-table.ts'
import { matchesOf, type Searched } from './searcher.ts'
import { whileTrue } from '../lib/steps.ts'

/** Time that a search may take for rows that were just written. */
const SEARCH_MS = 2
/** Texts between two looks at the clock: some tenths of a millisecond. */
const STEP_UNITS = 8192

type KeywordsOf = Extract<ShardQuery['target'], { readonly keywords: unknown }>

const top = new TopK()

export class ShardKeywords {
  #index: KeywordIndex | null = null
  #preparing: Promise<void> | null = null

  get memoryBytes(): number {
    return this.#index?.memoryBytes ?? 0
  }

  /** True once a search has asked for words. */
  get isWanted(): boolean {
    return this.#index !== null
  }

  /** The row of a slot is dead. */
  remove(slot: number): void {
    this.#index?.remove(slot)
  }

  /**
   * Goes on with another table of the same rows, after a compaction.
   *
   * @param index what is known of its words; null to begin again.
   */
  move(index: KeywordIndex | null): void {
    if (this.isWanted) this.#index = index ?? new KeywordIndex()
  }

  /** @returns true where more rows wait. */
  slice(table: PointTable, budgetMs: number): boolean {
    if (this.#index === null) return false
    const endMs = performance.now() + budgetMs
    while (this.#index.catchUp(table, STEP_UNITS)) if (performance.now() >= endMs) return true
    return false
  }

  /** Takes rows in, beside serving, until none waits. @param table as it is at each step. */
  prepare(table: () => PointTable): Promise<void> {
    this.#index ??= new KeywordIndex()
    this.#preparing ??= whileTrue(() => this.slice(table(), 1)).finally(() => {
      this.#preparing = null
    })
    return this.#preparing
  }

  statistics(table: PointTable, terms: readonly string[]): KeywordStatistics {
    return this.#upToDate(table).statistics(terms)
  }

  search(
    { table, metadata, graph }: Searched,
    query: ShardQuery & { readonly target: KeywordsOf },
    lsn: number,
  ): ShardAnswer {
    const { k, filter, include } = query
    const index = this.#upToDate(table)
    const { terms, statistics } = query.target.keywords
    const known = statistics ?? index.statistics(terms)
    const mask = filter === null ? null : matchesOf({ table, metadata }, filter).slots
    top.reset(k)
    index.search({ terms, statistics: known, mask }, top)
    const hits = hitsOf(top.drain(), (slot) => table.read(slot, include))
    const { generation } = graph
    return { hits, path: 'keyword', efUsed: 0, generation, exhausted: hits.length < k, lsn }
  }

  /** @throws {VectordError} `keywords_loading`. */
  #upToDate(table: PointTable): KeywordIndex {
    this.#index ??= new KeywordIndex()
    if (this.#index.isBehind(table) && this.slice(table, SEARCH_MS))
      throw loading(this.#index, table)
    return this.#index
  }
}

function hitsOf<T extends object>(
  { numbers, distances }: Nearest,
  read: (slot: number) => T,
): (T & { readonly distance: number })[] {
  return numbers.map((slot, i) => ({ ...read(slot), distance: distances[i] ?? 0 }))
}

function loading(index: KeywordIndex, table: PointTable): VectordError {
  const text = 'The words of the texts of this index are still being gathered.'
  return new VectordError('keywords_loading', text, {
    details: { rows: table.slots, rows_done: index.slots },
    retryAfterS: 1,
  })
}
