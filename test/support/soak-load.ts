/**
 * The mixed load of the soak: a fixed set of ids is written over and over, so that what is live stays
 * the same while everything that was live before has to go.
 */

import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { splitmix32 } from '../../src/lib/splitmix32.ts'
import type { Reply, Service } from './service.ts'

interface SoakIndex {
  readonly name: string
  readonly dimension: number
  readonly metric: 'l2' | 'cosine' | 'ip'
  readonly shards: number
  readonly ids: number
}

export const SOAK_INDEXES: readonly SoakIndex[] = [
  { name: 'soak-l2', dimension: 64, metric: 'l2', shards: 1, ids: 3000 },
  { name: 'soak-cosine', dimension: 96, metric: 'cosine', shards: 2, ids: 2000 },
  { name: 'soak-ip', dimension: 32, metric: 'ip', shards: 1, ids: 3000 },
]

/** Comes and goes. */
const GUEST: SoakIndex = { name: 'guest', dimension: 16, metric: 'l2', shards: 1, ids: 300 }
const BATCH = 50
const FILL_BATCH = 1000
/** Between the requests of one worker: a soak is no flood. */
const PAUSE_MS = 5
const UPKEEP_PAUSE_MS = 200
const DELETED_PER_WRITE = 5
const CONFIGS = [
  { m: 8, ef_construction: 40 },
  { m: 12, ef_construction: 60 },
]
/**
 * Refusals that a client has to expect here: of a full delta, of an index that is not there or not
 * there yet, of a rebuild that a later promotion took the place of, of a step without history.
 */
const EXPECTED = [404, 409, 429, 503]

type Random = () => number

export class SoakLoad {
  readonly statuses: Record<string, number> = {}
  readonly #service: Service
  readonly #random: Random
  readonly #trials = new Map<string, string[]>()

  constructor(service: Service, random: Random) {
    this.#service = service
    this.#random = random
  }

