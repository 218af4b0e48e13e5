/**
 * Cores that are aborted while they serve (T12): a real service with two cores and an index on each.
 *
 * Under searches and writes on both, SIGABRT goes to the process of one core, sometimes again and
 * again until the watchdog lets it rest. Every request is answered; on the index of that core with
 * a result or a retryable refusal, on the other one with a result. A core that rests says so and
 * comes back. Afterwards every acknowledged write is there.
 */

import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { Ledger } from './ledger.ts'
import { startService, type Reply, type Service } from './service.ts'
import { seededRandom } from './vectors.ts'

const INDEXES = ['left', 'right'] as const
const DIMENSION = 8
const POINTS = 300
const BATCH = 10
const SEARCHERS = 2
const DEATHS_TO_DEGRADE = 3
const COOLDOWN_MS = 4000
/** Between a refusal and the next request of a client. */
const REFUSED_WAIT_MS = 10
/** A shard whose core died twice while it loaded waits before it is tried again. */
const WAIT_MS = 60_000
/** What an index may answer while its core is away or comes back. */
const AWAY = [
  ...['core_unavailable', 'core_degraded', 'core_suspended'],
  ...['index_loading', 'index_unavailable', 'delta_full'],
]

const ENVIRONMENT = {
  VECTORD_DATAPLANE_CORES: '2',
  VECTORD_DATAPLANE_DEGRADE_WINDOW_MS: '20000',
  VECTORD_DATAPLANE_DEGRADE_COOLDOWN_MS: String(COOLDOWN_MS),
}

export interface AbortCounts {
  aborts: number
  degraded: number
  searches: number
  writes: number
  refused: number
  pointsChecked: number
}

export interface AbortOptions {
  readonly root: string
  readonly seed: number
  readonly aborts: number
  /** Counted on. */
  readonly counts: AbortCounts
}

interface CoreReport {
  readonly core: number
  readonly pid: number | null
  readonly state: string
  readonly shards: number
}

/** An index, the core that it is on, and what was written to it. */
interface Side {
  readonly name: string
  readonly core: number
  readonly ledger: Ledger
  version: number
  isAway: boolean
}

interface World {
  readonly service: Service
  readonly random: () => number
  readonly counts: AbortCounts
}

/** @throws {AssertionError} where a promise is broken. */
export async function abortCores(options: AbortOptions): Promise<void> {
  const { counts } = options
  const service = await startService(options.root, { env: ENVIRONMENT })
  try {
    await service.ready()
    const world: World = { service, random: seededRandom(options.seed), counts }
    const sides = await makeIndexes(service)
    let left = options.aborts
    while (left > 0) left -= await round(world, sides, left)
  } catch (error) {
    throw new Error(service.log.slice(-30).join('\n'), { cause: error })
  } finally {
    await service.kill()
  }
}

async function makeIndexes(service: Service): Promise<readonly Side[]> {
  const sides: Side[] = []
  for (const name of INDEXES) {
    const before = await coresOf(service)
    const wanted = { name, dimension: DIMENSION, metric: 'l2' }
    const reply = await service.request('POST', '/vectors/indexes', wanted)
    assert.equal(reply.status, 201, reply.text)
    const after = await coresOf(service)
    const grown = after.find(({ shards }, i) => shards > (before[i]?.shards ?? 0))
    assert.ok(grown !== undefined, 'the index is on a core')
    sides.push({ name, core: grown.core, ledger: new Ledger(), version: 0, isAway: false })
  }
  assert.notEqual(sides[0]?.core, sides[1]?.core, 'one index on each core')
  return sides
}

/** Traffic, a burst of aborts or the one that is left, recovery, comparison. @returns the aborts. */
async function round(world: World, sides: readonly Side[], left: number): Promise<number> {
  const { random, counts, service } = world
  const isBurst = left >= DEATHS_TO_DEGRADE
  const aborts = isBurst ? DEATHS_TO_DEGRADE : 1
  const victim = sides[random() < 0.5 ? 0 : 1]
  assert.ok(victim !== undefined)
  const stop = new AbortController()
  const traffic = Promise.all(sides.map((side) => load(world, side, stop.signal)))
  // It is thrown where it is awaited.
  traffic.catch(() => undefined)
  try {
    await sleep(20 + random() * 400)
    victim.isAway = true
    const waits = random() < 0.7
    for (let n = 0; n < aborts; n += 1) {
      // Else it dies again while it loads.
      if (n > 0 && waits) await serving(service, victim)
      await abort(service, victim.core)
      counts.aborts += 1
    }
    await checkRest(world, victim)
    await serving(service, victim)
    victim.isAway = false
    await sleep(random() * 100)
  } finally {
    stop.abort()
    await traffic
  }
  for (const side of sides) counts.pointsChecked += await compare(service, side)
  return aborts
}

/** Ends the process of a core, and waits until it has another one. */
async function abort(service: Service, core: number): Promise<void> {
  const pid = (await coresOf(service))[core]?.pid ?? null
  assert.ok(pid !== null && pid > 1, 'the core has a process')
  process.kill(pid, 'SIGABRT')
  await service.eventually(
    '/cores',
    (reply) => {
      const now = coresIn(reply)[core]
      const isUp = now?.state === 'running' || now?.state === 'degraded'
      return isUp && now.pid !== null && now.pid !== pid
    },
    WAIT_MS,
  )
}

