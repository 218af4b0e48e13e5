/**
 * From what a search asks for to the searches of an index that answer it.
 *
 *     vector, id            ─▶ neighbours
 *     text, mode vector     ─▶ embedder ─▶ neighbours
 *     text, mode keyword    ─▶ words ─▶ BM25
 *     text, mode hybrid     ─▶ both at once, of more candidates ─▶ fusion by ranks
 */

import { queryWords, type EmbedQuery, type SearchTarget } from '../domain/search-target.ts'
import type { KeywordQuery, ShardAnswer, ShardQuery } from '../domain/search.ts'
import { fuse } from '../indexes/fuse.ts'
import type { ManagedIndex, ReadOptions } from '../indexes/index-api.ts'

/** Candidates of each side of a hybrid search at the least. */
const CANDIDATES_MIN = 50

export interface WantedSearch {
  readonly target: SearchTarget
  readonly rest: Omit<ShardQuery, 'target'>
}

export interface TextSearchOptions extends ReadOptions {
  /** Told of each search for neighbours when it has ended: those of keywords are no concern of recall. */
  readonly onNeighbours: (seen: NeighbourSearch) => void
}

interface NeighbourSearch {
  readonly query: ShardQuery
  /** Null where it failed. */
  readonly answer: ShardAnswer | null
  readonly tookMs: number
}

/** Hits of a hybrid search are `HybridHit`s. */
export async function searchText(
  index: Pick<ManagedIndex, 'search'>,
  { target, rest }: WantedSearch,
  options: TextSearchOptions,
): Promise<ShardAnswer> {
  switch (target.mode) {
    case 'neighbours':
      return neighbours(index, { ...rest, target: target.near }, options)
    case 'vector': {
      const vector = await target.embed(target.text, options.deadlineMs)
      return neighbours(index, { ...rest, target: { vector } }, options)
    }
    case 'keyword':
      return index.search({ ...rest, target: { keywords: keywordsOf(target.text) } }, options)
    case 'hybrid': {
      const { near, text } = target
      const wide = { ...rest, k: Math.max(rest.k, CANDIDATES_MIN) }
      const keyword = index.search({ ...wide, target: { keywords: keywordsOf(text) } }, options)
      const both = Promise.all([hybridVector(index, near, { wide, text, options }), keyword])
      const [byVector, byKeyword] = await both
      return fuse({ vector: byVector, keyword: byKeyword }, rest.k)
    }
  }
}

interface HybridSide {
  readonly wide: Omit<ShardQuery, 'target'>
  readonly text: string
  readonly options: TextSearchOptions
}

async function hybridVector(
  index: Pick<ManagedIndex, 'search'>,
  near: { readonly vector: Float32Array } | EmbedQuery,
  { wide, text, options }: HybridSide,
): Promise<ShardAnswer> {
  const vector = typeof near === 'function' ? await near(text, options.deadlineMs) : near.vector
  return neighbours(index, { ...wide, target: { vector } }, options)
}

async function neighbours(
  index: Pick<ManagedIndex, 'search'>,
  query: ShardQuery,
  options: TextSearchOptions,
): Promise<ShardAnswer> {
  const startMs = performance.now()
  let answer: ShardAnswer | null = null
  try {
    answer = await index.search(query, options)
    return answer
  } finally {
    options.onNeighbours({ query, answer, tookMs: performance.now() - startMs })
  }
}

function keywordsOf(text: string): KeywordQuery {
  return { terms: queryWords(text), statistics: null }
}
