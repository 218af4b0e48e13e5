/**
 * What survives a restart, and what damage does: a part that is damaged is refused by name, a graph
 * that is damaged is built again, and neither is ever served.
 */

import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { it, type TestContext } from 'node:test'
import { MemoryStore } from '../../src/buckets/memory-store.ts'
import type { CheckpointContent } from '../../src/domain/checkpoint.ts'
import { VectordError } from '../../src/lib/errors.ts'
import { gloveVectors, randomVectors, seededRandom, vectorAt } from '../support/vectors.ts'
import { EVERYTHING, Harness, mean, recallOf } from './harness.ts'

const GLOVE = 20_000
const QUERIES = 200

it('T8: recall after a restart is recall before, within half a point', async (t) => {
  const set = gloveVectors(GLOVE + QUERIES)
  const harness = new Harness(t, { dimension: set.dimension })
  await harness.open()
  harness.upsertSet(set, { to: GLOVE })
  harness.indexAll()
  // A tenth is replaced, a tenth deleted: the graph has dead waypoints.
  harness.delete(Array.from({ length: GLOVE / 10 }, (_, i) => `p${i * 10}`))
  harness.upsertSet(set, { to: GLOVE / 10 })
  harness.indexAll()
  const queries = Array.from({ length: QUERIES }, (_, i) => vectorAt(set, GLOVE + i))
  const truths = queries.map((query) => harness.search(query, { exact: true }))
  const recall = (): number =>
    mean(
      queries.map((query, i) => recallOf(harness.search(query, { ef: 32 }), truths[i] ?? fail())),
    )
  const before = recall()
  const checkpoint = await harness.shard.checkpoint('always')
  const stats = harness.shard.stats()
  await harness.open(checkpoint)
  const after = recall()
  t.diagnostic(`recall@10 at ef 32: ${before} before, ${after} after`)
  assert.ok(before >= 0.95, `recall ${before}`)
  assert.ok(Math.abs(after - before) <= 0.005, `${before} before, ${after} after`)
  const { livePoints, graphElements, tombstones, deltaPoints } = harness.shard.stats()
  assert.deepEqual(
    [livePoints, graphElements, tombstones, deltaPoints],
    [stats.livePoints, stats.graphElements, stats.tombstones, 0],
  )
})

it('T10: flips in parts, graph and labels are refused by name or rebuilt, never served', async (t) => {
  const { harness, checkpoint, truth, query } = await smallShard(t)
  const store = harness.store
  const keys = [
    ...checkpoint.parts.map(({ key }) => key),
    ...checkpoint.graphs.flatMap(({ graph, labels }) => [graph.key, labels.key]),
  ]
  assert.equal(keys.length, 4)
  const random = seededRandom(1)
  let rebuilt = 0
  for (let i = 0; i < 500; i += 1) {
    const key = keys[i % keys.length] ?? fail()
    const good = await store.get(key)
    const bad = new Uint8Array(good)
    const at = Math.floor(random() * bad.length)
    bad[at] = (bad[at] ?? 0) ^ (1 << Math.floor(random() * 8))
    await store.put(key, bad)
    if (key.includes('/parts/')) {
      await assert.rejects(harness.open(checkpoint), (error) => {
        return (
          error instanceof VectordError &&
          error.code === 'object_corrupt' &&
          error.details['key'] === key
        )
      })
    } else {
      const shard = await harness.open(checkpoint)
      assert.match(shard.notices.join(), /checksum/)
      assert.deepEqual(harness.search(query, { ef: 500 }).hits, truth.hits)
      rebuilt += 1
    }
    await store.put(key, good)
  }
  assert.equal(rebuilt, 250)
  assert.deepEqual(readdirSync(harness.spec.scratch), [])
})

it('a missing part is damage, a missing graph is not; a store that is down is neither', async (t) => {
  const { harness, checkpoint, truth, query } = await smallShard(t)
  const [graph] = checkpoint.graphs
  const store = harness.store
  const graphBytes = await store.get(graph?.graph.key ?? '')
  await store.delete(graph?.graph.key ?? '')
  const shard = await harness.open(checkpoint)
  assert.equal(shard.notices.length, 1)
  assert.equal(shard.stats().generation, 2)
  harness.indexAll()
  assert.deepEqual(harness.search(query, { ef: 500 }).hits, truth.hits)
  await store.put(graph?.graph.key ?? '', graphBytes)

  const part = checkpoint.parts[0]?.key ?? ''
  const partBytes = await store.get(part)
  await store.delete(part)
  await assert.rejects(harness.open(checkpoint), { code: 'object_corrupt' })
  await store.put(part, partBytes)

  for (const folder of ['/parts/', '/graphs/']) {
    const down = new DownStore(store, folder)
    const other = new Harness(t, { dimension: 8, store: down })
    await assert.rejects(other.open(checkpoint), { code: 'bucket_unreachable' })
    assert.deepEqual(readdirSync(other.spec.scratch), [])
  }
})

