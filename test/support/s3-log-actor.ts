/**
 * A log in a bucket under faults: appends, reads, truncations, and new writers that take it over.
 *
 * No acknowledged record may be missing or changed; what failed is there whole or not at all.
 */

import assert from 'node:assert/strict'
import type { ObjectStore } from '../../src/buckets/object-store.ts'
import type { ErrorCode } from '../../src/lib/errors.ts'
import type { LogStore } from '../../src/log/log-store.ts'
import { openObjectLog } from '../../src/log/object-log.ts'
import { type Actor, assertHonest, outcomeOf, pick } from './s3-chaos.ts'

const BATCH_MAX = 6
const OPEN_TRIES = 50

export class LogActor {
  readonly #actor: Actor
  readonly #acknowledged = new Map<number, string>()
  /** Payloads of appends that failed. */
  readonly #unclear = new Set<string>()
  #log: LogStore | null = null
  #epoch = 0
  #count = 0
  /** Records up to here were given up. */
  #base = 0

  constructor(actor: Actor) {
    this.#actor = actor
  }

  async operate(): Promise<void> {
    this.#actor.begin()
    const log = this.#log ?? (await this.#takeOver())
    const operations = [
      () => this.#append(log),
      () => this.#append(log),
      () => this.#append(log),
      () => this.#read(log),
      () => this.#truncate(log),
      () => this.#end(log),
    ]
    await pick(operations, this.#actor.random)()
  }

  /** A last writer that meets no faults reads it all. */
  async check(): Promise<void> {
    await this.#log?.close()
    this.#actor.begin()
    const log = await this.#open(this.#actor.direct)
    this.#compare(await recordsOf(log, this.#base))
    await log.close()
  }

  async #append(log: LogStore): Promise<void> {
    const batch = 1 + Math.floor(this.#actor.random() * BATCH_MAX)
    const payloads = Array.from({ length: batch }, () => this.#payload())
    const appended = payloads.map((payload) => outcomeOf(log.append(Buffer.from(payload))))
    for (const [i, outcome] of (await Promise.all(appended)).entries()) {
      const payload = payloads[i] ?? ''
      assertHonest(this.#actor, outcome, afterFaults(this.#actor, ['log_fenced']))
      if (outcome.done) {
        assert.ok(!this.#acknowledged.has(outcome.value), `lsn ${outcome.value} twice`)
        this.#acknowledged.set(outcome.value, payload)
        continue
      }
      this.#unclear.add(payload)
      if (outcome.code === 'log_fenced') this.#log = null
    }
    if (this.#log === null) await log.close()
  }

  async #read(log: LogStore): Promise<void> {
    const outcome = await outcomeOf(recordsOf(log, this.#base))
    assertHonest(this.#actor, outcome, afterFaults(this.#actor, ['log_corrupt']))
    if (outcome.done) this.#compare(outcome.value)
  }

  async #truncate(log: LogStore): Promise<void> {
    const known = [...this.#acknowledged.keys()].filter((lsn) => lsn > this.#base)
    if (known.length < 10) return
    const lsn = pick(known.slice(0, -5), this.#actor.random)
    this.#base = lsn
    for (const old of known) if (old <= lsn) this.#acknowledged.delete(old)
    assertHonest(
      this.#actor,
      await outcomeOf(log.truncate(lsn)),
      afterFaults(this.#actor, ['log_corrupt']),
    )
  }

  async #end(log: LogStore): Promise<void> {
    this.#log = null
    await log.close()
  }

  async #takeOver(): Promise<LogStore> {
    for (let tries = 0; tries < OPEN_TRIES; tries += 1) {
      this.#actor.begin()
      const outcome = await outcomeOf(this.#open(this.#actor.faulty))
      assertHonest(this.#actor, outcome, afterFaults(this.#actor, ['log_corrupt', 'log_fenced']))
      if (!outcome.done) continue
      this.#log = outcome.value
      return outcome.value
    }
    assert.fail('the log could not be opened')
  }

  #open(store: ObjectStore): Promise<LogStore> {
    this.#epoch += 1
    return openObjectLog({
      ...{ store, prefix: this.#actor.prefix, incarnation: 'one', owner: 'test' },
      epoch: this.#epoch,
      groupBytesMax: 200,
      retryWaitsMs: [5, 20, 80],
    })
  }

  #compare(records: ReadonlyMap<number, string>): void {
    const { prefix } = this.#actor
    for (const [lsn, payload] of this.#acknowledged) {
      if (lsn > this.#base) assert.equal(records.get(lsn), payload, `${prefix} lsn ${lsn}`)
    }
    for (const [lsn, payload] of records) {
      const isKnown = this.#acknowledged.has(lsn) || this.#unclear.has(payload)
      assert.ok(isKnown, `${prefix} lsn ${lsn} holds ${payload}, which nobody appended`)
    }
    assert.equal(new Set(records.values()).size, records.size, 'no record is there twice')
  }

  #payload(): string {
    this.#count += 1
    return `${this.#count} ${'x'.repeat(Math.floor(this.#actor.random() * 100))}`
  }
}

/** These too, where a fault struck: nobody else writes, and nothing is damaged. */
function afterFaults({ struck }: Actor, codes: readonly ErrorCode[]): readonly ErrorCode[] {
  return struck.size > 0 ? codes : []
}

async function recordsOf(log: LogStore, after: number): Promise<Map<number, string>> {
  const records = new Map<number, string>()
  let last = after
  for await (const { lsn, payload } of log.read(after)) {
    assert.ok(lsn > last, 'lsn grow')
    last = lsn
    records.set(lsn, Buffer.from(payload).toString())
  }
  return records
}
