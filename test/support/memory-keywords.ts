/** Searches by keywords of an index in memory: plain BM25 over all of its rows. */

import type { Hit, KeywordQuery, ShardAnswer, ShardQuery } from '../../src/domain/search.ts'
import { matching, shown, type Row } from './memory-row.ts'
import { plainBm25 } from './plain-keywords.ts'

export function searchRows(
  rows: readonly Row[],
  { query, keywords, lsn }: { query: ShardQuery; keywords: KeywordQuery; lsn: number },
): ShardAnswer {
  const { k, filter, include } = query
  const wanted = new Map(matching(rows, filter).map((row) => [row.id, row]))
  const hits = plainBm25(rows, keywords.terms).flatMap(({ id, score }): Hit[] => {
    const row = wanted.get(id)
    return row === undefined ? [] : [{ ...shown(row, include), distance: -score }]
  })
  const exhausted = hits.length < k
  return { hits: hits.slice(0, k), path: 'keyword', efUsed: 0, generation: 1, exhausted, lsn }
}
