/** The memory backend keeps the contract, and its objects can outlive it. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { type MemoryObject, MemoryStore } from '../../src/buckets/memory-store.ts'
import { objectStoreSuite } from './object-store.suite.ts'

objectStoreSuite('memory', () => Promise.resolve(new MemoryStore()))

it('a second store on the same map sees what the first one wrote', async () => {
  const objects = new Map<string, MemoryObject>()
  const before = new MemoryStore(objects)
  await before.put('k', Buffer.from('kept'))
  await before.close()
  const after = new MemoryStore(objects)
  assert.equal(Buffer.from(await after.get('k')).toString(), 'kept')
})
