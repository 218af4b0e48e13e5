/** Who writes a Lance table: confirmed before a commit, but not before each. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { MemoryStore } from '../../src/buckets/memory-store.ts'
import { IndexOwner } from '../../src/indexes/index-owner.ts'
import {
  foreignHolding,
  leaseHolding,
  NOBODY,
  type LanceHolding,
} from '../../src/indexes/lance-holding.ts'

interface Held {
  readonly holding: LanceHolding
  readonly clock: { ms: number }
  readonly store: MemoryStore
  readonly lost: string[]
}

function owner(store: MemoryStore, server: string, clock: { ms: number }): IndexOwner {
  return new IndexOwner({ store, index: 'docs', server, monotonicMs: () => clock.ms })
}

async function hold(): Promise<Held> {
  const clock = { ms: 0 }
  const store = new MemoryStore()
  const lost: string[] = []
  const holding = await leaseHolding({
    ...{ server: 'a', owner: owner(store, 'a', clock), monotonicMs: () => clock.ms },
    onLost: ({ code }) => lost.push(code),
    onTrouble: () => undefined,
  })
  return { holding, clock, store, lost }
}

async function revisions(store: MemoryStore): Promise<number> {
  let count = 0
  for await (const _ of store.list('_indexes/docs/owner/')) count += 1
  return count
}

it('a lease that was confirmed a moment ago is not confirmed again', async () => {
  const { holding, clock, store } = await hold()
  await holding.confirm()
  assert.equal(await revisions(store), 1)
  clock.ms = 10_000
  await Promise.all([holding.confirm(), holding.confirm()])
  assert.ok((await revisions(store)) >= 2, 'after a third of the lease it is')
  await holding.release()
})

it('a lease that another server took is found before the commit, and told', async () => {
  const { holding, clock, store, lost } = await hold()
  const other = owner(store, 'b', clock)
  await assert.rejects(other.claim(), { code: 'not_owner' })
  clock.ms = 30_000
  await other.claim()
  await assert.rejects(holding.confirm(), { code: 'not_owner' })
  assert.deepEqual(lost, ['not_owner'])
  await holding.release()
})

it('a refused claim tells whose it is', async () => {
  const { holding, clock, store } = await hold()
  const refused: unknown = await owner(store, 'b', clock)
    .claim()
    .catch((error: unknown) => error)
  const foreign = foreignHolding(refused as Parameters<typeof foreignHolding>[0])
  assert.deepEqual([foreign.role, foreign.owner], ['follower', 'a'])
  await holding.release()
})

it('without a claim nothing is committed', async () => {
  await assert.rejects(NOBODY.confirm(), { code: 'not_owner' })
})
