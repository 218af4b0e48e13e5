/**
 * A watch of live recall over an index whose recall the test sets, a bucket in memory and a clock that
 * the test moves.
 */

import assert from 'node:assert/strict'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { DriftSignal } from '../../src/autotune/drift-signals.ts'
import { MemoryStore } from '../../src/buckets/memory-store.ts'
import type { ShardQuery } from '../../src/domain/search.ts'
import type { Decision } from '../../src/journal/decision-log.ts'
import { LiveRecallWatch } from '../../src/services/live-recall-watch.ts'
import type { LiveRecallWatchOptions } from '../../src/services/live-recall-watch.ts'
import { FaultyStore } from './faulty-store.ts'
import { FakeIndex, searched } from './watched-index.ts'

export const GOAL = 0.9
const MINUTE_MS = 60_000

/** Recall that rises with ef: 0.8 at 40, 0.97 at 80. */
export const rising = (ef: number): number => Math.min(0.97, 0.8 + (0.17 * (ef - 40)) / 40)

export class RecallWorld {
  readonly objects = new FaultyStore(new MemoryStore())
  readonly indexes = new Map<string, FakeIndex>()
  readonly decisions: Decision[] = []
  readonly signals: DriftSignal[] = []
  readonly offered: Float32Array[] = []
  readonly troubles: string[] = []
  mayChangeEf = true
  goal = GOAL
  pointsTuned: number | null = null
  nowMs = 0
  watch: LiveRecallWatch
  #count = 0

  constructor(index = new FakeIndex()) {
    this.indexes.set('docs', index)
    this.watch = this.open()
  }

  /** Another watch, as after a restart. */
  open(): LiveRecallWatch {
    const options: LiveRecallWatchOptions = {
      settings: { sampleCpuShare: 1, maxSampleRate: 1, efMax: 500, roundIntervalMs: MINUTE_MS },
      served: (index) => this.indexes.get(index) ?? null,
      goalOf: () => this.goal,
      mayChangeEf: () => this.mayChangeEf,
      pointsTuned: () => this.pointsTuned,
      onSignal: (_index, signal) => this.signals.push(signal),
      storeOf: () => this.objects,
      decisions: { append: (decision) => String(this.decisions.push(decision)) },
      reservoir: { offer: (_index, vector) => this.offered.push(vector) },
      nowMs: () => this.nowMs,
      onTrouble: (error, what) => this.troubles.push(`${what}: ${String(error)}`),
    }
    this.watch = new LiveRecallWatch(options)
    return this.watch
  }

  get index(): FakeIndex {
    const index = this.indexes.get('docs')
    assert.ok(index !== undefined)
    return index
  }

  /** So many searches, each measured before the next. */
  async search(count: number, query: Partial<ShardQuery> = {}): Promise<void> {
    for (let i = 0; i < count; i += 1) {
      this.see(query)
      await settled()
    }
  }

  see(query: Partial<ShardQuery> = {}, answer: Parameters<typeof searched>[2] = {}): void {
    this.nowMs += 50
    this.#count += 1
    this.watch.observe(searched(`r-${this.#count}`, query, answer))
  }

  async round(): Promise<void> {
    this.nowMs += MINUTE_MS
    await this.watch.round(this.nowMs)
  }

  get status(): string {
    return this.watch.report('docs').slo.status
  }
}

export async function settled(): Promise<void> {
  for (let turn = 0; turn < 3; turn += 1) await nextTurn()
}

/** With an ef that was raised to 80 because 40 was too low. */
export async function raised(index = new FakeIndex()): Promise<RecallWorld> {
  const world = new RecallWorld(index)
  world.index.recallAt = rising
  await world.search(150)
  await world.round()
  assert.deepEqual([world.index.steering.liveEf, world.troubles], [80, []])
  return world
}
