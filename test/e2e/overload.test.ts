/**
 * T13 at its everyday size: more writes than the cores can take, for half a minute.
 *
 * How: writers send as fast as they are answered and ignore every Retry-After, so that the offered
 * load is far above what is applied; one reader searches beside them. Memory is read from /proc for
 * the whole process tree. Latency is printed, not judged: this machine is shared.
 */

import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import { it } from 'node:test'
import { startService, temporaryFolder, type Reply, type Service } from '../support/service.ts'

const DIMENSION = 256
const BATCH = 200
const WRITERS = 16
const DURATION_MS = 30_000
/** Above the raw bytes that were accepted: graphs, copies in flight, and the heaps of Node. */
const RSS_FACTOR_MAX = 3
const RSS_SLACK_BYTES = 700 * 1024 * 1024

it('overload is refused with Retry-After, memory stays bounded, and every 2xx is kept', async (t) => {
  const service = await startService(await temporaryFolder(t), {
    env: { VECTORD_DATAPLANE_DELTA_POINTS_MAX: '2000' },
  })
  t.after(() => service.kill())
  await service.ready()
  const created = await service.request('POST', '/vectors/indexes', {
    name: 'flood',
    dimension: DIMENSION,
  })
  assert.equal(created.status, 201, created.text)
  const idleP99 = percentile(await searchFor(service, 1000), 0.99)

  // Made before, so that the writers are limited by the service and not by themselves.
  const pool = Array.from({ length: 5000 }, (_, i) => base64Vector(i))
  const accepted: string[] = []
  const refusals: Reply[] = []
  const end = Date.now() + DURATION_MS
  const writers = Array.from({ length: WRITERS }, async (_, writer) => {
    for (let n = 0; Date.now() < end; n += 1) {
      const ids = Array.from({ length: BATCH }, (_, i) => `${writer}-${n}-${i}`)
      const vectors = ids.map((_, i) => pool[(writer * 331 + n * 97 + i) % pool.length] ?? '')
      const reply = await service.request('POST', '/vectors/indexes/flood/points', { ids, vectors })
      if (reply.status === 200) accepted.push(...ids)
      else refusals.push(reply)
    }
  })
  const busyP99 = percentile(await searchFor(service, DURATION_MS - 1000), 0.99)
  await Promise.all(writers)
  const rss = await treeRss(service.pid)

  t.diagnostic(`accepted ${accepted.length} points, refused ${refusals.length} requests`)
  t.diagnostic(`search p99 idle ${idleP99.toFixed(1)} ms, under overload ${busyP99.toFixed(1)} ms`)
  t.diagnostic(`rss ${Math.round(rss / 2 ** 20)} MiB`)
  assert.ok(refusals.length > 0, 'the load was above the capacity')
  for (const reply of refusals) {
    assert.ok(reply.status === 429 || reply.status === 503, `${reply.status} ${reply.text}`)
    assert.match(reply.headers.get('retry-after') ?? '', /^[1-9]\d*$/, reply.text)
  }
  const raw = accepted.length * DIMENSION * 4
  assert.ok(rss < RSS_SLACK_BYTES + RSS_FACTOR_MAX * raw, `rss ${rss} at ${raw} bytes of vectors`)

  await service.kill()
  const again = await startService(service.root)
  t.after(() => again.kill())
  await again.ready(120_000)
  // Statistics come a moment after readiness.
  const isAll = ({ text }: Reply): boolean => text.includes(`"live_points":${accepted.length},`)
  await again.eventually('/vectors/indexes/flood', isAll)
})

/** Milliseconds of each search, one after the other, for `durationMs`. */
async function searchFor(service: Service, durationMs: number): Promise<number[]> {
  const times: number[] = []
  const end = Date.now() + durationMs
  for (let n = 0; Date.now() < end; n += 1) {
    const started = performance.now()
    const reply = await service.request('POST', '/vectors/indexes/flood/search', {
      vector: base64Vector(n),
      k: 10,
    })
    times.push(performance.now() - started)
    assert.ok([200, 429, 503].includes(reply.status), reply.text)
  }
  return times
}

function base64Vector(seed: number): string {
  const vector = new Float32Array(DIMENSION)
  let state = seed + 1
  for (let i = 0; i < DIMENSION; i += 1) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    vector[i] = state / 2 ** 31 - 1
  }
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
