/**
 * What a compaction of a shard promises: no search lacks a live point because of dead ones, memory and
 * checkpoint are those of the live rows, and what fails changes nothing.
 */

import assert from 'node:assert/strict'
import { it, type TestContext } from 'node:test'
import { MemoryStore } from '../../src/buckets/memory-store.ts'
import type { CheckpointContent } from '../../src/domain/checkpoint.ts'
import { HNSW_DEFAULTS } from '../../src/domain/hnsw-config.ts'
import { randomVectors, vectorAt, type VectorSet } from '../support/vectors.ts'
import { Harness, mean, recallOf } from './harness.ts'

const DIMENSION = 8
const POINTS = 3000
/** Few links: dead points are in the way as much as they can be. */
const LEAN = { ...HNSW_DEFAULTS, m: 6, efConstruction: 40 }

/** A graph of 3,000 points of which one in ten lives; `part` of a live one is 0 to 4. */
async function mostlyDead(t: TestContext): Promise<{ harness: Harness; queries: VectorSet }> {
  const harness = new Harness(t, { dimension: DIMENSION, spec: { hnsw: LEAN } })
  await harness.open()
  const set = randomVectors(POINTS, DIMENSION, 1)
  harness.upsertSet(set, {}, (row) => ({ part: Math.floor(row / 10) % 5 }))
  harness.indexAll()
  harness.delete([...harness.live.keys()].filter((_, row) => row % 10 !== 0))
  return { harness, queries: randomVectors(20, DIMENSION, 2) }
}

/** Every search finds k points where k match, and all that match where fewer do. */
function checkCounts(harness: Harness, queries: VectorSet): void {
  const parts = new Map<string | null, number>([[null, harness.live.size]])
  for (const { metadata } of harness.live.values()) {
    if (metadata !== null) parts.set(metadata, (parts.get(metadata) ?? 0) + 1)
  }
  const cases = [...parts].flatMap(([filter, matching]) =>
    [1, 10, 100, 1000].map((k) => ({ filter, matching, k })),
  )
  for (let query = 0; query < queries.count; query += 1) {
    for (const { filter, matching, k } of cases) {
      const answer = harness.search(vectorAt(queries, query), { k, filter })
      assert.equal(answer.hits.length, Math.min(k, matching))
      assert.equal(answer.exhausted, matching < k)
      assert.ok(answer.hits.every(({ id }) => harness.live.has(id)))
    }
  }
}

function meanRecall(harness: Harness, queries: VectorSet): number {
  const recalls: number[] = []
  for (let query = 0; query < queries.count; query += 1) {
    const vector = vectorAt(queries, query)
    const truth = harness.search(vector, { exact: true })
    recalls.push(recallOf(harness.search(vector, { ef: 100 }), truth))
  }
  return mean(recalls)
}

it('with nine points of ten dead no search lacks a live match: before, during and after', async (t) => {
  const { harness, queries } = await mostlyDead(t)
  checkCounts(harness, queries)
  const before = meanRecall(harness, queries)
  const compacting = harness.shard.compact([])
  harness.delete(['p0', 'p10', 'p20'])
  checkCounts(harness, queries)
  // What was deleted meanwhile may have been carried over before.
  assert.deepEqual(await compacting, { rows: 300, dropped: 2700, liveUpTo: [] })
  checkCounts(harness, queries)
  const { rows, livePoints, tombstones } = harness.shard.stats()
  // The graph is another matter: its dead points go with a rebuild.
  assert.deepEqual([rows, livePoints, tombstones], [300, 297, 2703])
  assert.ok(meanRecall(harness, queries) >= before - 0.01, 'recall is what it was')
  assert.deepEqual(await harness.shard.verify(), [])
})

it('what is written after a compaction is found, checkpointed and loaded again', async (t) => {
  const { harness, queries } = await mostlyDead(t)
  await harness.shard.checkpoint('always')
  await harness.shard.compact([])
  harness.upsertSet(randomVectors(200, DIMENSION, 3), { prefix: 'new' }, () => ({ part: 1 }))
  harness.indexAll()
  harness.delete(['new7', 'p30'])
  const checkpoint = await harness.shard.checkpoint('always')
  await harness.open(JSON.parse(JSON.stringify(checkpoint)) as CheckpointContent)
  assert.deepEqual(harness.shard.notices, [])
  assert.equal(harness.shard.stats().deltaPoints, 0)
  checkCounts(harness, queries)
  assert.deepEqual(await harness.shard.verify(), [])
})

