/**
 * The controller of ef (`ef-controller.ts`) at work on one index: facts in, changes out.
 *
 *     decide ─▶ EfChange, to be written ─▶ made ─▶ the state is that of the change
 *                                    ╰─ not made: the next round decides again
 *
 * An index has one live ef and many strata. It follows the busiest stratum without a filter; but it
 * is not lowered while another stratum is known to miss the goal.
 */

import type { DriftSignal } from '../autotune/drift-signals.ts'
import {
  decideEf,
  startEf,
  type EfAction,
  type EfDecision,
  type EfFacts,
  type EfState,
} from '../autotune/ef-controller.ts'
import type { JsonObject } from '../buckets/revision-codec.ts'
import { searchablePoints, type ShardStats } from '../domain/search.ts'
import type { IndexRecall, Stratum, WatchedIndex } from './index-recall.ts'
import type { StoredEf } from './live-ef-store.ts'

export interface EfChange {
  readonly action: EfAction
  readonly from: number
  /** The same as `from` where only signs are to be told. */
  readonly to: number
  readonly reason: string
  readonly evidence: JsonObject
  readonly signals: readonly DriftSignal[]
  readonly stored: Omit<StoredEf, 'anchor'>
  readonly state: EfState
}

export interface LiveEfOptions {
  readonly generation: number
  /** What was written for this generation and configuration; null where nothing was. */
  readonly stored: StoredEf | null
  readonly pointsTuned: number | null
  readonly efMax: number
  readonly nowMs: number
}

export interface Look {
  readonly nowMs: number
  /** False: an ef is decided on and not changed; signs are told all the same. */
  readonly mayChange: boolean
  readonly pointsTuned: number | null
}

export class LiveEf {
  readonly #anchorEf: number
  readonly #efMax: number
  #state: EfState
  /** The stratum that the windows of the state were counted in. */
  #stratum: string | null = null

  constructor(index: WatchedIndex, options: LiveEfOptions) {
    const { generation, stored, pointsTuned, nowMs } = options
    this.#anchorEf = index.steering.anchorEf
    this.#efMax = options.efMax
    const points = stored?.efPoints ?? pointsTuned ?? searchablePoints(index.info.stats)
    const state = startEf({ generation, ef: stored?.ef ?? this.#anchorEf, points }, nowMs)
    // A change that was just read was made some time ago, nobody knows when: it counts from now.
    this.#state = stored === null ? state : { ...state, changedMs: 0, told: stored.told }
  }

  /** Null: that of the configuration holds. */
  get liveEf(): number | null {
    return this.#state.ef === this.#anchorEf ? null : this.#state.ef
  }

  /** Null where nothing is to be written. */
  decide(index: WatchedIndex, recall: IndexRecall, look: Look): EfChange | null {
    const { stats } = index.info
    if (stats === null) return null
    const main = recall.main()
    if (main?.name !== this.#stratum) this.#startWindows(main)
    const settings = {
      goal: recall.goal,
      efMin: recall.efMin(index, main),
      efMax: this.#efMax,
    }
    const measured = mainFacts(index, recall, { main, nowMs: look.nowMs })
    const facts = this.#facts(stats, look, measured)
    const decision = decideEf(this.#state, facts, look.nowMs, settings)
    const isHeld = !look.mayChange || (decision.action === 'lower' && !isGood(recall, look.nowMs))
    const { told } = decision.state
    const state = isHeld
      ? { ...this.#state, time: decision.state.time, told, windowSeen: decision.state.windowSeen }
      : decision.state
    const to = state.ef
    if (to === decision.from && decision.signals.length === 0) {
      this.#state = state
      return null
    }
    return changeOf({ ...decision, state, to }, main)
  }

  /** The change was written, and is used. */
  made({ state }: EfChange): void {
    this.#state = state
  }

  /** How it is told that the ef of before holds no longer. */
  reset(before: number): Pick<EfChange, 'action' | 'reason' | 'evidence'> {
    const { generation, ef } = this.#state
    return {
      action: 'reset',
      reason: 'another generation or configuration serves, and starts from its own ef',
      evidence: { from: before, to: ef, generation },
    }
  }

  #startWindows(main: Stratum | null): void {
    this.#stratum = main?.name ?? null
    const windowSeen = main?.monitor.seen ?? 0
    this.#state = { ...this.#state, lowerWindows: 0, riskWindows: 0, windowSeen }
  }

  #facts(stats: ShardStats, { pointsTuned }: Look, main: MainFacts): EfFacts {
    return {
      ...main,
      generation: this.#state.generation,
      latencyEfMax: null,
      promotedEf: this.#anchorEf,
      points: searchablePoints(stats),
      pointsTuned: pointsTuned ?? 0,
      deletedShare: stats.tombstones / Math.max(1, stats.graphElements),
      ...{ lid: null, lidTuned: null },
    }
  }
}

type MainFacts = Pick<EfFacts, 'curve' | 'isAlarmed' | 'seen' | 'queryDrift'>

const NOTHING_MEASURED: MainFacts = { curve: [], isAlarmed: false, seen: 0, queryDrift: null }

function mainFacts(
  index: WatchedIndex,
  recall: IndexRecall,
  { main, nowMs }: { readonly main: Stratum | null; readonly nowMs: number },
): MainFacts {
  if (main === null) return NOTHING_MEASURED
  const { isAlarmed, seen } = main.monitor
  const curve = recall.curve(index, main, nowMs)
  return { curve, isAlarmed, seen, queryDrift: main.monitor.drift() }
}

/** No stratum that is known misses the goal, or may. */
function isGood(recall: IndexRecall, nowMs: number): boolean {
  return recall.slo(nowMs).status === 'ok'
}

function changeOf(decision: EfDecision, main: Stratum | null): EfChange {
  const { action, from, to, reason, data, signals, state } = decision
  const { ef, efPoints, told, generation } = state
  return {
    ...{ action, from, to, reason, signals, state },
    evidence: { ...data, from, to, generation, stratum: main?.name ?? null },
    stored: { ef, efPoints, told },
  }
}