/** A core that died three times within the window refuses reads, and says for how long. */
async function checkRest({ service, counts }: World, victim: Side): Promise<void> {
  // On a slow machine the rest may be over, or a death have fallen out of the window.
  while ((await coresOf(service))[victim.core]?.state === 'degraded') {
    const reply = await search(service, victim)
    if (codeOf(reply) === 'core_degraded') {
      assert.equal(reply.status, 503)
      assert.match(reply.headers.get('retry-after') ?? '', /^[1-9]\d*$/)
      counts.degraded += 1
      return
    }
    // The index is still being loaded.
    await sleep(REFUSED_WAIT_MS)
  }
}

async function serving(service: Service, side: Side): Promise<void> {
  const deadline = Date.now() + WAIT_MS
  for (;;) {
    const reply = await search(service, side)
    const state = (await coresOf(service))[side.core]?.state
    if (reply.status === 200 && state === 'running') return
    assert.ok(Date.now() < deadline, `${side.name} does not come back: ${state} ${reply.text}`)
    await sleep(25)
  }
}

/** Searches and writes on one index until told to stop. */
async function load(world: World, side: Side, stop: AbortSignal): Promise<void> {
  const searchers = Array.from({ length: SEARCHERS }, async () => {
    while (!stop.aborted) {
      const wasAway = side.isAway
      await checkAnswer(await search(world.service, side), world, { side, wasAway })
      world.counts.searches += 1
    }
  })
  const writer = (async () => {
    while (!stop.aborted) await writeOnce(world, side)
  })()
  await Promise.all([...searchers, writer])
}

async function writeOnce(world: World, side: Side): Promise<void> {
  const { service, random, counts } = world
  side.version += 1
  const isDelete = random() < 0.2
  const version = isDelete ? 0 : side.version
  const ids = [...new Set(Array.from({ length: BATCH }, () => String((random() * POINTS) | 0)))]
  for (const id of ids) side.ledger.sent(id, version)
  const wasAway = side.isAway
  const points = ids.map((id) => ({ id, vector: vectorOf(id, version), metadata: { version } }))
  const path = `/vectors/indexes/${side.name}/points`
  const reply = await (isDelete
    ? service.request('POST', `${path}/delete`, { ids })
    : service.request('POST', path, { points }))
  counts.writes += 1
  if (reply.status === 200 || reply.status === 202) {
    for (const id of ids) side.ledger.acknowledged(id, version)
  } else if (reply.status < 500) {
    for (const id of ids) side.ledger.refused(id, version)
  }
  await checkAnswer(reply, world, { side, wasAway })
}

async function checkAnswer(
  reply: Reply,
  { counts }: World,
  { side, wasAway }: { readonly side: Side; readonly wasAway: boolean },
): Promise<void> {
  if (reply.status === 200 || reply.status === 202) return
  const told = `${side.name}: ${reply.status} ${reply.text}`
  assert.ok(wasAway || side.isAway, `its core was not touched: ${told}`)
  assert.ok(AWAY.includes(codeOf(reply)), told)
  assert.match(reply.headers.get('retry-after') ?? '', /^[1-9]\d*$/, told)
  counts.refused += 1
  await sleep(REFUSED_WAIT_MS)
}

function search(service: Service, side: Side): Promise<Reply> {
  // Each search is another one: what was in a core when it died is looked at askance.
  const vector = vectorOf('query', Math.random() * 2 ** 31)
  return service.request('POST', `/vectors/indexes/${side.name}/search`, { vector, k: 5 })
}

async function compare(service: Service, { name, ledger }: Side): Promise<number> {
  const url = `/vectors/indexes/${name}`
  const reply = await service.request('GET', `${url}/points?limit=${POINTS * 2}&include=metadata`)
  assert.equal(reply.status, 200, reply.text)
  const { points } = reply.body as { points: { id: string; metadata: { version: number } }[] }
  const stored = new Map(points.map(({ id, metadata }) => [id, metadata.version]))
  assert.equal(stored.size, points.length, 'no point is there twice')
  const known = new Set(ledger.ids)
  for (const id of stored.keys()) assert.ok(known.has(id), `${name}: phantom ${id}`)
  for (const id of known) {
    const version = stored.get(id) ?? 0
    const allowed = [...ledger.allowed(id)]
    assert.ok(allowed.includes(version), `${name}: ${id} at ${version}, allowed ${allowed.join()}`)
    ledger.settle(id, version)
  }
  const verified = await service.request('POST', `${url}/verify?wait=true`)
  assert.match(verified.text, /"clean":true/, verified.text)
  return known.size
}

async function coresOf(service: Service): Promise<readonly CoreReport[]> {
  return coresIn(await service.request('GET', '/cores'))
}

function coresIn(reply: Reply): readonly CoreReport[] {
  return (reply.body as { cores: CoreReport[] }).cores
}

function codeOf(reply: Reply): string {
  return (reply.body as { error?: { code?: string } } | undefined)?.error?.code ?? ''
}

function vectorOf(id: string, version: number): number[] {
  const random = seededRandom(Math.floor(version) * 1009 + (Number(id) || 0))
  return Array.from({ length: DIMENSION }, () => Math.fround(random() * 2 - 1))
}
