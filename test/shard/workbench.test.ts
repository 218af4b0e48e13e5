/**
 * The workbench: what it says of a data set, its truth, its graphs and what they measure, each
 * against a plain computation.
 */

import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { it, type TestContext } from 'node:test'
import { MemoryStore } from '../../src/buckets/memory-store.ts'
import type { ObjectStore } from '../../src/buckets/object-store.ts'
import { HNSW_DEFAULTS } from '../../src/domain/hnsw-config.ts'
import type { Metric } from '../../src/domain/metric.ts'
import { shardOf, type ShardSpec } from '../../src/domain/shard-spec.ts'
import { benchFolder, encodeQueries } from '../../src/domain/workbench.ts'
import { compare, findTruth, measure } from '../../src/shard/bench-search.ts'
import { Workbench } from '../../src/shard/workbench.ts'
import { randomVectors, vectorAt, type VectorSet } from '../support/vectors.ts'
import { distance, Harness, type ModelPoint } from './harness.ts'

const DIMENSION = 8
const CONFIG = { ...HNSW_DEFAULTS, m: 4, efConstruction: 16 }
const quiet = (): void => undefined

interface Points {
  readonly store: ObjectStore
  readonly specs: readonly ShardSpec[]
  /** Every live point. */
  readonly live: readonly ModelPoint[]
}

/** Rows of a set on so many shards, at a checkpoint: some overwritten, some deleted. */
async function points(
  t: TestContext,
  set: VectorSet,
  { shards = 1, metric = 'l2' }: { readonly shards?: number; readonly metric?: Metric } = {},
): Promise<Points> {
  const store = new MemoryStore()
  const specs: ShardSpec[] = []
  const live: ModelPoint[] = []
  for (let shard = 0; shard < shards; shard += 1) {
    const spec = { shard, shards }
    const harness = new Harness(t, { dimension: DIMENSION, metric, store, spec })
    await harness.open()
    const rows = Array.from({ length: set.count }, (_, row) => pointOf(set, row))
    harness.upsert(rows.filter(({ id }) => shardOf(id, shards) === shard))
    await harness.shard.checkpoint('if_worth')
    harness.upsert([...harness.live.values()].slice(0, 20))
    harness.delete([...harness.live.keys()].slice(0, 10))
    specs.push({ ...harness.spec, checkpoint: await harness.shard.checkpoint('if_worth') })
    live.push(...harness.live.values())
  }
  return { store, specs, live }
}

function pointOf(set: VectorSet, row: number): ModelPoint {
  return { id: `p${row}`, vector: vectorAt(set, row), text: null, metadata: null }
}

async function open(t: TestContext, { specs, store }: Points): Promise<Workbench> {
  const bench = await Workbench.open(specs, store, quiet)
  t.after(() => bench.close())
  return bench
}

function nearest(
  live: readonly ModelPoint[],
  metric: Metric,
  query: Float32Array,
): { readonly id: string; readonly distance: number }[] {
  return live
    .flatMap(({ id, vector }) =>
      vector === null ? [] : [{ id, distance: distance(metric, query, vector) }],
    )
    .sort((a, b) => a.distance - b.distance)
}

for (const metric of ['l2', 'ip', 'cosine'] as const) {
  for (const shards of [1, 3]) {
    it(`truth under ${metric} on ${shards} shards is that of a plain scan`, async (t) => {
      const data = await points(t, randomVectors(300, DIMENSION, 1), { shards, metric })
      const bench = await open(t, data)
      assert.equal(bench.points, data.live.length)
      const set = randomVectors(20, DIMENSION, 2)
      // Every second query leaves out the point that is nearest to it.
      const best = Array.from({ length: 20 }, (_, i) =>
        nearest(data.live, metric, vectorAt(set, i)),
      )
      const selfIds = best.map(([first], i) => (i % 2 === 0 ? null : (first?.id ?? null)))
      const queries = encodeQueries(set.values, DIMENSION, selfIds)
      const truth = await findTruth(bench, { queries, k: 10 }, quiet)
      for (const [i, all] of best.entries()) {
        const want = all.filter(({ id }) => id !== selfIds[i]).slice(0, 10)
        assert.deepEqual(
          truth[i]?.ids,
          want.map(({ id }) => id),
        )
        for (const [place, { distance }] of want.entries()) {
          assert.ok(Math.abs((truth[i].distances[place] ?? NaN) - distance) < 1e-4)
        }
      }
    })
  }
}

