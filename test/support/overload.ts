/**
 * More writes than the cores can take (T13), for as long as is asked for.
 *
 * How: writers send as fast as they are answered and ignore every Retry-After, so that the offered
 * load is far above what is applied; one reader searches beside them. When the index is full its
 * writers overwrite their own points from the start, so that a long flood does not grow without end.
 * Memory is read from /proc for the whole process tree, all the while. Latency is reported, not
 * judged: machines are shared. In the end the service is killed and every point that was
 * acknowledged must be there.
 */

import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { startService, type Reply, type Service } from './service.ts'
import { seededRandom } from './vectors.ts'

const DIMENSION = 256
const BATCH = 200
const WRITERS = 16
/** Then a writer starts again with its first ids: 640,000 points in all. */
const BATCHES_PER_WRITER = 200
const POOL = 5000
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
  readonly acknowledgedPoints: number
  readonly livePoints: number
  readonly refused: number
  readonly idleP99Ms: number
  readonly busyP99Ms: number
  readonly rssMaxMib: number
}

interface Flood {
  readonly service: Service
  /** Made before, so that the writers are limited by the service and not by themselves. */
  readonly pool: readonly string[]
  readonly live: Set<string>
  acknowledged: number
  refused: number
}

/** @throws {AssertionError} where a promise is broken. */
export async function overload(options: OverloadOptions): Promise<OverloadCounts> {
  const env = { VECTORD_DATAPLANE_DELTA_POINTS_MAX: '2000' }
  const service = await startService(options.root, { env })
  try {
    await service.ready()
    const wanted = { name: 'flood', dimension: DIMENSION }
    const created = await service.request('POST', '/vectors/indexes', wanted)
    assert.equal(created.status, 201, created.text)
    const random = seededRandom(options.seed)
    const pool = Array.from({ length: POOL }, () => base64Vector(random))
    const flood: Flood = { service, pool, live: new Set(), acknowledged: 0, refused: 0 }
    const idle = await searchUntil(flood, Date.now() + 1000)
    const endMs = Date.now() + options.durationMs
    const [busy, rssMax] = await Promise.all([
      searchUntil(flood, endMs),
      watchMemory(flood, endMs),
      ...Array.from({ length: WRITERS }, (_, writer) => writeUntil(flood, writer, endMs)),
    ])
    assert.ok(flood.refused > 0, 'the load was above the capacity')
    await service.kill()
    await checkKept(options.root, flood.live.size)
    return {
      acknowledgedPoints: flood.acknowledged,
      livePoints: flood.live.size,
      refused: flood.refused,
      idleP99Ms: percentile(idle, 0.99),
      busyP99Ms: percentile(busy, 0.99),
      rssMaxMib: Math.round(rssMax / 2 ** 20),
    }
  } finally {
    await service.kill()
  }
}

async function writeUntil(flood: Flood, writer: number, endMs: number): Promise<void> {
  for (let n = 0; Date.now() < endMs; n += 1) {
    const at = n % BATCHES_PER_WRITER
    const ids = Array.from({ length: BATCH }, (_, i) => `${writer}-${at}-${i}`)
    const vectors = ids.map((_, i) => vectorFor(flood, writer * 331 + n * 97 + i))
    const reply = await flood.service.request('POST', `${URL}/points`, { ids, vectors })
    if (reply.status === 200) {
      flood.acknowledged += ids.length
      for (const id of ids) flood.live.add(id)
    } else {
      flood.refused += 1
      checkRefusal(reply)
    }
  }
}

function checkRefusal(reply: Reply): void {
  assert.ok(reply.status === 429 || reply.status === 503, `${reply.status} ${reply.text}`)
  assert.match(reply.headers.get('retry-after') ?? '', /^[1-9]\d*$/, reply.text)
}

/** @returns the most bytes that were seen, each time held against what was accepted by then. */
async function watchMemory({ service, live }: Flood, endMs: number): Promise<number> {
  let most = 0
  while (Date.now() < endMs) {
    await sleep(RSS_EVERY_MS)
    const rss = await treeRss(service.pid)
    const raw = live.size * DIMENSION * 4
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

/** Milliseconds of each search, one after the other. */
async function searchUntil(flood: Flood, endMs: number): Promise<number[]> {
  const times: number[] = []
  for (let n = 0; Date.now() < endMs; n += 1) {
    const started = performance.now()
    const query = { vector: vectorFor(flood, n), k: 10 }
    const reply = await flood.service.request('POST', `${URL}/search`, query)
    times.push(performance.now() - started)
    if (reply.status !== 200) checkRefusal(reply)
  }
  return times
}

function vectorFor({ pool }: Flood, at: number): string {
  return pool[at % pool.length] ?? ''
}

function base64Vector(random: () => number): string {
  const vector = Float32Array.from({ length: DIMENSION }, () => 2 * random() - 1)
  return Buffer.from(vector.buffer).toString('base64')
}

function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN
}

/** Resident bytes of a process and all its descendants. */
async function treeRss(root: number): Promise<number> {
  const parents = new Map<number, number>()
  const rss = new Map<number, number>()
  for (const entry of await readdir('/proc')) {
    if (!/^\d+$/.test(entry)) continue
    const status = await readFile(`/proc/${entry}/status`, 'utf8').catch(() => '')
    parents.set(Number(entry), Number(/^PPid:\s+(\d+)/m.exec(status)?.[1] ?? 0))
    rss.set(Number(entry), 1024 * Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1] ?? 0))
  }
  const isOurs = (pid: number): boolean => {
    for (let at = pid; at > 1; at = parents.get(at) ?? 0) if (at === root) return true
    return false
  }
  return [...rss].reduce((sum, [pid, bytes]) => sum + (isOurs(pid) ? bytes : 0), 0)
}
