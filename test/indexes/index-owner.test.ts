/** Who may write an index in a shared bucket: one server at a time, without comparing clocks. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { MemoryStore } from '../../src/buckets/memory-store.ts'
import { IndexOwner } from '../../src/indexes/index-owner.ts'

function server(store: MemoryStore, name: string, clock: { ms: number }): IndexOwner {
  return new IndexOwner({
    store,
    index: 'docs',
    server: name,
    monotonicMs: () => clock.ms,
    leaseMs: 30_000,
  })
}

it('a held index is refused by the name of its owner until the lease stands still', async () => {
  const store = new MemoryStore()
  const clock = { ms: 0 }
  const a = server(store, 'a', clock)
  const b = server(store, 'b', clock)
  assert.equal(await a.claim(), 1)
  await assert.rejects(b.claim(), { code: 'not_owner', message: /"a"/ })
  clock.ms = 29_000
  await a.renew()
  await assert.rejects(b.claim(), { code: 'not_owner' })
  clock.ms = 58_000
  await assert.rejects(b.claim(), { code: 'not_owner' })
  clock.ms = 60_000
  assert.equal(await b.claim(), 2)
  await assert.rejects(a.renew(), { code: 'not_owner' })
})

it('a released index is free at once, and a restarted server takes its own back', async () => {
  const store = new MemoryStore()
  const clock = { ms: 0 }
  const a = server(store, 'a', clock)
  await a.claim()
  assert.equal(await server(store, 'a', clock).claim(), 2)
  const again = server(store, 'a', clock)
  await again.claim()
  await again.release()
  assert.equal(await server(store, 'b', clock).claim(), 4)
})

it('of two servers that claim a free index together, one gets it', async () => {
  const store = new MemoryStore()
  const clock = { ms: 0 }
  const claims = await Promise.allSettled(
    ['a', 'b', 'c'].map((name) => server(store, name, clock).claim()),
  )
  assert.equal(claims.filter((claim) => claim.status === 'fulfilled').length, 1)
})