it('memory falls to that of the live rows', async (t) => {
  const { harness } = await mostlyDead(t)
  const rowBytes = DIMENSION * 4 + 8
  const { memoryBytes: before } = harness.shard.stats()
  await harness.shard.compact([])
  const { memoryBytes: after } = harness.shard.stats()
  assert.ok(before - after > 0.8 * POINTS * rowBytes, `${before} bytes before, ${after} after`)
})

it('where few rows are dead nothing is done, and live rows are counted all the same', async (t) => {
  const harness = new Harness(t, { dimension: DIMENSION })
  await harness.open()
  harness.upsertSet(randomVectors(1000, DIMENSION, 1), {})
  harness.delete(['p1', 'p2', 'p999'])
  const compacted = await harness.shard.compact([1, 2, 0])
  assert.deepEqual(compacted, { rows: 1000, dropped: 0, liveUpTo: [498, 997, 0] })
})

it('a clearing checkpoint holds no dead row and not the graphs that are given up', async (t) => {
  const { harness, queries } = await mostlyDead(t)
  await harness.shard.checkpoint('always')
  harness.upsertSet(randomVectors(100, DIMENSION, 3), { prefix: 'new' })
  await harness.shard.adopt({ generation: 2, ref: null, config: LEAN })
  harness.indexAll()
  await harness.shard.publish(2)
  await harness.shard.drop(1)
  const kept = await harness.shard.checkpoint('if_worth')
  harness.delete(['new1', 'new2'])
  const [stored] = harness.shard.stats().generations
  assert.deepEqual([stored?.state, stored?.elements, stored?.tombstones], ['stored', 3000, 2700])
  const cleared = await harness.shard.checkpoint('if_worth', { forget: [1] })
  const rowsOf = ({ parts }: CheckpointContent): number =>
    parts.reduce((sum, { kind, rows }) => (kind === 'points' ? sum + rows : sum), 0)
  assert.deepEqual([rowsOf(kept), rowsOf(cleared), harness.live.size], [400, 398, 398])
  assert.ok(cleared.parts.every(({ kind, deadRows }) => kind === 'points' && deadRows === 0))
  assert.deepEqual([kept.graphs.length, cleared.graphs.length], [2, 1])
  await harness.open(cleared)
  checkCounts(harness, queries)
})

it('a clearing checkpoint whose parts cannot be read back is none', async (t) => {
  /** Loses what is put, from a moment on. */
  class LossyStore extends MemoryStore {
    isLossy = false
    override async getFile(key: string, path: string): Promise<void> {
      if (this.isLossy) await this.delete(key)
      await super.getFile(key, path)
    }
  }
  const store = new LossyStore()
  const harness = new Harness(t, { dimension: DIMENSION, store })
  await harness.open()
  harness.upsertSet(randomVectors(300, DIMENSION, 1), {})
  store.isLossy = true
  await assert.rejects(harness.shard.checkpoint('if_worth', { forget: [] }), {
    code: 'object_corrupt',
  })
  store.isLossy = false
  harness.delete(['p1'])
  const checkpoint = await harness.shard.checkpoint('if_worth')
  await harness.open(checkpoint)
  assert.equal(harness.shard.stats().livePoints, 299)
})

it('a graph whose points are all dead is saved with a place in the log', async (t) => {
  const harness = new Harness(t, { dimension: DIMENSION })
  await harness.open()
  harness.upsertSet(randomVectors(100, DIMENSION, 1), {})
  harness.indexAll()
  await harness.shard.checkpoint('always')
  harness.delete([...harness.live.keys()])
  const emptied = await harness.shard.checkpoint('if_worth')
  await harness.open(emptied)
  const [graph] = (await harness.shard.checkpoint('always')).graphs
  assert.equal(graph?.indexedLsn, 0)
  await harness.shard.compact([])
  assert.equal((await harness.shard.checkpoint('always')).graphs[0]?.indexedLsn, 0)
})