it('k beyond the points finds them all', async (t) => {
  const data = await points(t, randomVectors(30, DIMENSION, 1))
  const bench = await open(t, data)
  const queries = encodeQueries(randomVectors(1, DIMENSION, 2).values, DIMENSION)
  const [truth] = await findTruth(bench, { queries, k: 1000 }, quiet)
  assert.equal(truth?.ids.length, data.live.length)
})

it('hits are the recall that is counted by hand, and rise with ef', async (t) => {
  for (const shards of [1, 2]) {
    const data = await points(t, randomVectors(1500, DIMENSION, 3), { shards })
    const bench = await open(t, data)
    const set = randomVectors(60, DIMENSION, 4)
    const selfIds = Array.from({ length: 60 }, (_, i) => (i % 3 === 0 ? `p${i + 100}` : null))
    const queries = encodeQueries(set.values, DIMENSION, selfIds)
    const found = await findTruth(bench, { queries, k: 10 }, quiet)
    const truth = found.map(({ distances }) => distances)
    await bench.build({ config: CONFIG, graphId: 'aa', cached: null }, quiet)
    const efs = [10, 20, 1500]
    const measured = await measure(bench, { graphId: 'aa', efs, queries, truth, k: 10 }, quiet)
    assert.deepEqual(
      measured.map(({ ef }) => ef),
      efs,
    )
    const searched = bench.searched({ graphId: 'aa' })
    for (const { ef, hits, blockCpuUs, latencyUs } of measured) {
      const want = found.map(({ ids }, i) => {
        const vector = vectorAt(set, i)
        const self = selfIds[i]
        const asked = self === null ? 10 : 11
        const slots = searched.flatMap(({ graph, table }) =>
          graph.search(vector, asked, Math.max(ef, asked)).map((slot) => table.id(slot)),
        )
        return ids.filter((id) => slots.includes(id)).length
      })
      assert.deepEqual(hits, want, `ef ${ef}`)
      assert.equal(latencyUs.length, 60 * 3)
      assert.ok(blockCpuUs.every((us) => us >= 0) && blockCpuUs.length === 9)
    }
    const sums = measured.map(({ hits }) => hits.reduce((sum, count) => sum + count, 0))
    assert.ok((sums[0] ?? 0) < (sums[1] ?? 0) && (sums[1] ?? 0) < (sums[2] ?? 0), sums.join())
    // A graph may hold a point that no walk reaches.
    assert.ok((sums[2] ?? 0) >= 597, sums.join())
  }
})

it('both sides of a comparison are measured in each block', async (t) => {
  const bench = await open(t, await points(t, randomVectors(400, DIMENSION, 3)))
  await bench.build({ config: CONFIG, graphId: 'aa', cached: null }, quiet)
  await bench.build({ config: { ...CONFIG, m: 8 }, graphId: 'bb', cached: null }, quiet)
  const queries = encodeQueries(randomVectors(30, DIMENSION, 4).values, DIMENSION)
  const sides = [
    { graphId: 'aa', ef: 10 },
    { graphId: 'bb', ef: 400 },
  ] as const
  const compared = await compare(bench, { sides, queries, k: 10, blocks: 8 }, quiet)
  const { cpuUs, quickestUs } = compared
  assert.ok(quickestUs.every((all) => all.length > 0 && all.every((us) => us > 0)))
  assert.equal(cpuUs.length, 8)
  const cost = (side: 0 | 1): number => cpuUs.reduce((sum, block) => sum + block[side], 0)
  // 40 times the ef over twice the links.
  assert.ok(cost(0) > 0 && cost(0) * 2 < cost(1), `${cost(0)} ${cost(1)}`)
})

