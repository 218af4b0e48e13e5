/** Snapshots: what they hold, what comes of them, and what is refused or damaged. */

import assert from 'node:assert/strict'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { it, type TestContext } from 'node:test'
import { MemoryStore } from '../../src/buckets/memory-store.ts'
import { hasCode, VectordError } from '../../src/lib/errors.ts'
import { PromotionFile } from '../../src/promotions/promotion-file.ts'
import { filesOf } from '../../src/snapshots/snapshot.ts'
import { COLD, HOT, PrefixStore } from '../support/moving-world.ts'
import {
  control,
  DEADLINE_MS,
  PROMOTED,
  SETTINGS,
  SnapshotWorld,
} from '../support/snapshot-world.ts'

const MADE = { bucket: HOT, note: null, by: 'test' }
const BY = { by: 'test' }
const PAGE = { before: null, limit: 100 }

async function temporary(t: TestContext): Promise<string> {
  const scratch = await mkdtemp(join(tmpdir(), 'vectord-snapshots-'))
  t.after(() => rm(scratch, { recursive: true, force: true }))
  return scratch
}

async function open(t: TestContext, inner = new MemoryStore()): Promise<SnapshotWorld> {
  const world = new SnapshotWorld(inner, { scratch: await temporary(t) })
  t.after(() => world.world.registry.close())
  return world
}

function keyOf({ details: { key } }: VectordError): string {
  return typeof key === 'string' ? key : ''
}

function pointOf(n: number) {
  return { vector: [n, 1, 2, 3], text: n % 3 === 0 ? `text ${n}` : null, metadata: `{"n":${n}}` }
}

function points(from: number, to: number) {
  const ids = Array.from({ length: to - from }, (_, i) => from + i)
  return Object.fromEntries(ids.map((n) => [`p${n}`, pointOf(n)]))
}

for (const keepLastVersions of [1, 3]) {
  it(`one with ${keepLastVersions} kept of each id has the points of exactly its lsn, while writes go on`, async (t) => {
    const world = await open(t)
    await world.create({ keepLastVersions })
    await world.write('docs', points(0, 40))
    await world.write('docs', { waits: { vector: null, text: 'no vector yet', metadata: null } })
    await world.world.registry.get('docs').checkpoint('always')
    await world.write('docs', { p1: null, p2: pointOf(102), p3: null })
    await world.write('docs', { p3: pointOf(103) })
    const over = new AbortController()
    const writing = (async () => {
      for (let n = 200; !over.signal.aborted; n += 1) {
        await world.write('docs', { [`w${n % 5}`]: pointOf(n), [`p${n % 7}`]: null })
        await new Promise((resolve) => setTimeout(resolve, 1))
      }
    })()
    const made = await world.snapshots.make('docs', { ...MADE, note: 'then' }, control())
    await world.snapshots.make('docs', MADE, control())
    over.abort()
    await writing
    const expected = world.stateAt('docs', made.lsn)
    assert.equal(made.points, expected.size)
    assert.equal(world.counts, keepLastVersions === 1 ? 0 : 2)
    assert.ok(world.world.registry.get('docs').info.lsn > made.lsn, 'writes came after it')
    const place = { index: 'docs', id: made.id, bucket: HOT }
    const wish = { name: 'again', bucket: COLD, ...BY }
    const { index, leftOut } = await world.snapshots.restore(place, wish, control())
    assert.deepEqual(leftOut, [])
    assert.deepEqual(await world.contentOf('again'), expected)
    const { info } = index
    assert.equal(info.lsn, made.lsn)
    assert.deepEqual(
      { ...SETTINGS, name: 'again', bucket: COLD, keepLastVersions },
      Object.fromEntries(Object.keys(SETTINGS).map((key) => [key, info[key as 'name']])),
    )
    assert.equal((info.stats?.graphElements ?? 0) > 0, true, 'it came with its graph')
    // The line of its writes goes on, and it is an index as any other.
    const { lsn } = await index.write(
      { kind: 'delete', ids: ['p10'] },
      { ack: 'applied', deadlineMs: DEADLINE_MS },
    )
    assert.equal(lsn, made.lsn + 1)
    assert.equal((await index.verify()).clean, true)
    assert.deepEqual(await world.snapshots.verify(place, control()), {
      files: filesOf(made).length,
      bytes: filesOf(made).reduce((sum, { bytes }) => sum + bytes, 0),
      faults: [],
    })
  })
}

