/** Two rankings become one, by ranks alone. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import type { Hit, ShardAnswer } from '../../src/domain/search.ts'
import { fuse } from '../../src/indexes/fuse.ts'

function hit(id: string, distance = 0, version = 1): Hit {
  return { id, version, distance, metadata: null, text: `${id}${version}`, vector: null }
}

function answer(hits: readonly Hit[], change: Partial<ShardAnswer> = {}): ShardAnswer {
  const plain = { path: 'graph', efUsed: 40, generation: 2, exhausted: false, lsn: 9 } as const
  return { hits, ...plain, ...change }
}

it('scores are the sums of 1 / (60 + rank), the best first', () => {
  const vector = answer([hit('a', 0.1), hit('b', 0.2), hit('c', 0.3)])
  const keyword = answer([hit('c', -7), hit('d', -6), hit('a', -5)], {
    ...{ path: 'keyword', efUsed: 0, lsn: 7 },
  })
  const { hits, ...rest } = fuse({ vector, keyword }, 10)
  assert.deepEqual(rest, {
    ...{ path: 'hybrid', efUsed: 40, generation: 2, exhausted: true, lsn: 7 },
  })
  assert.deepEqual(
    hits.map(({ id, fused, distance }) => ({ id, ...fused, distance })),
    [
      // Equal scores and equal best ranks: by id.
      { id: 'a', score: 1 / 61 + 1 / 63, vector: 1, keyword: 3, distance: 0.1 },
      { id: 'c', score: 1 / 63 + 1 / 61, vector: 3, keyword: 1, distance: 0.3 },
      { id: 'b', score: 1 / 62, vector: 2, keyword: null, distance: 0.2 },
      { id: 'd', score: 1 / 62, vector: null, keyword: 2, distance: -6 },
    ],
  )
})

it('a point in the middle of both lists is before the first of one', () => {
  const names = ['v1', 'v2', 'both', 'v4']
  const others = ['k1', 'k2', 'both', 'k4']
  const lists = {
    vector: answer(names.map((id) => hit(id))),
    keyword: answer(others.map((id) => hit(id))),
  }
  const { hits, exhausted } = fuse(lists, 3)
  assert.deepEqual(
    hits.map(({ id }) => id),
    ['both', 'k1', 'v1'],
  )
  assert.equal(exhausted, false)
})

it('nothing fused with nothing is nothing, and one empty side leaves the other', () => {
  assert.deepEqual(fuse({ vector: answer([]), keyword: answer([]) }, 5).hits, [])
  const only = fuse({ vector: answer([]), keyword: answer([hit('x')]) }, 5)
  assert.deepEqual(only.hits[0]?.fused, { score: 1 / 61, vector: null, keyword: 1 })
})

it('of a point that was written between the two searches the newer version is shown', () => {
  const lists = (a: number, b: number) => ({
    vector: answer([hit('a', 0.5, a)]),
    keyword: answer([hit('a', -3, b)]),
  })
  const [later] = fuse(lists(1, 2), 1).hits
  assert.deepEqual([later?.text, later?.version, later?.distance], ['a2', 2, 0.5])
  const [sooner] = fuse(lists(2, 1), 1).hits
  assert.deepEqual([sooner?.text, sooner?.version], ['a2', 2])
})
