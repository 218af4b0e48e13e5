/**
 * Measures how good the answers of every index are, and holds the goal by the ef that is served.
 *
 *     search ─▶ observe: one hash ─▶ waiting (few) ─▶ sample, one at a time ─▶ IndexRecall
 *                                                                                │
 *     every minute, each index:  LiveEf decides ─▶ document ─▶ decision log ─▶ steering
 *                                       ╰─▶ signs of drift ─▶ onSignal
 *
 * A sample is background work: a core that has no time refuses it, and it is counted and not tried
 * again. The ef is written before it is used, and only where this server owns the index and its
 * settings allow it. A new generation, a promotion and a rollback start from the promoted ef, and
 * nothing that was measured before counts for them; where generation and configuration are those that
 * the written ef was found for, as after a restart, it is used again.
 */

import { setImmediate as nextTurn } from 'node:timers/promises'
import type { DriftSignal } from '../autotune/drift-signals.ts'
import { Sampler, SAMPLER_DEFAULTS, type TakenSample } from '../autotune/sampler.ts'
import type { ObjectStore } from '../buckets/object-store.ts'
import type { DecisionLog } from '../journal/decision-log.ts'
import type { QueryReservoir } from '../journal/query-reservoir.ts'
import { VectordError } from '../lib/errors.ts'
import { Periodic } from '../lib/periodic.ts'
import {
  anchorOf,
  IndexRecall,
  isSampled,
  type SampledQuery,
  type WatchedIndex,
} from './index-recall.ts'
import { LiveEf, type EfChange } from './live-ef.ts'
import { isSameAnchor, LiveEfStore, type EfAnchor } from './live-ef-store.ts'
import {
  curveOf,
  reportRecall,
  summaryOf,
  type LiveCurve,
  type RecallReport,
  type RecallSummary,
} from './recall-report.ts'
import type { SearchObserver, SearchSeen } from './search-observer.ts'

/** Taken queries of an index that wait for those before them; more are dropped. */
const WAITING_MAX = 16
/** An exact scan of some million points, behind everything else that its core does. */
const SAMPLE_MS_MAX = 30_000
/** CPU milliseconds that a first sample is taken to cost. */
const COST_GUESS_MS = 10

/** What became of queries that were taken and not counted. */
export const DROP_REASONS = ['busy', 'refused', 'failed', 'moved', 'nothing_to_find'] as const
export type DropReason = (typeof DROP_REASONS)[number]

export interface RecallSettings {
  readonly sampleCpuShare: number
  readonly maxSampleRate: number
  readonly efMax: number
  readonly roundIntervalMs: number
}

export interface LiveRecallWatchOptions {
  readonly settings: RecallSettings
  /** Null where there is no such index. */
  readonly served: (index: string) => WatchedIndex | null
  /** Mean recall, in (0, 1). */
  readonly goalOf: (index: string) => number
  /** False: what would be done is not done. */
  readonly mayChangeEf: (index: string) => boolean
  /** Points of the data set that the configuration was chosen on; null where nobody knows. */
  readonly pointsTuned: (index: string) => number | null
  /** Hears once for each generation of each sign that the graph should be tuned again. */
  readonly onSignal: (index: string, signal: DriftSignal) => void
  /** The home bucket of an index. */
  readonly storeOf: (index: string) => ObjectStore
  readonly decisions: Pick<DecisionLog, 'append'>
  /** Is offered every query that could be sampled; it keeps some where the operator has opted in. */
  readonly reservoir: Pick<QueryReservoir, 'offer'>
  readonly nowMs: () => number
  readonly onTrouble: (error: unknown, what: string) => void
}

interface Waiting {
  readonly query: SampledQuery
  readonly taken: TakenSample
}

interface Watched {
  readonly index: WatchedIndex
  readonly anchor: EfAnchor
  readonly waiting: Waiting[]
  /** The ef that held before this began, to be told where it does not hold again. */
  readonly before: number | null
  recall: IndexRecall
  /** Null until the written ef was read, and on a server that follows. */
  pilot: LiveEf | null
  reading: Promise<void> | null
  isMeasuring: boolean
  /** Searches that could have been sampled. */
  eligible: number
}

export class LiveRecallWatch {
  readonly #options: LiveRecallWatchOptions
  readonly #sampler: Sampler
  readonly #store: LiveEfStore
  readonly #rounds: Periodic
  readonly #watched = new Map<string, Watched>()
  readonly #background = new Set<Promise<void>>()
  readonly #dropped = new Map<DropReason, number>(DROP_REASONS.map((reason) => [reason, 0]))
  #workMs = 0
  #isClosed = false

