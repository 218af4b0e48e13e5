/**
 * How good are the answers, now: sampled queries that were run again exactly.
 *
 *     sample ─▶ stratum (k bucket × selectivity bucket) of this generation
 *                 ├─ alarm      has the recall that is served fallen under the goal?
 *                 ├─ sequence   its mean since the ef last changed, with an interval
 *                 └─ window     the recall against ef, of the newest samples
 *
 * Never claims what was not measured: under `SAMPLES_MIN` samples, or when the newest are older than
 * `AGE_MAX_MS`, the status is `unknown`. A new generation of the graph starts from nothing, and
 * samples of another generation are not counted. Bounded: a fixed number of strata, a fixed window.
 */

import { invariant } from '../lib/invariant.ts'
import type { KsResult } from './ks-test.ts'
import { ksTest } from './ks-test.ts'
import { RecallAlarm } from './recall-alarm.ts'
import type { SequenceInterval } from './recall-sequence.ts'
import { RecallSequence } from './recall-sequence.ts'
import type { EfEstimate, Rung } from './recall-window.ts'
import { RecallWindow } from './recall-window.ts'

/** Fewer samples say nothing. */
export const SAMPLES_MIN = 100
export const AGE_MAX_MS = 86_400_000
/** Distances that are compared to find drift, then and now. */
const DRIFT_SAMPLES = 200
const DISPLAY_CONFIDENCE = 0.95
export const ALARM_THRESHOLD = 1000

export interface RecallSample {
  readonly generation: number
  readonly k: number
  /** Rows of the exact answer: k, or fewer where fewer match. 0: there was nothing to find. */
  readonly expected: number
  /** Share of the rows that match; 1 without a filter. */
  readonly selectivity: number
  readonly servedEf: number
  /** Ascending in ef; `servedEf` among them. */
  readonly rungs: readonly Rung[]
  /** Distances of the first and of the last row of the exact answer. */
  readonly firstDistance: number
  readonly lastDistance: number
  readonly atMs: number
}

const K_BUCKETS = [
  { name: '1-10', max: 10 },
  { name: '11-50', max: 50 },
  { name: '51-200', max: 200 },
  { name: '201-', max: Infinity },
] as const

const SELECTIVITY_BUCKETS = [
  { name: '0-0.01', below: 0.01 },
  { name: '0.01-0.1', below: 0.1 },
  { name: '0.1-1', below: 1 },
  { name: '1', below: Infinity },
] as const

/** `k=1-10,selectivity=1`: queries whose recall is told together. */
export function stratumOf({ k, selectivity }: Pick<RecallSample, 'k' | 'selectivity'>): string {
  const kBucket = K_BUCKETS.find(({ max }) => k <= max)
  const selectivityBucket = SELECTIVITY_BUCKETS.find(({ below }) => selectivity < below)
  invariant(kBucket !== undefined, 'k is a number')
  invariant(selectivityBucket !== undefined, 'a selectivity is a number')
  return `k=${kBucket.name},selectivity=${selectivityBucket.name}`
}

export type SloStatus = 'ok' | 'at_risk' | 'violated' | 'unknown'

export interface RecallSlo {
  readonly goal: number
  readonly window: { readonly samples: number; readonly ageMs: number | null }
  /** Share of the misses that the goal allows which is left; below 0 it is overspent. */
  readonly budgetLeft: number | null
  readonly status: SloStatus
}

export interface RecallDrift {
  readonly first: KsResult
  readonly last: KsResult
  readonly samples: number
}

/** One stratum of one generation. */
export class StratumMonitor {
  readonly #goal: number
  readonly #alarm: RecallAlarm
  readonly #window: RecallWindow
  readonly #reference: { readonly first: number[]; readonly last: number[] }
  #sequence: RecallSequence
  #servedEf: number | null = null

  constructor(goal: number, alarmThreshold: number = ALARM_THRESHOLD) {
    invariant(goal > 0 && goal < 1, 'a recall goal lies between 0 and 1')
    this.#goal = goal
    this.#alarm = new RecallAlarm(goal, alarmThreshold)
    this.#window = new RecallWindow(goal)
    this.#sequence = new RecallSequence(DISPLAY_CONFIDENCE, goal)
    this.#reference = { first: [], last: [] }
  }

  get isAlarmed(): boolean {
    return this.#alarm.isRaised
  }

  /** Samples ever counted. */
  get seen(): number {
    return this.#window.seen
  }

  /** The ef that the newest sample was served with; null before the first. */
  get servedEf(): number | null {
    return this.#servedEf
  }

