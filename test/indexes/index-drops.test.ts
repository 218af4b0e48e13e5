/**
 * What goes of an index and what must not: failures at each step of a drop, pins, checkpoints that
 * failed, owners that lost their index.
 *
 * A lister that reads the bucket as it lies there says what is leaked and what is missing.
 */

import assert from 'node:assert/strict'
import { it, type TestContext } from 'node:test'
import { MemoryStore } from '../../src/buckets/memory-store.ts'
import type { ObjectStore } from '../../src/buckets/object-store.ts'
import { IndexSweeps } from '../../src/indexes/index-drops.ts'
import { LEASE_MS } from '../../src/indexes/index-owner.ts'
import { CheckpointStore } from '../../src/log/checkpoint-store.ts'
import { inspectBucket } from '../support/bucket-lister.ts'
import { FaultyStore } from '../support/faulty-store.ts'
import {
  compare,
  META,
  openIndex,
  scenario,
  write,
  type Opened,
} from '../support/index-scenario.ts'
import { Ledger } from '../support/ledger.ts'
import { temporaryFolder } from '../support/service.ts'
import { createIndex, startServer, until } from '../support/two-servers.ts'

interface Bench {
  readonly bucket: MemoryStore
  readonly store: FaultyStore
  readonly opened: Opened
  readonly ledger: Ledger
}

/** An index with four checkpoints, of which two are to go, and a part that nobody names. */
async function littered(t: TestContext): Promise<Bench> {
  const bucket = new MemoryStore()
  const store = new FaultyStore(bucket)
  const opened = await openIndex(store, await temporaryFolder(t))
  t.after(() => opened.close())
  opened.drops.isPrompt = false
  const ledger = new Ledger()
  await scenario(opened.served, ledger)
  await bucket.put('_indexes/docs/parts/orphan', Buffer.from('left by a crash'))
  return { bucket, store, opened, ledger }
}

async function clean(store: ObjectStore, at?: string): Promise<void> {
  const found = await inspectBucket({ store, indexes: [META.name] })
  assert.deepEqual(found, { leaked: [], missing: [] }, at)
}

for (const when of ['before', 'after'] as const) {
  it(`an error ${when} any operation of a drop leaves nothing behind once it is gone`, async (t) => {
    let failures = 0
    for (let skip = 0; ; skip += 1) {
      const { bucket, store, opened, ledger } = await littered(t)
      store.inject({ kind: 'error', code: 'bucket_unreachable', when, skip })
      const before = store.operations
      await opened.drops.sweep()
      const hasStruck = store.operations - before > skip
      store.heal()
      if (!hasStruck) {
        await clean(bucket, 'no failure')
        break
      }
      failures += 1
      assert.deepEqual((await inspectBucket({ store: bucket, indexes: [META.name] })).missing, [])
      await compare(opened.served, ledger, `failure ${skip}`)
      // What failed waits for its next try; a new request joins it, so another worker sweeps here.
      await opened.close()
      const again = await openIndex(bucket, await temporaryFolder(t))
      await again.drops.sweep()
      await clean(bucket, `failure ${skip}, swept`)
      await compare(again.served, ledger, `failure ${skip}, swept`)
      await again.close()
    }
    assert.ok(failures >= 10, `${failures} failures`)
  })
}

it('a checkpoint that failed takes nothing with it that shards still use', async (t) => {
  const { bucket, store, opened, ledger } = await littered(t)
  await write(opened.served, ledger, ['new'], 5)
  const prefix = '_indexes/docs/checkpoints/'
  store.inject({
    ...{ kind: 'error', code: 'storage_full', when: 'before' },
    ...{ operations: ['put'], keyPrefix: prefix },
  })
  await assert.rejects(opened.served.checkpoint('always'), { code: 'storage_full' })
  // Its parts are named by no manifest, and the next checkpoint names them.
  await opened.drops.sweep()
  opened.drops.isPrompt = true
  await opened.served.checkpoint('always')
  await clean(bucket)
  await compare(opened.served, ledger, 'after the failed checkpoint')
})