  constructor(options: LiveRecallWatchOptions) {
    const { settings, nowMs, onTrouble } = options
    this.#options = options
    this.#sampler = new Sampler(
      {
        ...SAMPLER_DEFAULTS,
        ...{ cpuShare: settings.sampleCpuShare, rateMax: settings.maxSampleRate },
      },
      COST_GUESS_MS,
      nowMs(),
    )
    this.#store = new LiveEfStore(options.storeOf)
    this.#rounds = new Periodic(
      () => this.round(nowMs()),
      (error) => {
        onTrouble(error, 'hold the recall of indexes')
      },
    )
  }

  /** Rounds from now on, every `roundIntervalMs`. */
  start(): void {
    this.#rounds.start(this.#options.settings.roundIntervalMs)
  }

  /** Takes no more samples, and waits for what is under way. */
  async close(): Promise<void> {
    this.#isClosed = true
    await this.#rounds.close()
    await Promise.all(this.#background)
  }

  /** Hears of every search; see `SearchObserver`. */
  readonly observe: SearchObserver = (seen) => {
    try {
      this.#see(seen)
    } catch (error) {
      this.#options.onTrouble(error, `sample a search of index "${seen.index}"`)
    }
  }

  /** Seconds that cores worked on samples. */
  get workS(): number {
    return this.#workMs / 1000
  }

  /** Queries that were taken and not counted, by reason, since the start. */
  get dropped(): ReadonlyMap<DropReason, number> {
    return this.#dropped
  }

  /** Of every index that was searched since it serves. */
  summaries(): readonly (RecallSummary & { readonly index: string })[] {
    const nowMs = this.#options.nowMs()
    return [...this.#watched.keys()].flatMap((name) => {
      const watched = this.#current(name)
      if (watched === null) return []
      return [{ index: name, ...summaryOf(watched.index, watched, nowMs) }]
    })
  }

  /** Decides for every index that was searched. A failure is told, and the next round tries again. */
  async round(nowMs: number): Promise<void> {
    for (const name of [...this.#watched.keys()]) {
      try {
        await this.#hold(name, nowMs)
      } catch (error) {
        this.#options.onTrouble(error, `hold the recall of index "${name}"`)
      }
    }
  }

  report(name: string): RecallReport {
    const { served, goalOf, nowMs } = this.#options
    const scale = { goal: goalOf(name), nowMs: nowMs() }
    return reportRecall(served(name), this.#current(name), scale)
  }

  /** Recall against ef, of the stratum that the ef follows; null before a first sample. */
  curve(name: string): LiveCurve | null {
    const watched = this.#current(name)
    return watched === null ? null : curveOf(watched.index, watched, this.#options.nowMs())
  }

  #see({ index, requestId, query, answer }: SearchSeen): void {
    if (this.#isClosed || answer === null || !isSampled(query, answer)) return
    const watched = this.#watched.get(index) ?? this.#current(index)
    if (watched !== null) watched.eligible += 1
    this.#options.reservoir.offer(index, query.target.vector)
    const taken = this.#sampler.take(requestId, this.#options.nowMs())
    if (taken === null) return
    const current = this.#current(index)
    if (current === null) this.#drop('moved')
    else if (current.waiting.length >= WAITING_MAX) this.#drop('busy')
    else {
      current.waiting.push({ query, taken })
      this.#track(this.#measureAll(index, current))
    }
  }

  /** One sample of an index at a time, after the search was answered. */
  async #measureAll(name: string, watched: Watched): Promise<void> {
    if (watched.isMeasuring) return
    watched.isMeasuring = true
    await nextTurn()
    for (let next = watched.waiting.shift(); next !== undefined; next = watched.waiting.shift()) {
      if (!this.#isClosed) await this.#measure(name, watched, next)
    }
    watched.isMeasuring = false
  }

  async #measure(name: string, watched: Watched, { query, taken }: Waiting): Promise<void> {
    const { nowMs, onTrouble } = this.#options
    try {
      const plan = watched.recall.plan(watched.index, query)
      const deadlineMs = nowMs() + SAMPLE_MS_MAX
      const sample = await watched.index.sample(plan.request, { minLsn: 0, deadlineMs })
      this.#workMs += sample.workUs / 1000
      this.#sampler.took(taken, sample.workUs / 1000)
      const isCurrent = this.#current(name) === watched
      const fate = isCurrent ? watched.recall.add(watched.index, plan, sample, nowMs()) : 'moved'
      if (fate !== 'counted') this.#drop(fate)
    } catch (error) {
      this.#drop(error instanceof VectordError ? 'refused' : 'failed')
      if (!(error instanceof VectordError)) onTrouble(error, `sample index "${name}"`)
    }
  }

  async #hold(name: string, nowMs: number): Promise<void> {
    const watched = this.#current(name)
    if (watched === null || !isOwned(watched.index)) return
    if (watched.pilot === null) await this.#read(name, watched)
    const { pilot } = watched
    if (pilot === null || this.#current(name) !== watched) return
    const change = pilot.decide(watched.index, watched.recall, {
      nowMs,
      mayChange: this.#options.mayChangeEf(name),
      pointsTuned: this.#options.pointsTuned(name),
    })
    if (change !== null) await this.#make(name, watched, change)
  }

  /** Storage first, then the log, then searches; where the index has moved meanwhile, nothing. */
  async #make(name: string, watched: Watched, change: EfChange): Promise<void> {
    const { mayChangeEf, onSignal } = this.#options
    const { pilot, anchor, index } = watched
    await this.#store.save(name, { ...change.stored, anchor }, change.reason)
    const isChanged = change.to !== change.from
    if (this.#current(name) !== watched || (isChanged && !mayChangeEf(name))) return
    if (isChanged) {
      this.#tell(name, change)
      index.steering.useLiveEf(change.to === index.steering.anchorEf ? null : change.to)
      watched.recall.efChanged()
    }
    pilot?.made(change)
    for (const signal of change.signals) onSignal(name, signal)
  }

  /** The index as it serves now, watched anew where what was measured is of something else. */
  #current(name: string): Watched | null {
    const index = this.#options.served(name)
    if (index === null || isGone(index)) {
      this.#watched.delete(name)
      return null
    }
    const known = this.#watched.get(name) ?? null
    const anchor = anchorOf(index)
    if (anchor === null) return null
    const goal = this.#options.goalOf(name)
    if (known === null || !isStill(known, index, anchor)) return this.#begin(name, index, anchor)
    if (known.recall.goal !== goal) {
      known.recall = this.#newRecall(name, anchor)
      known.eligible = 0
    }
    return known
  }

  #begin(name: string, index: WatchedIndex, anchor: EfAnchor): Watched {
    const watched: Watched = {
      ...{ index, anchor, waiting: [], before: efBefore(this.#watched.get(name), index) },
      ...{ recall: this.#newRecall(name, anchor), pilot: null, reading: null },
      ...{ isMeasuring: false, eligible: 0 },
    }
    index.steering.useLiveEf(null)
    this.#watched.set(name, watched)
    if (isOwned(index) && !this.#isClosed) this.#track(this.#readInBackground(name, watched))
    return watched
  }

  #newRecall(name: string, { generation }: EfAnchor): IndexRecall {
    const { goalOf, settings } = this.#options
    return new IndexRecall({ generation, goal: goalOf(name), efMax: settings.efMax })
  }

  async #readInBackground(name: string, watched: Watched): Promise<void> {
    try {
      await this.#read(name, watched)
    } catch (error) {
      this.#options.onTrouble(error, `read the live ef of index "${name}"`)
    }
  }

  /** Uses the ef that was written for what serves now, or starts from the configured one. */
  #read(name: string, watched: Watched): Promise<void> {
    watched.reading ??= this.#readOnce(name, watched).finally(() => {
      watched.reading = null
    })
    return watched.reading
  }

  async #readOnce(name: string, watched: Watched): Promise<void> {
    const { index, anchor, before } = watched
    const stored = await this.#store.load(name)
    if (this.#current(name) !== watched) return
    const { nowMs, pointsTuned } = this.#options
    const fits = stored !== null && isSameAnchor(stored.anchor, anchor)
    const pilot = new LiveEf(index, {
      ...{ generation: anchor.generation, stored: fits ? stored : null },
      ...{ pointsTuned: pointsTuned(name), efMax: this.#options.settings.efMax, nowMs: nowMs() },
    })
    if (before !== null && pilot.liveEf === null) this.#tell(name, pilot.reset(before))
    index.steering.useLiveEf(pilot.liveEf)
    watched.pilot = pilot
  }

  #tell(name: string, change: Pick<EfChange, 'action' | 'reason' | 'evidence'>): void {
    this.#options.decisions.append({
      ...{ atMs: this.#options.nowMs(), index: name, kind: 'live_ef', trialId: null },
      ...{ verdict: change.action, reason: change.reason, evidence: change.evidence },
      ...{ by: 'live-recall', dryRun: false },
    })
  }

  #drop(reason: DropReason): void {
    this.#dropped.set(reason, (this.#dropped.get(reason) ?? 0) + 1)
  }

  /** Work under way: its failures are told where it is done. */
  #track(work: Promise<void>): void {
    const tracked = work.finally(() => {
      this.#background.delete(tracked)
    })
    this.#background.add(tracked)
  }
}

/** The same index, generation and configuration, with the ef that was chosen here. */
function isStill(known: Watched, index: WatchedIndex, anchor: EfAnchor): boolean {
  const liveEf = known.pilot?.liveEf ?? null
  return (
    known.index === index && isSameAnchor(known.anchor, anchor) && index.steering.liveEf === liveEf
  )
}

/** The live ef that held until now. */
function efBefore(known: Watched | undefined, index: WatchedIndex): number | null {
  if (known === undefined || known.index !== index) return null
  return known.pilot === null ? known.before : known.pilot.liveEf
}

function isGone({ info }: WatchedIndex): boolean {
  return info.state === 'unavailable' || info.state === 'deleting'
}

function isOwned({ info }: WatchedIndex): boolean {
  return info.role === 'owner'
}
