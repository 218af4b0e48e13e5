/**
 * A process that ends at any operation of a bucket while it makes or restores a snapshot.
 *
 * The store ends after operation N, for N = 1, 2, … until the work comes through; nobody hears of what
 * that operation did, and what was before the next one is the same. A server that starts then finds a whole thing or none, and can do the work again.
 */

import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { it, type TestContext } from 'node:test'
import { MemoryStore } from '../../src/buckets/memory-store.ts'
import { metaDocument } from '../../src/indexes/index-meta.ts'
import { hasCode, VectordError } from '../../src/lib/errors.ts'
import { COLD, HOT, PrefixStore } from '../support/moving-world.ts'
import { control, PROMOTED, SnapshotWorld, type WorldPoint } from '../support/snapshot-world.ts'

const MADE = { bucket: HOT, note: null, by: 'test' }
const WISH = { name: 'again', bucket: COLD, by: 'test' }
const STEPS_MAX = 300

async function temporary(t: TestContext): Promise<string> {
  const scratch = await mkdtemp(join(tmpdir(), 'vectord-crashes-'))
  t.after(() => rm(scratch, { recursive: true, force: true }))
  return scratch
}

async function prepared(inner: MemoryStore, scratch: string): Promise<SnapshotWorld> {
  const world = new SnapshotWorld(inner, { scratch })
  world.promoted = PROMOTED
  await world.create({ shards: 1 })
  const at = (n: number): WorldPoint => ({ vector: [n, 0, 0, 1], text: null, metadata: null })
  await world.write('docs', { a: at(1), b: at(2), c: at(3) })
  await world.write('docs', { b: null, d: at(4) })
  return world
}

/** A server that starts where another one was; it knows what that had written. */
async function restarted(
  inner: MemoryStore,
  scratch: string,
  expected: ReadonlyMap<string, WorldPoint>,
): Promise<SnapshotWorld> {
  const world = new SnapshotWorld(inner, { scratch })
  await world.world.registry.refresh()
  await world.world.settled()
  assert.deepEqual(await world.contentOf('docs'), expected)
  return world
}

/** Ends a process at each operation of `work` in turn. @returns how many there are. */
async function atEveryStep(
  prepare: (inner: MemoryStore) => Promise<SnapshotWorld>,
  work: (world: SnapshotWorld) => Promise<unknown>,
  after: (inner: MemoryStore, before: SnapshotWorld, at: string) => Promise<void>,
): Promise<number> {
  for (let step = 1; step < STEPS_MAX; step += 1) {
    const inner = new MemoryStore()
    const world = await prepare(inner)
    world.world.store.crashAt(step, 'after')
    const outcome = await work(world).then(
      () => null,
      (error: unknown) => error,
    )
    const { registry, store } = world.world
    assert.equal(outcome === null || store.crashed, true, String(outcome))
    await registry.close()
    // What strikes later is work of its own in the background.
    if (outcome === null) return step
    await after(inner, world, `step ${step}`)
  }
  assert.fail('the work has no end')
}

it('a snapshot that was being made is there whole, or not at all, and can be made again', async (t) => {
  const scratch = await temporary(t)
  let whole = 0
  const steps = await atEveryStep(
    (inner) => prepared(inner, scratch),
    (world) => world.snapshots.make('docs', MADE, control()),
    async (inner, before, at) => {
      const expected = before.stateAt('docs', 3)
      const world = await restarted(inner, scratch, expected)
      const { snapshots, faults } = await world.snapshots.list('docs', HOT, {
        ...{ before: null, limit: 9 },
      })
      assert.deepEqual(faults, [], at)
      for (const { id } of snapshots) {
        whole += 1
        const place = { index: 'docs', id, bucket: HOT }
        assert.deepEqual((await world.snapshots.verify(place, control())).faults, [], at)
        await world.snapshots.restore(place, WISH, control())
        assert.deepEqual(await world.contentOf('again'), expected, at)
      }
      await world.snapshots.make('docs', MADE, control())
      await world.world.registry.close()
    },
  )
  t.diagnostic(`${steps} operations, ${whole} times whole`)
  assert.ok(steps > 15 && whole > 0)
})

