/**
 * What a trial proves. Nothing outside this file reads a curve.
 *
 * A journal outlives the code that wrote it, so its numbers are judged again: a point counts only
 * where its recall and bounds are possible, and a goal is met only by a lower bound. What cannot be
 * believed is as if it had not been measured, but its configuration was tried and is not proposed
 * again.
 */

import { HNSW_BOUNDS, type HnswConfig } from '../domain/hnsw-config.ts'
import type { CurvePoint, Trial } from '../domain/trial.ts'

/** A trial at the smallest ef whose lower bound meets a goal. */
export interface Reach {
  readonly trial: Trial
  readonly point: CurvePoint
  readonly ef: number
  /** CPU time of a query in microseconds, above 0. */
  readonly cost: number
}

/** Null where the trial did not end well or nothing that it measured meets the goal. */
export function reachOf(trial: Trial, goal: number): Reach | null {
  let reach: Reach | null = null
  for (const point of soundCurve(trial)) {
    if (point.recallLcb < goal || (reach !== null && reach.ef <= point.ef)) continue
    reach = { trial, point, ef: point.ef, cost: point.cpuUs }
  }
  return reach
}

/** The points that can be believed; none of a trial that did not end well. */
export function soundCurve(trial: Trial): readonly CurvePoint[] {
  return trial.state === 'completed' ? trial.curve.filter(isSound) : []
}

/** Trials whose configuration can be read; of several with one seq the first that was written. */
export function soundHistory(history: readonly Trial[]): Trial[] {
  const seen = new Set<number>()
  return history.filter(({ seq, config }) => {
    if (!Number.isSafeInteger(seq) || seen.has(seq) || !isPossible(config)) return false
    seen.add(seq)
    return true
  })
}

function isSound({ ef, queries, recall, recallLcb, cpuUs }: CurvePoint): boolean {
  const counts =
    Number.isSafeInteger(ef) && ef >= 1 && Number.isSafeInteger(queries) && queries >= 1
  // Each comparison is false for NaN.
  const bounds = recall >= 0 && recall <= 1 && recallLcb <= recall && recallLcb >= -1
  return counts && bounds && cpuUs > 0 && cpuUs < Infinity
}

function isPossible({ m, efConstruction, efSearch }: HnswConfig): boolean {
  return (
    isCount(m, HNSW_BOUNDS.m) &&
    isCount(efConstruction, HNSW_BOUNDS.efConstruction) &&
    (efSearch === null || isCount(efSearch, HNSW_BOUNDS.efSearch))
  )
}

function isCount(value: number, [low, high]: readonly [number, number]): boolean {
  return Number.isSafeInteger(value) && value >= low && value <= high
}
