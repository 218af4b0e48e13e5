/**
 * Which ef to measure next, until the smallest one that meets each goal is known.
 *
 *     ladder   k  1.2k  1.6k  2k  3k  4k  6k  8k  12k  16k …  efMax
 *              ·   ·     ✗         ✗   ✓                            first up the rungs,
 *                                  ├─╳─┤                            then halve the bracket
 *
 * Recall rises with ef on a built graph, so a rung that fails rules out all below it. On a sample it
 * may dip: of two rungs that disagree the larger failing one below the smallest meeting one counts.
 */

import type { Trial } from '../domain/trial.ts'
import { reachOf } from './measured-trial.ts'
import type { Cell } from './search-space.ts'

const LADDER_FIRST = [1, 1.2, 1.6, 2, 3, 4, 6, 8] as const
const LADDER_GROWTH_EVEN = 1.5
const LADDER_GROWTH_ODD = 4 / 3

export const EF_MAX = 1000

export interface EfMeasurement {
  readonly ef: number
  /** One-sided lower bound of the recall at this ef. */
  readonly recallLcb: number
}

export interface EfPlan {
  readonly k: number
  readonly efMax: number
  readonly goals: readonly number[]
  /** A bracket this narrow, as a share of its upper end, is not halved any more; 0 is exact. */
  readonly resolution: number
  /** Where the answers are expected; see `efHint`. */
  readonly hint: EfHint
}

export interface EfHint {
  readonly atLeast: number | null
  readonly atMost: number | null
}

export const NO_HINT: EfHint = { atLeast: null, atMost: null }

interface Bracket {
  /** Largest ef that fails below the smallest that meets; 0 where none fails. */
  readonly fails: number
  /** Smallest ef that meets the goal; null where none does. */
  readonly meets: number | null
}

/** Rungs from k to `efMax`, both included, ascending. */
export function efLadder(k: number, efMax: number): number[] {
  const rungs: number[] = LADDER_FIRST.map((factor) => Math.ceil(factor * k))
  for (let even = true, rung = 8 * k; rung < efMax; even = !even) {
    rung *= even ? LADDER_GROWTH_EVEN : LADDER_GROWTH_ODD
    rungs.push(Math.round(rung))
  }
  return [...new Set([...rungs.filter((rung) => rung < efMax), Math.max(k, efMax)])]
}

/** The next ef to measure; null when every goal is solved or out of reach. */
export function nextEf(measured: readonly EfMeasurement[], plan: EfPlan): number | null {
  for (const goal of plan.goals.toSorted((a, b) => a - b)) {
    const next = nextForGoal(bracketOf(measured, goal), measured, plan)
    if (next !== null) return next
  }
  return null
}

/** The smallest measured ef that meets `goal`; null where none does. */
export function solvedEf(measured: readonly EfMeasurement[], goal: number): number | null {
  return bracketOf(measured, goal).meets
}

/**
 * Bounds on the ef of a graph that is not built: ef falls as m or efConstruction grow. They hold on
 * average and not for each sample, so they say where to begin and never what is true.
 */
export function efHint(history: readonly Trial[], cell: Cell, goal: number): EfHint {
  let atLeast: number | null = null
  let atMost: number | null = null
  for (const trial of history) {
    const reach = reachOf(trial, goal)
    if (reach === null) continue
    const { m, efConstruction } = trial.config
    if (m >= cell.m && efConstruction >= cell.efConstruction) {
      atLeast = Math.max(atLeast ?? 0, reach.ef)
    }
    if (m <= cell.m && efConstruction <= cell.efConstruction) {
      atMost = Math.min(atMost ?? Infinity, reach.ef)
    }
  }
  return { atLeast, atMost }
}

function bracketOf(measured: readonly EfMeasurement[], goal: number): Bracket {
  const meeting = measured.filter(({ recallLcb }) => recallLcb >= goal).map(({ ef }) => ef)
  const meets = meeting.length === 0 ? null : Math.min(...meeting)
  const failing = measured.map(({ ef }) => ef).filter((ef) => ef < (meets ?? Infinity))
  return { fails: Math.max(0, ...failing), meets }
}

function nextForGoal(
  { fails, meets }: Bracket,
  measured: readonly EfMeasurement[],
  { k, efMax, resolution, hint }: EfPlan,
): number | null {
  const ladder = efLadder(k, efMax)
  if (measured.length === 0) return startingRung(ladder, hint)
  if (meets === null) return ladder.find((rung) => rung > fails) ?? null
  // Nothing below has failed: down the ladder, as k itself cannot be lowered.
  if (fails < k) return meets <= k ? null : (ladder.findLast((rung) => rung < meets) ?? null)
  const rung = ladder.find((one) => one > fails && one < meets)
  if (rung !== undefined) return rung
  const isNarrow = meets - fails <= Math.max(1, Math.floor(resolution * meets))
  return isNarrow ? null : Math.floor((fails + meets) / 2)
}

/** Between the hints where there are two, at the one there is, or at k. */
function startingRung(ladder: readonly number[], { atLeast, atMost }: EfHint): number {
  const low = atLeast ?? atMost
  const high = atMost ?? atLeast
  const lowest = ladder[0] ?? 1
  if (low === null || high === null) return lowest
  const expected = Math.sqrt(low * high)
  return ladder.findLast((rung) => rung <= expected) ?? lowest
}