  add(sample: RecallSample): void {
    this.#window.add(sample)
    if (this.#reference.first.length < DRIFT_SAMPLES) {
      this.#reference.first.push(sample.firstDistance)
      this.#reference.last.push(sample.lastDistance)
    }
    const recall = this.#window.newestRecall(sample.servedEf)
    if (recall === null) return
    // Another ef serves: what is known of the mean was of the one before.
    if (this.#servedEf !== sample.servedEf) this.#sequence = this.#newSequence()
    this.#servedEf = sample.servedEf
    this.#alarm.add(recall)
    this.#sequence.add(recall)
  }

  /**
   * Recall at each of `efs` that was measured. While the alarm is raised, of the samples that it
   * rests on: the older ones are from before the change.
   */
  curve(efs: readonly number[], nowMs: number): readonly EfEstimate[] {
    this.#window.keepSince(nowMs - AGE_MAX_MS)
    const count = this.#alarm.isRaised ? this.#alarm.run : undefined
    return efs.flatMap((ef) => this.#window.estimate(ef, count) ?? [])
  }

  /** To be called when the ef that is served was changed because of what was found here. */
  efChanged(): void {
    if (this.#alarm.isRaised) this.#window.keepNewest(this.#alarm.run)
    this.#alarm.restart()
  }

  /** Mean recall of what is served since its ef changed, valid at every moment. */
  interval(): SequenceInterval | null {
    return this.#sequence.interval()
  }

  slo(nowMs: number): RecallSlo {
    this.#window.keepSince(nowMs - AGE_MAX_MS)
    const newestMs = this.#window.newestMs
    const now = this.#servedEf === null ? null : this.#window.estimate(this.#servedEf)
    const window = {
      samples: this.#window.kept,
      ageMs: newestMs === null ? null : Math.max(0, nowMs - newestMs),
    }
    if (now === null || now.samples < SAMPLES_MIN) {
      return { goal: this.#goal, window, budgetLeft: null, status: 'unknown' }
    }
    const budgetLeft = 1 - (1 - now.recall) / (1 - this.#goal)
    return { goal: this.#goal, window, budgetLeft, status: this.#status(now) }
  }

  /** The queries of now against the first ones of this generation; null while too few are known. */
  drift(): RecallDrift | null {
    if (this.#window.kept < 2 * DRIFT_SAMPLES) return null
    const recent = this.#window.distances(DRIFT_SAMPLES)
    const first = ksTest(this.#reference.first, recent.first)
    const last = ksTest(this.#reference.last, recent.last)
    return first === null || last === null ? null : { first, last, samples: DRIFT_SAMPLES }
  }

  #newSequence(): RecallSequence {
    return new RecallSequence(DISPLAY_CONFIDENCE, this.#goal)
  }

  #status(now: EfEstimate): SloStatus {
    if (this.#alarm.isRaised || now.ucb < this.#goal) return 'violated'
    return now.lcb >= this.#goal ? 'ok' : 'at_risk'
  }
}

/** Why a sample was not counted, or that it was. */
export type SampleFate = 'counted' | 'nothing_to_find' | 'other_generation'

/** All strata of an index. */
export class LiveRecall {
  readonly #goal: number
  readonly #strata = new Map<string, StratumMonitor>()
  #generation: number

  constructor(goal: number, generation: number) {
    this.#goal = goal
    this.#generation = generation
  }

  /** A newer generation makes room for itself; of an older one nothing is counted. */
  add(sample: RecallSample): SampleFate {
    checkSample(sample)
    if (sample.generation < this.#generation) return 'other_generation'
    this.startGeneration(sample.generation)
    if (sample.expected === 0) return 'nothing_to_find'
    const name = stratumOf(sample)
    const monitor = this.#strata.get(name) ?? new StratumMonitor(this.#goal)
    this.#strata.set(name, monitor)
    monitor.add(sample)
    return 'counted'
  }

  /** Forgets what was measured on the generation before. */
  startGeneration(generation: number): void {
    if (generation <= this.#generation) return
    this.#generation = generation
    this.#strata.clear()
  }

  get generation(): number {
    return this.#generation
  }

  /** By name, in the order in which they were first seen. */
  strata(): ReadonlyMap<string, StratumMonitor> {
    return this.#strata
  }

  /** Of the whole index: as good as its worst stratum that is known. */
  slo(nowMs: number): RecallSlo {
    const all = [...this.#strata.values()].map((monitor) => monitor.slo(nowMs))
    const known = all.filter(({ status }) => status !== 'unknown')
    const ages = all.flatMap(({ window }) => window.ageMs ?? [])
    return {
      goal: this.#goal,
      window: {
        samples: all.reduce((sum, { window }) => sum + window.samples, 0),
        ageMs: ages.length === 0 ? null : Math.min(...ages),
      },
      budgetLeft:
        known.length === 0 ? null : Math.min(...known.map((slo) => slo.budgetLeft ?? Infinity)),
      status: worst(known.map(({ status }) => status)),
    }
  }
}

function worst(statuses: readonly SloStatus[]): SloStatus {
  const found = (['violated', 'at_risk', 'ok'] as const).find((it) => statuses.includes(it))
  return found ?? 'unknown'
}

function checkSample({ k, expected, rungs }: RecallSample): void {
  invariant(expected >= 0 && expected <= k, 'the exact answer has at most k rows')
  invariant(
    rungs.every(({ hits }) => hits >= 0 && hits <= expected),
    'no more is found than is there',
  )
  invariant(
    rungs.every(({ ef }, i) => ef > (rungs[i - 1]?.ef ?? 0)),
    'rungs ascend in ef',
  )
}
