/**
 * Ten times the writes that the cores can take (T13), for as long as is asked for.
 *
 *     fill: capacity is what is acknowledged ─▶ idle: searches alone ─▶ flood: searches beside
 *     writes at ten times the capacity ─▶ SIGKILL ─▶ every acknowledged point is there
 *
 * Writers have a process of their own and keep to their rate, whatever they are answered: they
 * ignore every Retry-After. When the index is full they overwrite their points from the start, so
 * that a long flood does not grow without end. Memory is read from /proc for the whole process tree,
 * all the while. Latency is reported, not judged: machines are shared, and `waitedShare` says how
 * much of the flood the processes of the service were ready to run and had no CPU.
 */

import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { Flood } from './flood.ts'
import { processTree, treeRss } from './process-tree.ts'
import { startService, type Reply, type Service } from './service.ts'
import { seededRandom } from './vectors.ts'

const DIMENSION = 256
const BATCH = 200
const WRITERS = 16
/** Then ids come from the start again: 640,000 points in all. */
const BATCHES = 3200
const OVERLOAD_FACTOR = 10
const FILL_MS = 5000
const WARM_UP_MS = 1000
const IDLE_MS = 3000
const QUERIES = 500
/** Between searches: what they do to each other is not what is measured. */
const SEARCH_PAUSE_MS = 2
const RSS_EVERY_MS = 2000
const URL = '/vectors/indexes/flood'
/** Above the raw bytes that were accepted: graphs, copies in flight, and the heaps of Node. */
const RSS_FACTOR_MAX = 3
const RSS_SLACK_BYTES = 700 * 1024 * 1024

export interface OverloadOptions {
  readonly root: string
  readonly seed: number
  readonly durationMs: number
}

export interface OverloadCounts {
  readonly capacityPointsPerS: number
  readonly offeredPointsPerS: number
  readonly acknowledgedPointsPerS: number
  readonly livePoints: number
  readonly refused: number
  readonly searches: number
  readonly idleP50Ms: number
  readonly idleP99Ms: number
  readonly busyP50Ms: number
  readonly busyP99Ms: number
  /** `busyP99Ms / idleP99Ms`. */
  readonly p99Ratio: number
  readonly waitedShare: number
  readonly rssMaxMib: number
}

/** @throws {AssertionError} where a promise is broken. */
export async function overload(options: OverloadOptions): Promise<OverloadCounts> {
  const env = { VECTORD_DATAPLANE_DELTA_POINTS_MAX: '2000' }
  const service = await startService(options.root, { env })
  const flood = new Flood({
    ...{ url: `${service.url}${URL}/points`, dimension: DIMENSION, seed: options.seed },
    ...{ batch: BATCH, batches: BATCHES, writersMax: WRITERS },
  })
  try {
    await service.ready()
    const wanted = { name: 'flood', dimension: DIMENSION }
    const created = await service.request('POST', '/vectors/indexes', wanted)
    assert.equal(created.status, 201, created.text)
    const counts = await measure(service, flood, options)
    await service.kill()
    await checkKept(options.root, flood.livePoints)
    return counts
  } finally {
    await Promise.all([service.kill(), flood.close()])
  }
}

async function measure(
  service: Service,
  flood: Flood,
  { seed, durationMs }: OverloadOptions,
): Promise<OverloadCounts> {
  const search = searcher(service, seed)
  const filled = await flood.run({ batchesPerS: null, durationMs: FILL_MS })
  const capacity = (1000 * filled.acknowledged) / FILL_MS
  await service.eventually(URL, ({ text }) => text.includes('"delta_points":0,'), 120_000)
  await search(Date.now() + WARM_UP_MS)
  const idle = await search(Date.now() + IDLE_MS)
  const startMs = Date.now()
  const before = await waitedMs(service.pid)
  const [busy, rssMax, flooded] = await Promise.all([
    search(startMs + durationMs),
    watchMemory(service, flood, startMs + durationMs),
    flood.run({ batchesPerS: OVERLOAD_FACTOR * capacity, durationMs }),
  ])
  assert.ok(flooded.refused > 0, 'the load was above the capacity')
  assert.ok(filled.acknowledged + flooded.acknowledged > 0, 'something was written')
  const waited = (await waitedMs(service.pid)) - before
  const perS = (batches: number): number => Math.round((1000 * BATCH * batches) / durationMs)
  return {
    capacityPointsPerS: Math.round(BATCH * capacity),
    offeredPointsPerS: perS(flooded.due),
    acknowledgedPointsPerS: perS(flooded.acknowledged),
    livePoints: flood.livePoints,
    refused: flooded.refused,
    searches: busy.length,
    idleP50Ms: percentile(idle, 0.5),
    idleP99Ms: percentile(idle, 0.99),
    busyP50Ms: percentile(busy, 0.5),
    busyP99Ms: percentile(busy, 0.99),
    p99Ratio: round(percentile(busy, 0.99) / percentile(idle, 0.99)),
    waitedShare: round(waited / (Date.now() - startMs)),
    rssMaxMib: Math.round(rssMax / 2 ** 20),
  }
}

/** @returns the most bytes that were seen, each time held against what was accepted by then. */
async function watchMemory(service: Service, flood: Flood, endMs: number): Promise<number> {
  let most = 0
  while (Date.now() < endMs) {
    await sleep(RSS_EVERY_MS)
    const rss = await treeRss(service.pid)
    const raw = flood.livePoints * DIMENSION * 4
    assert.ok(rss < RSS_SLACK_BYTES + RSS_FACTOR_MAX * raw, `rss ${rss} at ${raw} bytes of vectors`)
    most = Math.max(most, rss)
  }
  return most
}

async function checkKept(root: string, points: number): Promise<void> {
  const service = await startService(root, { startWithinMs: 120_000 })
  try {
    await service.ready(600_000)
    // Statistics come a moment after readiness.
    const isAll = ({ text }: Reply): boolean => text.includes(`"live_points":${points},`)
    await service.eventually(URL, isAll, 120_000)
  } finally {
    await service.kill()
  }
}

/** @returns a function that searches until a time and tells how many milliseconds each took. */
function searcher(service: Service, seed: number): (endMs: number) => Promise<number[]> {
  const random = seededRandom(seed + 1)
  const vectorOf = (): string => {
    const vector = Float32Array.from({ length: DIMENSION }, () => 2 * random() - 1)
    return Buffer.from(vector.buffer).toString('base64')
  }
  const queries = Array.from({ length: QUERIES }, () => ({ vector: vectorOf(), k: 10 }))
  return async (endMs) => {
    const times: number[] = []
    for (let n = 0; Date.now() < endMs; n += 1) {
      const started = performance.now()
      const reply = await service.request('POST', `${URL}/search`, queries[n % QUERIES])
      times.push(performance.now() - started)
      assert.equal(reply.status, 200, reply.text)
      await sleep(SEARCH_PAUSE_MS)
    }
    return times
  }
}

function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return round(sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN)
}

function round(value: number): number {
  return Math.round(100 * value) / 100
}

/** Milliseconds that the main threads of these processes were ready to run and waited for a CPU. */
async function waitedMs(root: number): Promise<number> {
  let ms = 0
  for (const pid of await processTree(root)) {
    const text = await readFile(`/proc/${pid}/schedstat`, 'utf8').catch(() => '')
    ms += Number(text.split(' ')[1] ?? 0) / 1e6
  }
  return ms
}
