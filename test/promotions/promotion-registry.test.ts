/**
 * The registry of promotions: what is stored, what is seen and told, in which order, and on which
 * condition a change is made. Faults have a file of their own.
 */

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { MemoryStore } from '../../src/buckets/memory-store.ts'
import { collect } from '../support/collect.ts'
import { FaultyStore } from '../support/faulty-store.ts'
import { BY, entry, makeWorld, NOW_MS, trial, trialIds } from './promotions.support.ts'

describe('promotion registry', () => {
  it('a promotion is stored whole, copied, seen and told', async () => {
    const store = new MemoryStore()
    const world = makeWorld({ primary: store })
    const registry = world.open()
    assert.deepEqual(await registry.read('x'), { revision: 0, document: null })
    await registry.promote('x', trial('a'), { ...BY, note: 'first' })
    const evidence = { recall: 0.95 }
    const promotion = { ...trial('b'), promotedBy: 'bob', graphId: 'ab', evidence }
    const { revision, document } = await registry.promote('x', promotion, BY)
    assert.equal(revision, 2)
    assert.deepEqual(document, {
      indexName: 'x',
      current: { ...entry('b'), promotedBy: 'bob', graphId: 'ab', evidence },
      history: [{ ...entry('a'), note: 'first' }],
      redo: [],
      change: {
        ...{ kind: 'promote', by: 'ada', atMs: NOW_MS, note: null, rebuild: 'now' },
        discarded: null,
      },
    })
    assert.deepEqual(registry.cached('x'), { revision, document })
    assert.deepEqual(world.told, [
      ['x', 1, 'a'],
      ['x', 2, 'b'],
    ])
    const keys = (await collect(store.list(''))).map(({ key }) => key)
    assert.deepEqual(keys, [
      '_hnsw_promotions/x.json',
      '_hnsw_promotions/x/0000000001.json',
      '_hnsw_promotions/x/0000000002.json',
    ])
    const newest = await store.get('_hnsw_promotions/x/0000000002.json')
    assert.deepEqual(await store.get('_hnsw_promotions/x.json'), newest)
    assert.deepEqual((await world.open().read('x')).document, document)
  })

  it('rollbacks and roll-forwards walk the history, and a promotion forgets what was undone', async () => {
    const registry = makeWorld().open()
    for (const id of ['a', 'b', 'c']) await registry.promote('x', trial(id), BY)
    assert.deepEqual(trialIds((await registry.rollback('x', BY)).document), ['a', 'b'])
    assert.deepEqual(trialIds((await registry.rollback('x', BY)).document), ['a'])
    assert.deepEqual(trialIds((await registry.rollForward('x', BY)).document), ['a', 'b'])
    await registry.promote('x', trial('d'), BY)
    await assert.rejects(registry.rollForward('x', BY), { code: 'nothing_to_roll_forward' })
    for (let n = 0; n < 3; n += 1) await registry.rollback('x', BY)
    const none = await registry.read('x')
    assert.deepEqual([none.revision, none.document?.current], [10, null])
    await assert.rejects(registry.rollback('x', BY), { code: 'no_promotion_to_roll_back' })
    assert.equal((await registry.read('x')).revision, 10)
  })

  it('60 promotions keep the newest 50 in the history, and all in the audit', async () => {
    const registry = makeWorld().open()
    for (let n = 0; n < 60; n += 1) await registry.promote('x', trial(`t${n}`), BY)
    const ids = trialIds((await registry.read('x')).document)
    assert.deepEqual([ids.length, ids[0], ids.at(-1)], [51, 't9', 't59'])
    const { entries } = await registry.audit('x', { before: null, limit: 1000 })
    assert.equal(entries.length, 60)
  })

  it('changes that arrive together are all kept, in the order in which they came', async () => {
    const registry = makeWorld().open()
    const ids = ['a', 'b', 'c', 'd', 'e']
    await Promise.all(ids.map((id) => registry.promote('x', trial(id), BY)))
    assert.deepEqual(trialIds((await registry.read('x')).document), ids)
  })

  it('a condition on the revision is held to, also before the first promotion', async () => {
    const world = makeWorld()
    const registry = world.open()
    const at = (ifRevision: number) => ({ ...BY, ifRevision })
    await assert.rejects(registry.promote('x', trial('a'), at(1)), { code: 'revision_mismatch' })
    await registry.promote('x', trial('a'), at(0))
    await assert.rejects(registry.promote('x', trial('b'), at(0)), { code: 'revision_mismatch' })
    await assert.rejects(registry.rollback('x', at(2)), { code: 'revision_mismatch' })
    await world.open().promote('x', trial('b'), at(1))
    await assert.rejects(registry.promote('x', trial('c'), at(1)), { code: 'revision_mismatch' })
    assert.deepEqual(trialIds((await registry.read('x')).document), ['a', 'b'])
  })

  it('of two servers with the same condition one is refused and writes nothing', async () => {
    const world = makeWorld()
    const [one, two] = [world.open(), world.open()]
    await one.promote('x', trial('a'), BY)
    const both = [one, two].map((registry, n) =>
      registry.promote('x', trial(`b${n}`), { ...BY, ifRevision: 1 }),
    )
    const outcomes = await Promise.allSettled(both)
    const refused = outcomes.filter(({ status }) => status === 'rejected')
    assert.equal(refused.length, 1)
    assert.equal((await one.read('x')).revision, 2)
  })

  it('what is pinned is not the agent’s to replace; a person may', async () => {
    const registry = makeWorld().open()
    const agent = { ...BY, by: 'agent', byAgent: true }
    await assert.rejects(registry.pin('x', true, BY), { code: 'nothing_to_pin' })
    await registry.promote('x', trial('a'), agent)
    await registry.pin('x', true, { ...BY, note: 'for the audit' })
    assert.equal((await registry.pin('x', true, BY)).revision, 2, 'pinned already')
    for (const refused of [
      () => registry.promote('x', trial('b'), agent),
      () => registry.rollback('x', agent),
      () => registry.pin('x', false, agent),
    ]) {
      await assert.rejects(refused, { code: 'promotion_pinned' })
    }
    await registry.promote('x', trial('b'), BY)
    await registry.promote('x', trial('c'), agent)
    assert.deepEqual(trialIds((await registry.read('x')).document), ['a', 'b', 'c'])
  })

  it('a refresh takes over and tells what another server did, and asks for no more', async () => {
    const store = new FaultyStore(new MemoryStore())
    const world = makeWorld({ primary: store }, { x: 'primary', y: 'primary' })
    const [one, two] = [world.open(), world.open()]
    await one.read('x')
    await one.read('y')
    assert.deepEqual(world.told, [])
    await two.promote('x', trial('a'), BY)
    await two.promote('x', trial('b'), BY)
    world.told.length = 0
    await one.refresh()
    assert.deepEqual(world.told, [['x', 2, 'b']])
    assert.equal(one.cached('x')?.document?.current?.trialId, 'b')
    const before = store.operations
    await one.refresh()
    assert.deepEqual(store.log.slice(before), [{ operation: 'list', key: '_hnsw_promotions/' }])
    assert.equal(world.told.length, 1)
  })

  it('an index that is forgotten starts anew: no history, no copy, numbers that go on', async () => {
    const store = new MemoryStore()
    const world = makeWorld({ primary: store })
    const [one, two] = [world.open(), world.open()]
    await one.promote('x', trial('a'), BY)
    await two.read('x')
    await one.forget('x', 'ada')
    assert.equal(one.cached('x'), null)
    await assert.rejects(store.get('_hnsw_promotions/x.json'), { code: 'object_not_found' })
    await two.refresh()
    assert.deepEqual(two.cached('x'), { revision: 2, document: null })
    assert.deepEqual(world.told.slice(2), [
      ['x', 2, undefined],
      ['x', 2, undefined],
    ])
    await one.forget('x', 'ada')
    assert.deepEqual(await one.read('x'), { revision: 2, document: null })
    const { revision, document } = await one.promote('x', trial('b'), { ...BY, ifRevision: 2 })
    assert.deepEqual([revision, trialIds(document)], [3, ['b']])
    const { entries } = await one.audit('x', { before: null, limit: 10 })
    assert.deepEqual(
      entries.map(({ kind }) => kind),
      ['document', 'removed', 'document'],
    )
  })

  it('an index that is gone is watched no more, one that moved is read where it is', async () => {
    const world = makeWorld({ primary: new MemoryStore(), cold: new MemoryStore() })
    const registry = world.open()
    await registry.promote('x', trial('a'), BY)
    world.homes.set('x', 'cold')
    await registry.refresh()
    assert.deepEqual(registry.cached('x'), { revision: 0, document: null })
    world.homes.delete('x')
    await registry.refresh()
    assert.equal(registry.cached('x'), null)
    await assert.rejects(registry.read('x'), { code: 'index_not_found' })
  })

  it('the audit goes page by page and tells every change, newest first', async () => {
    const registry = makeWorld().open()
    assert.deepEqual(await registry.audit('x', { before: null, limit: 2 }), {
      entries: [],
      next: null,
    })
    for (const id of ['a', 'b', 'c', 'd']) await registry.promote('x', trial(id), BY)
    await registry.rollback('x', BY)
    const revisions: number[] = []
    for (let before: number | null = null; ;) {
      const { entries, next } = await registry.audit('x', { before, limit: 2 })
      revisions.push(...entries.map(({ revision }) => revision))
      if (next === null) break
      before = next
    }
    assert.deepEqual(revisions, [5, 4, 3, 2, 1])
    const [newest] = (await registry.audit('x', { before: null, limit: 1 })).entries
    assert.ok(newest?.kind === 'document')
    assert.deepEqual(newest.document.change?.discarded?.trialId, 'd')
  })

  it('evidence without bound, and what could not be read back, is never stored', async () => {
    const world = makeWorld()
    const registry = world.open()
    const evidence = { text: 'x'.repeat(3000) }
    await assert.rejects(registry.promote('x', { ...trial('a'), evidence }, BY), /invariant/)
    const config = { m: 1, efConstruction: 200, efSearch: null, seed: 1 }
    await assert.rejects(registry.promote('x', { config, trialId: 'a' }, BY), /current.config.m/)
    assert.deepEqual(await registry.read('x'), { revision: 0, document: null })
    assert.deepEqual(world.told, [])
  })
})
