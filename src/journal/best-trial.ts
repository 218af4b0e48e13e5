/**
 * Which of the trials of one data set is best: what they measured, compared, and nothing else.
 *
 * Trials of different epochs ran on different points; their numbers say nothing about each other.
 */

import type { Boundary, CurvePoint, Trial } from '../domain/trial.ts'

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
  let best: BestTrial | null = null
  for (const trial of completedOf(trials, rules.fingerprint)) {
    for (const boundary of trial.boundaries) {
      if (!meets(boundary, rules)) continue
      if (best === null || byCost({ trial, boundary }, best) < 0) best = { trial, boundary }
    }
  }
  return best
}

/**
 * Completed trials of one epoch that no other beats: one of their points has a recall (its lower
 * bound) that none of the others reaches at the same cost or less; of equal points the earlier
 * trial's counts. In the order of `trials`.
 */
export function paretoFront(trials: readonly Trial[], fingerprint?: string): readonly Trial[] {
  // Few of many points are on it: they are not sorted, but each is held against the front so far.
  const front: FrontPoint[] = []
  for (const trial of completedOf(trials, fingerprint).toSorted((a, b) => a.seq - b.seq)) {
    for (const point of trial.curve) advance(front, trial, point)
  }
  const found = new Set(front.map(({ trial }) => trial))
  return trials.filter((trial) => found.has(trial))
}

interface FrontPoint {
  readonly trial: Trial
  readonly recallLcb: number
  readonly cpuUs: number
}

/** `front` grows strictly both in cost and in recall. */
function advance(front: FrontPoint[], trial: Trial, { recallLcb, cpuUs }: CurvePoint): void {
  const at = countOfCostUpTo(front, cpuUs)
  const before = front[at - 1]
  if (before !== undefined && before.recallLcb >= recallLcb) return
  const from = before?.cpuUs === cpuUs ? at - 1 : at
  let end = at
  while ((front[end]?.recallLcb ?? Infinity) <= recallLcb) end += 1
  front.splice(from, end - from, { trial, recallLcb, cpuUs })
}

function countOfCostUpTo(front: readonly FrontPoint[], cpuUs: number): number {
  let [low, high] = [0, front.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if ((front[middle]?.cpuUs ?? Infinity) <= cpuUs) low = middle + 1
    else high = middle
  }
  return low
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
