/** A read sees what was acknowledged before it was sent, also where cores answer out of order. */

import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { it, type TestContext } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { MemoryStore } from '../../src/buckets/memory-store.ts'
import type { ServedIndex } from '../../src/indexes/served-index.ts'
import type { ShardClient } from '../../src/indexes/shard-client.ts'
import { openIndex } from '../support/index-scenario.ts'

const WHOLE = { metadata: true, vector: true, text: false }
const READ = { minLsn: 0, deadlineMs: 60_000 }

/** An index whose core keeps back what `hold` says until `release` is called. */
async function held(
  t: TestContext,
  hold: 'applies' | 'answers to reads',
): Promise<{ readonly served: ServedIndex; readonly release: () => void }> {
  const scratch = await mkdtemp(join(tmpdir(), 'vectord-reads-'))
  t.after(() => rm(scratch, { recursive: true }))
  const gate = Promise.withResolvers<undefined>()
  const wrapped = (shard: ShardClient): ShardClient => ({
    ...shard,
    apply: async (lsn, payload) => {
      if (hold === 'applies') await gate.promise
      await shard.apply(lsn, payload)
    },
    fetch: async (ids, include, bounds) => {
      const points = await shard.fetch(ids, include, bounds)
      if (hold === 'answers to reads') await gate.promise
      return points
    },
    scroll: async (request, bounds) => {
      const page = await shard.scroll(request, bounds)
      if (hold === 'answers to reads') await gate.promise
      return page
    },
  })
  const { served, close } = await openIndex(new MemoryStore(), scratch, { wrap: wrapped })
  t.after(close)
  return { served, release: () => gate.resolve(undefined) }
}

function upsert(served: ServedIndex, id: string, ack: 'applied' | 'logged') {
  const vectors = Float32Array.of(1, 2, 3, 4)
  const batch = { kind: 'upsert', dimension: 4, ids: [id], vectors, texts: [null] } as const
  return served.write({ ...batch, metadata: [null] }, { ack, deadlineMs: 60_000 })
}

it('after a write that is only logged, reads wait until it is applied', async (t) => {
  const { served, release } = await held(t, 'applies')
  const { lsn } = await upsert(served, 'a', 'logged')
  let answered = 0
  const query = { k: 1, ef: null, exact: false, filter: null, include: WHOLE }
  const target = { vector: Float32Array.of(1, 2, 3, 4) }
  const reads = Promise.all([
    served.search({ ...query, target }, READ),
    served.fetch(['a'], WHOLE, READ),
    served.count(null, READ),
  ]).finally(() => (answered += 1))
  for (let turn = 0; turn < 3; turn += 1) await nextTurn()
  assert.equal(answered, 0)
  release()
  const [found, fetched, count] = await reads
  assert.equal(found.hits[0]?.id, 'a')
  assert.equal(fetched.points[0]?.id, 'a')
  assert.equal(fetched.lsn, lsn)
  assert.equal(count, 1)
})

it('a write that nobody was told of yet keeps no read waiting', async (t) => {
  const { served, release } = await held(t, 'applies')
  const written = upsert(served, 'a', 'applied')
  await nextTurn()
  assert.deepEqual(await served.fetch(['a'], WHOLE, READ), { points: [null], lsn: 0 })
  release()
  await written
  assert.equal(await served.count(null, READ), 1)
})

it('the lsn of a read is what it saw, whatever was applied before it was answered', async (t) => {
  const { served, release } = await held(t, 'answers to reads')
  const fetching = served.fetch(['a'], WHOLE, READ)
  const scrolling = served.scroll({ after: null, limit: 9, filter: null, include: WHOLE }, READ)
  await nextTurn()
  await upsert(served, 'a', 'applied')
  release()
  assert.deepEqual(await fetching, { points: [null], lsn: 0 })
  assert.equal((await scrolling).lsn, 0)
})
