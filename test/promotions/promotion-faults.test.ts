/**
 * Promotions when storage fails: no fault reads as "never promoted", nothing is overwritten, and
 * nobody sees or hears of what was not stored.
 *
 * How: the history is `a`, `b`, `c` before each fault; after it the truth is read past the fault.
 */

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { MemoryStore } from '../../src/buckets/memory-store.ts'
import { encodeRevision } from '../../src/buckets/revision-codec.ts'
import { type ErrorCode, hasCode } from '../../src/lib/errors.ts'
import type { PromotionRegistry } from '../../src/promotions/promotion-registry.ts'
import { type Fault, FaultyStore, type Operation, SimulatedCrash } from '../support/faulty-store.ts'
import { BY, makeWorld, trial, trialIds, type World } from './promotions.support.ts'

const OLDER = {
  index_name: 'x',
  current: {
    ...{ config: { ef_construction: 100, ef_search: 50, seed: 7 }, trial_id: 'c' },
    ...{ promoted_at: '2025-01-01T00:00:00Z', promoted_by: 'ops', note: null },
  },
  history: [] as object[],
}

async function open(): Promise<World & { inner: MemoryStore; store: FaultyStore }> {
  const inner = new MemoryStore()
  const store = new FaultyStore(inner)
  const world = makeWorld({ primary: store })
  for (const id of ['a', 'b', 'c']) await world.open().promote('x', trial(id), BY)
  world.told.length = 0
  return { ...world, inner, store }
}

/** What is really there. */
async function truth(inner: MemoryStore): Promise<(string | null)[]> {
  return trialIds((await makeWorld({ primary: inner }).open().read('x')).document)
}

function error(code: ErrorCode, when: 'before' | 'after', operations: Operation[]): Fault {
  return { kind: 'error', code, when, operations }
}