it('of an index that was never written it has nothing, and makes an empty one', async (t) => {
  const world = await open(t)
  await world.create()
  const made = await world.snapshots.make('docs', MADE, control())
  assert.deepEqual([made.lsn, made.points, made.content], [0, 0, null])
  const place = { index: 'docs', id: made.id, bucket: HOT }
  await world.snapshots.restore(place, { name: 'again', bucket: HOT, ...BY }, control())
  assert.deepEqual(await world.contentOf('again'), new Map())
  await world.write('again', points(0, 1))
  assert.equal(world.world.registry.get('again').info.lsn, 1)
})

it('it outlives its index, and is listed newest first with its note and its author', async (t) => {
  const world = await open(t)
  await world.create()
  await world.write('docs', points(0, 3))
  const ids: string[] = []
  for (const note of ['one', 'two', 'three']) {
    world.nowMs += 10
    ids.unshift((await world.snapshots.make('docs', { ...MADE, note }, control())).id)
  }
  await world.world.registry.delete('docs', { ifRevision: null, by: 'test' })
  const { snapshots, faults, next } = await world.snapshots.list('docs', HOT, PAGE)
  assert.deepEqual([faults, next], [[], null])
  assert.deepEqual(
    snapshots.map(({ id, note, createdBy, lsn, points: count }) => [
      id,
      note,
      createdBy,
      lsn,
      count,
    ]),
    ids.map((id, i) => [id, ['three', 'two', 'one'][i], 'test', 1, 3]),
  )
  const first = await world.snapshots.list('docs', HOT, { before: null, limit: 2 })
  assert.deepEqual([first.snapshots.map(({ id }) => id), first.next], [ids.slice(0, 2), ids[1]])
  const rest = await world.snapshots.list('docs', HOT, { before: first.next, limit: 2 })
  assert.deepEqual([rest.snapshots.map(({ id }) => id), rest.next], [ids.slice(2), null])
  const place = { index: 'docs', id: ids[1] ?? '', bucket: HOT }
  await world.snapshots.restore(place, { name: 'docs', bucket: HOT, ...BY }, control())
  assert.deepEqual([...(await world.contentOf('docs')).keys()], ['p0', 'p1', 'p2'])
})

it('the configuration that was in force is so again, under the same trial', async (t) => {
  const inner = new MemoryStore()
  const world = await open(t, inner)
  world.promoted = PROMOTED
  await world.create()
  await world.write('docs', points(0, 2))
  const made = await world.snapshots.make('docs', MADE, control())
  assert.deepEqual(made.promoted, PROMOTED)
  const place = { index: 'docs', id: made.id, bucket: HOT }
  assert.deepEqual(await world.snapshots.get(place), made, 'the document says what was made')
  await world.snapshots.restore(place, { name: 'again', bucket: COLD, ...BY }, control())
  const store = new PrefixStore(inner, `${COLD}/`)
  const file = new PromotionFile({ store, index: 'again', nowMs: () => 0 })
  const { document } = await file.load()
  assert.ok(document !== null)
  assert.deepEqual(document.current, { ...PROMOTED, graphId: null })
  assert.equal(document.change?.note, `restored from snapshot ${made.id}`)
})

it('a copy in another bucket is the same, and restores where only that bucket is known', async (t) => {
  const inner = new MemoryStore()
  const world = await open(t, inner)
  await world.create()
  await world.write('docs', points(0, 20))
  await world.write('docs', { p4: null })
  const made = await world.snapshots.make('docs', MADE, control())
  const place = { index: 'docs', id: made.id, bucket: HOT }
  const copied = await world.snapshots.copy(place, COLD, control())
  assert.deepEqual(copied, made)
  const before = world.world.store.operations
  assert.deepEqual(await world.snapshots.copy(place, COLD, control()), made)
  const again = world.world.store.log.slice(before).map(({ operation }) => operation)
  assert.equal(again.includes('putFile'), false, 'a second copy writes nothing')
  for (const key of await world.keys(HOT, '')) await inner.delete(key)
  const scratch = await temporary(t)
  const other = new SnapshotWorld(inner, { scratch, server: 'two', names: [COLD] })
  t.after(() => other.world.registry.close())
  await other.world.registry.refresh()
  const there = { ...place, bucket: COLD }
  await other.snapshots.restore(there, { name: 'docs', bucket: COLD, ...BY }, control())
  assert.deepEqual(await other.contentOf('docs'), world.stateAt('docs', made.lsn))
  await assert.rejects(other.snapshots.get(place), (error) => hasCode(error, 'bucket_not_found'))
  assert.deepEqual(await readdir(join(scratch, 'snapshots')), [], 'no temporary file stays')
})

