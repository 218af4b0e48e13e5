/**
 * The kill loop (T1): a real server under mixed writes, SIGKILL at a random moment, restart, and a
 * full comparison with what was acknowledged. Replayable by seed.
 *
 * After each restart: every acknowledged write is present with its version and found by searching
 * for its own vector, every acknowledged delete is absent, nothing was invented or duplicated, the
 * history of configurations is as it was answered, and `verify` is clean. Two fifths of the upserts are
 * streamed. Beside the writers graphs are rebuilt, promoted and rolled back. At the end the bucket keeps
 * nothing that nothing names.
 */

import assert from 'node:assert/strict'
import type { ObjectStore } from '../../src/buckets/object-store.ts'
import { leavesNothing } from './bucket-rest.ts'
import { KillSteward } from './kill-steward.ts'
import { firstFound, KILL_DIMENSION, mulberry32, next, scrollAll, vectorOf } from './kill-points.ts'
import { Ledger, type Version } from './ledger.ts'
import { startService, type Reply, type Service } from './service.ts'

const WRITERS = 4
const IDS_PER_WRITER = 150
/** Points that a walk over a graph with few links may miss. */
const MISSED_SHARE_MAX = 0.01
const INDEX = 'kill'

export interface KillLoopOptions {
  readonly root: string
  readonly seed: number
  readonly kills: number
  readonly env?: Readonly<Record<string, string>>
  /** The bucket of the index; left out, it is the local one. */
  readonly openBucket?: () => Promise<ObjectStore>
  readonly onRound?: (round: number, counts: KillCounts) => void
  /** The longest time until a kill; 2 s where left out. */
  readonly killWithinMs?: number
  /** Runs before the index is made. */
  readonly prepare?: (service: Service) => Promise<void>
  /** One more thing that is done again and again until the kill; never throws. */
  readonly beside?: (service: Service, random: () => number) => Promise<void>
}

export interface KillCounts {
  kills: number
  acknowledged: number
  unanswered: number
  refused: number
  pointsChecked: number
  promotions: number
  rebuilds: number
}

/** Runs the loop. @throws {AssertionError} with the seed and round on the first broken promise. */
export async function killLoop(options: KillLoopOptions): Promise<KillCounts> {
  const random = mulberry32(options.seed)
  const ledger = new Ledger()
  const versions = new Map<string, Version>()
  const counts: KillCounts = {
    ...{ kills: 0, acknowledged: 0, unanswered: 0, refused: 0, pointsChecked: 0 },
    ...{ promotions: 0, rebuilds: 0 },
  }
  const steward = new KillSteward(INDEX)
  // Few points are enough for a graph here.
  const env = { VECTORD_SEARCH_FLAT_THRESHOLD: '50', ...options.env }
  let service = await startService(options.root, { env })
  try {
    await service.ready()
    await options.prepare?.(service)
    const created = await service.request('POST', '/vectors/indexes', {
      name: INDEX,
      dimension: KILL_DIMENSION,
      metric: 'l2',
      stream: { flush_interval_ms: 5 },
    })
    assert.equal(created.status, 201, created.text)
    await fill({ service, ledger, versions, random, counts, steward })
    await steward.prepare(service)
    for (let round = 0; round < options.kills; round += 1) {
      const run = { service, ledger, versions, random, counts, steward }
      await writeUntilKilled(run, options)
      counts.kills += 1
      service = await startService(options.root, { env })
      await service.ready()
      try {
        await steward.check(service)
        counts.pointsChecked += await compare(service, ledger)
      } catch (error) {
        throw new Error(`seed ${options.seed}, kill ${round + 1}`, { cause: error })
      }
      options.onRound?.(round + 1, counts)
    }
    Object.assign(counts, steward.counts)
    await leavesNothing(service, INDEX, {
      point: { id: 'at-rest', vector: vectorOf('at-rest', 1) },
      openBucket: options.openBucket,
    })
    return counts
  } finally {
    await service.kill()
  }
}

interface Run {
  readonly service: Service
  readonly ledger: Ledger
  readonly versions: Map<string, Version>
  readonly random: () => number
  readonly counts: KillCounts
  readonly steward: KillSteward
}

/** Enough points that trials have something to measure. */
async function fill(run: Run): Promise<void> {
  for (let writer = 0; writer < WRITERS; writer += 1) {
    const changes = Array.from({ length: IDS_PER_WRITER }, (_, i) => {
      const id = `w${writer}-${i}`
      return { id, version: next(run.versions, id) }
    })
    const points = changes.map(({ id, version }) => ({
      id,
      vector: vectorOf(id, version),
      metadata: { version, writer },
    }))
    await attempt(run, `/vectors/indexes/${INDEX}/points`, { points }, changes)
  }
}