it('an index that was being restored is there whole, or its name is free again', async (t) => {
  const scratch = await temporary(t)
  let id = ''
  const outcomes = { whole: 0, none: 0 }
  const place = () => ({ index: 'docs', id, bucket: HOT })
  const steps = await atEveryStep(
    async (inner) => {
      const world = await prepared(inner, scratch)
      id = (await world.snapshots.make('docs', MADE, control())).id
      return world
    },
    (world) => world.snapshots.restore(place(), WISH, control()),
    async (inner, before, at) => {
      const expected = before.stateAt('docs', 3)
      const world = await restarted(inner, scratch, expected)
      const { registry } = world.world
      const isThere = registry.has('again')
      outcomes[isThere ? 'whole' : 'none'] += 1
      if (!isThere) {
        const left = await world.keys(COLD, '_indexes/again/')
        assert.deepEqual(
          left.filter((key) => !key.includes('/meta/')),
          [],
          at,
        )
        await world.snapshots.restore(place(), WISH, control())
      }
      await served(world, 'again')
      assert.deepEqual(await world.contentOf('again'), expected, at)
      assert.equal((await registry.get('again').verify()).clean, true, at)
      await registry.close()
    },
  )
  t.diagnostic(`${steps} operations: ${JSON.stringify(outcomes)}`)
  assert.ok(outcomes.whole > 0 && outcomes.none > 10)
})

async function served(world: SnapshotWorld, name: string): Promise<void> {
  for (let tries = 0; world.world.registry.get(name).info.state !== 'ready'; tries += 1) {
    assert.ok(tries < 1000, `index "${name}" does not serve`)
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
}

it('errors of the bucket at any step of a restore leave no index, or the whole one', async (t) => {
  const scratch = await temporary(t)
  const outcomes = new Set<string>()
  for (let skip = 0; skip < STEPS_MAX; skip += 7) {
    const inner = new MemoryStore()
    const world = await prepared(inner, scratch)
    const { id } = await world.snapshots.make('docs', MADE, control())
    const { store, registry } = world.world
    const when = skip % 2 === 0 ? 'before' : 'after'
    const before = store.operations
    store.inject({ kind: 'error', code: 'bucket_unreachable', when, skip })
    const restoring = world.snapshots.restore({ index: 'docs', id, bucket: HOT }, WISH, control())
    const outcome = await restoring.then(
      () => 'done',
      (error: unknown) => (error instanceof VectordError ? error.code : assert.fail(String(error))),
    )
    outcomes.add(outcome)
    const wasMet = store.operations - before > skip
    store.heal()
    await registry.refresh()
    if (registry.has('again')) {
      await served(world, 'again')
      assert.deepEqual(await world.contentOf('again'), world.stateAt('docs', 3))
    } else {
      const left = await world.keys(COLD, '_indexes/again/')
      assert.deepEqual(
        left.filter((key) => !key.includes('/meta/')),
        [],
        `skip ${skip}`,
      )
      await world.create({ name: 'again', bucket: COLD })
    }
    await registry.close()
    if (!wasMet) break
  }
  assert.ok(outcomes.has('bucket_unreachable') && outcomes.has('done'))
})

it('what another server restores is left alone for a day, and the name is taken', async (t) => {
  const inner = new MemoryStore()
  const scratch = await temporary(t)
  const one = await prepared(inner, scratch)
  const { id } = await one.snapshots.make('docs', MADE, control())
  const place = { index: 'docs', id, bucket: HOT }
  one.world.store.inject({
    ...{ kind: 'latency', ms: 300, operations: ['putFile'], keyPrefix: `${COLD}/_indexes/again/` },
  })
  const restoring = one.snapshots.restore(place, WISH, control())
  const meta = metaDocument(new PrefixStore(inner, `${COLD}/`), 'again')
  while ((await meta.read()) === null) await new Promise((resolve) => setTimeout(resolve, 1))
  const two = new SnapshotWorld(inner, { scratch, server: 'two', names: [COLD] })
  await two.world.registry.refresh()
  assert.equal(two.world.registry.has('again'), false)
  await assert.rejects(two.create({ name: 'again', bucket: COLD }), (error) =>
    hasCode(error, 'index_exists'),
  )
  assert.equal((await meta.read())?.document.state, 'restoring')
  // As if the other one had been silent since yesterday: then its work comes to nothing.
  two.world.laterMs = 25 * 3600 * 1000
  await two.world.registry.refresh()
  assert.equal(await meta.read(), null)
  await assert.rejects(restoring, (error) => hasCode(error, 'revision_mismatch'))
  assert.equal(one.world.registry.has('again'), false)
  await two.create({ name: 'again', bucket: COLD })
  await two.world.registry.close()
  await one.world.registry.close()
})
