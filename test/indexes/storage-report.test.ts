/**
 * What an index is said to take agrees with its bucket, object by object and byte by byte.
 */

import assert from 'node:assert/strict'
import { join } from 'node:path'
import { it, type TestContext } from 'node:test'
import { LocalStore } from '../../src/buckets/local-store.ts'
import { MemoryStore } from '../../src/buckets/memory-store.ts'
import type { ObjectStore } from '../../src/buckets/object-store.ts'
import { openStore } from '../../src/buckets/open-store.ts'
import { GraphCache } from '../../src/indexes/graph-cache.ts'
import { StorageReports, type StorageReport } from '../../src/indexes/storage-report.ts'
import { openSegmentLog } from '../../src/log/segment-log.ts'
import { openIndex, openIndexIn, scenario, type Opened } from '../support/index-scenario.ts'
import { Ledger } from '../support/ledger.ts'
import { startS3Server } from '../support/s3-server.ts'
import { temporaryFolder } from '../support/service.ts'

interface Bench {
  readonly store: ObjectStore
  readonly opened: Opened
}

async function local(root: string, scratch: string): Promise<Bench> {
  const store = await LocalStore.open(root)
  const folder = join(root, '_indexes', 'docs', 'log')
  const log = await openSegmentLog({ folder, incarnation: 'one', segmentBytesMax: 2000 })
  return { store, opened: await openIndexIn({ store, log, scratch }) }
}

async function shared(store: ObjectStore, scratch: string): Promise<Bench> {
  return { store, opened: await openIndex(store, scratch) }
}

async function s3(t: TestContext): Promise<ObjectStore | null> {
  const server = await startS3Server()
  if (server === null) return null
  t.after(() => server.close())
  await server.createBucket('reports')
  const { endpoint, accessKeyId, secretAccessKey } = server
  const store = await openStore({
    ...{ backend: 's3', bucket: 'reports', prefix: 'here/', region: 'us-east-1', endpoint },
    credentials: { accessKeyId, secretAccessKey },
  })
  t.after(() => store.close())
  return store
}

const BACKENDS: Readonly<Record<string, (t: TestContext) => Promise<Bench | null>>> = {
  local: async (t) => local(await temporaryFolder(t), await temporaryFolder(t)),
  memory: async (t) => shared(new MemoryStore(), await temporaryFolder(t)),
  s3: async (t) => {
    const store = await s3(t)
    return store === null ? null : shared(store, await temporaryFolder(t))
  },
}

/** Keys and bytes of everything in the bucket. */
async function listed(
  store: ObjectStore,
): Promise<{ readonly objects: number; readonly bytes: number }> {
  let objects = 0
  let bytes = 0
  for await (const object of store.list('')) {
    objects += 1
    bytes += object.bytes
  }
  return { objects, bytes }
}

function reportsOf({ store, opened }: Bench): () => Promise<StorageReport> {
  const graphs = new GraphCache({
    storeOf: () => store,
    bytesMax: 1e9,
    onStored: () => Promise.resolve(),
  })
  const reports = new StorageReports({ served: () => opened.served, store: () => store, graphs })
  return () => reports.of('docs')
}

/** The classes add up to the listing, and the folders to the classes. */
async function agrees(store: ObjectStore, report: StorageReport): Promise<void> {
  const { total, classes, folders } = report
  assert.deepEqual(total, await listed(store))
  for (const unit of ['objects', 'bytes'] as const) {
    const sum = Object.values(classes).reduce((all, one) => all + one[unit], 0)
    assert.equal(sum, total[unit])
    for (const name of ['live', 'superseded', 'orphaned'] as const) {
      const inFolders = folders.reduce((all, folder) => all + folder.classes[name][unit], 0)
      assert.equal(inFolders, classes[name][unit], `${name} ${unit}`)
    }
  }
}

function of(name: string, report: StorageReport): StorageReport['classes'] {
  const found = report.folders.find(({ folder }) => folder === name)
  assert.ok(found !== undefined, name)
  return found.classes
}

for (const [backend, open] of Object.entries(BACKENDS)) {
  it(`${backend}: live, superseded, orphaned and dropped bytes agree with the bucket`, async (t) => {
    const bench = await open(t)
    if (bench === null) {
      t.skip('there is no S3 server here')
      return
    }
    const { store, opened } = bench
    t.after(() => opened.close())
    const report = reportsOf(bench)
    opened.drops.isPrompt = false
    await scenario(opened.served, new Ledger())
    // Three of the four checkpoints are old; two are kept.
    const before = await report()
    await agrees(store, before)
    assert.equal(before.classes.orphaned.objects, 0)
    const isLive = (name: string): boolean => of(name, before).live.bytes > 0
    const superseded = (name: string): boolean => of(name, before).superseded.bytes > 0
    assert.equal(of('checkpoints', before).live.objects, 1)
    assert.equal(of('checkpoints', before).superseded.objects, 3)
    assert.ok(superseded('log') && isLive('log') && isLive('parts'))

    // What crashes leave: a part, a graph of a trial, something that nobody knows.
    await store.put('_indexes/docs/parts/one-0-9-abc.parquet', Buffer.alloc(1000))
    await store.put('_hnsw_graphs/docs/0123456789abcdef0123456789abcdef-0.hnsw', Buffer.alloc(500))
    await store.put('_indexes/docs/odd/thing', Buffer.alloc(7))
    await store.put('_hnsw_trials/docs/batch_0000000000000001.jsonl', Buffer.alloc(3))
    const littered = await report()
    await agrees(store, littered)
    assert.deepEqual(littered.classes.orphaned, { objects: 3, bytes: 1507 })
    assert.equal(of('_hnsw_trials', littered).live.bytes, 3)

    await opened.drops.sweep()
    const after = await report()
    await agrees(store, after)
    assert.deepEqual(
      after.classes.orphaned,
      { objects: 2, bytes: 507 },
      'another kind drops graphs',
    )
    assert.equal(of('checkpoints', after).superseded.objects, 1)
    const { checkpoints, log_segments: log } = opened.drops.worker.droppedOf('docs')
    const gone = (which: 'objects' | 'bytes'): number => littered.total[which] - after.total[which]
    // A log in files begins a new one where all of the last was given up.
    assert.equal(checkpoints.objects + log.objects, gone('objects'))
    assert.equal(checkpoints.bytes + log.bytes, gone('bytes'))
    assert.ok(log.bytes > 0 && checkpoints.bytes > 1000)
  })
}

it('an index at rest has no orphans, from its first moment on', async (t) => {
  const bench = await shared(new MemoryStore(), await temporaryFolder(t))
  t.after(() => bench.opened.close())
  const report = reportsOf(bench)
  assert.deepEqual((await report()).classes.orphaned, { objects: 0, bytes: 0 })
  await scenario(bench.opened.served, new Ledger())
  assert.deepEqual((await report()).classes.orphaned, { objects: 0, bytes: 0 })
})
