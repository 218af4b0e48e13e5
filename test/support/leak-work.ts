/**
 * What the leak loop has a server do: everything that leaves objects in a bucket, several at once.
 *
 * Answers are not judged here but for what breaks every promise (500): the server is killed at any
 * moment, and indexes come and go under whoever writes to them.
 */

import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Reply, Service } from './service.ts'
import { splitmix32 } from '../../src/lib/splitmix32.ts'

export const LEAK_INDEXES = ['leak-0', 'leak-1', 'leak-2'] as const

/** The line of the log that says why may come after the answer. */
const LOGGED_AFTER_MS = 200
const DIMENSION = 8
const IDS = 400
const ROWS_MAX = 60
const QUERIES = 12
const CONFIGS = [
  { m: 4, ef_construction: 20 },
  { m: 6, ef_construction: 30 },
  { m: 8, ef_construction: 40 },
  { m: 12, ef_construction: 60 },
]

export interface LeakWorkCounts {
  answered: number
  refused: number
  unanswered: number
  /** What was done and answered with a 2xx, by its name. */
  readonly done: Record<string, number>
}

export class LeakWork {
  readonly counts: LeakWorkCounts = { answered: 0, refused: 0, unanswered: 0, done: {} }
  readonly #random: () => number
  #trials: string[] = []

  constructor(random: () => number) {
    this.#random = random
  }

  /** The indexes, with points. */
  async prepare(service: Service): Promise<void> {
    for (const index of LEAK_INDEXES) await this.#make(service, index, this.#random)
  }

