/**
 * What hears of every search after it was answered: live recall, latency windows of a canary.
 */

import type { ShardAnswer, ShardQuery } from '../domain/search.ts'

export interface SearchSeen {
  readonly index: string
  readonly requestId: string
  readonly query: ShardQuery
  /** Null where the search failed. */
  readonly answer: ShardAnswer | null
  readonly tookMs: number
}

/** Called right after a search; it must be quick and must not throw. */
export type SearchObserver = (seen: SearchSeen) => void
