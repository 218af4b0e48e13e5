/** Indexes whose points are written before anybody sees them: there whole, or not at all. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { MemoryStore } from '../../src/buckets/memory-store.ts'
import type { BringIndex } from '../../src/indexes/index-arrivals.ts'
import type { IndexSettings, WriteOptions } from '../../src/indexes/index-api.ts'
import { upsertOf } from '../../src/domain/write-batch.ts'
import { VectordError } from '../../src/lib/errors.ts'
import { META } from '../support/index-scenario.ts'
import { HOT, MovingWorld } from '../support/moving-world.ts'
import { temporaryFolder } from '../support/service.ts'

const WRITE: WriteOptions = { ack: 'applied', deadlineMs: 1e9 }
const READ = { minLsn: 0, deadlineMs: 1e9 }

const { dimension, metric, hnsw, shards, keepLastVersions } = META
const SETTINGS: IndexSettings = {
  ...{ name: META.name, dimension, metric, hnsw, shards, keepLastVersions },
  ...{ bucket: HOT, backend: 'hnsw' },
}

const points = upsertOf(
  dimension,
  Array.from({ length: 30 }, (_, i) => {
    const vector = new Float32Array(dimension).fill(i + 1)
    return { id: `p${i}`, vector, text: null, metadata: null }
  }),
)

function bring(write: Extract<BringIndex, { write: object }>['write']): BringIndex {
  return { settings: SETTINGS, by: 'test', reason: 'a test', write }
}

it('nobody sees it while it is written, and its name is taken; then it is there whole', async (t) => {
  const world = new MovingWorld(new MemoryStore(), { scratch: await temporaryFolder(t) })
  await world.registry.refresh()
  const { registry } = world
  const index = await registry.restore(
    bring(async (target) => {
      await target.write(points, WRITE)
      assert.throws(() => registry.get(META.name), { code: 'index_not_found' })
      assert.deepEqual(registry.all.list(), [])
      assert.deepEqual(registry.namesIn(HOT), [META.name], 'its bucket cannot go meanwhile')
      await assert.rejects(registry.restore(bring(() => Promise.resolve())), {
        code: 'index_exists',
      })
      await registry.refresh()
      assert.equal(await world.stateIn(HOT), 'restoring')
    }),
  )
  assert.equal(await index.count(null, READ), 30)
  assert.equal(registry.get(META.name), index)
  assert.equal(await world.stateIn(HOT), 'active')
  await registry.close()
  const after = new MovingWorld(world.store, { scratch: await temporaryFolder(t) })
  assert.equal(await (await after.settled()).count(null, READ), 30)
  await after.registry.close()
})

it('where its writing fails nothing is left, and the name is free', async (t) => {
  const world = new MovingWorld(new MemoryStore(), { scratch: await temporaryFolder(t) })
  await world.registry.refresh()
  const failing = bring(async (target) => {
    await target.write(points, WRITE)
    throw new VectordError('operation_cancelled', 'It was cancelled.')
  })
  await assert.rejects(world.registry.restore(failing), { code: 'operation_cancelled' })
  assert.equal(await world.stateIn(HOT), null)
  assert.deepEqual(await world.keys(HOT), [])
  const index = await world.registry.restore(bring(() => Promise.resolve()))
  assert.equal(await index.count(null, READ), 0)
  await world.registry.close()
})
