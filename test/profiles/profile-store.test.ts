/** Profiles are stored whole, changed by compare and swap, and never mistaken for absent ones. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import type { JsonObject } from '../../src/buckets/revision-codec.ts'
import { HNSW_DEFAULTS } from '../../src/domain/hnsw-config.ts'
import { VectordError } from '../../src/lib/errors.ts'
import { profileFromJson, profileToJson } from '../../src/profiles/profile.ts'
import { PROFILES_MAX } from '../../src/profiles/profile-store.ts'
import { ANY, profileOf, profileWorld, store } from '../support/profile-world.ts'

const FULL = profileOf('full', {
  model: 'hf.co/owner/model-GGUF:Q4_K_M',
  description: 'ü',
  boundIndexes: ['docs', 'code'],
  hnsw: { ...HNSW_DEFAULTS, efSearch: 99 },
  embedModel: 'nomic-embed-text',
  bucket: 'full_data',
})

function coded(code: string): (error: unknown) => boolean {
  return (error) => error instanceof VectordError && error.code === code
}

it('a profile reads back as it was stored, also by another server', async () => {
  const world = profileWorld()
  await store(world, FULL)
  const beside = profileWorld({ beside: world })
  assert.deepEqual((await beside.profiles.store.get('full')).document, FULL)
  assert.deepEqual((await beside.profiles.store.recent('full')).document, FULL)
})

it('a stored field of the wrong type or out of bounds makes the whole corrupt', () => {
  const good = profileToJson(FULL)
  assert.deepEqual(profileFromJson('full', good), FULL)
  const bad: JsonObject[] = [
    { ...good, id: 'other' },
    { ...good, model: '' },
    { ...good, model: 'a b' },
    { ...good, bound_indexes: ['a/b'] },
    { ...good, bound_indexes: 'docs' },
    { ...good, bound_indexes: Array.from({ length: 101 }, (_, i) => `i${i}`) },
    { ...good, hnsw: { m: 16 } },
    { ...good, hnsw: [] },
    { ...good, hnsw: { ...good.hnsw, ef_search: 1e9 } },
    { ...good, embed_model: 7 },
    { ...good, bucket: '' },
    { ...good, backend: 'faiss' },
    { ...good, description: null },
  ]
  for (const json of bad) {
    assert.throws(
      () => profileFromJson('full', json),
      coded('object_corrupt'),
      JSON.stringify(json),
    )
  }
})

it('a change is made only to the revision that was seen', async () => {
  const { profiles } = profileWorld()
  const first = await profiles.store.put(profileOf('a'), { by: 'x', ifRevision: 0 })
  assert.deepEqual([first.isNew, first.stored.revision, first.stored.author], [true, 1, 'x'])
  for (const ifRevision of [0, 2]) {
    const change = profiles.store.put(profileOf('a'), { by: 'x', ifRevision })
    await assert.rejects(change, coded('revision_mismatch'))
  }
  const second = await profiles.store.put(profileOf('a'), { by: 'x', ifRevision: 1 })
  assert.deepEqual([second.isNew, second.stored.revision], [false, 2])
  await assert.rejects(profiles.remove('a', { by: 'x', ifRevision: 1 }), coded('revision_mismatch'))
  await profiles.remove('a', { by: 'x', ifRevision: 2 })
  await assert.rejects(profiles.store.get('a'), coded('profile_not_found'))
  const third = await profiles.store.put(profileOf('a'), { by: 'x', ifRevision: null })
  assert.deepEqual([third.isNew, third.stored.revision], [true, 4], 'the numbers go on')
})

it('a profile that holds the slot cannot be removed; one that does not can', async () => {
  const world = profileWorld()
  await store(world, profileOf('a'), profileOf('b'))
  await world.profiles.activate('a', 'tester')
  await assert.rejects(world.profiles.remove('a', ANY), coded('profile_active'))
  await world.profiles.remove('b', ANY)
  await assert.rejects(world.profiles.remove('b', ANY), coded('profile_not_found'))
  await world.profiles.deactivate('a', 'tester')
  await world.profiles.remove('a', ANY)
})

it('a removal and an activation at once end in one of the two, never in an active profile that is gone', async () => {
  const world = profileWorld()
  await store(world, profileOf('a'))
  const outcomes = await Promise.allSettled([
    world.profiles.remove('a', ANY),
    world.profiles.activate('a', 'tester'),
  ])
  assert.deepEqual(
    outcomes.map(({ status }) => status),
    ['fulfilled', 'rejected'],
  )
  assert.equal((await world.profiles.active()).state, 'empty')
})

it('a profile that cannot be read is listed as such, hides no other, and is never absent', async () => {
  const world = profileWorld()
  await store(world, profileOf('a'), profileOf('b'))
  const key = '_profiles/a/0000000001.json'
  world.objects.set(key, { body: Buffer.from('{"torn'), modifiedMs: 0 })
  world.objects.set('_profiles/odd name/0000000001.json', { body: Buffer.from('x'), modifiedMs: 0 })
  const { profiles, faults } = await world.profiles.store.list()
  assert.deepEqual(
    profiles.map(({ document }) => document.id),
    ['b'],
  )
  assert.deepEqual(
    faults.map(({ id, error }) => `${id} ${error.code}`),
    ['a object_corrupt'],
  )
  await assert.rejects(world.profiles.store.get('a'), coded('object_corrupt'))
  await assert.rejects(world.profiles.store.put(profileOf('a'), ANY), coded('object_corrupt'))
})

it('what another server changed is in force after some seconds, what this one changed at once', async () => {
  const world = profileWorld()
  const other = profileWorld({ beside: world })
  const scope = (index: string): Promise<void> => world.profiles.checkScope('a', index, () => true)
  await store(world, profileOf('a', { boundIndexes: ['x'] }))
  await scope('x')
  await store(world, profileOf('a', { boundIndexes: ['y'] }))
  await assert.rejects(scope('x'), coded('out_of_scope'))
  await store(other, profileOf('a', { boundIndexes: ['z'] }))
  await scope('y')
  world.clock.nowMs += 5000
  await assert.rejects(scope('y'), coded('out_of_scope'))
  await scope('z')
  await other.profiles.remove('a', ANY)
  world.clock.nowMs += 5000
  await assert.rejects(scope('z'), coded('profile_not_found'))
})

it('a scope that is too old and cannot be read lets nobody in', async () => {
  const world = profileWorld()
  await store(world, profileOf('a', { boundIndexes: ['x'] }))
  await world.profiles.checkScope('a', 'x', () => true)
  for (const key of world.objects.keys()) {
    world.objects.set(key, { body: Buffer.from('{}'), modifiedMs: 0 })
  }
  world.clock.nowMs += 5000
  const check = world.profiles.checkScope('a', 'x', () => true)
  await assert.rejects(check, coded('object_corrupt'))
})

it('there are at most so many profiles; one that is there may still be changed', async () => {
  const world = profileWorld()
  const ids = Array.from({ length: PROFILES_MAX }, (_, i) => `p${i}`)
  await store(world, ...ids.map((id) => profileOf(id)))
  await assert.rejects(world.profiles.store.put(profileOf('one'), ANY), coded('limit_exceeded'))
  await store(world, profileOf('p0', { description: 'changed' }))
})