it('a checkpoint that a reader has open stays whole, and goes when it is let go', async (t) => {
  const { bucket, opened, ledger } = await littered(t)
  await opened.drops.sweep()
  const release = opened.served.checkpoints.pin()
  const { checkpointLsn } = opened.served.info
  for (let round = 1; round <= 4; round += 1) {
    await write(opened.served, ledger, ['p1', 'p2', 'p3'], 500 + round)
    await opened.served.checkpoint('always')
    await opened.drops.worker.flush()
  }
  const there = async () => {
    const checkpoints = new CheckpointStore({
      ...{ store: bucket, index: META.name, incarnation: META.incarnation },
      nowMs: () => 0,
    })
    return checkpoints.found()
  }
  const pinned = (await there()).find(({ lsn }) => lsn === checkpointLsn)
  assert.ok(pinned !== undefined && 'content' in pinned)
  assert.equal((await there()).length, 3)
  for (const { key } of pinned.content.parts) await bucket.head(key)
  for (const { graph } of pinned.content.graphs) await bucket.head(graph.key)
  release()
  await opened.drops.worker.flush()
  assert.equal((await there()).length, 2)
  await clean(bucket)
})

it('the checkpoint that the index stands on stays, also where as many newer are damaged', async (t) => {
  const { bucket, opened, ledger } = await littered(t)
  await opened.close()
  const manifests: string[] = []
  for await (const { key } of bucket.list('_indexes/docs/checkpoints/')) manifests.push(key)
  assert.equal(manifests.length, 4)
  for (const key of manifests.slice(-2)) await bucket.put(key, Buffer.from('{'))
  const again = await openIndex(bucket, await temporaryFolder(t))
  t.after(() => again.close())
  const everything = { key: META.name, commitVersion: again.served.info.lsn } as const
  await again.drops.worker.send({ ...everything, kind: 'checkpoints' })
  await again.drops.worker.send({ ...everything, kind: 'log_segments' })
  await again.drops.worker.flush()
  const left: string[] = []
  for await (const { key } of bucket.list('_indexes/docs/checkpoints/')) left.push(key)
  assert.deepEqual(left, manifests.slice(1))
  await compare(again.served, ledger, 'on the older checkpoint')
})

it('an owner that slept while another server took over deletes nothing of it', async (t) => {
  const bucket = new MemoryStore()
  await createIndex(bucket)
  const scratch = await temporaryFolder(t)
  const start = (name: string) => {
    const server = startServer({ name, bucket, scratch })
    t.after(() => server.runner.close({ checkpoint: false }))
    return server
  }
  const a = start('a')
  await until('a owns it', () => a.index.info.role === 'owner' && a.index.info.state === 'ready')
  const ledger = new Ledger()
  await write(a.index, ledger, ['p1', 'p2'], 1)
  await a.index.checkpoint()
  const b = start('b')
  await until(
    'b owns it',
    () => b.index.info.role === 'owner' && b.index.info.state === 'ready',
    () => {
      b.clock.ms += LEASE_MS
    },
  )
  assert.equal(a.index.info.role, 'owner', 'a does not know yet')
  const key = '_indexes/docs/parts/of-b-no-manifest-yet'
  await bucket.put(key, Buffer.from('x'))
  await a.drops.sweep()
  assert.equal((await bucket.head(key)).key, key)
  assert.deepEqual(a.drops.worker.status.failing, [])
  await b.drops.sweep()
  await assert.rejects(bucket.head(key), { code: 'object_not_found' })
})

it('each opening of an index is swept once, when it serves and is ours', async (t) => {
  const { opened } = await littered(t)
  const swept: string[] = []
  const sweeps = new IndexSweeps(async ({ name }) => {
    swept.push(name)
  })
  await sweeps.look([opened.served])
  await sweeps.look([opened.served])
  assert.deepEqual(swept, ['docs'])
})