it('a saved graph is loaded and not built; damaged or of other points it is built', async (t) => {
  const data = await points(t, randomVectors(300, DIMENSION, 5), { shards: 2 })
  const first = await open(t, data)
  const request = { config: CONFIG, graphId: 'aa', cached: null }
  assert.equal((await first.build(request, quiet)).isNew, true)
  assert.equal((await first.build(request, quiet)).isNew, false)
  const saved = await first.save({ graphId: 'aa', prefix: '_hnsw_graphs/words/aa-' })
  assert.deepEqual(
    saved.map(({ shard, elements, published }) => [shard, elements > 0, published]),
    [
      [0, true, false],
      [1, true, false],
    ],
  )
  const second = await open(t, data)
  const loaded = await second.build({ ...request, cached: saved }, quiet)
  assert.deepEqual([loaded.isNew, loaded.elements], [false, data.live.length])
  const again = await second.save({ graphId: 'aa', prefix: '_hnsw_graphs/words/again-' })
  assert.deepEqual(shaOf(again), shaOf(saved))

  const other = await open(t, await points(t, randomVectors(301, DIMENSION, 5), { shards: 2 }))
  assert.equal((await other.build({ ...request, cached: saved }, quiet)).isNew, true)

  const key = saved[0]?.graph.key ?? ''
  const whole = await data.store.get(key)
  await data.store.put(key, whole.subarray(1))
  const third = await open(t, data)
  assert.equal((await third.build({ ...request, cached: saved }, quiet)).isNew, true)
  await data.store.delete(key)
  const fourth = await open(t, data)
  assert.equal((await fourth.build({ ...request, cached: saved }, quiet)).isNew, true)
})

it('a shard without points needs no files', async (t) => {
  // One point, and so an empty shard.
  const set = randomVectors(1, DIMENSION, 5)
  const id = ['a', 'b', 'c', 'd'].find((one) => shardOf(one, 2) === 0) ?? ''
  const store = new MemoryStore()
  const specs: ShardSpec[] = []
  for (const shard of [0, 1]) {
    const harness = new Harness(t, { dimension: DIMENSION, store, spec: { shard, shards: 2 } })
    await harness.open()
    if (shard === 0) harness.upsert([{ ...pointOf(set, 0), id }])
    specs.push({ ...harness.spec, checkpoint: await harness.shard.checkpoint('if_worth') })
  }
  const data = { store, specs, live: [] }
  const first = await open(t, data)
  await first.build({ config: CONFIG, graphId: 'aa', cached: null }, quiet)
  const cached = await first.save({ graphId: 'aa', prefix: '_hnsw_graphs/words/aa-' })
  assert.equal(cached.length, 1)
  const second = await open(t, data)
  const built = await second.build({ config: CONFIG, graphId: 'aa', cached }, quiet)
  assert.deepEqual([built.isNew, built.elements], [false, 1])
})

it('no points make an empty data set, and one without answers', async (t) => {
  const harness = new Harness(t, { dimension: DIMENSION })
  const bench = await open(t, { store: new MemoryStore(), specs: [harness.spec], live: [] })
  const { points: count, lsn } = bench.describe()
  assert.deepEqual([count, lsn], [0, 0])
  const built = await bench.build({ config: CONFIG, graphId: 'aa', cached: null }, quiet)
  assert.deepEqual([built.elements, await bench.save({ graphId: 'aa', prefix: 'x-' })], [0, []])
  const queries = encodeQueries(randomVectors(1, DIMENSION, 2).values, DIMENSION)
  const found = await findTruth(bench, { queries, k: 3 }, quiet)
  assert.deepEqual(found, [{ ids: [], distances: [] }])
})

it('only the last two graphs stay; one that is gone is said to be', async (t) => {
  const bench = await open(t, await points(t, randomVectors(60, DIMENSION, 6)))
  for (const graphId of ['aa', 'bb', 'aa', 'cc']) {
    await bench.build({ config: CONFIG, graphId, cached: null }, quiet)
  }
  assert.equal(bench.searched({ graphId: 'aa' }).length, 1)
  assert.throws(() => bench.searched({ graphId: 'bb' }), { code: 'builder_failed' })
  await assert.rejects(bench.save({ graphId: 'dd', prefix: 'x-' }), { code: 'builder_failed' })
})

