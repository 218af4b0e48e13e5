/**
 * A search by keywords over the shards of an index.
 *
 *     one shard       search
 *     more of them    statistics of each ─▶ their sum ─▶ search with it on each ─▶ merge
 *     words missing   ─▶ prepare on each ─▶ again
 *
 * With the sum a text has the score that it would have if there were one shard.
 */

import type { KeywordQuery, KeywordStatistics, ShardAnswer, ShardQuery } from '../domain/search.ts'
import { hasCode } from '../lib/errors.ts'
import { mergeAnswers } from './scatter.ts'
import type { ShardClient } from './shard-client.ts'

interface Bounds {
  readonly deadlineMs: number
}

/** Waits, as long as it may, until the words of every row are known. */
export async function searchKeywords(
  shards: readonly ShardClient[],
  query: ShardQuery,
  { keywords, ...bounds }: Bounds & { readonly keywords: KeywordQuery },
): Promise<ShardAnswer> {
  for (;;) {
    try {
      return await searchAll(shards, query, { keywords, ...bounds })
    } catch (error) {
      if (!hasCode(error, 'keywords_loading')) throw error
      await Promise.all(shards.map((shard) => shard.prepareKeywords(bounds)))
    }
  }
}

async function searchAll(
  shards: readonly ShardClient[],
  query: ShardQuery,
  { keywords, ...bounds }: Bounds & { readonly keywords: KeywordQuery },
): Promise<ShardAnswer> {
  const { terms } = keywords
  const statistics =
    shards.length === 1
      ? null
      : sumOf(await Promise.all(shards.map((shard) => shard.keywordStatistics(terms, bounds))))
  const asked = { ...query, target: { keywords: { terms, statistics } } }
  const answers = await Promise.all(shards.map((shard) => shard.search(asked, bounds)))
  return mergeAnswers(answers, query.k)
}

function sumOf(all: readonly KeywordStatistics[]): KeywordStatistics {
  return all.reduce((a, b) => ({
    documents: a.documents + b.documents,
    words: a.words + b.words,
    frequencies: a.frequencies.map((frequency, i) => frequency + (b.frequencies[i] ?? 0)),
  }))
}
