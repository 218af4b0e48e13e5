/** Answers of several shards become one: compared with sorting everything at once. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import fc from 'fast-check'
import type { Hit, ScrollPage, ShardAnswer } from '../../src/domain/search.ts'
import { mergeAnswers, mergePages } from '../../src/indexes/scatter.ts'

const empty = { metadata: null, text: null, vector: null }

function hit(id: string, distance: number): Hit {
  return { id, distance, version: 1, ...empty }
}

function answer(hits: readonly Hit[], rest: Partial<ShardAnswer> = {}): ShardAnswer {
  const standard = { path: 'graph', efUsed: 64, generation: 1, exhausted: false, lsn: 9 } as const
  return { hits, ...standard, ...rest }
}

it('the merged answer is the k nearest of all, and tells the weakest of each claim', () => {
  const merged = mergeAnswers(
    [
      answer([hit('a', 0.1), hit('c', 0.3)], { lsn: 5 }),
      answer([hit('b', 0.2)], { path: 'graph_filtered', efUsed: 128 }),
    ],
    2,
  )
  assert.deepEqual(
    merged.hits.map(({ id }) => id),
    ['a', 'b'],
  )
  assert.equal(merged.path, 'graph_filtered')
  assert.equal(merged.efUsed, 128)
  assert.equal(merged.lsn, 5)
  assert.equal(merged.exhausted, false)
})

it('pages of shards scrolled to the end give each row once, in row order', () => {
  const rows = fc.uniqueArray(fc.record({ lsn: fc.nat(50), row: fc.nat(3) }), {
    selector: ({ lsn, row }) => lsn * 10 + row,
    maxLength: 60,
  })
  fc.assert(
    fc.property(rows, fc.integer({ min: 1, max: 9 }), (all, limit) => {
      const shards = [0, 1, 2].map((shard) =>
        all
          .filter(({ lsn, row }) => (lsn + row) % 3 === shard)
          .sort((a, b) => a.lsn - b.lsn || a.row - b.row),
      )
      const seen: string[] = []
      let after: { lsn: number; row: number } | null = null
      for (let page = 0; page <= all.length; page += 1) {
        const from = after
        const merged = mergePages(
          shards.map((shard) => pageOf(shard, from, limit)),
          limit,
        )
        seen.push(...merged.points.map(({ id }) => id))
        after = merged.next
        if (after === null) break
      }
      const expected = all
        .toSorted((a, b) => a.lsn - b.lsn || a.row - b.row)
        .map(({ lsn, row }) => `${lsn}.${row}`)
      assert.deepEqual(seen, expected)
      assert.equal(after, null)
    }),
  )
})

function pageOf(
  shard: readonly { lsn: number; row: number }[],
  after: { lsn: number; row: number } | null,
  limit: number,
): ScrollPage {
  const rest = shard.filter(
    ({ lsn, row }) => after === null || lsn > after.lsn || (lsn === after.lsn && row > after.row),
  )
  const positions = rest.slice(0, limit)
  return {
    points: positions.map(({ lsn, row }) => ({ id: `${lsn}.${row}`, version: lsn, ...empty })),
    positions,
    done: rest.length <= limit,
  }
}
