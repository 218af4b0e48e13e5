/**
 * The kill loop of Lance indexes: a real server under mixed writes and long work, SIGKILL to the whole of
 * it or to its Lance core alone, and a full comparison with what was acknowledged. Replayable by seed.
 *
 * Writers append, upsert and delete. Beside them indices are built, files merged, settings solved, and
 * the index is copied to the other backend and back. Afterwards every acknowledged write is there with
 * its version, none twice, none invented, each found by its own vector; `verify` is clean; a copy is
 * there whole or not at all. At the end the index is dropped, and its bucket is empty.
 */

import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { firstFound, KILL_DIMENSION, mulberry32, next, scrollAll, vectorOf } from './kill-points.ts'
import { Ledger, type Version } from './ledger.ts'
import { processTree } from './process-tree.ts'
import { startService, type Reply, type Service } from './service.ts'

const INDEX = 'table'
const PATH = `/vectors/indexes/${INDEX}`
const COPY = 'copy'
const WRITERS = 3
const IDS_PER_WRITER = 200
const WITHIN_MS = 60_000
/** Of the points: what an index of the vectors may not find with the settings that it has. */
const MISSED_SHARE_MAX = 0.5

export interface LanceKillOptions {
  readonly root: string
  readonly seed: number
  readonly kills: number
  /** The longest time until a kill; 2 s where left out. */
  readonly killWithinMs?: number
}

export interface LanceKillCounts {
  kills: number
  coreKills: number
  acknowledged: number
  unanswered: number
  refused: number
  pointsChecked: number
  works: number
  copies: number
}

export function noLanceKills(): LanceKillCounts {
  return {
    ...{ kills: 0, coreKills: 0, acknowledged: 0, unanswered: 0, refused: 0 },
    ...{ pointsChecked: 0, works: 0, copies: 0 },
  }
}

interface Change {
  readonly id: string
  readonly version: Version
}

/** Runs the loop. @throws {AssertionError} with the seed and round on the first broken promise. */
export async function lanceKillLoop(options: LanceKillOptions): Promise<LanceKillCounts> {
  const run = new LanceKillRun(options)
  try {
    await run.start()
    for (let round = 1; round <= options.kills; round += 1) {
      try {
        await run.round()
      } catch (error) {
        const lines = run.log.slice(-20).join('\n')
        throw new Error(`seed ${options.seed}, kill ${round}\n${lines}`, { cause: error })
      }
    }
    await run.leaveNothing()
    return run.counts
  } finally {
    await run.close()
  }
}

class LanceKillRun {
  readonly counts = noLanceKills()
  readonly #options: LanceKillOptions
  readonly #random: () => number
  readonly #ledger = new Ledger()
  readonly #versions = new Map<string, Version>()
  #service: Service | null = null
  #appended = 0
  #isKilled = false

  constructor(options: LanceKillOptions) {
    this.#options = options
    this.#random = mulberry32(options.seed)
  }

  get log(): readonly string[] {
    return this.#service?.log ?? []
  }

  async start(): Promise<void> {
    const service = await this.#serve()
    const index = { name: INDEX, dimension: KILL_DIMENSION, metric: 'l2', backend: 'lance' }
    await service.must('POST', '/vectors/indexes', index)
    for (let writer = 0; writer < WRITERS; writer += 1) {
      const ids = Array.from({ length: IDS_PER_WRITER }, (_, i) => `w${writer}-${i}`)
      await this.#upsert(ids)
    }
    assert.ok(this.counts.acknowledged === WRITERS * IDS_PER_WRITER, 'the table is filled')
  }