it('a checkpoint that fails changes nothing: the next one has everything', async (t) => {
  const set = randomVectors(600, 8, 3)
  const store = new FailingPuts()
  const harness = new Harness(t, { dimension: 8, store })
  await harness.open()
  harness.upsertSet(set, { to: 300 })
  await harness.shard.checkpoint('always')
  harness.delete(['p1', 'p2'])
  harness.upsertSet(set, { from: 300 })
  harness.indexAll()
  for (let failing = 0; failing < 4; failing += 1) {
    store.putsLeft = failing
    await assert.rejects(harness.shard.checkpoint('always'), { code: 'bucket_unreachable' })
    harness.delete([`p${3 + failing}`])
  }
  store.putsLeft = Infinity
  const checkpoint = await harness.shard.checkpoint('always')
  await harness.open(checkpoint)
  const ids = harness.shard.scroll(null, 1000, null, EVERYTHING).points.map(({ id }) => id)
  assert.deepEqual([...ids].sort(), [...harness.live.keys()].sort())
  assert.deepEqual(readdirSync(harness.spec.scratch), [])
})

it('a checkpoint is its snapshot: writes during it belong to the next', async (t) => {
  const set = randomVectors(400, 8, 4)
  const harness = new Harness(t, { dimension: 8 })
  await harness.open()
  harness.upsertSet(set, { to: 200 }, (row) => ({ row }))
  harness.indexAll()
  const { lsn } = harness
  const before = harness.shard.scroll(null, 1000, null, EVERYTHING).points
  const running = harness.shard.checkpoint('always')
  await Promise.resolve()
  assert.equal(harness.shard.indexSlice(10), false)
  harness.delete(['p0', 'p1', 'p2'])
  harness.upsertSet(set, { from: 3, to: 300 }, (row) => ({ row: -row }))
  assert.equal(harness.search(vectorAt(set, 299)).hits[0]?.id, 'p299')
  const first = await running
  assert.equal(first.lsn, lsn)
  const second = await harness.shard.checkpoint('always')
  const now = harness.shard.scroll(null, 1000, null, EVERYTHING).points
  await harness.open(first)
  assert.deepEqual(harness.shard.scroll(null, 1000, null, EVERYTHING).points, before)
  assert.deepEqual(await harness.shard.verify(), [])
  await harness.open(second)
  assert.deepEqual(harness.shard.scroll(null, 1000, null, EVERYTHING).points, now)
  assert.deepEqual(await harness.shard.verify(), [])
})

it('a delete between two checkpoints never comes back, also of a point that came in between', async (t) => {
  const harness = new Harness(t, { dimension: 8 })
  const set = randomVectors(200, 8, 5)
  await harness.open()
  harness.upsertSet(set, {})
  await harness.shard.checkpoint('if_worth')
  // Replaced and then deleted, before the replacement is in any part.
  harness.upsertSet(set, { from: 7, to: 8 })
  harness.delete(['p7', 'p8'])
  harness.upsertSet(set, { from: 8, to: 9 })
  const checkpoint = await harness.shard.checkpoint('if_worth')
  const kinds = checkpoint.parts.map(({ kind }) => kind)
  assert.deepEqual(kinds.sort(), ['deletes', 'points', 'points'])
  await harness.open(checkpoint)
  const [gone, back] = harness.shard.fetch(['p7', 'p8'], EVERYTHING)
  assert.equal(gone, null)
  assert.equal(back?.id, 'p8')
})

it('parts are shared, and merged when a fifth is dead or when they are many', async (t) => {
  const harness = new Harness(t, { dimension: 8 })
  const set = randomVectors(4000, 8, 6)
  await harness.open()
  harness.upsertSet(set, { to: 1000 })
  const first = await harness.shard.checkpoint('if_worth')
  harness.delete(Array.from({ length: 150 }, (_, i) => `p${i}`))
  const second = await harness.shard.checkpoint('if_worth')
  assert.equal(second.parts[0]?.key, first.parts[0]?.key)
  assert.equal(second.parts[0]?.deadRows, 150)
  harness.delete(Array.from({ length: 60 }, (_, i) => `p${200 + i}`))
  const third = await harness.shard.checkpoint('if_worth')
  assert.deepEqual(
    third.parts.map(({ kind, rows, deadRows }) => [kind, rows, deadRows]),
    [['points', 790, 0]],
  )
  let last = third
  for (let i = 0; i < 40; i += 1) {
    harness.upsertSet(set, { from: 1000 + i * 10, to: 1010 + i * 10 })
    harness.delete([`p${300 + i}`, `p${1000 + i * 10}`])
    last = await harness.shard.checkpoint('if_worth')
    assert.ok(last.parts.filter(({ kind }) => kind === 'points').length <= 16)
    assert.ok(last.parts.length <= 20)
  }
  assert.equal(
    last.parts.some(({ key }) => key === third.parts[0]?.key),
    true,
  )
  await harness.open(last)
  assert.equal(harness.shard.count(null), harness.live.size)
  const idle = await harness.shard.checkpoint('if_worth')
  assert.deepEqual(idle, last)
})

