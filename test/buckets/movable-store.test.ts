/** A store that is exchanged beneath its users keeps the contract, and loses no call. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { MemoryStore } from '../../src/buckets/memory-store.ts'
import { MovableStore } from '../../src/buckets/movable-store.ts'
import { objectStoreSuite } from './object-store.suite.ts'

objectStoreSuite('movable', async () => {
  const store = new MovableStore(new MemoryStore())
  await store.moveTo(new MemoryStore())
  return store
})

class SlowStore extends MemoryStore {
  readonly gate = Promise.withResolvers<null>()
  isClosed = false

  override async get(key: string): Promise<Uint8Array> {
    await this.gate.promise
    return super.get(key)
  }

  override async close(): Promise<void> {
    this.isClosed = true
    await super.close()
  }
}

it('a call that began before the exchange ends on the old store, which is closed after it', async () => {
  const before = new SlowStore()
  await before.put('k', Buffer.from('before'))
  const store = new MovableStore(before)
  const reading = store.get('k')
  const after = new MemoryStore()
  await after.put('k', Buffer.from('after'))
  const moved = store.moveTo(after)
  assert.equal(Buffer.from(await store.get('k')).toString(), 'after')
  assert.equal(before.isClosed, false)
  before.gate.resolve(null)
  assert.equal(Buffer.from(await reading).toString(), 'before')
  await moved
  assert.equal(before.isClosed, true)
})

it('a closed store is not exchanged, and the new one is closed', async () => {
  const store = new MovableStore(new MemoryStore())
  await store.close()
  const late = new SlowStore()
  await assert.rejects(store.moveTo(late), { code: 'storage_error' })
  assert.equal(late.isClosed, true)
})