it('another snapshot in the place of a copy is not replaced', async (t) => {
  const world = await open(t)
  await world.create()
  await world.write('docs', points(0, 2))
  const made = await world.snapshots.make('docs', MADE, control())
  const place = { index: 'docs', id: made.id, bucket: HOT }
  await world.snapshots.copy(place, COLD, control())
  await world.write('docs', points(2, 4))
  world.nowMs += 1
  const other = await world.snapshots.make('docs', MADE, control())
  const [from, to] = [other.id, made.id].map((id) => `_snapshots/docs/${id}/snapshot.json`)
  const { store } = world.world
  // As nothing but a person with a copier of files can bring about.
  const text = Buffer.from(await store.get(`${HOT}/${from}`)).toString()
  assert.ok(text.includes(other.id))
  await store.put(`${COLD}/${to}`, Buffer.from(text))
  await assert.rejects(world.snapshots.copy(place, COLD, control()), (error) =>
    hasCode(error, 'object_corrupt'),
  )
})

it('object_corrupt: a damaged part ends a restore, is named, and leaves no index', async (t) => {
  const world = await open(t)
  await world.create()
  await world.write('docs', points(0, 30))
  const made = await world.snapshots.make('docs', MADE, control())
  const place = { index: 'docs', id: made.id, bucket: HOT }
  const folder = `_snapshots/docs/${made.id}/`
  const keys = (await world.keys(HOT, folder)).filter((key) => key.endsWith('.parquet'))
  assert.ok(keys.length >= 2, 'each shard has a part')
  for (const how of ['flip', 'gone'] as const) {
    const key = keys[how === 'flip' ? 0 : 1] ?? ''
    if (how === 'flip') await world.damage(key)
    else await world.world.store.delete(key)
    const named = key.slice(HOT.length + 1)
    const wish = { name: 'again', bucket: COLD, ...BY }
    await assert.rejects(world.snapshots.restore(place, wish, control()), (error) => {
      // The first damage is met first in either round.
      return hasCode(error, 'object_corrupt') && keyOf(error).startsWith(folder)
    })
    assert.equal(world.world.registry.has('again'), false)
    assert.deepEqual(
      (await world.keys(COLD, '_indexes/again/')).filter((one) => !one.includes('/meta/')),
      [],
    )
    const { faults } = await world.snapshots.verify(place, control())
    assert.ok(faults.some((fault) => fault.key === named))
    await assert.rejects(world.snapshots.copy(place, COLD, control()), (error) =>
      hasCode(error, 'object_corrupt'),
    )
    assert.deepEqual(await world.keys(COLD, '_snapshots/'), [])
  }
  // The name was given back.
  await world.create({ name: 'again', bucket: COLD })
})

it('a damaged graph is left out of a restore, told, and built again', async (t) => {
  const world = await open(t)
  await world.create({ shards: 1 })
  await world.write('docs', points(0, 30))
  const made = await world.snapshots.make('docs', MADE, control())
  const place = { index: 'docs', id: made.id, bucket: HOT }
  const key = `_snapshots/docs/${made.id}/graphs/1.hnsw`
  await world.damage(`${HOT}/${key}`)
  const wish = { name: 'again', bucket: HOT, ...BY }
  const { leftOut } = await world.snapshots.restore(place, wish, control())
  assert.deepEqual(leftOut, [key])
  assert.deepEqual(await world.contentOf('again'), world.stateAt('docs', made.lsn))
  assert.equal((await world.world.registry.get('again').verify()).clean, true)
})

it('object_corrupt: a damaged document is told in lists and by every use, and can be removed', async (t) => {
  const world = await open(t)
  await world.create()
  const made = await world.snapshots.make('docs', MADE, control())
  const place = { index: 'docs', id: made.id, bucket: HOT }
  await world.damage(`${HOT}/_snapshots/docs/${made.id}/snapshot.json`)
  const { snapshots, faults } = await world.snapshots.list('docs', HOT, PAGE)
  assert.deepEqual(
    [snapshots, faults.map(({ id, fault }) => [id, fault.code])],
    [[], [[made.id, 'object_corrupt']]],
  )
  const wish = { name: 'again', bucket: HOT, ...BY }
  await assert.rejects(world.snapshots.restore(place, wish, control()), (error) =>
    hasCode(error, 'object_corrupt'),
  )
  await world.snapshots.remove(place)
  assert.deepEqual(await world.keys(HOT, '_snapshots/'), [])
})

