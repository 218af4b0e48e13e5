/**
 * A stream over an index that does what the test says, under a clock that the test moves.
 */

import type { TestContext } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { STREAM_DEFAULTS, type StreamSettings } from '../../src/domain/stream-settings.ts'
import type { UpsertBatch, WriteBatch } from '../../src/domain/write-batch.ts'
import { Stream, type StreamTarget } from '../../src/ingest/stream.ts'
import type { Bury, StreamOutcome } from '../../src/ingest/stream-buffer.ts'
import { StreamRecord } from '../../src/ingest/stream-record.ts'

const DEADLINE_MS = 30_000

/** An index that keeps what is written to it, and fails when it is told to. */
export class FakeTarget implements StreamTarget {
  /** Ids of each write that was logged. */
  readonly writes: string[][] = []
  readonly attempts: string[][] = []
  /** What a write with these ids is refused with; null lets it through. */
  refuse: (ids: readonly string[]) => Error | null = () => null
  /** What writes wait for. */
  gate: Promise<unknown> = Promise.resolve()
  appliesAtOnce = true
  appliedLsn = 0
  #lsn = 0

  async write(batch: WriteBatch): Promise<{ readonly lsn: number }> {
    const ids = [...batch.ids]
    this.attempts.push(ids)
    await this.gate
    const error = this.refuse(ids)
    if (error !== null) throw error
    this.#lsn += 1
    this.writes.push(ids)
    if (this.appliesAtOnce) this.appliedLsn = this.#lsn
    return { lsn: this.#lsn }
  }

  /** Every point that is logged, in order. */
  get logged(): string[] {
    return this.writes.flat()
  }

  applyAll(): void {
    this.appliedLsn = this.#lsn
  }
}

export interface StreamWorld {
  readonly stream: Stream
  readonly target: FakeTarget
  readonly record: StreamRecord
  readonly buried: { readonly id: string; readonly reason: unknown }[]
  readonly troubles: unknown[]
  /** What burying a point throws. */
  burial: Error | null
  /** How far the clock on the wall is ahead of the timers. */
  skewMs: number
  /** Takes points with these ids; the outcome is in `outcomes` once there is one. */
  take(ids: readonly string[], deadlineMs?: number): Promise<StreamOutcome>
  /** Moves the clock, a millisecond at a time, and lets everything happen that is due. */
  pass(ms: number): Promise<void>
}

export function openStream(t: TestContext, settings: Partial<StreamSettings> = {}): StreamWorld {
  t.mock.timers.enable({ apis: ['setTimeout', 'Date'], now: 1_000_000 })
  const target = new FakeTarget()
  const record = new StreamRecord()
  const troubles: unknown[] = []
  const stream: Stream = new Stream({
    ...{ index: 'docs', target, record, nowMs: () => Date.now() + world.skewMs },
    settings: { ...STREAM_DEFAULTS, ...settings },
    onTrouble: (error) => troubles.push(error),
  })
  const world: StreamWorld = {
    ...{ stream, target, record, troubles, buried: [], burial: null, skewMs: 0 },
    take: (ids, deadlineMs = Date.now() + DEADLINE_MS) => {
      const bury: Bury = (batch, row, reason) => {
        if (world.burial !== null) return Promise.reject(world.burial)
        world.buried.push({ id: batch.ids[row] ?? '', reason })
        return Promise.resolve()
      }
      return stream.take(pointsOf(ids), { deadlineMs, bury })
    },
    pass: async (ms) => {
      await turns()
      for (let passed = 0; passed < ms; passed += 1) {
        t.mock.timers.tick(1)
        await turns()
      }
    },
  }
  return world
}

/** Enough for a chain of promises to get to its next timer. */
async function turns(): Promise<void> {
  for (let turn = 0; turn < 3; turn += 1) await nextTurn()
}

/** Points of two numbers: the place in the list, and one. */
export function pointsOf(ids: readonly string[], texts: readonly string[] = []): UpsertBatch {
  return {
    ...{ kind: 'upsert', dimension: 2, ids },
    vectors: Float32Array.from(ids.flatMap((_, i) => [i, 1])),
    texts: ids.map((_, i) => texts[i] ?? null),
    metadata: ids.map((id) => JSON.stringify({ id })),
  }
}

export function names(prefix: string, count: number): string[] {
  return Array.from({ length: count }, (_, i) => `${prefix}${i}`)
}