  async round(): Promise<void> {
    const { killWithinMs = 2000 } = this.#options
    const service = this.#running()
    const killAfterMs = 50 + this.#random() * (killWithinMs - 50)
    const isOfCore = this.#random() < 0.4
    this.#isKilled = false
    const at = Array.from({ length: WRITERS + 1 }, () => Math.floor(this.#random() * 2 ** 32))
    const workers = at.map(async (seed, writer) => {
      const random = mulberry32(seed)
      while (!this.#isKilled) {
        await (writer < WRITERS ? this.#write(writer, random) : this.#work(random))
      }
    })
    await new Promise((resolve) => setTimeout(resolve, killAfterMs))
    if (isOfCore) await this.#killCore(service)
    this.#isKilled = true
    if (!isOfCore) await service.kill()
    await Promise.all(workers)
    this.counts.kills += 1
    await this.#compare(isOfCore ? service : await this.#serve())
  }

  /** Drops what there is. The bucket keeps no object of it. */
  async leaveNothing(): Promise<void> {
    const service = this.#running()
    await service.eventually('/operations?limit=100', hasNoneUnderWay, WITHIN_MS)
    for (const name of [INDEX, COPY]) await service.request('DELETE', `/vectors/indexes/${name}`)
    await service.eventually('/maintenance/drops', hasNothingToDrop, WITHIN_MS)
    const folder = join(this.#options.root, 'buckets', 'primary', '_lance')
    const left = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => [])
    const files = left.filter((entry) => entry.isFile())
    assert.deepEqual(
      files.map(({ parentPath, name }) => join(parentPath, name)),
      [],
    )
  }

  async close(): Promise<void> {
    await this.#service?.kill()
  }

  #running(): Service {
    assert.ok(this.#service !== null)
    return this.#service
  }

  async #serve(): Promise<Service> {
    this.#service = await startService(this.#options.root, {})
    await this.#service.ready(WITHIN_MS)
    return this.#service
  }

  async #killCore(service: Service): Promise<void> {
    for (const pid of await processTree(service.pid)) {
      const line = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
      if (!line.includes('lance-main')) continue
      process.kill(pid, 'SIGKILL')
      this.counts.coreKills += 1
    }
  }

  /** One upsert, append or delete; ids belong to one writer each. */
  async #write(writer: number, random: () => number): Promise<void> {
    const dice = random()
    if (dice < 0.3) {
      const ids = Array.from({ length: 1 + Math.floor(random() * 30) }, () => {
        this.#appended += 1
        return `a${this.#appended}`
      })
      const changes = ids.map((id) => ({ id, version: next(this.#versions, id) }))
      const points = changes.map(pointOf)
      await this.#send(`/vectors/lance/append/${INDEX}`, { points }, changes)
      return
    }
    const size = 1 + Math.floor(random() * 20)
    const drawn = Array.from({ length: size }, () => Math.floor(random() * IDS_PER_WRITER))
    const ids = [...new Set(drawn)].map((n) => `w${writer}-${n}`)
    if (dice < 0.5) {
      const changes = ids.map((id) => ({ id, version: 0 }))
      await this.#send(`${PATH}/points/delete`, { ids }, changes)
      return
    }
    await this.#upsert(ids)
  }

  async #upsert(ids: readonly string[]): Promise<void> {
    const changes = ids.map((id) => ({ id, version: next(this.#versions, id) }))
    await this.#send(`${PATH}/points`, { points: changes.map(pointOf) }, changes)
  }

  async #send(path: string, body: object, changes: readonly Change[]): Promise<void> {
    for (const { id, version } of changes) this.#ledger.sent(id, version)
    const reply = await this.#running()
      .request('POST', path, body)
      .catch(() => null)
    if (reply === null || reply.status >= 500) {
      // Killed before it answered, or its core was: the ledger keeps the write as open.
      this.counts.unanswered += changes.length
      return
    }
    const isTaken = reply.status === 200
    for (const { id, version } of changes) {
      if (isTaken) this.#ledger.acknowledged(id, version)
      else this.#ledger.refused(id, version)
    }
    this.counts[isTaken ? 'acknowledged' : 'refused'] += changes.length
  }

  /** Long work that changes no point. Whatever it answers, it must not fail for a reason of its own. */
  async #work(random: () => number): Promise<void> {
    const kind = random() < 0.5 ? 'ivf_pq' : 'ivf_hnsw_sq'
    const works: readonly [string, object | undefined][] = [
      [`optimize/${INDEX}`, undefined],
      [`scalar-index/${INDEX}`, undefined],
      [`index/${INDEX}`, { kind, queries: 40, k: 5, min_recall: 0.8 }],
      [`recall/${INDEX}`, { queries: 40, k: 5, solve: false }],
      [`migrate/${INDEX}`, { to: 'hnsw', name: COPY }],
    ]
    const [path, body] = works[Math.floor(random() * works.length)] ?? ['', undefined]
    const service = this.#running()
    const reply = await service
      .request('POST', `/vectors/lance/${path}?wait=true`, body)
      .catch(() => null)
    if (reply === null) return
    const isExpected = reply.status < 300 || [409, 503].includes(reply.status)
    assert.ok(isExpected, `${path}: ${reply.status} ${reply.text}`)
    this.counts.works += 1
    if (reply.status >= 300 || !path.startsWith('migrate')) return
    this.counts.copies += 1
    await service.request('DELETE', `/vectors/indexes/${COPY}`).catch(() => undefined)
  }

  async #compare(service: Service): Promise<void> {
    // Its core may be on its way back.
    await service.eventually(`${PATH}/points?limit=1`, ({ status }) => status === 200, WITHIN_MS)
    await service.eventually('/operations?limit=100', hasNoneUnderWay, WITHIN_MS)
    const stored = await scrollAll(service, INDEX)
    const known = new Set(this.#ledger.ids)
    for (const id of stored.keys()) assert.ok(known.has(id), `phantom ${id}`)
    for (const id of known) {
      const version = stored.get(id) ?? 0
      const allowed = this.#ledger.allowed(id)
      assert.ok(allowed.has(version), `${id} is at ${version}, allowed ${[...allowed].join(' ')}`)
      this.#ledger.settle(id, version)
    }
    await this.#searchEach(service, [...stored])
    const { faults } = (await service.must('POST', `${PATH}/verify?wait=true`)) as {
      readonly faults: readonly unknown[]
    }
    assert.deepEqual(faults, [])
    await this.#checkCopy(service)
    this.counts.pointsChecked += stored.size
  }

  async #searchEach(
    service: Service,
    points: readonly (readonly [id: string, version: Version])[],
  ): Promise<void> {
    let missed = 0
    for (let from = 0; from < points.length; from += 100) {
      const part = points.slice(from, from + 100)
      const ids = part.map(([id]) => id)
      assert.deepEqual(await firstFound(service, INDEX, part, { exact: true }), ids)
      const found = await firstFound(service, INDEX, part, {})
      missed += ids.filter((id, i) => found[i] !== id).length
    }
    assert.ok(
      missed <= points.length * MISSED_SHARE_MAX,
      `${missed} of ${points.length} are missed`,
    )
  }

  /** A copy that was under way when everything was killed is whole, or its name is free. */
  async #checkCopy(service: Service): Promise<void> {
    const path = `/vectors/indexes/${COPY}`
    const reply = await service.request('GET', path)
    if (reply.status === 404) return
    assert.equal(reply.status, 200, reply.text)
    await service.eventually(path, isServed, WITHIN_MS)
    const copied = await scrollAll(service, COPY)
    for (const [id, version] of copied) {
      const last = this.#versions.get(id) ?? 0
      assert.ok(version >= 1 && version <= last, `${id} of the copy is at ${version} of ${last}`)
    }
    assert.ok(copied.size > IDS_PER_WRITER, `the copy has ${copied.size} points`)
    await service.must('DELETE', path)
  }
}

function pointOf({ id, version }: Change): object {
  return { id, vector: vectorOf(id, version), metadata: { version } }
}

function isServed({ body }: Reply): boolean {
  return (body as { readonly state?: string }).state === 'ready'
}

function hasNoneUnderWay({ body }: Reply): boolean {
  const { operations } = body as { readonly operations: readonly { readonly state: string }[] }
  return operations.every(({ state }) => /^(succeeded|failed|cancelled)$/.test(state))
}

function hasNothingToDrop({ body }: Reply): boolean {
  const { pending } = body as { readonly pending: Readonly<Record<string, number>> }
  return Object.values(pending).every((things) => things === 0)
}
