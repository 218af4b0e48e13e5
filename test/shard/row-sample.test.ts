/**
 * Queries made from rows: the same for the same seed, each beside a row of its own, always numbers.
 */

import assert from 'node:assert/strict'
import { it, type TestContext } from 'node:test'
import type { Metric } from '../../src/domain/metric.ts'
import { decodeQueries, type QueryRows } from '../../src/domain/workbench.ts'
import { findTruth } from '../../src/shard/bench-search.ts'
import { Workbench } from '../../src/shard/workbench.ts'
import { randomVectors, type VectorSet } from '../support/vectors.ts'
import { Harness } from './harness.ts'

const DIMENSION = 8
const quiet = (): void => undefined

async function benchOf(
  t: TestContext,
  set: VectorSet,
  metric: Metric = 'l2',
): Promise<{ readonly bench: Workbench; readonly harness: Harness }> {
  const harness = new Harness(t, { dimension: set.dimension, metric })
  await harness.open()
  harness.upsertSet(set, {})
  const checkpoint = await harness.shard.checkpoint('if_worth')
  const bench = await Workbench.open([{ ...harness.spec, checkpoint }], harness.store, quiet)
  t.after(() => bench.close())
  return { bench, harness }
}

function sample(bench: Workbench, seed: number, count = 40, noise = 1): Promise<QueryRows> {
  return bench.sampleRows({ count, seed, noise }, quiet)
}

it('the same seed gives the same queries, another one others', async (t) => {
  const set = randomVectors(300, DIMENSION, 1)
  const { bench } = await benchOf(t, set)
  const { bench: again } = await benchOf(t, set)
  assert.deepEqual(await sample(bench, 7), await sample(again, 7))
  assert.notDeepEqual(await sample(bench, 7), await sample(bench, 8))
})

it('rows are chosen once each, and all of them where more are asked for', async (t) => {
  const { bench } = await benchOf(t, randomVectors(30, DIMENSION, 1))
  const some = await sample(bench, 1, 20)
  assert.deepEqual([some.count, new Set(some.selfIds).size], [20, 20])
  const all = await sample(bench, 1, 1000)
  assert.deepEqual([all.count, new Set(all.selfIds).size], [30, 30])
})

it('a query lies near its row and is not it; its truth leaves the row out', async (t) => {
  const { bench, harness } = await benchOf(t, randomVectors(300, DIMENSION, 1))
  const queries = await sample(bench, 3)
  const vectors = decodeQueries(queries)
  const truth = await findTruth(bench, { queries, k: 5 }, quiet)
  const far: number[] = []
  for (const [i, id] of queries.selfIds.entries()) {
    const query = vectors.subarray(i * DIMENSION, (i + 1) * DIMENSION)
    const all = harness.trueDistances(query)
    far.push(all.findIndex((one) => one.id === id))
    assert.ok((all.find((one) => one.id === id)?.distance ?? 0) > 0)
    assert.equal(truth[i]?.ids.includes(id ?? ''), false)
    assert.equal(truth[i].ids.length, 5)
  }
  // Ranks of the rows among 300: a query at random would have 150.
  assert.ok(far.reduce((sum, rank) => sum + rank, 0) / far.length < 30, far.join())
})

it('without noise a query is its row', async (t) => {
  const { bench, harness } = await benchOf(t, randomVectors(50, DIMENSION, 1))
  const queries = await sample(bench, 3, 10, 0)
  const vectors = decodeQueries(queries)
  for (const [i, id] of queries.selfIds.entries()) {
    const row = harness.live.get(id ?? '')?.vector
    assert.deepEqual(vectors.slice(i * DIMENSION, (i + 1) * DIMENSION), row)
  }
})

for (const metric of ['l2', 'ip', 'cosine'] as const) {
  it(`rows of any kind make numbers under ${metric}`, async (t) => {
    const kinds: Readonly<Record<string, number[][]>> = {
      one: [[1, 2, 3]],
      'one, of zeros': [[0, 0, 0]],
      two: [
        [1, 2, 3],
        [3, 2, 1],
      ],
      equal: Array.from({ length: 12 }, () => [1, 1, 1]),
      zeros: Array.from({ length: 12 }, () => [0, 0, 0]),
      'zeros among others': Array.from({ length: 12 }, (_, i) => (i < 6 ? [0, 0, 0] : [i, 1, 0])),
      tiny: Array.from({ length: 12 }, (_, i) => [i * 1e-40, 1e-42, 0]),
      huge: Array.from({ length: 12 }, (_, i) => [3e38, i * 1e37, -3e38]),
      none: [],
    }
    for (const [kind, rows] of Object.entries(kinds)) {
      // Under cosine zeros have no direction and are refused.
      if (metric === 'cosine' && kind.includes('zeros')) continue
      const values = Float32Array.from(rows.flat())
      const { bench } = await benchOf(t, { count: rows.length, dimension: 3, values }, metric)
      const queries = await sample(bench, 1)
      assert.equal(queries.count, rows.length, kind)
      assert.ok(decodeQueries(queries).every(Number.isFinite), kind)
    }
  })
}
