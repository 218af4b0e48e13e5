/** What is promoted anywhere: every bucket is looked into, and what cannot be read is told. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { MemoryStore } from '../../src/buckets/memory-store.ts'
import { FaultyStore } from '../support/faulty-store.ts'
import { BY, makeWorld, trial, type World } from './promotions.support.ts'

/** Indexes `a`, `c` in primary and `b` in cold, promoted; the buckets may fail. */
async function open(): Promise<
  World & { readonly primary: FaultyStore; readonly cold: FaultyStore }
> {
  const primary = new FaultyStore(new MemoryStore())
  const cold = new FaultyStore(new MemoryStore())
  const homes = { c: 'primary', a: 'primary', b: 'cold', never: 'cold' }
  const world = makeWorld({ primary, cold }, homes)
  for (const index of ['c', 'a', 'b']) await world.open().promote(index, trial(`t-${index}`), BY)
  return { ...world, primary, cold }
}

async function listed({ open }: World) {
  const { promotions, faults } = await open().list()
  return {
    found: promotions.map(({ bucket, inHome, document }) => [
      ...[document.indexName, bucket, inHome, document.current?.trialId],
    ]),
    faults: faults.map(({ bucket, indexName, error }) => [bucket, indexName, error.code]),
  }
}

const A = ['a', 'primary', true, 't-a']
const B = ['b', 'cold', true, 't-b']
const C = ['c', 'primary', true, 't-c']

it('every bucket is scanned, sorted by name of the index', async () => {
  assert.deepEqual(await listed(await open()), { found: [A, B, C], faults: [] })
})

it('where two buckets hold one index, its home bucket wins', async () => {
  const world = await open()
  world.homes.set('a', 'cold')
  await world.open().promote('a', trial('moved'), BY)
  assert.deepEqual((await listed(world)).found, [['a', 'cold', true, 'moved'], B, C])
  world.homes.set('a', 'primary')
  assert.deepEqual((await listed(world)).found, [A, B, C])
})

it('what lies outside of the home bucket alone is marked', async () => {
  const world = await open()
  world.homes.set('a', 'cold')
  world.homes.delete('c')
  assert.deepEqual((await listed(world)).found, [
    ['a', 'primary', false, 't-a'],
    B,
    ['c', 'primary', false, 't-c'],
  ])
})

it('a bucket that cannot be listed is told, and no other bucket speaks for it', async () => {
  const world = await open()
  world.homes.set('a', 'cold')
  await world.open().promote('a', trial('moved'), BY)
  world.cold.inject({
    ...{ kind: 'error', code: 'bucket_unreachable', when: 'before' },
    times: Infinity,
  })
  const { found, faults } = await listed(world)
  assert.deepEqual(found, [C])
  assert.deepEqual(faults, [['cold', null, 'bucket_unreachable']])
})

it('an object that cannot be read is told, and so is what is no promotion', async () => {
  const world = await open()
  await world.primary.put('_hnsw_promotions/a/0000000002.json', Buffer.from('{"torn":'))
  await world.cold.put('_hnsw_promotions/b/notes.txt', Buffer.from('hello'))
  const { found, faults } = await listed(world)
  assert.deepEqual(found, [B, C])
  assert.deepEqual(faults, [
    ['cold', 'b', 'object_corrupt'],
    ['primary', 'a', 'object_corrupt'],
  ])
})

it('what was removed is not listed; the file of an older layout is', async () => {
  const world = await open()
  await world.open().forget('a', 'ada')
  const entry = {
    ...{ config: { ef_construction: 100, ef_search: 50 }, trial_id: 'old' },
    ...{ promoted_at: '2025-01-01T00:00:00Z', promoted_by: 'ops', note: null },
  }
  const body = JSON.stringify({ index_name: 'never', current: entry, history: [] })
  await world.cold.put('_hnsw_promotions/never.json', Buffer.from(body))
  assert.deepEqual((await listed(world)).found, [B, C, ['never', 'cold', true, 'old']])
})
