/** Datasets: a publication is seen whole or not at all, whatever fails and whoever races. */

import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { LocalStore } from '../../src/buckets/local-store.ts'
import { MemoryStore } from '../../src/buckets/memory-store.ts'
import type { ObjectStore } from '../../src/buckets/object-store.ts'
import { hashFile } from '../../src/codecs/file-hash.ts'
import { DatasetStore } from '../../src/datasets/dataset-store.ts'
import { DatasetStores } from '../../src/datasets/dataset-stores.ts'
import type { DatasetPart } from '../../src/datasets/dataset.ts'
import { VectordError } from '../../src/lib/errors.ts'
import { collect } from '../support/collect.ts'
import { FaultyStore, SimulatedCrash } from '../support/faulty-store.ts'
import { ANY, coded, HOUR_MS, publication } from './dataset-world.ts'

/** A clock that is set by hand, and a dataset store on it. */
class World {
  nowMs = 1_700_000_000_000
  readonly objects: ObjectStore
  readonly folder: string
  #staged = 0

  constructor(objects: ObjectStore, folder: string) {
    this.objects = objects
    this.folder = folder
  }

  store(objects = this.objects): DatasetStore {
    return new DatasetStore({ store: objects, nowMs: () => this.nowMs })
  }

  async stage(rows = 1, store = this.store()): Promise<DatasetPart> {
    this.#staged += 1
    const path = join(this.folder, `staged-${this.#staged}`)
    await writeFile(path, `part ${this.#staged}`)
    return store.stagePart('people', path, { rows, ...(await hashFile(path)) })
  }

  async keys(): Promise<readonly string[]> {
    const objects = await collect(this.objects.list('_datasets/people/parts/'))
    return objects.map(({ key }) => key)
  }
}

