/**
 * Writers at full rate across swaps of generations (T7): every acknowledged write is found right
 * after its answer and after the swap, and what was deleted stays so.
 */

import assert from 'node:assert/strict'
import type { Service } from './service.ts'
import { seededRandom } from './vectors.ts'

const DIMENSION = 16
const BATCH = 25
const INDEX = '/vectors/indexes/swapped'

export interface SwapOptions {
  readonly seed: number
  readonly swaps: number
  /** Writes (points) of each swap, at least; it takes as long as the rebuild does. */
  readonly writes: number
  /** Points that are there before the first swap; there are never more than twice as many. */
  readonly base: number
  /** Whether points are streamed, and found as soon as they are logged. */
  readonly streamed?: boolean
}

export interface SwapCounts {
  swaps: number
  upserts: number
  deletes: number
  /** Searches for a write right after its answer. */
  checks: number
  /** Those of them that the graph led past the point, as a search of a graph may. */
  unreached: number
}

/** Of searches for a point by its own vector, in a graph of few links: most that may lead past it. */
const UNREACHED_SHARE_MAX = 1e-3

interface Window {
  readonly service: Service
  readonly random: () => number
  /** What must be found. */
  readonly live: Map<string, readonly number[]>
  /** What must not. */
  readonly dead: Set<string>
  readonly counts: SwapCounts
  /** Then points are written again: a swap must not take longer the more there were before it. */
  readonly idsMax: number
  readonly streamed: boolean
  next: number
}

/** @throws {AssertionError} where a promise is broken. */
export async function swapWindows(service: Service, options: SwapOptions): Promise<SwapCounts> {
  const window: Window = {
    ...{ service, random: seededRandom(options.seed), live: new Map(), dead: new Set() },
    ...{ idsMax: 2 * options.base, next: 0 },
    counts: { swaps: 0, upserts: 0, deletes: 0, checks: 0, unreached: 0 },
    streamed: options.streamed ?? false,
  }
  await service.must('POST', '/vectors/indexes', {
    ...{ name: 'swapped', dimension: DIMENSION, metric: 'l2' },
    hnsw: { m: 8, ef_construction: 60 },
    ...(window.streamed && { stream: {} }),
  })
  while (window.live.size < options.base) await upsert(window, 500)
  for (let swap = 0; swap < options.swaps; swap += 1) {
    const before = await publishedGeneration(service)
    const wait = { done: false }
    const rebuilt = service.must('POST', `${INDEX}/rebuild?wait=true`).finally(() => {
      wait.done = true
    })
    const until = window.counts.upserts + options.writes
    while (!wait.done || window.counts.upserts < until) await writeAndCheck(window)
    const { generation } = (await rebuilt) as { generation: number }
    assert.equal(generation, before + 1)
    assert.equal(await publishedGeneration(service), generation)
    window.counts.swaps += 1
    await checkAll(window)
  }
  await checkClean(window)
  const { unreached, checks } = window.counts
  const unreachedMax = Math.max(1, checks * UNREACHED_SHARE_MAX)
  assert.ok(unreached <= unreachedMax, `${unreached} of ${checks} not reached`)
  return window.counts
}

async function writeAndCheck(window: Window): Promise<void> {
  const written = await upsert(window, BATCH)
  const id = written[Math.floor(window.random() * written.length)] ?? ''
  await checkFound(window, id)
  if (window.random() < 0.5) await deleteSome(window)
}

/** New points, and now and then older ones again with another vector. */
async function upsert(window: Window, count: number): Promise<string[]> {
  const points = new Map<string, number[]>()
  for (let i = 0; i < count; i += 1) {
    const isFull = window.next >= window.idsMax
    const again = isFull || (window.next > 0 && window.random() < 0.3)
    const number = again ? Math.floor(window.random() * window.next) : window.next++
    points.set(`p${number}`, vector(window.random))
  }
  const ids = [...points.keys()]
  await writeUntilTaken(window, window.streamed ? '/stream' : '/points', {
    ids,
    vectors: [...points.values()],
  })
  for (const [id, value] of points) {
    window.live.set(id, value)
    window.dead.delete(id)
  }
  window.counts.upserts += ids.length
  return ids
}

async function deleteSome(window: Window): Promise<void> {
  const ids = Array.from({ length: 5 }, () => `p${Math.floor(window.random() * window.next)}`)
  await writeUntilTaken(window, '/points/delete', { ids })
  for (const id of ids) {
    window.live.delete(id)
    window.dead.add(id)
  }
  window.counts.deletes += ids.length
}

async function writeUntilTaken(window: Window, path: string, body: object): Promise<void> {
  for (;;) {
    const reply = await window.service.request('POST', `${INDEX}${path}`, body)
    if (reply.status === 200 || reply.status === 202) return
    assert.equal(reply.status, 429, reply.text)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

/** The point is there, as it was written, and a search for it by its vector all but always ends there. */
async function checkFound(window: Window, id: string): Promise<void> {
  window.counts.checks += 1
  const body = { vector: window.live.get(id), k: 1, ef: 200, include: [] }
  const nearest = await nearestTo(window, body)
  if (nearest?.id === id && nearest.distance === 0) return
  window.counts.unreached += 1
  const exact = await nearestTo(window, { ...body, exact: true })
  assert.deepEqual([exact?.id, exact?.distance], [id, 0])
}

async function nearestTo(
  { service }: Window,
  body: object,
): Promise<{ readonly id: string; readonly distance: number } | undefined> {
  const found = (await service.must('POST', `${INDEX}/search`, body)) as {
    results: { id: string; distance: number }[]
  }
  return found.results[0]
}

/** Nothing is missing, doubled or back from the dead. */
async function checkAll(window: Window): Promise<void> {
  const seen = new Set<string>()
  let cursor = ''
  do {
    const path = `${INDEX}/points?limit=1000&include=${cursor === '' ? '' : `&cursor=${cursor}`}`
    const page = (await window.service.must('GET', path)) as {
      points: { id: string }[]
      next_cursor: string | null
    }
    for (const { id } of page.points) {
      assert.ok(!seen.has(id), `${id} is there twice`)
      assert.ok(!window.dead.has(id), `${id} came back`)
      seen.add(id)
    }
    cursor = page.next_cursor ?? ''
  } while (cursor !== '')
  assert.equal(seen.size, window.live.size)
  for (const id of window.live.keys()) assert.ok(seen.has(id), `${id} is lost`)
  const ids = [...window.live.keys()]
  for (let i = 0; i < 50; i += 1) {
    await checkFound(window, ids[Math.floor(window.random() * ids.length)] ?? '')
  }
}

async function checkClean({ service }: Window): Promise<void> {
  const verified = await service.must('POST', `${INDEX}/verify?wait=true`)
  assert.deepEqual((verified as { faults: unknown[] }).faults, [])
}

async function publishedGeneration(service: Service): Promise<number> {
  const { published } = (await service.must('GET', `${INDEX}/generations`)) as {
    published: number
  }
  return published
}

function vector(random: () => number): number[] {
  return Array.from({ length: DIMENSION }, () => Math.fround(random() * 2 - 1))
}
