/**
 * The leak loop: a real server under work of every kind, SIGKILL at a random moment, restart; and
 * when everything has come to rest a lister compares the buckets with what the indexes account for.
 *
 *     writes, checkpoints, rebuilds, promotions, trials that overflow the graph cache,
 *     indexes dropped and made anew ─▶ SIGKILL ─▶ start ─▶ at rest ─▶ nothing leaked, nothing missing
 *
 * At rest is when no operation runs and each index has written a checkpoint since the start: that is
 * when what a crash cut off is cleared away. Deletions have a while to be carried out.
 */

import assert from 'node:assert/strict'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { splitmix32 } from '../../src/lib/splitmix32.ts'
import { LocalStore } from '../../src/buckets/local-store.ts'
import { inspectBucket, type BucketFindings } from './bucket-lister.ts'
import { LeakWork, type LeakWorkCounts } from './leak-work.ts'
import { startService, type Service } from './service.ts'

const KILL_AFTER_MS = [50, 2000] as const
const CLEARED_WITHIN_MS = 60_000
const LOOK_EVERY_MS = 100
const CHECKPOINTS_KEPT = 2

const ENV = {
  // Few points are enough for a graph here, few graphs for a full cache.
  VECTORD_SEARCH_FLAT_THRESHOLD: '50',
  VECTORD_GENERATIONS_CACHE_BYTES: '150000',
  VECTORD_GENERATIONS_KEEP: '1',
  VECTORD_LOG_SEGMENT_BYTES: '65536',
  VECTORD_LOG_GROUP_BYTES_MAX: '65536',
  VECTORD_CHECKPOINT_LOG_BYTES: '262144',
  VECTORD_CHECKPOINT_KEEP: String(CHECKPOINTS_KEPT),
}

/** Machines are shared: a slow start is no failure. */
const READY_WITHIN_MS = 120_000
const START = { env: ENV, startWithinMs: READY_WITHIN_MS }

export interface LeakOptions {
  /** An empty folder. */
  readonly folder: string
  readonly seed: number
  readonly crashes: number
}

export interface LeakCounts extends LeakWorkCounts {
  crashes: number
  /** Objects that were compared, over all looks. */
  objects: number
}

/** @throws {AssertionError} with the seed and the crash that left something behind. */
export async function leakLoop({ folder, seed, crashes }: LeakOptions): Promise<LeakCounts> {
  const random = splitmix32(seed)
  const root = join(folder, 'root')
  const buckets = { primary: join(root, 'buckets', 'primary'), second: join(folder, 'second') }
  const work = new LeakWork(random)
  const counts = { crashes: 0, objects: 0 }
  let service = await startService(root, START)
  try {
    await service.ready(READY_WITHIN_MS)
    const second = { name: 'second', backend: 'local', root: buckets.second }
    await service.must('POST', '/storage/buckets', second)
    await work.prepare(service)
    for (let crash = 1; crash <= crashes; crash += 1) {
      await workUntilKilled(service, work, random)
      service = await startService(root, START)
      await service.ready(READY_WITHIN_MS)
      counts.crashes += 1
      try {
        await work.settle(service)
        counts.objects += await checkBuckets(service, buckets)
      } catch (cause) {
        throw new Error(`seed ${seed}, crash ${crash}`, { cause })
      }
    }
    assert.equal(await service.stop(), 0)
    await checkFolders(root, Object.values(buckets))
    return { ...work.counts, ...counts }
  } finally {
    await service.kill()
  }
}

async function workUntilKilled(
  service: Service,
  work: LeakWork,
  random: () => number,
): Promise<void> {
  const [from, to] = KILL_AFTER_MS
  const stop = new AbortController()
  const working = work.start(service, stop.signal)
  await sleep(from + random() * (to - from))
  stop.abort()
  await service.kill()
  await working
}

/** @returns how many objects there are. */
async function checkBuckets(
  service: Service,
  buckets: Readonly<Record<string, string>>,
): Promise<number> {
  const { indexes } = (await service.must('GET', '/vectors/indexes')) as {
    readonly indexes: readonly { readonly name: string; readonly bucket: string }[]
  }
  let objects = 0
  for (const [bucket, root] of Object.entries(buckets)) {
    const store = await LocalStore.open(root)
    const names = indexes.filter((index) => index.bucket === bucket).map(({ name }) => name)
    const look = (): Promise<BucketFindings> =>
      inspectBucket({ store, indexes: names, keep: CHECKPOINTS_KEPT })
    const deadline = Date.now() + CLEARED_WITHIN_MS
    let found = await look()
    while (found.leaked.length > 0 && Date.now() < deadline) {
      await sleep(LOOK_EVERY_MS)
      found = await look()
    }
    assert.deepEqual({ bucket, ...found }, { bucket, leaked: [], missing: [] })
    for await (const _object of store.list('')) objects += 1
  }
  return objects
}

/** After a clean end no file lies where cores, builders and half-written objects have theirs. */
async function checkFolders(root: string, buckets: readonly string[]): Promise<void> {
  const folders = [join(root, 'scratch'), ...buckets.map((at) => join(at, '.vectord-tmp'))]
  for (const folder of folders) {
    const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => [])
    const files = entries.filter((entry) => !entry.isDirectory()).map(({ name }) => name)
    assert.deepEqual({ folder, files }, { folder, files: [] })
  }
}