async function memoryWorld(t: TestContext): Promise<World> {
  const folder = await mkdtemp(join(tmpdir(), 'vectord-dataset-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const clock = { nowMs: 0 }
  const world = new World(new MemoryStore(new Map(), () => clock.nowMs), folder)
  Object.defineProperty(clock, 'nowMs', { get: () => world.nowMs })
  return world
}

async function localWorld(t: TestContext): Promise<World> {
  const { folder } = await memoryWorld(t)
  const root = join(folder, 'bucket')
  return new World(await LocalStore.open(root), folder)
}

for (const [backend, open] of [
  ['memory', memoryWorld],
  ['local', localWorld],
] as const) {
  describe(`on a bucket in ${backend}`, () => {
    it('a publication is read back by another server, and its parts are what was staged', async (t) => {
      const world = await open(t)
      assert.equal(await world.store().read('people'), null)
      const part = await world.stage(7)
      const watermark = { column: 'id', value: 2n ** 60n }
      const { document } = await world
        .store()
        .publish('people', publication('replace', [part], { watermark }), ANY)
      const read = await world.store().get('people')
      assert.deepEqual(read.document, document)
      assert.deepEqual([read.revision, read.author, document.rows], [1, 'ada', 7])
      assert.deepEqual(read.document.watermark, watermark)
      const copy = join(world.folder, 'copy')
      await world.store().fetchPart(part, copy)
      assert.equal(await readFile(copy, 'utf8'), 'part 1')
    })

    it('append keeps what is there, replace does not', async (t) => {
      const world = await open(t)
      const store = world.store()
      const [a, b, c] = [await world.stage(1), await world.stage(2), await world.stage(4)]
      await store.publish('people', publication('append', [a]), ANY)
      const both = await store.publish('people', publication('append', [b]), ANY)
      assert.deepEqual([both.document.parts, both.document.rows], [[a, b], 3])
      const one = await store.publish('people', publication('replace', [c]), ANY)
      assert.deepEqual([one.document.parts, one.document.rows], [[c], 4])
      assert.deepEqual(
        one.document.retired.map(({ key }) => key),
        [a.key, b.key],
      )
      assert.equal(one.document.lineage.length, 3)
    })

    it('lists in the order of names, in pages, and only what is wanted', async (t) => {
      const world = await open(t)
      const store = world.store()
      const names = ['a', 'a-1', 'a_b', 'b', 'Z']
      for (const name of names) await store.publish(name, publication('append', []), ANY)
      await store.delete('b', { expected: null, by: 'ada' })
      const first = await store.list({ after: null, limit: 2 })
      const second = await store.list({ after: first.next, limit: 9, isWanted: (n) => n !== 'a' })
      const found = [...first.datasets, ...second.datasets].map(({ name }) => name)
      assert.deepEqual(new Set(found), new Set(['a-1', 'a_b', 'Z', ...found.slice(0, 2)]))
      assert.equal(second.next, null)
      assert.ok(!found.includes('b'))
    })

    it('a deleted dataset is gone, its parts too, and its name can be used again', async (t) => {
      const world = await open(t)
      const store = world.store()
      await store.publish('people', publication('append', [await world.stage()]), ANY)
      await assert.rejects(
        store.delete('people', { expected: 7, by: 'ada' }),
        coded('revision_mismatch'),
      )
      await store.delete('people', { expected: 1, by: 'ada' })
      await assert.rejects(store.get('people'), coded('dataset_not_found'))
      await assert.rejects(
        store.delete('people', { expected: null, by: 'ada' }),
        coded('dataset_not_found'),
      )
      assert.deepEqual(await world.keys(), [])
      const part = await world.stage()
      const again = await store.publish('people', publication('append', [part]), {
        ...{ expected: null, by: 'ada' },
      })
      assert.deepEqual(again.document.parts, [part])
    })
  })
}

describe('who races', () => {
  it('two that expect the same revision: one is in, the other is told and can try again', async (t) => {
    const world = await memoryWorld(t)
    const [a, b] = [await world.stage(), await world.stage()]
    for (const expected of [null, 1]) {
      const results = await Promise.allSettled(
        [a, b].map((part) =>
          world.store().publish('people', publication('replace', [part]), { expected, by: 'ada' }),
        ),
      )
      const lost = results.filter((result) => result.status === 'rejected')
      assert.equal(lost.length, 1)
      assert.ok(coded('revision_mismatch')(lost[0]?.reason))
    }
    assert.equal((await world.store().get('people')).document.parts.length, 1)
  })

  it('appends on top of whatever is there are all in', async (t) => {
    const world = await memoryWorld(t)
    const parts = await Promise.all(Array.from({ length: 8 }, () => world.stage()))
    await Promise.all(
      parts.map((part) => world.store().publish('people', publication('append', [part]), ANY)),
    )
    const { document } = await world.store().get('people')
    assert.deepEqual(
      new Set(document.parts.map(({ key }) => key)),
      new Set(parts.map((p) => p.key)),
    )
    assert.equal(document.rows, 8)
  })
})

describe('what fails', () => {
  it('at any step: the dataset is the old one or the new one, and a second try gets there', async (t) => {
    for (const when of ['before', 'after'] as const) {
      let finished = false
      for (let n = 1; !finished; n += 1) {
        const world = await memoryWorld(t)
        const old = await world.stage(1)
        await world.store().publish('people', publication('append', [old]), ANY)
        const faulty = new FaultyStore(world.objects)
        faulty.crashAt(n, when)
        try {
          const part = await world.stage(2, world.store(faulty))
          await world.store(faulty).publish('people', publication('replace', [part]), ANY)
          finished = true
        } catch (error) {
          assert.ok(error instanceof SimulatedCrash, String(error))
        }
        const seen = (await world.store().get('people')).document
        assert.ok([1, 2].includes(seen.rows) && seen.parts.length === 1, `step ${n} ${when}`)
        for (const part of seen.parts) {
          await world.store().fetchPart(part, join(world.folder, 'seen'))
          await rm(join(world.folder, 'seen'))
        }
        if (finished) assert.equal(seen.rows, 2)
        const next = await world.stage(3)
        await world.store().publish('people', publication('replace', [next]), ANY)
        assert.deepEqual((await world.store().get('people')).document.parts, [next])
      }
    }
  })

  it('a lost answer is no failure, and no bucket that is down is an absent dataset', async (t) => {
    const world = await memoryWorld(t)
    const faulty = new FaultyStore(world.objects)
    const part = await world.stage(5)
    faulty.inject({
      ...{ kind: 'error', code: 'bucket_unreachable', when: 'after' },
      operations: ['putIfAbsent'],
    })
    const stored = await world.store(faulty).publish('people', publication('append', [part]), ANY)
    assert.deepEqual([stored.revision, stored.document.rows], [1, 5])
    faulty.inject({
      ...{ kind: 'error', code: 'bucket_unreachable', when: 'before', times: Infinity },
    })
    await assert.rejects(world.store(faulty).read('people'), coded('bucket_unreachable'))
  })

  it('a part that is not there, or not as it was written, is refused', async (t) => {
    const world = await memoryWorld(t)
    const part = await world.stage()
    await world.objects.put(part.key, Buffer.from('part 2'))
    const copy = join(world.folder, 'copy')
    await assert.rejects(world.store().fetchPart(part, copy), coded('object_corrupt'))
    await assert.rejects(readFile(copy), { code: 'ENOENT' })
    await world.objects.delete(part.key)
    const gone = world.store().publish('people', publication('append', [part]), ANY)
    await assert.rejects(gone, coded('object_not_found'))
    assert.equal(await world.store().read('people'), null)
  })

  it('odd names are refused', async (t) => {
    const store = (await memoryWorld(t)).store()
    for (const name of ['', 'a/b', '..', 'a b', 'x'.repeat(129), 'é']) {
      assert.throws(() => store.read(name), coded('invalid_name'), name)
    }
  })

  it('one that cannot be read hides no others', async (t) => {
    const world = await memoryWorld(t)
    const store = world.store()
    for (const name of ['a', 'b']) await store.publish(name, publication('append', []), ANY)
    await world.objects.put('_datasets/a/meta/0000000001.json', Buffer.from('{}'))
    const { datasets, faults } = await store.list({ after: null, limit: 10 })
    assert.deepEqual(
      [datasets.map(({ name }) => name), faults.map(({ name }) => name)],
      [['b'], ['a']],
    )
  })
})

it('what is unstaged is gone, also where some of it cannot be deleted', async (t) => {
  const world = await memoryWorld(t)
  const [a, b] = [await world.stage(), await world.stage()]
  const remove = world.objects.delete.bind(world.objects)
  world.objects.delete = (key) =>
    key === a.key ? Promise.reject(new VectordError('bucket_unreachable', 'no')) : remove(key)
  await world.store().unstage([a, b])
  assert.deepEqual(await world.keys(), [a.key])
})

describe('the sweep', () => {
  it('spares what is named, what was staged this week, and what was replaced within the hour', async (t) => {
    const world = await memoryWorld(t)
    const store = world.store()
    const stores = new DatasetStores({
      buckets: { get: () => world.objects, list: () => [{ name: 'primary', role: 'primary' }] },
      nowMs: () => world.nowMs,
      onTrouble: (error) => {
        throw error
      },
    })
    const [old, forgotten, kept] = [await world.stage(), await world.stage(), await world.stage()]
    await store.publish('people', publication('append', [old]), ANY)
    world.nowMs += 8 * 24 * HOUR_MS
    const staged = await world.stage()
    await store.publish('people', publication('replace', [kept]), ANY)
    world.nowMs += HOUR_MS / 2
    await stores.sweep()
    assert.deepEqual(
      new Set(await world.keys()),
      new Set([old, kept, staged].map(({ key }) => key)),
    )
    assert.ok(!(await world.keys()).includes(forgotten.key))
    world.nowMs += HOUR_MS
    await stores.sweep()
    assert.deepEqual(new Set(await world.keys()), new Set([kept, staged].map(({ key }) => key)))
    // An ingest that takes days has staged its first part long before it publishes.
    world.nowMs += 6 * 24 * HOUR_MS
    await stores.sweep()
    await store.publish('people', publication('append', [staged]), ANY)
    assert.deepEqual(new Set(await world.keys()), new Set([kept, staged].map(({ key }) => key)))
  })

  it('what keeps it from one bucket is told, and the others are swept', async (t) => {
    const world = await memoryWorld(t)
    const forgotten = await world.stage()
    world.nowMs += 8 * 24 * HOUR_MS
    const told: string[] = []
    const stores = new DatasetStores({
      buckets: {
        get: (name) => {
          if (name === 'down') throw new VectordError('bucket_unreachable', 'down')
          if (name === 'rescue') throw new Error('nothing is written there')
          return world.objects
        },
        list: () => [
          { name: 'down', role: 'extra' },
          { name: 'rescue', role: 'rescue' },
          { name: 'primary', role: 'primary' },
        ],
      },
      nowMs: () => world.nowMs,
      onTrouble: (_error, doing) => told.push(doing),
    })
    await stores.sweep()
    assert.deepEqual(told, ['sweep the datasets of bucket "down"'])
    assert.ok(!(await world.keys()).includes(forgotten.key))
    assert.throws(() => stores.writable('rescue'), coded('bucket_protected'))
  })
})
