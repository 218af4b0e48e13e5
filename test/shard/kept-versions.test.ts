/** What a point table and a shard keep of older versions, case by case. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { PointTable } from '../../src/shard/point-table.ts'
import { faultsOfSlot } from '../../src/shard/table-faults.ts'
import { trimVersions } from '../../src/shard/trim-versions.ts'
import { verifyShard } from '../../src/shard/verify.ts'
import { MetadataIndex } from '../../src/shard/metadata-index.ts'
import { ShardGraph } from '../../src/shard/graph.ts'
import { HNSW_DEFAULTS } from '../../src/domain/hnsw-config.ts'
import { EVERYTHING, Harness } from './harness.ts'

const VECTORS = Float32Array.from([1, 2, 3, 4])

/** Writes one point an lsn, as `apply` does; a name with a minus is deleted. */
function tableOf(keep: number, writes: readonly string[]): PointTable {
  const table = new PointTable(4, 'l2', keep)
  for (const [i, name] of writes.entries()) write(table, i + 1, name)
  return table
}

function write(table: PointTable, lsn: number, name: string): void {
  const id = name.replace('-', '')
  const older = table.slotOf(id)
  const by = name.startsWith('-') ? 'delete' : 'upsert'
  if (older !== undefined) table.end(older, { lsn, by })
  if (by === 'delete') return
  const strings = { text: `text ${lsn}`, metadata: null }
  table.append({ id, lsn, row: 0, vectors: VECTORS, offset: 0, ...strings })
}

function lsns(table: PointTable, id: string): number[] {
  return table.slotsOf(id).map((slot) => table.lsn(slot))
}

it('the newest versions are kept, newest first, and a delete takes the place of one', () => {
  const cases: [number, string[], number[], number][] = [
    [1, ['a', 'a', 'a'], [3], 3],
    [1, ['a', '-a'], [], 2],
    [2, ['a', 'a', 'a'], [3, 2], 2],
    [3, ['a', 'a', 'a', 'a'], [4, 3, 2], 2],
    [2, ['a', 'a', '-a'], [2], 2],
    [2, ['a', '-a', 'a'], [3], 2],
    [3, ['a', '-a', 'a'], [3, 1], 0],
    [3, ['a', '-a', 'a', '-a'], [3], 2],
    [3, ['a', '-a', '-a', '-a'], [1], 0],
    [2, ['a', 'b', 'b', 'b', 'a'], [5, 1], 3],
  ]
  for (const [keep, writes, expected, horizon] of cases) {
    const table = tableOf(keep, writes)
    assert.deepEqual(
      [lsns(table, 'a'), table.horizonLsn],
      [expected, horizon],
      `${keep}: ${writes.join()}`,
    )
    for (let slot = 0; slot < table.slots; slot += 1)
      assert.deepEqual(faultsOfSlot(table, slot), [])
  }
})

it('where one version is kept nothing is spent on others', () => {
  const writes = Array.from({ length: 5000 }, (_, i) => `p${i % 10}`)
  const one = tableOf(1, writes)
  const two = tableOf(2, writes)
  assert.deepEqual([one.keptVersions, one.keptBytes, one.kept.words.length], [0, 0, 0])
  assert.deepEqual([two.keptVersions, two.livePoints], [10, 10])
  const ids = 10 * 56
  const strings = one.payloadBytes + 2 * 10 * 24
  assert.equal(one.memoryBytes, one.vectors.memoryBytes + 5000 * 37 + ids + strings)
  assert.ok(two.memoryBytes > one.memoryBytes + 5000 * 16)
})

it('a version that is given up while the table is held can be read until the hold ends', () => {
  const table = tableOf(2, ['a', 'a'])
  table.hold()
  write(table, 3, 'a')
  assert.equal(table.kept.has(0), false)
  assert.equal(table.text(0), 'text 1')
  table.release()
  assert.equal(table.text(0), null)
  assert.equal(table.text(1), 'text 2')
})

it('less to keep is given up in one pass, more is kept from the next write on', async () => {
  const table = tableOf(4, ['a', 'b', 'a', 'b', 'a', '-b', 'c'])
  table.keepVersions(2)
  assert.deepEqual(await trimVersions(table), { versions: 2, bytes: 2 * (16 + 7) })
  assert.deepEqual([lsns(table, 'a'), lsns(table, 'b'), table.horizonLsn], [[5, 3], [4], 4])
  table.keepVersions(1)
  assert.deepEqual(await trimVersions(table), { versions: 2, bytes: 2 * (16 + 7) })
  assert.deepEqual([lsns(table, 'a'), lsns(table, 'b'), table.horizonLsn], [[5], [], 6])
  assert.equal(table.kept.words.length, 0)
  assert.deepEqual(await trimVersions(table), { versions: 0, bytes: 0 })
  table.keepVersions(3)
  write(table, 8, 'a')
  write(table, 9, 'c')
  assert.deepEqual(
    [lsns(table, 'a'), lsns(table, 'c')],
    [
      [8, 5],
      [9, 7],
    ],
  )
})

