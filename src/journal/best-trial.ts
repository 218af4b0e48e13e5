/**
 * Which of the trials of one data set is best: what they measured, compared, and nothing else.
 *
 * Trials of different epochs ran on different points; their numbers say nothing about each other.
 */

import type { Boundary, Trial } from '../domain/trial.ts'

export interface BestRules {
  /** What the lower bound of the recall on the held-out queries must reach. */
  readonly minRecall: number
  /** Only the boundary of this goal counts; any where it is left out. */
  readonly goal?: number | undefined
  /** Epoch of the trials; that of the newest completed one where it is left out. */
  readonly fingerprint?: string | undefined
}

export interface BestTrial {
  readonly trial: Trial
  /** The one that meets the bound at the lowest cost. */
  readonly boundary: Boundary
}

/**
 * The completed trial that meets `minRecall` at the lowest cost of a search; of equals the smaller
 * graph, then the faster build, then the earlier trial. Null where none meets it.
 */
export function bestTrial(trials: readonly Trial[], rules: BestRules): BestTrial | null {
  const candidates = completedOf(trials, rules.fingerprint).flatMap((trial) =>
    trial.boundaries
      .filter((boundary) => meets(boundary, rules))
      .map((b) => ({ trial, boundary: b })),
  )
  return candidates.sort(byCost)[0] ?? null
}

/**
 * Completed trials of one epoch that no other beats: one of their points has a recall (its lower
 * bound) that none of the others reaches at the same cost or less. In the order of `trials`.
 */
export function paretoFront(trials: readonly Trial[], fingerprint?: string): readonly Trial[] {
  const points = completedOf(trials, fingerprint)
    .flatMap((trial) => trial.curve.map(({ recallLcb, cpuUs }) => ({ trial, recallLcb, cpuUs })))
    .sort((a, b) => a.cpuUs - b.cpuUs || b.recallLcb - a.recallLcb || a.trial.seq - b.trial.seq)
  const front = new Set<Trial>()
  let highest = -Infinity
  for (const { trial, recallLcb } of points) {
    if (recallLcb <= highest) continue
    highest = recallLcb
    front.add(trial)
  }
  return trials.filter((trial) => front.has(trial))
}

function completedOf(trials: readonly Trial[], asked: string | undefined): readonly Trial[] {
  const completed = trials.filter(({ state }) => state === 'completed')
  const newest = completed.reduce<Trial | null>(
    (best, trial) => (best === null || trial.seq > best.seq ? trial : best),
    null,
  )
  const fingerprint = asked ?? newest?.epoch.fingerprint
  return completed.filter(({ epoch }) => epoch.fingerprint === fingerprint)
}

function meets({ goal, ef, cpuUs, heldOut }: Boundary, rules: BestRules): boolean {
  if (rules.goal !== undefined && rules.goal !== goal) return false
  return ef !== null && cpuUs !== null && heldOut !== null && heldOut.recallLcb >= rules.minRecall
}

function byCost(a: BestTrial, b: BestTrial): number {
  return (
    ascending(a.boundary.cpuUs, b.boundary.cpuUs) ||
    ascending(a.trial.build?.bytes, b.trial.build?.bytes) ||
    ascending(a.trial.build?.cpuS, b.trial.build?.cpuS) ||
    a.trial.seq - b.trial.seq
  )
}

/** What was not measured counts as the dearest. */
function ascending(a: number | null | undefined, b: number | null | undefined): number {
  const [left, right] = [a ?? Infinity, b ?? Infinity]
  return left === right ? 0 : left - right
}
