/**
 * One shard as the data plane uses it: what a reader may rely on after each call.
 */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { encodeBatch } from '../../src/codecs/batch-codec.ts'
import { METRICS } from '../../src/domain/metric.ts'
import { shardOf } from '../../src/domain/shard-spec.ts'
import { randomVectors, vectorAt } from '../support/vectors.ts'
import { EVERYTHING, Harness, mean, NOTHING, recallOf } from './harness.ts'

const DIMENSION = 12

it('every write is searchable at once, and the newest version of an id is the only one', async (t) => {
  const harness = new Harness(t, { dimension: 2, metric: 'l2' })
  await harness.open()
  harness.upsert([point('a', [0, 0]), point('b', [5, 5])])
  harness.upsert([point('a', [9, 9], '{"n":2}', 'new')])
  const { hits, exhausted, lsn, path } = harness.search(Float32Array.of(9, 9), {
    include: EVERYTHING,
  })
  assert.deepEqual(hits[0], {
    id: 'a',
    version: 2,
    metadata: '{"n":2}',
    text: 'new',
    vector: Float32Array.of(9, 9),
    distance: 0,
  })
  assert.deepEqual(
    hits.map(({ id }) => id),
    ['a', 'b'],
  )
  assert.deepEqual({ exhausted, lsn, path }, { exhausted: true, lsn: 2, path: 'exact' })
})

it('a delete hides, an unknown id is no error, an old lsn is ignored', async (t) => {
  const harness = new Harness(t, { dimension: 2, metric: 'l2' })
  const shard = await harness.open()
  const first = harness.upsert([point('a', [0, 0]), point('b', [1, 1])])
  harness.delete(['a', 'nobody'])
  shard.apply(1, first)
  assert.deepEqual(
    shard.fetch(['a', 'b'], NOTHING).map((p) => p?.id ?? null),
    [null, 'b'],
  )
  assert.equal(shard.count(null), 1)
})

for (const metric of METRICS) {
  it(`${metric}: a point has one distance on every path, and paths agree on the order`, async (t) => {
    const set = randomVectors(1500, DIMENSION, 1)
    const harness = new Harness(t, { dimension: DIMENSION, metric })
    await harness.open()
    // Every vector twice: equal distances are ordered by the order of writing.
    harness.upsertSet(set, { prefix: 'a' }, (row) => ({ half: row % 2 }))
    harness.upsertSet(set, { prefix: 'b' }, (row) => ({ half: row % 2 }))
    const filter = '{"half":1}'
    const before = harness.search(vectorAt(set, 0), { exact: true, filter, k: 20 })
    harness.indexAll()
    for (let row = 0; row < 20; row += 1) {
      const query = vectorAt(randomVectors(20, DIMENSION, 2), row)
      const exact = harness.search(query, { exact: true, k: 20 })
      const graph = harness.search(query, { ef: 600, k: 20 })
      assert.equal(graph.path, 'graph')
      assert.deepEqual(graph.hits, exact.hits)
      const truth = harness.trueDistances(query).slice(0, 20)
      for (const [i, { distance }] of exact.hits.entries()) {
        assert.ok(
          Math.abs(distance - (truth[i]?.distance ?? NaN)) < 1e-9 * (1 + Math.abs(distance)),
        )
      }
    }
    const after = harness.search(vectorAt(set, 0), { exact: true, filter, k: 20 })
    assert.deepEqual(after, before)
  })
}

it('half indexed, half in the delta: one answer over both', async (t) => {
  const set = randomVectors(2000, DIMENSION, 3)
  const harness = new Harness(t, { dimension: DIMENSION })
  await harness.open()
  harness.upsertSet(set, { to: 1000 })
  harness.indexAll()
  harness.upsertSet(set, { from: 1000 })
  const { deltaPoints, indexedLsn, appliedLsn, graphElements } = harness.shard.stats()
  assert.deepEqual([deltaPoints, graphElements], [1000, 1000])
  assert.deepEqual([indexedLsn, appliedLsn], [2, 4])
  const recalls = [0, 5, 1500, 1999].map((row) => {
    const query = vectorAt(set, row)
    const found = harness.search(query, { ef: 400 })
    assert.equal(found.hits[0]?.id, `p${row}`)
    return recallOf(found, harness.search(query, { exact: true }))
  })
  assert.ok(mean(recalls) > 0.95)
})