it('verify finds kept versions that are damaged', async () => {
  const damages: [(table: PointTable) => void, RegExp][] = [
    [(table) => table.kept.delete(0), /2 kept slots, 3 counted/],
    [(table) => table.kept.add(4), /live and kept/],
    [(table) => table.live.add(1), /live and has an end/],
    [(table) => table.vectors.release(0), /vector was freed/],
    [(table) => table.kept.add(2), /a kept slot holds no point/],
    [(table) => table.keepVersions(1), /beyond the last versions/],
  ]
  for (const [damage, expected] of damages) {
    const table = tableOf(2, ['a', 'b', 'c', 'a', 'd', '-b', 'c', 'c', 'c'])
    // A third version of c was given up, so its slot is empty.
    const check = async (): Promise<string> => {
      const identity = { generation: 1, config: HNSW_DEFAULTS, graphId: null }
      const graph = new ShardGraph(table, identity, null)
      const shard = { table, graph, metadata: new MetadataIndex(), flatRowsMax: 100 }
      const faults = await verifyShard(shard)
      return faults.map(({ detail }) => detail).join('; ')
    }
    assert.equal(await check(), '')
    damage(table)
    assert.match(await check(), expected)
  }
})

it('a search by id as of a write uses the vector of then and leaves that version out', async (t) => {
  const harness = new Harness(t, { dimension: 1, metric: 'l2', spec: { keepLastVersions: 3 } })
  await harness.open()
  const point = (id: string, at: number) => {
    return { id, vector: Float32Array.of(at), text: null, metadata: null }
  }
  harness.upsert([point('a', 0), point('b', 1), point('c', 10)])
  harness.upsert([point('a', 9)])
  harness.delete(['c'])
  const near = (asOf: number, k = 5): string[] =>
    harness.shard
      .search({
        ...{ target: { id: 'a' }, k, ef: null, exact: false, filter: null, asOf },
        include: EVERYTHING,
      })
      .hits.map(({ id, distance }) => `${id} ${distance}`)
  assert.deepEqual(near(1), ['b 1', 'c 100'])
  assert.deepEqual(near(2), ['c 1', 'b 64'])
  assert.deepEqual(near(2, 1), ['c 1'])
  assert.deepEqual(near(3), ['b 64'])
  assert.throws(() => near(0), { code: 'point_not_found' })
})

it('a restart with fewer versions gives up what a delete ended, and says from when on all is there', async (t) => {
  const harness = new Harness(t, { dimension: 2, metric: 'l2', spec: { keepLastVersions: 3 } })
  await harness.open()
  const vector = Float32Array.of(1, 1)
  harness.upsert([{ id: 'a', vector, text: null, metadata: null }])
  harness.delete(['a'])
  harness.upsert([{ id: 'b', vector, text: null, metadata: null }])
  const checkpoint = await harness.shard.checkpoint('if_worth')
  const asOf = (lsn: number): unknown => {
    const { hits, completeFrom } = harness.search(vector, { asOf: lsn })
    return [hits.map(({ id }) => id), completeFrom]
  }
  assert.deepEqual(asOf(1), [['a'], 0])
  await harness.open(checkpoint)
  assert.deepEqual(asOf(1), [['a'], 0])
  await harness.open(checkpoint, { keepLastVersions: 1 })
  assert.deepEqual(
    [asOf(1), asOf(2), asOf(3)],
    [
      [[], 2],
      [[], 2],
      [['b'], 2],
    ],
  )
})

it('a checkpoint of before versions were kept says that nothing older is known', async (t) => {
  const harness = new Harness(t, { dimension: 2, metric: 'l2', spec: { keepLastVersions: 2 } })
  await harness.open()
  const vector = Float32Array.of(1, 1)
  for (const text of ['one', 'two']) harness.upsert([{ id: 'a', vector, text, metadata: null }])
  const content = await harness.shard.checkpoint('if_worth')
  assert.deepEqual(content.retention, [{ shard: 0, keepLastVersions: 2, horizonLsn: 0 }])
  await harness.open({ ...content, retention: [] })
  assert.deepEqual(harness.shard.stats().keptVersions, 0)
  assert.equal(harness.search(vector, { asOf: 2 }).completeFrom, 2)
  harness.upsert([{ id: 'a', vector, text: 'three', metadata: null }])
  assert.equal(harness.search(vector, { asOf: 2, include: EVERYTHING }).hits[0]?.text, 'two')
})
