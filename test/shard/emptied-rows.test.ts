/**
 * Rows that have no vector and no text either, as what is left of a chunk that its document no longer
 * has: nothing waits for a vector of them, and no search finds them.
 */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { emptiedChunk } from '../../src/domain/document.ts'
import { randomVectors } from '../support/vectors.ts'
import { EVERYTHING, Harness, type ModelPoint } from './harness.ts'

const TAG = 'm@1'
const ORIGIN = new Float32Array(4)

function text(id: string): ModelPoint {
  return { id, vector: null, text: `words of ${id}`, metadata: '{"document_id":"a"}' }
}

function emptied(chunk: number): ModelPoint {
  return { ...emptiedChunk('a', chunk), vector: null }
}

async function check(harness: Harness, waiting: readonly string[]): Promise<void> {
  const { shard } = harness
  for (const priority of [null, 0, 1000] as const) {
    const request = { kind: 'page', tag: TAG, after: null, limit: 100, priority } as const
    const ids = shard.texts(request).page?.items.map(({ id }) => id)
    assert.deepEqual(ids, priority === 0 ? [] : waiting, `priority ${String(priority)}`)
  }
  const counts = { writes: waiting.length, backfill: 0 }
  assert.deepEqual(shard.texts({ kind: 'count', tag: TAG }).counts, counts)
  assert.equal(shard.stats().pendingTexts, waiting.length)
  const filter = '{"document_id":"a"}'
  for (const query of [{}, { exact: true }, { filter }, { filter, exact: true }]) {
    const { hits, exhausted } = harness.search(ORIGIN, { k: 2000, ...query })
    assert.deepEqual([hits.filter(({ id }) => id.startsWith('a#')), exhausted], [[], true])
  }
  await shard.prepareKeywords()
  const target = { keywords: { terms: ['words', 'a', '0', '1', '2'], statistics: null } }
  const { hits } = harness.search(ORIGIN, { target, include: EVERYTHING })
  assert.deepEqual(hits.map(({ id }) => id).sort(), [...waiting].sort())
  assert.deepEqual(await shard.verify(), [])
}

it('they are in no page, no count and no search, and stay so when they are loaded and moved', async (t) => {
  const harness = new Harness(t, { dimension: 4, metric: 'l2', flatRowsMax: 20 })
  await harness.open()
  harness.upsertSet(randomVectors(1500, 4, 1), { prefix: 'v' })
  harness.upsert([text('a#0'), text('a#1'), text('a#2')])
  await check(harness, ['a#0', 'a#1', 'a#2'])
  harness.upsert([text('a#0'), emptied(1), emptied(2)])
  await check(harness, ['a#0'])
  harness.indexAll()
  await check(harness, ['a#0'])
  assert.equal(
    harness.shard.count('{"document_id":"a"}'),
    3,
    'the next write of the document sees them',
  )

  const checkpoint = await harness.shard.checkpoint('if_worth')
  await harness.open(checkpoint)
  await check(harness, ['a#0'])

  harness.delete(Array.from({ length: 1400 }, (_, row) => `v${row}`))
  const { dropped } = await harness.shard.compact([])
  assert.ok(dropped >= 1400)
  await check(harness, ['a#0'])

  // A vector for what it was before it was emptied comes too late.
  const [late] = harness.shard.fetch(['a#1'], EVERYTHING)
  const version = late?.version ?? 0
  harness.project([{ id: 'a#1', version, text: 'words of a#1', vector: ORIGIN }], TAG)
  await check(harness, ['a#0'])
  harness.delete(['a#1', 'a#2'])
  await check(harness, ['a#0'])
  assert.equal(harness.shard.count('{"document_id":"a"}'), 1)
  harness.upsert([text('a#1')])
  await check(harness, ['a#0', 'a#1'])
})
