/**
 * Every live point finds itself through the graph, or is searched exactly instead (T9).
 */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import {
  gloveVectors,
  randomVectors,
  seededRandom,
  vectorAt,
  type VectorSet,
} from '../support/vectors.ts'
import { Harness, type ModelPoint } from './harness.ts'

const POINTS = 10_000

it('T9: after ten rounds of delete half, insert half, every point finds itself', async (t) => {
  const set = gloveVectors(2 * POINTS)
  // A small M makes points hard to find: the worst that a graph may be.
  const hnsw = { m: 6, efConstruction: 60, efSearch: null, seed: 7 }
  const harness = new Harness(t, { dimension: set.dimension, spec: { hnsw } })
  await harness.open()
  const random = seededRandom(9)
  let rows = Array.from({ length: POINTS }, (_, row) => row)
  harness.upsertSet(set, { to: POINTS })
  harness.indexAll()
  for (let round = 0; round < 10; round += 1) {
    const gone = new Set(rows.filter(() => random() < 0.5))
    harness.delete([...gone].map((row) => `p${row}`))
    rows = rows.filter((row) => !gone.has(row))
    const held = new Set(rows)
    const fresh = Array.from({ length: set.count }, (_, row) => row)
      .filter((row) => !held.has(row) && random() < 0.5)
      .slice(0, POINTS - rows.length)
    rows.push(...fresh)
    harness.upsert(fresh.map((row) => pointOf(set, row)))
    harness.indexAll()
  }
  const faults = await harness.shard.verify()
  const after = lost(harness, set, rows)
  t.diagnostic(`${after} of ${rows.length} points do not find themselves`)
  assert.ok(faults.every(({ what }) => what === 'findability'))
  assert.ok(
    after <= rows.length * 0.001,
    `${after} of ${rows.length} points do not find themselves`,
  )
  assert.deepEqual(await harness.shard.verify(), [])
})

it('points that the graph does not find are told and searched exactly from then on', async (t) => {
  const set = randomVectors(2000, 32, 1)
  // The poorest graph that there is: two links, no search while building.
  const hnsw = { m: 2, efConstruction: 4, efSearch: null, seed: 1 }
  const harness = new Harness(t, { dimension: 32, spec: { hnsw } })
  await harness.open()
  harness.upsertSet(set, {})
  harness.indexAll()
  const rows = Array.from({ length: set.count }, (_, row) => row)
  const before = lost(harness, set, rows)
  assert.ok(before > 20, `only ${before} of the points were hard to find`)
  const [fault, ...others] = await harness.shard.verify()
  assert.equal(fault?.what, 'findability')
  assert.deepEqual(others, [])
  assert.equal(lost(harness, set, rows), 0)
  // A stray dies like any other point, and a saved graph is checked for points without links.
  harness.delete(rows.slice(0, 1000).map((row) => `p${row}`))
  const checkpoint = await harness.shard.checkpoint('always')
  await harness.open(checkpoint)
  await harness.shard.verify()
  assert.equal(lost(harness, set, rows.slice(1000)), 0)
  assert.equal(harness.search(vectorAt(set, 5), { ef: 200 }).hits[0]?.id === 'p5', false)
})

it('copies of one vector do not hide each other, and are not taken for lost', async (t) => {
  const harness = new Harness(t, { dimension: 8 })
  await harness.open()
  const [vector] = [vectorAt(randomVectors(1, 8, 2), 0)]
  const copies = Array.from({ length: 500 }, (_, i) => ({
    id: `c${i}`,
    vector,
    text: null,
    metadata: null,
  }))
  harness.upsert(copies)
  harness.upsertSet(randomVectors(500, 8, 3), {})
  harness.indexAll()
  assert.deepEqual(await harness.shard.verify(), [])
  const { hits } = harness.search(vector, { k: 500, ef: 600 })
  assert.equal(hits.filter(({ id }) => id.startsWith('c')).length, 500)
})

function pointOf(set: VectorSet, row: number): ModelPoint {
  return { id: `p${row}`, vector: vectorAt(set, row), text: null, metadata: null }
}

/** How many points are not the nearest to themselves at the ef that `verify` promises. */
function lost(harness: Harness, set: VectorSet, rows: readonly number[]): number {
  return rows.filter((row) => {
    const { hits } = harness.search(vectorAt(set, row), { k: 1, ef: 200 })
    return (hits[0]?.distance ?? Infinity) > 1e-6
  }).length
}