it('deleted points never crowd out live ones: k hits whenever k live points match', async (t) => {
  const set = randomVectors(3000, DIMENSION, 4)
  const harness = new Harness(t, { dimension: DIMENSION })
  await harness.open()
  harness.upsertSet(set, {}, (row) => ({ rare: row % 100 === 0 }))
  harness.indexAll()
  // The neighbourhood of the query dies, all but the farthest.
  const query = vectorAt(set, 7)
  const byDistance = harness.trueDistances(query).map(({ id }) => id)
  harness.delete(byDistance.slice(0, 2800))
  for (const ef of [10, 100]) {
    const { hits, exhausted, path } = harness.search(query, { k: 100, ef })
    assert.equal(hits.length, 100)
    assert.equal(exhausted, false)
    assert.equal(path, 'graph')
    assert.ok(hits.every(({ id }) => harness.live.has(id)))
  }
  const all = harness.search(query, { k: 1000 })
  assert.equal(all.hits.length, 200)
  assert.equal(all.exhausted, true)
  const rare = harness.search(query, { k: 3000, filter: '{"rare":true}' })
  const expected = byDistance.slice(2800).filter((id) => Number(id.slice(1)) % 100 === 0)
  assert.deepEqual(
    rare.hits.map(({ id }) => id),
    expected,
  )
})

it('everything deleted: empty answers, and life goes on', async (t) => {
  const set = randomVectors(300, DIMENSION, 5)
  const harness = new Harness(t, { dimension: DIMENSION })
  await harness.open()
  harness.upsertSet(set, {})
  harness.indexAll()
  harness.delete([...harness.live.keys()])
  const { hits, exhausted } = harness.search(vectorAt(set, 0))
  assert.deepEqual([hits, exhausted], [[], true])
  harness.upsertSet(set, { to: 200 })
  harness.indexAll()
  assert.equal(harness.search(vectorAt(set, 0)).hits[0]?.id, 'p0')
  assert.deepEqual(await harness.shard.verify(), [])
})

it('a search by id leaves that point out', async (t) => {
  const set = randomVectors(400, DIMENSION, 6)
  const harness = new Harness(t, { dimension: DIMENSION })
  await harness.open()
  harness.upsertSet(set, {}, (row) => ({ n: row }))
  harness.indexAll()
  const byId = harness.search(new Float32Array(0), { target: { id: 'p3' }, k: 10, ef: 300 })
  const byVector = harness.search(vectorAt(set, 3), { k: 11, ef: 300 })
  assert.deepEqual(byId.hits, byVector.hits.slice(1))
  const few = { k: 2, filter: '{"n":{"$lte":3,"$gte":2}}' }
  const filtered = harness.search(new Float32Array(0), { target: { id: 'p3' }, ...few })
  assert.deepEqual(
    filtered.hits.map(({ id }) => id),
    ['p2'],
  )
  assert.equal(filtered.exhausted, true)
  assert.throws(() => harness.search(new Float32Array(0), { target: { id: 'nobody' } }), {
    code: 'point_not_found',
  })
})

it('a batch is applied whole or not at all', async (t) => {
  const harness = new Harness(t, { dimension: 2 })
  const shard = await harness.open()
  harness.upsert([point('a', [1, 0])])
  const before = shard.stats()
  const batch = (vectors: number[], metadata: (string | null)[], dimension = 2): Uint8Array =>
    encodeBatch({
      kind: 'upsert',
      dimension,
      ids: metadata.map((_, row) => `n${row}`),
      vectors: Float32Array.from(vectors),
      texts: metadata.map(() => null),
      metadata,
    })
  const refused: [Uint8Array, string][] = [
    [batch([1, 1, NaN, 1], [null, null]), 'invalid_vector'],
    [batch([1, 1, Infinity, 1], [null, null]), 'invalid_vector'],
    [batch([1, 1, 0, 0], [null, null]), 'invalid_vector'],
    [batch([1, 1, 1, 1], [null, '[1]']), 'invalid_points'],
    [batch([1, 1, 1, 1], [null, '{']), 'invalid_points'],
    [batch([1, 1, 1], [null], 3), 'vector_dimension_mismatch'],
    [new Uint8Array(10), 'log_corrupt'],
  ]
  for (const [payload, code] of refused) {
    assert.throws(
      () => {
        shard.apply(2, payload)
      },
      { code },
    )
    assert.deepEqual(shard.stats(), before)
  }
  shard.apply(2, batch([1, 1, 2, 1], [null, null]))
  assert.equal(shard.count(null), 3)
})

it('a query that no distance can be computed for is refused', async (t) => {
  const harness = new Harness(t, { dimension: 2 })
  await harness.open()
  harness.upsert([point('a', [1, 0])])
  assert.throws(() => harness.search(Float32Array.of(NaN, 0)), { code: 'invalid_vector' })
  assert.throws(() => harness.search(Float32Array.of(0, 0)), { code: 'invalid_vector' })
  assert.throws(() => harness.search(Float32Array.of(1)), { code: 'vector_dimension_mismatch' })
  assert.throws(() => harness.search(Float32Array.of(1, 1), { filter: '{"a":{"$x":1}}' }), {
    code: 'invalid_filter',
  })
})

