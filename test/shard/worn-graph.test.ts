/**
 * A graph in which most points are dead is grown anew beside serving, and no point is lost to it.
 */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { randomVectors, seededRandom, vectorAt, type VectorSet } from '../support/vectors.ts'
import { Harness } from './harness.ts'

const DIMENSION = 8
const POINTS = 450
const HNSW = { m: 6, efConstruction: 40, efSearch: null, seed: 42 }

function checkFinds(harness: Harness): void {
  let lost = 0
  for (const [id, { vector }] of harness.live) {
    assert.ok(vector !== null)
    if (harness.search(vector, { k: 1, ef: 200 }).hits[0]?.id !== id) lost += 1
  }
  assert.ok(lost <= harness.live.size * 0.01, `${lost} of ${harness.live.size} are lost`)
}

/** Ends all but `keep` of the points, chosen at random. */
function deleteAllBut(harness: Harness, keep: number, random: () => number): void {
  const ids = [...harness.live.keys()]
  while (ids.length > keep) {
    const chosen = ids.splice(Math.floor(random() * ids.length), 1)
    harness.delete(chosen)
  }
}

async function full(harness: Harness): Promise<VectorSet> {
  const set = randomVectors(POINTS * 8, DIMENSION, 3)
  await harness.open()
  harness.upsertSet(set, { to: POINTS })
  harness.indexAll()
  return set
}

for (const keep of [0, 5, 20, 112]) {
  it(`all but ${keep} points are deleted and as many come, again and again`, async (t) => {
    const harness = new Harness(t, { dimension: DIMENSION, metric: 'l2', spec: { hnsw: HNSW } })
    const set = await full(harness)
    const random = seededRandom(keep + 1)
    for (let round = 1; round < 8; round += 1) {
      deleteAllBut(harness, keep, random)
      const from = round * POINTS
      harness.upsertSet(set, { from, to: from + POINTS - keep })
      harness.indexAll()
      await harness.shard.verify()
      const { deltaPoints, tombstones, livePoints, generation } = harness.shard.stats()
      assert.deepEqual([deltaPoints, livePoints, generation], [0, POINTS, 1])
      assert.ok(tombstones <= livePoints, `${tombstones} dead in the graph`)
      checkFinds(harness)
    }
  })
}

it('while it is grown anew, every search finds what is live and nothing else', async (t) => {
  const harness = new Harness(t, { dimension: DIMENSION, metric: 'l2', spec: { hnsw: HNSW } })
  const set = await full(harness)
  deleteAllBut(harness, 200, seededRandom(7))
  harness.upsertSet(set, { from: POINTS, to: POINTS + 100 })
  for (let slices = 0; harness.shard.indexSlice(0.5); slices += 1) {
    if (slices % 4 === 0) checkFinds(harness)
    if (slices === 8) harness.delete([...harness.live.keys()].slice(0, 10))
  }
  await harness.shard.verify()
  checkFinds(harness)
  const { hits } = harness.search(vectorAt(set, 0), { k: 1000, ef: 1000 })
  assert.equal(hits.length, harness.live.size)
})

it('what was grown anew is what the next checkpoint saves', async (t) => {
  const harness = new Harness(t, { dimension: DIMENSION, metric: 'l2', spec: { hnsw: HNSW } })
  const set = await full(harness)
  await harness.shard.checkpoint('always')
  deleteAllBut(harness, 100, seededRandom(8))
  harness.upsertSet(set, { from: POINTS, to: POINTS + 100 })
  harness.indexAll()
  const content = await harness.shard.checkpoint('if_worth')
  assert.deepEqual(
    content.graphs.map(({ generation, elements, published }) => [generation, elements, published]),
    [[1, 200, true]],
  )
  await harness.open(content)
  harness.indexAll()
  assert.deepEqual(await harness.shard.verify(), [])
  checkFinds(harness)
})

it('a worn graph that is loaded, and a worn candidate, are grown anew too', async (t) => {
  const harness = new Harness(t, { dimension: DIMENSION, metric: 'l2', spec: { hnsw: HNSW } })
  const set = await full(harness)
  const content = await harness.shard.checkpoint('always')
  const [graph] = content.graphs
  assert.ok(graph !== undefined)
  const payloads = [
    ...[...harness.live.keys()].slice(5).map((id) => harness.delete([id])),
    harness.upsert([{ id: 'late', vector: vectorAt(set, 999), text: null, metadata: null }]),
  ]
  await harness.open(content)
  for (const [i, payload] of payloads.entries()) harness.shard.apply(content.lsn + 1 + i, payload)
  const candidate = { ...graph, published: false, graphId: 'feed' }
  await harness.shard.adopt({ generation: 2, ref: candidate, config: null })
  harness.upsertSet(set, { from: POINTS, to: 2 * POINTS })
  harness.indexAll()
  await harness.shard.verify()
  checkFinds(harness)
  const states = harness.shard.stats().generations.map((one) => [one.state, one.tombstones])
  assert.deepEqual(states, [
    ['published', 0],
    ['candidate', 0],
  ])
  await harness.shard.publish(2)
  checkFinds(harness)
})
