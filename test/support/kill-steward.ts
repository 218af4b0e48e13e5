/**
 * Changes of the configuration beside writers that are killed: promotions, rollbacks, rebuilds.
 *
 * One change at a time. After a restart the history is at the last acknowledged revision, or one
 * further where a change was under way when the server was killed; what was acknowledged is there
 * as it was answered.
 */

import assert from 'node:assert/strict'
import type { Service } from './service.ts'

const CONFIGS = [
  { m: 6, ef_construction: 40 },
  { m: 12, ef_construction: 60 },
]

interface Promoted {
  readonly revision: number
  readonly current: { readonly trial_id: string } | null
  readonly history: readonly unknown[]
}

export interface StewardCounts {
  promotions: number
  rebuilds: number
}

export class KillSteward {
  readonly counts: StewardCounts = { promotions: 0, rebuilds: 0 }
  readonly #index: string
  #trials: readonly string[] = []
  #acknowledged: Promoted = { revision: 0, current: null, history: [] }
  /** A change that was sent and not answered. */
  #isOpen = false

  constructor(index: string) {
    this.#index = index
  }

  /** Makes the trials that are promoted later; the index has points. */
  async prepare(service: Service): Promise<void> {
    const evals = '/vectors/hnsw/evals/kills'
    await service.must('PUT', evals, { index: this.#index, k: 5 })
    await service.must('POST', `${evals}/autogen?wait=true`, { queries: 60, source: 'index' })
    const trials: string[] = []
    for (const config of CONFIGS) {
      const body = { index: this.#index, eval: 'kills', config }
      const trial = await service.must('POST', '/vectors/hnsw/trial?wait=true', body)
      trials.push((trial as { trial_id: string }).trial_id)
    }
    this.#trials = trials
  }

  /** One change or rebuild. Never throws: the server may be killed meanwhile. */
  async act(service: Service, random: () => number): Promise<void> {
    const dice = random()
    if (dice < 0.25) {
      const name = random() < 0.5 ? 'rebuild' : 'compact'
      await send(service, `/vectors/indexes/${this.#index}/${name}?wait=true`)
      this.counts.rebuilds += 1
      return
    }
    const trial = this.#trials[Math.floor(random() * this.#trials.length)] ?? ''
    const rebuild = random() < 0.8 ? 'now' : 'lazy'
    const verb =
      dice < 0.7
        ? `promote/${this.#index}/${trial}`
        : `${dice < 0.85 ? 'rollback' : 'rollforward'}/${this.#index}`
    this.#isOpen = true
    const reply = await send(service, `/vectors/hnsw/${verb}?rebuild=${rebuild}`)
    if (reply === null) return
    this.#isOpen = false
    if (reply.status !== 200) return
    this.#acknowledged = reply.body as Promoted
    this.counts.promotions += 1
  }

  /** After a restart. @throws {AssertionError} where a change was lost, invented or altered. */
  async check(service: Service): Promise<void> {
    const path = `/vectors/hnsw/promoted/${this.#index}`
    const now = (await service.must('GET', path)) as Promoted
    const { revision } = this.#acknowledged
    if (now.revision === revision) {
      assert.deepEqual(
        [now.current, now.history],
        [this.#acknowledged.current, this.#acknowledged.history],
      )
    } else {
      assert.ok(this.#isOpen, `revision ${now.revision}, and nothing was under way`)
      assert.equal(now.revision, revision + 1)
    }
    const audit = (await service.must('GET', `${path}/audit?limit=1000`)) as {
      entries: { revision: number; error: unknown }[]
    }
    assert.deepEqual(
      audit.entries.filter(({ error }) => error !== null),
      [],
    )
    assert.equal(audit.entries.length, now.revision, 'every change is in the audit')
    this.#acknowledged = now
    this.#isOpen = false
  }
}

interface Answer {
  readonly status: number
  readonly body: unknown
}

/** Null where no answer came. */
async function send(service: Service, path: string): Promise<Answer | null> {
  try {
    return await service.request('POST', path)
  } catch {
    return null
  }
}