describe('promotions under faults', () => {
  it('a read that timed out and a promotion after it do not erase the history', async () => {
    const { open: openRegistry, store, inner } = await open()
    for (const operation of ['list', 'get'] as const) {
      const registry = openRegistry()
      store.inject(error('bucket_unreachable', 'before', [operation]))
      await assert.rejects(registry.read('x'), { code: 'bucket_unreachable' })
      assert.equal(registry.cached('x'), null)
      await registry.promote('x', trial(`after-${operation}`), BY)
    }
    assert.deepEqual(await truth(inner), ['a', 'b', 'c', 'after-list', 'after-get'])
  })

  it('any failing step of a read or a change is an error, never "never promoted"', async () => {
    for (const code of ['bucket_unreachable', 'storage_error', 'storage_full'] as const) {
      for (const operation of ['list', 'get', 'putIfAbsent'] as const) {
        const { open: openRegistry, store, inner, told } = await open()
        const registry = openRegistry()
        store.inject({ ...error(code, 'before', [operation]), times: Infinity })
        if (operation !== 'putIfAbsent') await assert.rejects(registry.read('x'), { code })
        await assert.rejects(registry.promote('x', trial('d'), BY), { code })
        await assert.rejects(registry.rollback('x', BY), { code })
        store.heal()
        assert.deepEqual(await truth(inner), ['a', 'b', 'c'])
        assert.ok(told.every(([, revision]) => revision === 3))
      }
    }
  })

  it('what failed is not visible: the cache and the callbacks stay behind the storage', async () => {
    const { open: openRegistry, store, told } = await open()
    const registry = openRegistry()
    const before = await registry.read('x')
    store.inject({ ...error('storage_full', 'before', ['putIfAbsent']), times: 2 })
    await assert.rejects(registry.promote('x', trial('d'), BY), { code: 'storage_full' })
    await assert.rejects(registry.rollback('x', BY), { code: 'storage_full' })
    assert.deepEqual(registry.cached('x')?.document, before.document)
    assert.deepEqual(told, [['x', 3, 'c']])
  })

  it('a change is in the bucket when it is told', async () => {
    const { inner, stores, homes } = await open()
    const world = makeWorld(Object.fromEntries(stores), Object.fromEntries(homes))
    const stored: Promise<Uint8Array>[] = []
    const push = world.told.push.bind(world.told)
    world.told.push = (...items) => {
      for (const [, revision] of items) stored.push(inner.get(keyOf(revision)))
      return push(...items)
    }
    await world.open().promote('x', trial('d'), BY)
    assert.equal((await Promise.all(stored)).length, 2)
  })

  it('a lost answer is settled by reading back: the change counts once', async () => {
    for (const code of ['bucket_unreachable', 'object_exists'] as const) {
      const { open: openRegistry, store, inner } = await open()
      store.inject(error(code, 'after', ['putIfAbsent']))
      const { revision } = await openRegistry().promote('x', trial('d'), BY)
      assert.equal(revision, 4)
      assert.deepEqual(await truth(inner), ['a', 'b', 'c', 'd'])
    }
  })

  it('a change that may be there is told as an error, and found by the next refresh', async () => {
    const { open: openRegistry, store, told } = await open()
    const registry = openRegistry()
    await registry.read('x')
    store.inject(error('bucket_unreachable', 'after', ['putIfAbsent']))
    store.inject({ ...error('bucket_unreachable', 'before', ['get']), skip: 4, times: 1 })
    await assert.rejects(registry.promote('x', trial('d'), BY), { code: 'bucket_unreachable' })
    assert.equal(registry.cached('x')?.revision, 3)
    store.heal()
    await registry.refresh()
    assert.deepEqual(told.at(-1), ['x', 4, 'd'])
  })

  it('a copy that fails costs the change nothing', async () => {
    const { open: openRegistry, store, inner } = await open()
    store.inject({ ...error('storage_full', 'before', ['put']), times: Infinity })
    await openRegistry().promote('x', trial('d'), BY)
    assert.deepEqual(await truth(inner), ['a', 'b', 'c', 'd'])
  })

  it('a list that lags behind hides no promotion', async () => {
    for (const changes of [1, 2, 6]) {
      const { open: openRegistry, store, inner } = await open()
      store.inject({ kind: 'stale_list', changes, operations: ['list'] })
      const { document } = await openRegistry().promote('x', trial('d'), BY)
      assert.deepEqual(trialIds(document), ['a', 'b', 'c', 'd'])
      assert.deepEqual(await truth(inner), ['a', 'b', 'c', 'd'])
    }
  })

  for (const kind of ['truncate', 'flip'] as const) {
    it(`a body that was spoilt on its way (${kind}) is object_corrupt`, async () => {
      const { open: openRegistry, store, inner } = await open()
      const registry = openRegistry()
      store.inject({ kind, operations: ['get'] })
      await assert.rejects(registry.read('x'), { code: 'object_corrupt' })
      assert.equal(registry.cached('x'), null)
      await registry.promote('x', trial('d'), BY)
      assert.deepEqual(await truth(inner), ['a', 'b', 'c', 'd'])
    })
  }

  for (const when of ['before', 'after'] as const) {
    it(`a crash at any step (${when} it) of a promotion, a rollback, a removal leaves a whole state`, async () => {
      const changes: [(registry: PromotionRegistry) => Promise<unknown>, (string | null)[]][] = [
        [(registry) => registry.promote('x', trial('d'), BY), ['a', 'b', 'c', 'd']],
        [(registry) => registry.rollback('x', BY), ['a', 'b']],
        [(registry) => registry.forget('x', 'ada'), [null]],
      ]
      for (const [change, wanted] of changes) {
        const steps = await crashEverywhere(when, change, wanted)
        assert.ok(steps >= 6, `only ${steps} steps`)
      }
    })
  }

  it('a torn, an alien and a too new revision are refused by name and never overwritten', async () => {
    const alien = makeWorld({ primary: new MemoryStore() }, { y: 'primary' })
    await alien.open().promote('y', trial('of-y'), BY)
    const other = await alien.stores.get('primary')?.get('_hnsw_promotions/y/0000000001.json')
    const tooNew = {
      ...{ revision: 4, parent: null, author: 'x', reason: 'x', writtenMs: 0, nonce: 'n' },
      document: { format: 2, index_name: 'x' },
    }
    const cases: [Uint8Array, ErrorCode][] = [
      [Buffer.from('{"format":1,"revi'), 'object_corrupt'],
      [Buffer.alloc(0), 'object_corrupt'],
      [other ?? Buffer.alloc(0), 'object_corrupt'],
      [encodeRevision(tooNew), 'format_too_new'],
    ]
    for (const [body, code] of cases) {
      const { open: openRegistry, inner } = await open()
      await inner.put(keyOf(4), body)
      const registry = openRegistry()
      await assert.rejects(registry.read('x'), { code })
      await assert.rejects(registry.promote('x', trial('d'), BY), { code })
      await assert.rejects(registry.forget('x', 'ada'), { code })
      assert.deepEqual(Buffer.from(await inner.get(keyOf(4))), Buffer.from(body))
      const { entries } = await registry.audit('x', { before: null, limit: 10 })
      assert.deepEqual(
        entries.map(({ revision, kind }) => [revision, kind]),
        [
          [4, 'unreadable'],
          [3, 'document'],
          [2, 'document'],
          [1, 'document'],
        ],
      )
    }
  })

  it('one index that cannot be read stops the refresh of no other', async () => {
    const store = new MemoryStore()
    const world = makeWorld({ primary: store }, { x: 'primary', y: 'primary' })
    const registry = world.open()
    for (const index of ['x', 'y']) await registry.read(index)
    await store.put(keyOf(1), Buffer.from('torn'))
    await world.open().promote('y', trial('a'), BY)
    await assert.rejects(registry.refresh(), { code: 'object_corrupt' })
    assert.equal(registry.cached('y')?.revision, 1)
    assert.equal(registry.cached('x')?.revision, 0)
  })
})