  /** The indexes, full, each with trials that can be promoted. */
  async prepare(): Promise<void> {
    for (const index of SOAK_INDEXES) {
      await this.#create(index)
      for (let from = 0; from < index.ids; from += FILL_BATCH) {
        const ids = Array.from(
          { length: Math.min(FILL_BATCH, index.ids - from) },
          (_, i) => from + i,
        )
        await this.#service.must('POST', `${pathOf(index)}/points`, {
          points: ids.map((id) => row(index, id, this.#random)),
        })
      }
      const evals = `/vectors/hnsw/evals/${index.name}?wait=true`
      const queries = Array.from({ length: 20 }, () => vector(index, this.#random))
      await this.#service.must('PUT', evals, { index: index.name, k: 5, queries })
      for (const config of CONFIGS) await this.#trial(index, config)
    }
  }

  /** Works until the signal comes. @throws {AssertionError} for an answer that is a surprise. */
  async run(signal: AbortSignal): Promise<void> {
    const workers = [
      { act: this.#write, pauseMs: PAUSE_MS },
      { act: this.#write, pauseMs: PAUSE_MS },
      { act: this.#read, pauseMs: PAUSE_MS },
      { act: this.#read, pauseMs: PAUSE_MS },
      { act: this.#keep, pauseMs: UPKEEP_PAUSE_MS },
      { act: this.#visit, pauseMs: UPKEEP_PAUSE_MS },
    ]
    await Promise.all(
      workers.map(async ({ act, pauseMs }) => {
        const random = splitmix32(Math.floor(this.#random() * 2 ** 32))
        while (!signal.aborted) {
          await act.call(this, random)
          await sleep(pauseMs)
        }
      }),
    )
  }

  async #write(random: Random): Promise<void> {
    const index = anyOf(SOAK_INDEXES, random)
    const ids = new Set(Array.from({ length: BATCH }, () => Math.floor(random() * index.ids)))
    const points = [...ids].map((id) => row(index, id, random))
    await this.#send('POST', `${pathOf(index)}/points`, { points })
    const gone = points.slice(0, DELETED_PER_WRITE).map(({ id }) => id)
    if (random() < 0.3) await this.#send('POST', `${pathOf(index)}/points/delete`, { ids: gone })
  }

  async #read(random: Random): Promise<void> {
    const index = anyOf(SOAK_INDEXES, random)
    const dice = random()
    const path = pathOf(index)
    const query = { vector: vector(index, random), k: 10 }
    if (dice < 0.5) await this.#send('POST', `${path}/search`, query)
    else if (dice < 0.7) {
      const filter = { n: { $lt: Math.floor(random() * 100) } }
      await this.#send('POST', `${path}/search`, { ...query, filter })
    } else if (dice < 0.9) {
      await this.#send('GET', `${path}/points/p${Math.floor(random() * index.ids)}`)
    } else await this.#send('GET', `${path}/points?limit=100`)
  }

  async #keep(random: Random): Promise<void> {
    const index = anyOf(SOAK_INDEXES, random)
    const dice = random()
    if (dice < 0.4) await this.#send('POST', `${pathOf(index)}/checkpoint?wait=true`)
    else if (dice < 0.6) await this.#send('POST', `${pathOf(index)}/compact?wait=true`)
    else if (dice < 0.7) await this.#send('POST', `${pathOf(index)}/verify?wait=true`)
    else if (dice < 0.8) await this.#trial(index, anyOf(CONFIGS, random))
    else if (dice < 0.9) await this.#promote(index, random)
    else await this.#send('POST', `/vectors/hnsw/rollback/${index.name}`)
  }

  /** An index is made, written to and dropped. */
  async #visit(random: Random): Promise<void> {
    await this.#create(GUEST)
    const points = Array.from({ length: GUEST.ids }, (_, id) => row(GUEST, id, random))
    await this.#send('POST', `${pathOf(GUEST)}/points`, { points })
    await this.#send('POST', `${pathOf(GUEST)}/checkpoint?wait=true`)
    await this.#send('DELETE', pathOf(GUEST))
  }

  async #trial(index: SoakIndex, config: object): Promise<void> {
    const body = { index: index.name, eval: index.name, config }
    const reply = await this.#send('POST', '/vectors/hnsw/trial?wait=true', body)
    if (reply.status !== 200) return
    const { trial_id: id } = reply.body as { readonly trial_id: string }
    this.#trials.set(index.name, [...(this.#trials.get(index.name) ?? []), id].slice(-5))
  }

  async #promote(index: SoakIndex, random: Random): Promise<void> {
    const trials = this.#trials.get(index.name) ?? []
    if (trials.length === 0) return
    await this.#send('POST', `/vectors/hnsw/promote/${index.name}/${anyOf(trials, random)}`)
  }

  async #create({ name, dimension, metric, shards }: SoakIndex): Promise<void> {
    const hnsw = { m: 8, ef_construction: 40 }
    await this.#send('POST', '/vectors/indexes', { name, dimension, metric, shards, hnsw })
  }

  async #send(method: string, path: string, body?: unknown): Promise<Reply> {
    const reply = await this.#service.request(method, path, body)
    const { status, text } = reply
    this.statuses[status] = (this.statuses[status] ?? 0) + 1
    const isExpected = status < 300 || EXPECTED.includes(status)
    assert.ok(isExpected, `${method} ${path}: ${status} ${text}`)
    return reply
  }
}

function pathOf({ name }: SoakIndex): string {
  return `/vectors/indexes/${name}`
}

interface SoakRow {
  readonly id: string
  readonly vector: readonly number[]
  readonly metadata: object
}

function row(index: SoakIndex, id: number, random: Random): SoakRow {
  return {
    id: `p${id}`,
    vector: vector(index, random),
    metadata: { n: Math.floor(random() * 1000), group: `g${id % 10}` },
  }
}

function vector({ dimension }: SoakIndex, random: Random): number[] {
  return Array.from({ length: dimension }, () => 2 * random() - 1)
}

function anyOf<T>(items: readonly T[], random: Random): T {
  const item = items[Math.floor(random() * items.length)]
  assert.ok(item !== undefined)
  return item
}