async function writeUntilKilled(
  run: Run,
  { beside, killWithinMs = 2000 }: KillLoopOptions,
): Promise<void> {
  const killAfterMs = 50 + run.random() * (killWithinMs - 50)
  let killed = false
  const writers = Array.from({ length: WRITERS }, async (_, writer) => {
    const random = mulberry32(Math.floor(run.random() * 2 ** 32))
    while (!killed) await writeOnce(run, { writer, random })
  })
  const random = mulberry32(Math.floor(run.random() * 2 ** 32))
  const stewardship = Array.from({ length: 1 }, async () => {
    while (!killed) await run.steward.act(run.service, random)
  })
  const others = Array.from({ length: beside === undefined ? 0 : 1 }, async () => {
    while (!killed) await beside?.(run.service, random)
  })
  await new Promise((resolve) => setTimeout(resolve, killAfterMs))
  killed = true
  await run.service.kill()
  await Promise.all([...writers, ...stewardship, ...others])
}

/** One upsert, streamed or not, delete or checkpoint; ids belong to one writer each. */
async function writeOnce(
  run: Run,
  { writer, random }: { readonly writer: number; readonly random: () => number },
): Promise<void> {
  const dice = random()
  if (dice < 0.03) {
    await attempt(run, `/vectors/indexes/${INDEX}/checkpoint?wait=true`, {}, [])
    return
  }
  const size = 1 + Math.floor(random() * 20)
  const chosen = new Set<string>()
  for (let i = 0; i < size; i += 1) {
    chosen.add(`w${writer}-${Math.floor(random() * IDS_PER_WRITER)}`)
  }
  const changes = [...chosen].map((id) => ({ id, version: next(run.versions, id) }))
  if (dice < 0.25) {
    const deletes = changes.map(({ id }) => ({ id, version: 0 }))
    const ids = deletes.map(({ id }) => id)
    await attempt(run, `/vectors/indexes/${INDEX}/points/delete`, { ids }, deletes)
    return
  }
  const points = changes.map(({ id, version }) => ({
    id,
    vector: vectorOf(id, version),
    metadata: { version, writer },
  }))
  const route = dice < 0.6 ? 'points' : 'stream'
  await attempt(run, `/vectors/indexes/${INDEX}/${route}`, { points }, changes)
}

async function attempt(
  run: Run,
  path: string,
  body: object,
  changes: readonly { readonly id: string; readonly version: Version }[],
): Promise<void> {
  for (const { id, version } of changes) run.ledger.sent(id, version)
  try {
    const reply = await run.service.request('POST', path, body)
    if (reply.status === 200 || reply.status === 202) {
      for (const { id, version } of changes) run.ledger.acknowledged(id, version)
      run.counts.acknowledged += changes.length
    } else if (reply.status < 500 && !isPartlyTaken(reply)) {
      for (const { id, version } of changes) run.ledger.refused(id, version)
      run.counts.refused += changes.length
    }
  } catch {
    // The server was killed before it answered: the ledger keeps the write as open.
    run.counts.unanswered += changes.length
  }
}

/** Of what a stream took before it was full every point may be there. */
function isPartlyTaken({ body }: Reply): boolean {
  const { error } = body as { error: { details: { accepted?: number } } }
  return (error.details.accepted ?? 0) > 0
}

async function compare(service: Service, ledger: Ledger): Promise<number> {
  const stored = await scrollAll(service, INDEX)
  const known = new Set(ledger.ids)
  for (const id of stored.keys()) assert.ok(known.has(id), `phantom ${id}`)
  for (const id of ledger.ids) {
    const version = stored.get(id) ?? 0
    const allowed = ledger.allowed(id)
    assert.ok(allowed.has(version), `${id} is at ${version}, allowed ${[...allowed].join(' ')}`)
    ledger.settle(id, version)
  }
  const alive = [...stored].filter(([id]) => known.has(id))
  let missed = 0
  for (let from = 0; from < alive.length; from += 100) {
    const part = alive.slice(from, from + 100)
    // What is promoted may have a low ef: that a point can be found is the promise here.
    const ef = IDS_PER_WRITER * WRITERS
    const exactly = await firstFound(service, INDEX, part, { exact: true })
    assert.deepEqual(
      exactly,
      part.map(([id]) => id),
    )
    const walked = await firstFound(service, INDEX, part, { ef })
    missed += part.filter(([id], i) => walked[i] !== id).length
  }
  // A point that entered a graph since it was saved may be one that no walk reaches.
  assert.ok(missed <= alive.length * MISSED_SHARE_MAX, `${missed} of ${alive.length} are missed`)
  await verify(service)
  return alive.length
}

/** What no walk reaches is found by the first look and searched exactly from then on. */
async function verify(service: Service): Promise<void> {
  const look = async (): Promise<readonly { readonly what: string }[]> => {
    const path = `/vectors/indexes/${INDEX}/verify?wait=true`
    const { faults } = (await service.must('POST', path)) as { faults: { what: string }[] }
    return faults
  }
  const first = await look()
  assert.ok(
    first.every(({ what }) => what === 'findability'),
    JSON.stringify(first),
  )
  if (first.length > 0) assert.deepEqual(await look(), [])
}
