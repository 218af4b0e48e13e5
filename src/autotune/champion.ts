/**
 * The best trial so far.
 *
 *     objective       first                            then
 *     slo             cheapest that meets the goal     memory, build time, closeness to what is served
 *     recall_first    highest recall                   median latency, build time
 *
 * The goal is met by lower bounds. Where no trial meets it the champion is the one with the highest
 * recall and is marked as not feasible: a goal is never lowered in silence.
 */

import type { HnswConfig } from '../domain/hnsw-config.ts'
import type { CurvePoint, Trial } from '../domain/trial.ts'
import { reachOf, soundCurve, soundHistory, type Reach } from './measured-trial.ts'
import { cellDistance, predictedFileBytes } from './search-space.ts'

export type Objective = 'slo' | 'recall_first'

export interface ChampionOptions {
  readonly objective: Objective
  readonly goal: number
  readonly current: HnswConfig
  /** Costs that differ by less than this share are equal: the noise of a measurement. */
  readonly costNoise: number
}

export interface Champion {
  readonly trial: Trial
  /** False where no trial meets the goal. */
  readonly feasible: boolean
  readonly point: CurvePoint
}

interface Measured {
  readonly trial: Trial
  readonly point: CurvePoint
}

/** Null where nothing that can be believed was measured. Of equals the earlier trial. */
export function chooseChampion(
  history: readonly Trial[],
  options: ChampionOptions,
): Champion | null {
  const trials = soundHistory(history)
  if (options.objective === 'recall_first') return byRecall(trials, options.goal)
  const reaches = trials.map((trial) => reachOf(trial, options.goal)).filter((one) => one !== null)
  const best = cheapest(reaches, options)
  if (best === null) return byRecall(trials, options.goal)
  return { trial: best.trial, feasible: true, point: best.point }
}

function cheapest(
  reaches: readonly Reach[],
  { costNoise, current }: ChampionOptions,
): Reach | null {
  const least = Math.min(...reaches.map(({ cost }) => cost))
  const equals = reaches.filter(({ cost }) => cost <= least * (1 + costNoise))
  return first(equals, ({ trial, cost }) => [
    bytesOf(trial),
    buildCpuS(trial),
    cellDistance(trial.config, current),
    cost,
  ])
}

function byRecall(trials: readonly Trial[], goal: number): Champion | null {
  const measured = trials.map(highestRecall).filter((one) => one !== null)
  const best = first(measured, ({ trial, point }) => [-point.recall, point.p50Us, buildCpuS(trial)])
  if (best === null) return null
  return { ...best, feasible: best.point.recallLcb >= goal }
}

/** The point that was proposed where an ef was, else the one with the highest recall. */
function highestRecall(trial: Trial): Measured | null {
  const { efSearch } = trial.config
  const curve = soundCurve(trial)
  const points = efSearch === null ? curve : curve.filter(({ ef }) => ef === efSearch)
  const point = first(points, ({ recall, ef }) => [-recall, ef])
  return point === null ? null : { trial, point }
}

function bytesOf({ build, config, epoch }: Trial): number {
  return build?.bytes ?? predictedFileBytes(config.m, epoch)
}

function buildCpuS({ build }: Trial): number {
  return build?.cpuS ?? Infinity
}

/** The first of `items` with the least key, compared number by number. */
function first<T>(items: readonly T[], keyOf: (item: T) => readonly number[]): T | null {
  let best: { readonly item: T; readonly key: readonly number[] } | null = null
  for (const item of items) {
    const key = keyOf(item)
    if (best === null || isLess(key, best.key)) best = { item, key }
  }
  return best?.item ?? null
}

function isLess(a: readonly number[], b: readonly number[]): boolean {
  const i = a.findIndex((value, at) => value !== b[at])
  return i >= 0 && (a[i] ?? 0) < (b[i] ?? 0)
}
