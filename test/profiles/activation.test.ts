/** What an activation does beside the slot: the bucket of the profile, and its indexes. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import type { ShardQuery } from '../../src/domain/search.ts'
import { HNSW_DEFAULTS } from '../../src/domain/hnsw-config.ts'
import type { ManagedIndex } from '../../src/indexes/index-api.ts'
import { VectordError } from '../../src/lib/errors.ts'
import { WARM_SEARCHES, warmUp } from '../../src/profiles/warm-up.ts'
import { makeIndex, profileOf, profileWorld, store } from '../support/profile-world.ts'

it('the bucket of a profile is made below the root of profiles, once', async () => {
  const world = profileWorld()
  await store(world, profileOf('a', { bucket: 'a_data' }), profileOf('b', { bucket: 'primary' }))
  const first = await world.profiles.activate('a', 'tester')
  assert.deepEqual(first.bucket, { name: 'a_data', provisioned: true })
  assert.deepEqual([...world.added], [['a_data', '/srv/profiles/a_data']])
  const second = await world.profiles.activate('a', 'tester')
  assert.deepEqual(second.bucket, { name: 'a_data', provisioned: false })
  const there = await world.profiles.activate('b', 'tester')
  assert.deepEqual(there.bucket, { name: 'primary', provisioned: false })
  assert.equal(world.added.size, 1)
})

it('a bucket that cannot be made ends the activation before any model moves', async () => {
  const world = profileWorld()
  await store(world, profileOf('a'), profileOf('b', { bucket: 'b_data' }))
  await world.profiles.activate('a', 'tester')
  // The place is taken by a bucket of another name.
  world.added.set = () => {
    throw new VectordError('bucket_exists', 'The place is taken.')
  }
  await assert.rejects(
    world.profiles.activate('b', 'tester'),
    (error) => error instanceof VectordError && error.code === 'bucket_exists',
  )
  assert.deepEqual(world.models.calls, ['preload model-a 5m'])
  assert.equal((await world.profiles.active()).slot.profile, 'a')
})

it('bound indexes are warmed up in their order; what fails is told and aborts nothing', async () => {
  const world = profileWorld()
  for (const name of ['docs', 'code', 'ill']) await makeIndex(world, name)
  const ill = world.indexes.get('ill')
  ill.failure = new VectordError('index_loading', 'Not yet.')
  await store(world, profileOf('a', { boundIndexes: ['docs', 'gone', 'ill', 'code'] }))
  const { warmed, failures } = await world.profiles.activate('a', 'tester')
  assert.deepEqual(
    warmed.map(({ index, searches }) => `${index} ${searches}`),
    [`docs ${WARM_SEARCHES}`, `code ${WARM_SEARCHES}`],
  )
  assert.deepEqual(
    failures.map(({ index, code }) => `${index} ${code}`),
    ['gone index_not_found', 'ill index_loading'],
  )
  assert.equal((await world.profiles.active()).state, 'active')
})

it('a warm-up searches with what is promoted, else with the ef of the profile', async () => {
  const asked: (number | null)[] = []
  const indexOf = (source: string): Pick<ManagedIndex, 'info' | 'search'> => ({
    info: { dimension: 3, config: { source, hnsw: HNSW_DEFAULTS } } as ManagedIndex['info'],
    search: async ({ ef, target }: ShardQuery) => {
      asked.push(ef)
      assert.ok('vector' in target && target.vector.length === 3)
      assert.ok(target.vector.some((number) => number !== 0))
      return {
        ...{ hits: [], path: 'graph', efUsed: ef ?? 321, generation: 1, exhausted: false, lsn: 0 },
      } as const
    },
  })
  const troubles: string[] = []
  const run = (source: string) =>
    warmUp(
      {
        indexes: { get: () => indexOf(source) as ManagedIndex },
        ...{ nowMs: () => 0, deadlineMs: 1, onTrouble: (_error, what) => troubles.push(what) },
      },
      profileOf('a', { boundIndexes: ['x'], hnsw: { ...HNSW_DEFAULTS, efSearch: 77 } }),
    )
  const plain = await run('default')
  assert.deepEqual([plain.warmed[0]?.efUsed, new Set(asked)], [77, new Set([77])])
  asked.length = 0
  const promoted = await run('promoted:t-1')
  assert.deepEqual([promoted.warmed[0]?.efUsed, new Set(asked)], [321, new Set([null])])
  assert.deepEqual(troubles, [])
})