it('vectors beyond the range of float32 distances are found exactly, and harm no other', async (t) => {
  for (const metric of ['l2', 'ip'] as const) {
    const set = randomVectors(500, 4, 8)
    const harness = new Harness(t, { dimension: 4, metric })
    await harness.open()
    harness.upsertSet(set, { to: 200 })
    const huge = Float32Array.of(3e38, -3e38, 1e30, 5)
    harness.upsert([{ id: 'huge', vector: huge, text: null, metadata: null }])
    harness.upsertSet(set, { from: 200 })
    harness.indexAll()
    assert.equal(harness.shard.stats().deltaPoints, 0)
    assert.equal(harness.search(huge).hits[0]?.id, 'huge')
    const query = vectorAt(set, 300)
    const found = harness.search(query, { ef: 300 })
    assert.ok(recallOf(found, harness.search(query, { exact: true })) >= 0.9)
    assert.deepEqual(await harness.shard.verify(), [])
  }
})

it('rows of other shards are skipped, and every id has one owner', async (t) => {
  const ids = Array.from({ length: 100 }, (_, i) => `id-${i}`)
  const counts = await Promise.all(
    [0, 1, 2].map(async (shard) => {
      const harness = new Harness(t, { dimension: 2, spec: { shard, shards: 3 } })
      const opened = await harness.open()
      harness.upsert(ids.map((id, i) => point(id, [1, i])))
      const held = opened.fetch(ids, NOTHING).flatMap((p) => (p === null ? [] : [p.id]))
      assert.deepEqual(
        held,
        ids.filter((id) => shardOf(id, 3) === shard),
      )
      return held.length
    }),
  )
  assert.equal(
    counts.reduce((sum, count) => sum + count),
    100,
  )
})

it('a scroll goes over every live match once, in the order of writing, also beside writes', async (t) => {
  const set = randomVectors(50, 2, 9)
  const harness = new Harness(t, { dimension: 2 })
  const shard = await harness.open()
  harness.upsertSet(set, {}, (row) => ({ odd: row % 2 }))
  harness.delete(['p1', 'p2', 'p3'])
  const seen: string[] = []
  let after = null
  for (;;) {
    const page = shard.scroll(after, 7, '{"odd":1}', EVERYTHING)
    seen.push(...page.points.map(({ id }) => id))
    // Behind and ahead of the reader: the one is not seen again, the other is.
    if (seen.length === 7) harness.upsert([point('p5', [1, 1], '{"odd":1}'), point('p6', [1, 2])])
    if (page.done) break
    after = page.positions.at(-1) ?? null
  }
  const odd = Array.from({ length: 25 }, (_, i) => `p${2 * i + 1}`)
  assert.deepEqual(seen, [...odd.filter((id) => id !== 'p1' && id !== 'p3'), 'p5'])
  assert.deepEqual(shard.scroll(null, 10, '{"odd":2}', NOTHING), {
    points: [],
    positions: [],
    done: true,
  })
  assert.deepEqual(shard.matchingIds('{"odd":1}', 2), ['p7', 'p9'])
  assert.equal(shard.count('{"odd":1}'), 23)
})

it('few points begin no graph, and nothing waits for one', async (t) => {
  const harness = new Harness(t, { dimension: 2, flatRowsMax: 100 })
  const shard = await harness.open()
  const set = randomVectors(200, 2, 10)
  harness.upsertSet(set, { to: 100 })
  assert.equal(shard.indexSlice(1000), false)
  const few = shard.stats()
  assert.deepEqual([few.deltaPoints, few.graphElements, few.indexedLsn], [0, 0, few.appliedLsn])
  harness.upsertSet(set, { from: 100 })
  assert.equal(shard.stats().deltaPoints, 200)
  harness.indexAll()
  const many = shard.stats()
  assert.deepEqual([many.deltaPoints, many.graphElements], [0, 200])
  assert.ok(many.insertRate > 0)
})

it('a slice of indexing keeps to its budget and says whether more waits', async (t) => {
  const harness = new Harness(t, { dimension: DIMENSION })
  const shard = await harness.open()
  harness.upsertSet(randomVectors(3000, DIMENSION, 11), {})
  assert.equal(shard.indexSlice(0), true)
  assert.equal(shard.stats().graphElements, 0)
  assert.equal(shard.indexSlice(1), true)
  const { graphElements } = shard.stats()
  assert.ok(graphElements > 0 && graphElements < 3000)
  harness.indexAll()
  assert.equal(shard.indexSlice(1000), false)
})

it('memory is told: it grows with the points and stays below 2.5 times the vectors', async (t) => {
  const harness = new Harness(t, { dimension: 768 })
  const shard = await harness.open()
  const empty = shard.stats().memoryBytes
  // Enough that the fixed cost of a graph counts as little as it does at full size.
  harness.upsertSet(randomVectors(8000, 768, 12), {})
  const { rawBytes, memoryBytes } = shard.stats()
  assert.equal(rawBytes, 8000 * 768 * 4)
  assert.ok(memoryBytes > empty + rawBytes && memoryBytes < 1.2 * rawBytes)
})

function point(
  id: string,
  vector: readonly number[],
  metadata: string | null = null,
  text: string | null = null,
): { id: string; vector: Float32Array; metadata: string | null; text: string | null } {
  return { id, vector: Float32Array.from(vector), metadata, text }
}