it('a damaged part of the index ends a snapshot of it, and leaves nothing of it', async (t) => {
  const world = await open(t)
  await world.create({ shards: 1 })
  await world.write('docs', points(0, 30))
  await world.world.registry.get('docs').checkpoint('always')
  const part = (await world.keys(HOT, '_indexes/docs/parts/'))[0] ?? ''
  await world.damage(part)
  await assert.rejects(world.snapshots.make('docs', MADE, control()), (error) => {
    return hasCode(error, 'object_corrupt') && `${HOT}/${keyOf(error)}` === part
  })
  assert.deepEqual(await world.keys(HOT, '_snapshots/'), [])
})

it('404 and 409: what is not there, what is taken, what is in use', async (t) => {
  const world = await open(t)
  await world.create()
  await world.write('docs', points(0, 10))
  const made = await world.snapshots.make('docs', MADE, control())
  const place = { index: 'docs', id: made.id, bucket: HOT }
  const absent = { ...place, id: '000000000000-0000000000000000' }
  const isMissing = (error: unknown): boolean => hasCode(error, 'snapshot_not_found')
  await assert.rejects(world.snapshots.get(absent), isMissing)
  await assert.rejects(world.snapshots.get({ ...place, bucket: COLD }), isMissing)
  await assert.rejects(world.snapshots.get({ ...place, index: 'other' }), isMissing)
  await assert.rejects(world.snapshots.remove(absent), isMissing)
  await assert.rejects(world.snapshots.make('none', MADE, control()), (error) =>
    hasCode(error, 'index_not_found'),
  )
  const taken = { name: 'docs', bucket: COLD, ...BY }
  await assert.rejects(world.snapshots.restore(place, taken, control()), (error) =>
    hasCode(error, 'index_exists'),
  )
  const wish = { name: 'again', bucket: COLD, ...BY }
  const [first, second] = await Promise.allSettled([
    world.snapshots.restore(place, wish, control()),
    world.snapshots.restore(place, wish, control()),
    assert.rejects(world.snapshots.remove(place), (error) => hasCode(error, 'snapshot_in_use')),
  ])
  assert.equal(first.status, 'fulfilled', 'of two restores into a name one wins')
  assert.ok(second.status === 'rejected' && hasCode(second.reason, 'index_exists'))
  await world.snapshots.remove(place)
  assert.deepEqual(await world.keys(HOT, '_snapshots/'), [])
})

it('cancelled: neither a snapshot nor an index is left half', async (t) => {
  const world = await open(t)
  await world.create()
  await world.write('docs', points(0, 10))
  const made = await world.snapshots.make('docs', MADE, control())
  const place = { index: 'docs', id: made.id, bucket: HOT }
  const reason = new VectordError('operation_cancelled', 'Enough.')
  const stop = AbortSignal.abort(reason)
  const before = await world.keys(HOT, '_snapshots/')
  await assert.rejects(world.snapshots.make('docs', MADE, control(stop)), reason)
  assert.deepEqual(await world.keys(HOT, '_snapshots/'), before)
  const wish = { name: 'again', bucket: COLD, ...BY }
  await assert.rejects(world.snapshots.restore(place, wish, control(stop)), reason)
  await world.create({ name: 'again' })
})

it('what a crash left of a snapshot goes a day later, and not what is being made', async (t) => {
  const world = await open(t)
  await world.create()
  const left = `${HOT}/_snapshots/docs/0123456789ab-0123456789abcdef/parts/1.parquet`
  const alien = `${HOT}/_snapshots/docs/readme.txt`
  for (const key of [left, alien]) await world.world.store.put(key, Buffer.from('x'))
  const { modifiedMs } = await world.world.store.head(left)
  world.nowMs = modifiedMs + 23 * 3600 * 1000
  await world.snapshots.list('docs', HOT, PAGE)
  assert.deepEqual(await world.keys(HOT, '_snapshots/'), [left, alien])
  world.nowMs = modifiedMs + 25 * 3600 * 1000
  await world.snapshots.list('docs', HOT, PAGE)
  assert.deepEqual(await world.keys(HOT, '_snapshots/'), [alien])
})
