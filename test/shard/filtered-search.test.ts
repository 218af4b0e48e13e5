/**
 * Filtered searches: recall at every selectivity, whichever way the plan goes, also where filter
 * and query belong together or exclude each other.
 */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { isTrusted, planSecondWalk, planWalk } from '../../src/shard/search-plan.ts'
import { clusteredVectors, gloveVectors, seededRandom, vectorAt } from '../support/vectors.ts'
import { Harness, mean, recallOf } from './harness.ts'

const POINTS = 20_000
const QUERIES = 100

it('recall is at least 0.95 at 0.1, 1, 10, 50 and 90 % selectivity', async (t) => {
  const set = gloveVectors(POINTS + QUERIES)
  const harness = new Harness(t, { dimension: set.dimension, flatRowsMax: 2000 })
  await harness.open()
  const random = seededRandom(1)
  harness.upsertSet(set, { to: POINTS }, () => ({ u: random() }))
  harness.indexAll()
  for (const share of [0.001, 0.01, 0.1, 0.5, 0.9]) {
    const filter = JSON.stringify({ u: { $lt: share } })
    const { recall, paths } = measured(harness, filter, (i) => vectorAt(set, POINTS + i))
    t.diagnostic(`${share * 100} %: recall ${recall.toFixed(4)}, ${JSON.stringify(paths)}`)
    assert.ok(recall >= 0.95, `recall ${recall} at ${share}`)
    if (share <= 0.01) assert.deepEqual(Object.keys(paths), ['exact'])
    if (share >= 0.5) assert.deepEqual(Object.keys(paths), ['graph_filtered'])
  }
})

it('recall holds where the matches lie around the query, and where they lie away from it', async (t) => {
  const clusters = 20
  const set = clusteredVectors(POINTS, 32, { clusters, seed: 2 })
  const harness = new Harness(t, { dimension: 32, metric: 'l2', flatRowsMax: 2000 })
  await harness.open()
  // Fields follow the geometry: the side of a plane that runs through the clouds.
  harness.upsertSet(set, {}, (row) => ({
    side: (set.values[row * 32] ?? 0) > 0 ? 'left' : 'right',
  }))
  harness.indexAll()
  const left = Array.from({ length: set.count }, (_, row) => row).filter(
    (row) => (set.values[row * 32] ?? 0) > 0,
  )
  for (const [side, kind] of [
    ['left', 'correlated'],
    ['right', 'anti-correlated'],
  ] as const) {
    const filter = JSON.stringify({ side })
    const { recall, paths } = measured(harness, filter, (i) => vectorAt(set, left[i * 50] ?? 0))
    t.diagnostic(`${kind}: recall ${recall.toFixed(4)}, ${JSON.stringify(paths)}`)
    assert.ok(recall >= 0.95, `recall ${recall} ${kind}`)
    assert.equal((paths['graph_filtered'] ?? 0) > 0 || kind === 'anti-correlated', true)
  }
})

it('matches that wait in the delta are found beside those of the graph', async (t) => {
  const set = clusteredVectors(8000, 16, { clusters: 10, seed: 3 })
  const harness = new Harness(t, { dimension: 16, flatRowsMax: 2000 })
  await harness.open()
  harness.upsertSet(set, { to: 7000 }, (row) => ({ even: row % 2 === 0 }))
  harness.indexAll()
  harness.upsertSet(set, { from: 7000 }, (row) => ({ even: row % 2 === 0, late: true }))
  const { recall } = measured(harness, '{"even":true}', (i) => vectorAt(set, i * 79))
  assert.ok(recall >= 0.95, `recall ${recall}`)
  const late = measured(harness, '{"late":true}', (i) => vectorAt(set, i * 79))
  assert.equal(late.recall, 1)
})

it('a plan walks only where that is cheaper, and never over half the points', () => {
  const base = { dimension: 100, wanted: 10, ef: 80, live: 100_000, matching: 50_000 }
  assert.equal(planWalk({ ...base, matching: 100_000 }), 80)
  assert.equal(planWalk(base), 100)
  assert.equal(planWalk({ ...base, matching: 10_000 }), 260)
  assert.equal(planWalk({ ...base, matching: 100 }), null)
  assert.equal(planWalk({ ...base, matching: 0 }), null)
  assert.equal(planWalk({ ...base, wanted: 60_000, matching: 60_000 }), null)
  assert.equal(planSecondWalk(base, 200), 800)
  assert.equal(planSecondWalk({ ...base, matching: 2000 }, 200), null)
  assert.equal(isTrusted(null, 100), false)
  assert.equal(isTrusted(75, 100), true)
  assert.equal(isTrusted(76, 100), false)
})

function measured(
  harness: Harness,
  filter: string,
  queryAt: (i: number) => Float32Array,
): { readonly recall: number; readonly paths: Record<string, number> } {
  const paths: Record<string, number> = {}
  const recalls = Array.from({ length: QUERIES }, (_, i) => {
    const answer = harness.search(queryAt(i), { filter })
    paths[answer.path] = (paths[answer.path] ?? 0) + 1
    const truth = harness.search(queryAt(i), { filter, exact: true })
    assert.equal(answer.hits.length, truth.hits.length)
    assert.equal(answer.efUsed > 0, answer.path !== 'exact')
    return recallOf(answer, truth)
  })
  return { recall: mean(recalls), paths }
}