describe('the older layout', () => {
  const copy = '_hnsw_promotions/x.json'
  const older = Buffer.from(JSON.stringify({ ...OLDER, history: [OLDER.current] }))

  it('is read where there are no revisions, and the first change goes on from it', async () => {
    const store = new MemoryStore()
    await store.put(copy, older)
    const world = makeWorld({ primary: store })
    const { revision, document } = await world.open().read('x')
    assert.deepEqual([revision, trialIds(document)], [0, ['c', 'c']])
    const after = await world.open().promote('x', trial('d'), { ...BY, ifRevision: 0 })
    assert.deepEqual([after.revision, trialIds(after.document)], [1, ['c', 'c', 'd']])
    assert.deepEqual(trialIds((await world.open().rollback('x', BY)).document), ['c', 'c'])
  })

  it('a file that is torn or cannot be reached is an error, and stays as it is', async () => {
    const inner = new MemoryStore()
    const store = new FaultyStore(inner)
    const registry = makeWorld({ primary: store }).open()
    await inner.put(copy, older)
    store.inject({
      ...error('bucket_unreachable', 'before', ['get']),
      ...{ keyPrefix: copy, times: Infinity },
    })
    await assert.rejects(registry.read('x'), { code: 'bucket_unreachable' })
    await assert.rejects(registry.promote('x', trial('d'), BY), { code: 'bucket_unreachable' })
    store.heal()
    for (const body of [older.subarray(0, 99), Buffer.from('[]'), Buffer.from('{"format":9}')]) {
      await inner.put(copy, body)
      const refused = (fault: unknown) => hasCode(fault, 'object_corrupt', 'format_too_new')
      await assert.rejects(registry.promote('x', trial('d'), BY), refused)
      assert.deepEqual(Buffer.from(await inner.get(copy)), Buffer.from(body))
    }
  })

  it('two servers that both start from it lose no entry', async () => {
    const store = new MemoryStore()
    await store.put(copy, older)
    const world = makeWorld({ primary: store })
    const servers = [world.open(), world.open()]
    await Promise.all(servers.map((server, n) => server.promote('x', trial(`d${n}`), BY)))
    const ids = trialIds((await world.open().read('x')).document)
    assert.deepEqual(
      [ids.slice(0, 2), ids.slice(2).sort()],
      [
        ['c', 'c'],
        ['d0', 'd1'],
      ],
    )
  })

  it('does not come back after the index was forgotten, even where the file is left', async () => {
    const inner = new MemoryStore()
    const store = new FaultyStore(inner)
    await inner.put(copy, older)
    const world = makeWorld({ primary: store })
    store.inject({ ...error('storage_error', 'before', ['delete']), times: Infinity })
    await world.open().forget('x', 'ada')
    assert.ok(await inner.get(copy))
    assert.deepEqual(await world.open().read('x'), { revision: 2, document: null })
  })
})

/** Crashes at step 1, 2, … until the change ends; the truth is `a`, `b`, `c` or `wanted`. */
async function crashEverywhere(
  when: 'before' | 'after',
  change: (registry: PromotionRegistry) => Promise<unknown>,
  wanted: (string | null)[],
): Promise<number> {
  for (let at = 1; ; at += 1) {
    const { open: openRegistry, store, inner } = await open()
    store.crashAt(at, when)
    const isDone = await change(openRegistry()).then(
      () => true,
      (fault: unknown) => {
        assert.ok(fault instanceof SimulatedCrash)
        return false
      },
    )
    const registry = makeWorld({ primary: inner }).open()
    const { document } = await registry.read('x')
    const found = JSON.stringify(document === null ? [null] : trialIds(document))
    const allowed = [wanted, ...(isDone ? [] : [['a', 'b', 'c']])].map((ids) => JSON.stringify(ids))
    assert.ok(allowed.includes(found), `step ${at}: ${found}`)
    await registry.promote('x', trial('e'), BY)
    assert.equal((await truth(inner)).at(-1), 'e')
    if (!store.crashed) return at - 1
  }
}

function keyOf(revision: number): string {
  return `_hnsw_promotions/x/${String(revision).padStart(10, '0')}.json`
}