it('a graph is saved when a tenth of it changed, or always where asked', async (t) => {
  const harness = new Harness(t, { dimension: 8 })
  const set = randomVectors(2000, 8, 7)
  await harness.open()
  harness.upsertSet(set, { to: 1000 })
  assert.deepEqual((await harness.shard.checkpoint('always')).graphs, [])
  harness.indexAll()
  const graphOf = async (mode: 'always' | 'if_worth'): Promise<string> =>
    (await harness.shard.checkpoint(mode)).graphs[0]?.graph.key ?? ''
  const first = await graphOf('if_worth')
  harness.upsertSet(set, { from: 1000, to: 1050 })
  harness.indexAll()
  assert.equal(await graphOf('if_worth'), first)
  harness.delete(Array.from({ length: 60 }, (_, i) => `p${i}`))
  const second = await graphOf('if_worth')
  assert.notEqual(second, first)
  assert.notEqual(await graphOf('always'), second)
})

it('the published graph goes on serving when another configuration is wanted by now', async (t) => {
  const { harness, checkpoint } = await smallShard(t)
  const hnsw = { ...harness.spec.hnsw, m: 8 }
  const other = new Harness(t, { dimension: 8, store: harness.store, spec: { hnsw } })
  const shard = await other.open(checkpoint)
  const { generation, generations, deltaPoints } = shard.stats()
  assert.deepEqual([shard.notices, generation, deltaPoints], [[], 1, 0])
  assert.deepEqual(generations[0]?.config, harness.spec.hnsw)
})

it('points that came after the graph wait in the delta after a start, and are found', async (t) => {
  const harness = new Harness(t, { dimension: 8 })
  const set = randomVectors(1030, 8, 8)
  await harness.open()
  harness.upsertSet(set, { to: 1000 })
  harness.indexAll()
  await harness.shard.checkpoint('always')
  harness.upsertSet(set, { from: 1000 })
  const checkpoint = await harness.shard.checkpoint('if_worth')
  await harness.open(checkpoint)
  assert.equal(harness.shard.stats().deltaPoints, 30)
  assert.equal(harness.search(vectorAt(set, 1010)).hits[0]?.id, 'p1010')
  harness.indexAll()
  assert.deepEqual(await harness.shard.verify(), [])
})

interface SmallShard {
  readonly harness: Harness
  readonly checkpoint: CheckpointContent
  readonly query: Float32Array
  readonly truth: ReturnType<Harness['search']>
}

/** 300 points in two points parts or one and a deletes part, with a graph. */
async function smallShard(t: TestContext): Promise<SmallShard> {
  const set = randomVectors(300, 8, 2)
  const harness = new Harness(t, { dimension: 8 })
  await harness.open()
  harness.upsertSet(set, {}, (row) => ({ row }))
  await harness.shard.checkpoint('if_worth')
  harness.delete(['p1', 'p2'])
  harness.indexAll()
  const checkpoint = await harness.shard.checkpoint('always')
  const query = vectorAt(set, 5)
  return { harness, checkpoint, query, truth: harness.search(query, { exact: true }) }
}

/** Reads of objects under `folder` fail like a bucket that cannot be reached. */
class DownStore extends MemoryStore {
  readonly #inner: Harness['store']
  readonly #folder: string

  constructor(inner: Harness['store'], folder: string) {
    super()
    this.#inner = inner
    this.#folder = folder
  }

  override getFile(key: string, path: string): Promise<void> {
    if (key.includes(this.#folder)) return Promise.reject(unreachable())
    return this.#inner.getFile(key, path)
  }
}

/** Fails each `putFile` after the first `putsLeft`. */
class FailingPuts extends MemoryStore {
  putsLeft = Infinity

  override putFile(key: string, path: string): Promise<void> {
    this.putsLeft -= 1
    return this.putsLeft < 0 ? Promise.reject(unreachable()) : super.putFile(key, path)
  }
}

function unreachable(): VectordError {
  return new VectordError('bucket_unreachable', 'The bucket is down.')
}

function fail(): never {
  throw new Error('the test is wrong')
}
