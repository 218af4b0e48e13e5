/**
 * How good are the picks of a strategy, over many surfaces and goals?
 *
 * A score is the cost of the cheapest row of the surface by the cost of the pick, in [0, 1]; both
 * meet the goal by the same lower bound on set A. Nothing feasible scores 0. A pick is honest when
 * its recall on set B, which nobody saw, is at least the goal less half a point.
 */

import { BUILDS_MAX, type Pick, type ReplayRun, type ReplayTask } from './tuner-replay.ts'
import { oracleCost } from './surface.ts'

/** Builds after which scores are reported, and after which a pick is final. */
export const CHECKPOINTS = [1, 3, 5, 8, 12, 16] as const
const FINAL_BUILDS = 8

const HONEST_MARGIN = 0.005
const NEAR_BEST = 0.95

export interface Spread {
  readonly mean: number
  /** Tenth percentile. */
  readonly p10: number
}

export interface StrategyScore {
  readonly [score: `score${number}`]: Spread
  /** Share of final picks, after 8 builds, that are honest; 0 where no run has one. */
  readonly honesty: number
  /** Share of runs that have a final pick. */
  readonly picked: number
  /** Builds until a score of 0.95; null for never within 16. */
  readonly builds_to_95: { readonly median: number | null; readonly p90: number | null }
  /** Mean CPU seconds of the first 8 builds. */
  readonly build_cpu_s: number
  /** Mean score once a run has spent what 8 builds of the surface's median graph take. */
  readonly score_at_build_cpu: number
  readonly runs: number
}

export interface ScoredRun {
  readonly task: ReplayTask
  readonly run: ReplayRun
  /** After 1, 2, … builds. */
  readonly scores: readonly number[]
  readonly honest: boolean
  readonly final: Pick | null
}

/** @throws when no row of the surface meets the goal: such tasks are skipped beforehand. */
export function scoreRun(task: ReplayTask, run: ReplayRun): ScoredRun {
  const oracle = oracleCost(task.surface, task.goal, task.column)
  if (oracle === null) throw new Error(`${task.surface.name} has no row for ${task.goal}`)
  const final = run.picks[FINAL_BUILDS - 1] ?? null
  return {
    task,
    run,
    scores: run.picks.map((pick) => (pick === null ? 0 : oracle / pick.row.cost[task.column])),
    honest: final !== null && final.row.recallB >= task.goal - HONEST_MARGIN,
    final,
  }
}

export function scoreStrategy(runs: readonly ScoredRun[]): StrategyScore {
  const checkpoints = CHECKPOINTS.map(
    (builds) =>
      [`score${builds}`, spread(runs.map(({ scores }) => scores[builds - 1] ?? 0))] as const,
  )
  const picked = runs.filter(({ final }) => final !== null)
  const reached = runs.map(({ scores }) => scores.findIndex((score) => score >= NEAR_BEST))
  const builds = reached.map((i) => (i < 0 ? Infinity : i + 1))
  return {
    ...Object.fromEntries(checkpoints),
    honesty: picked.length === 0 ? 0 : mean(picked.map(({ honest }) => (honest ? 1 : 0))),
    picked: picked.length / runs.length,
    builds_to_95: {
      median: finite(Math.ceil(quantile(builds, 0.5))),
      p90: finite(Math.ceil(quantile(builds, 0.9))),
    },
    build_cpu_s: mean(runs.map(({ run }) => run.buildCpuS[FINAL_BUILDS - 1] ?? 0)),
    score_at_build_cpu: mean(runs.map(scoreAtBuildCpu)),
    runs: runs.length,
  }
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}

function spread(values: readonly number[]): Spread {
  return { mean: mean(values), p10: quantile(values, 0.1) }
}

/** The value at that share of the sorted ones; between two of them straight. */
function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  const at = share * (sorted.length - 1)
  const [low, high] = [sorted[Math.floor(at)] ?? 0, sorted[Math.ceil(at)] ?? 0]
  return low === high ? low : low + (at - Math.floor(at)) * (high - low)
}

function finite(value: number): number | null {
  return Number.isFinite(value) ? value : null
}

function scoreAtBuildCpu({ task, run, scores }: ScoredRun): number {
  const median = quantile(
    task.surface.cells.map(({ buildCpuS }) => buildCpuS),
    0.5,
  )
  const spent = run.buildCpuS.findLastIndex((seconds) => seconds <= FINAL_BUILDS * median)
  return spent < 0 ? 0 : (scores[Math.min(spent, BUILDS_MAX - 1)] ?? 0)
}