it('fingerprints are equal for equal rows, however they are stored, and only for them', async (t) => {
  const set = randomVectors(100, DIMENSION, 7)
  const of = async (data: Points): Promise<string> => (await open(t, data)).describe().fingerprint
  const data = await points(t, set)
  assert.equal(await of(data), await of(await points(t, set)))
  assert.notEqual(await of(data), await of(await points(t, set, { shards: 2 })))
  assert.notEqual(await of(data), await of(await points(t, set, { metric: 'ip' })))
  assert.notEqual(await of(data), await of(await points(t, randomVectors(99, DIMENSION, 7))))
  const others = data.specs.map((spec) => ({ ...spec, incarnation: 'two' }))
  assert.notEqual(await of(data), await of({ ...data, specs: others }))
})

it('dead rows in the parts change neither the fingerprint nor the bytes of a graph', async (t) => {
  const saved: { readonly fingerprint: string; readonly sha: readonly string[] }[] = []
  const slots: number[] = []
  // With a checkpoint between the writes dead rows stay in its part; without one they are nowhere.
  for (const between of [true, false]) {
    const harness = new Harness(t, { dimension: DIMENSION })
    await harness.open()
    harness.upsertSet(randomVectors(200, DIMENSION, 8), {})
    if (between) await harness.shard.checkpoint('if_worth')
    harness.upsertSet(randomVectors(20, DIMENSION, 9), {})
    harness.delete(['p30', 'p31'])
    const checkpoint = await harness.shard.checkpoint('if_worth')
    const specs = [{ ...harness.spec, checkpoint }]
    const bench = await open(t, { store: harness.store, specs, live: [] })
    assert.equal(bench.points, 198)
    slots.push(bench.tables[0]?.slots ?? 0)
    await bench.build({ config: CONFIG, graphId: 'aa', cached: null }, quiet)
    const sha = shaOf(await bench.save({ graphId: 'aa', prefix: 'x-' }))
    saved.push({ fingerprint: bench.describe().fingerprint, sha })
  }
  assert.notEqual(slots[0], slots[1])
  assert.deepEqual(saved[0], saved[1])
})

it('nothing is left on the disk of a workbench that is closed', async (t) => {
  const data = await points(t, randomVectors(60, DIMENSION, 6))
  const bench = await Workbench.open(data.specs, data.store, quiet)
  const folder = benchFolder({ shards: data.specs }, process.pid)
  assert.ok(existsSync(folder))
  await bench.build({ config: CONFIG, graphId: 'aa', cached: null }, quiet)
  await bench.close()
  assert.ok(!existsSync(folder))
})

function shaOf(
  graphs: readonly { readonly graph: { sha256: string }; readonly labels: { sha256: string } }[],
): string[] {
  return graphs.flatMap(({ graph, labels }) => [graph.sha256, labels.sha256])
}

it('texts that wait for their vectors are no part of a data set until these come', async (t) => {
  const harness = new Harness(t, { dimension: DIMENSION })
  await harness.open()
  const set = randomVectors(100, DIMENSION, 6)
  const text = (id: string) => ({ id, vector: null, text: `text ${id}`, metadata: null })
  harness.upsert([text('first'), ...Array.from({ length: 100 }, (_, row) => pointOf(set, row))])
  harness.upsert([pointOf(set, 3), text('p4'), text('last')])
  const open1 = async (): Promise<Workbench> => {
    const checkpoint = await harness.shard.checkpoint('if_worth')
    return open(t, { store: harness.store, specs: [{ ...harness.spec, checkpoint }], live: [] })
  }
  const first = await open1()
  assert.equal(first.describe().points, 99)
  const request = { config: CONFIG, graphId: 'aa', cached: null }
  assert.equal((await first.build(request, quiet)).elements, 99)
  const saved = await first.save({ graphId: 'aa', prefix: '_hnsw_graphs/words/aa-' })
  const again = await open1()
  assert.equal(again.describe().fingerprint, first.describe().fingerprint)
  assert.equal((await again.build({ ...request, cached: saved }, quiet)).isNew, false)
  const made = { id: 'last', version: 2, text: 'text last', vector: vectorAt(set, 0) }
  harness.project([made], 'm@1')
  const later = await open1()
  assert.equal(later.describe().points, 100)
  assert.notEqual(later.describe().fingerprint, first.describe().fingerprint)
  const queries = encodeQueries(set.values.subarray(0, DIMENSION), DIMENSION)
  const [truth] = await findTruth(later, { queries, k: 2 }, quiet)
  assert.deepEqual([...(truth?.ids ?? [])].sort(), ['last', 'p0'])
})
