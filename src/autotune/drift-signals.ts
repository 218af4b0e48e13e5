/**
 * Signs that another ef is not enough and the graph should be tuned again.
 *
 * Each is told once for a generation: whoever is told enqueues a trial, and telling again would
 * enqueue it again.
 */

import type { RecallDrift } from './live-recall.ts'

export const DRIFT_KINDS = [
  'ef_at_cap',
  'ef_over_promoted',
  'growth',
  'deletes',
  'lid_change',
  'query_drift',
] as const
export type DriftKind = (typeof DRIFT_KINDS)[number]

const EF_OVER_PROMOTED = 1.5
const GROWTH = 0.2
const DELETED_SHARE = 0.1
const LID_CHANGE = 0.2
const DRIFT_P = 0.001
const DRIFT_SAMPLES_MIN = 200

export interface DriftFacts {
  readonly ef: number
  readonly efCap: number
  readonly promotedEf: number
  /** Recall is shown to be under the goal. */
  readonly recallFails: boolean
  readonly points: number
  readonly pointsTuned: number
  /** Deleted rows that are still in the graph, of all its rows. */
  readonly deletedShare: number
  /** Local intrinsic dimension now and when it was tuned; null where unknown. */
  readonly lid: number | null
  readonly lidTuned: number | null
  readonly queryDrift: RecallDrift | null
}

export interface DriftSignal {
  readonly kind: DriftKind
  readonly text: string
  readonly observed: number
  readonly bound: number
}

export function driftSignals(facts: DriftFacts): readonly DriftSignal[] {
  return [
    atCap(facts),
    overPromoted(facts),
    growth(facts),
    deletes(facts),
    lidChange(facts),
    queryDrift(facts),
  ].filter((signal) => signal !== null)
}

function atCap({ ef, efCap, recallFails }: DriftFacts): DriftSignal | null {
  if (ef < efCap || !recallFails) return null
  const text = 'ef is as high as it may be and recall is under the goal'
  return { kind: 'ef_at_cap', text, observed: ef, bound: efCap }
}

function overPromoted({ ef, promotedEf }: DriftFacts): DriftSignal | null {
  const bound = promotedEf * EF_OVER_PROMOTED
  if (ef <= bound) return null
  const text = 'ef is more than 1.5 times the promoted one'
  return { kind: 'ef_over_promoted', text, observed: ef, bound }
}

function growth({ points, pointsTuned }: DriftFacts): DriftSignal | null {
  if (pointsTuned <= 0 || points < pointsTuned * (1 + GROWTH)) return null
  const text = 'there are at least 20 % more points than when it was tuned'
  return { kind: 'growth', text, observed: points / pointsTuned - 1, bound: GROWTH }
}

function deletes({ deletedShare }: DriftFacts): DriftSignal | null {
  if (deletedShare < DELETED_SHARE) return null
  const text = 'at least a tenth of the graph is deleted'
  return { kind: 'deletes', text, observed: deletedShare, bound: DELETED_SHARE }
}

function lidChange({ lid, lidTuned }: DriftFacts): DriftSignal | null {
  if (lid === null || lidTuned === null || lidTuned <= 0) return null
  if (Math.abs(lid - lidTuned) < LID_CHANGE * lidTuned) return null
  const text = 'the intrinsic dimension of the points has changed by at least 20 %'
  return { kind: 'lid_change', text, observed: lid / lidTuned - 1, bound: LID_CHANGE }
}

function queryDrift({ queryDrift: drift }: DriftFacts): DriftSignal | null {
  if (drift === null || drift.samples < DRIFT_SAMPLES_MIN) return null
  const observed = Math.min(drift.first.p, drift.last.p)
  if (observed >= DRIFT_P) return null
  const text = 'queries lie at other distances from the points than they did'
  return { kind: 'query_drift', text, observed, bound: DRIFT_P }
}
