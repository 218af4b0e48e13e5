/** A process that is killed while it writes a checkpoint leaves files; they are in nobody's way. */

import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { it } from 'node:test'
import { MemoryStore } from '../../src/buckets/memory-store.ts'
import { openShard } from '../../src/shard/open-shard.ts'
import { randomVectors } from '../support/vectors.ts'
import { Harness } from './harness.ts'

/** Takes no file: whoever stores one waits for ever. */
class StuckStore extends MemoryStore {
  readonly entered = Promise.withResolvers<null>()

  override putFile(): Promise<void> {
    this.entered.resolve(null)
    return new Promise(() => undefined)
  }
}

it('files of a checkpoint that was cut off keep no later one from being written', async (t) => {
  const harness = new Harness(t, { dimension: 4 })
  await harness.open()
  const payload = harness.upsert([
    { id: 'a', vector: randomVectors(1, 4, 1).values, text: null, metadata: null },
  ])
  const store = new StuckStore()
  const killed = await openShard(harness.spec, store, () => undefined)
  killed.apply(1, payload)
  void killed.checkpoint('always')
  await store.entered.promise
  assert.notDeepEqual(readdirSync(harness.spec.scratch), [], 'it left something')

  const { parts } = await harness.shard.checkpoint('always')
  assert.equal(parts.length, 1)
})