  /** Works until the server is gone or the signal comes. */
  async start(service: Service, signal: AbortSignal): Promise<void> {
    const workers = [
      this.#writer,
      this.#writer,
      this.#keeper,
      this.#keeper,
      this.#tuner,
      this.#turner,
    ]
    await Promise.all(
      workers.map(async (act) => {
        const random = splitmix32(Math.floor(this.#random() * 2 ** 32))
        while (!signal.aborted) await act.call(this, service, random)
      }),
    )
  }

  /** Waits until no operation runs, and has each index write and checkpoint once more. */
  async settle(service: Service): Promise<void> {
    await service.eventually(
      '/operations?limit=1000',
      ({ text }) => !/"state":"(queued|running)"/.test(text),
      120_000,
    )
    const { indexes } = (await service.must('GET', '/vectors/indexes')) as {
      readonly indexes: readonly { readonly name: string }[]
    }
    for (const { name } of indexes) {
      await service.must('POST', `${pathOf(name)}/points`, { points: rows(this.#random, 1) })
      await service.must('POST', `${pathOf(name)}/checkpoint?wait=true`)
      const path = `${pathOf(name)}/verify?wait=true`
      const { faults } = (await service.must('POST', path)) as {
        readonly faults: readonly { readonly what: string }[]
      }
      // Points that no walk reaches are searched exactly from this look on.
      assert.deepEqual(
        faults.filter(({ what }) => what !== 'findability'),
        [],
      )
    }
  }

  async #writer(service: Service, random: () => number): Promise<void> {
    const path = `${pathOf(anyIndex(random))}/points`
    const dice = random()
    if (dice < 0.7) {
      const points = rows(random, 1 + Math.floor(random() * ROWS_MAX))
      await this.#send(service, 'upsert', { method: 'POST', path, body: { points } })
    } else if (dice < 0.9) {
      const ids = rows(random, 10).map(({ id }) => id)
      await this.#send(service, 'delete', { method: 'POST', path: `${path}/delete`, body: { ids } })
    } else {
      const body = { filter: { n: { $lt: Math.floor(random() * 30) } } }
      await this.#send(service, 'delete_filter', { method: 'POST', path: `${path}/delete`, body })
    }
  }

  async #keeper(service: Service, random: () => number): Promise<void> {
    const dice = random()
    const verb = dice < 0.5 ? 'checkpoint' : dice < 0.75 ? 'rebuild' : 'compact'
    const path = `${pathOf(anyIndex(random))}/${verb}?wait=true`
    await this.#send(service, verb, { method: 'POST', path })
  }

  async #tuner(service: Service, random: () => number): Promise<void> {
    const index = anyIndex(random)
    const dice = random()
    if (dice < 0.5) await this.#trial(service, index, random)
    else if (dice < 0.8 && this.#trials.length > 0) {
      const trial = this.#trials[Math.floor(random() * this.#trials.length)] ?? ''
      const path = `/vectors/hnsw/promote/${index}/${trial}`
      await this.#send(service, 'promote', { method: 'POST', path })
    } else {
      const verb = dice < 0.9 ? 'rollback' : 'rollforward'
      await this.#send(service, verb, { method: 'POST', path: `/vectors/hnsw/${verb}/${index}` })
    }
  }

  async #trial(service: Service, index: string, random: () => number): Promise<void> {
    const name = `e-${index}`
    const queries = rows(random, QUERIES).map(({ vector }) => vector)
    const set = { method: 'PUT', path: `/vectors/hnsw/evals/${name}?wait=true` }
    await this.#send(service, 'eval', { ...set, body: { index, k: 5, queries } })
    const config = CONFIGS[Math.floor(random() * CONFIGS.length)]
    const wanted = { method: 'POST', path: '/vectors/hnsw/trial?wait=true' }
    const reply = await this.#send(service, 'trial', {
      ...{ ...wanted, body: { index, eval: name, config } },
    })
    if (reply?.status !== 200) return
    this.#trials = [...this.#trials, (reply.body as { trial_id: string }).trial_id].slice(-20)
  }

  /** Drops an index now and then, at once or with an answer, and makes it anew. */
  async #turner(service: Service, random: () => number): Promise<void> {
    const index = anyIndex(random)
    if (random() < 0.1) {
      await this.#send(service, 'drop', { method: 'DELETE', path: pathOf(index) })
      await this.#make(service, index, random)
    } else {
      await this.#send(service, 'read', { method: 'GET', path: pathOf(index) })
      if (random() < 0.3) await this.#make(service, index, random)
    }
  }

  async #make(service: Service, name: string, random: () => number): Promise<void> {
    const body = {
      ...{ name, dimension: DIMENSION, metric: 'l2', shards: 1 + Math.floor(random() * 2) },
      ...{ bucket: random() < 0.5 ? 'primary' : 'second', hnsw: { m: 4, ef_construction: 30 } },
    }
    const reply = await this.#send(service, 'create', {
      ...{ method: 'POST', path: '/vectors/indexes', body },
    })
    if (reply?.status !== 201) return
    const points = rows(random, 200)
    const path = `${pathOf(name)}/points`
    await this.#send(service, 'upsert', { method: 'POST', path, body: { points } })
  }

  /** Null where no answer came. @throws {AssertionError} where the service says that it is broken. */
  async #send(
    service: Service,
    name: string,
    { method, path, body }: { readonly method: string; readonly path: string; body?: unknown },
  ): Promise<Reply | null> {
    let reply: Reply
    try {
      reply = await service.request(method, path, body)
    } catch {
      this.counts.unanswered += 1
      return null
    }
    if (reply.status === 500) {
      await sleep(LOGGED_AFTER_MS)
      const log = service.log.join('\n')
      assert.fail(`${method} ${path}: ${reply.text}\n${log}`)
    }
    if (reply.status >= 300) this.counts.refused += 1
    else {
      this.counts.answered += 1
      this.counts.done[name] = (this.counts.done[name] ?? 0) + 1
    }
    return reply
  }
}

function pathOf(index: string): string {
  return `/vectors/indexes/${index}`
}

function anyIndex(random: () => number): string {
  return LEAK_INDEXES[Math.floor(random() * LEAK_INDEXES.length)] ?? LEAK_INDEXES[0]
}

interface Row {
  readonly id: string
  readonly vector: readonly number[]
  readonly metadata: { readonly n: number }
}

/** Points with different ids, at most `count`. */
function rows(random: () => number, count: number): Row[] {
  const ids = new Set(Array.from({ length: count }, () => `p${Math.floor(random() * IDS)}`))
  return [...ids].map((id) => ({
    id,
    vector: Array.from({ length: DIMENSION }, () => random()),
    metadata: { n: Math.floor(random() * 1000) },
  }))
}
