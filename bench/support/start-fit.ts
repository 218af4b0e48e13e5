/**
 * Fits the start lists of the structured strategy to recorded surfaces.
 *
 * Greedy: each next graph is the one that raises the mean score of the best so far the most. Costs
 * are read between the recorded ef at exactly the goal, so that the luck of a rung is not fitted.
 * The surfaces count by how near their hardness is to that of the list.
 */

import { REFERENCE, type StartLists } from '../../src/autotune/start-portfolio.ts'
import { cellKey, type Cell } from '../../src/autotune/search-space.ts'
import { SURFACE_K, type Surface, type SurfaceCell } from './surface.ts'

/** Octaves of ef / k at the reference that the lists stand for, and over which surfaces count. */
const CENTERS = { easy: 0, hard: 3 } as const
const WIDTH = 0.7
/** Where the reference never meets the goal. */
const EF_UNREACHED = 640

const LIST_LENGTH = 5
/** A gain below this is a tie: the cell that comes first stays. */
const GAIN_MIN = 1e-4

export interface FitCase {
  readonly surface: Surface
  readonly goal: number
}

interface Scored {
  readonly hardness: number
  /** Cost of the best graph by the cost of this one; 0 where it does not meet the goal. */
  readonly scores: ReadonlyMap<string, number>
}

export function fitStartLists(cases: readonly FitCase[]): StartLists {
  const scored = cases.map(scoredCase)
  const cells = new Map(
    cases.flatMap(({ surface }) => surface.cells.map((cell) => [cellKey(cell), cell])),
  )
  return {
    easy: greedyList(scored, cells, CENTERS.easy),
    hard: greedyList(scored, cells, CENTERS.hard),
  }
}

function greedyList(
  scored: readonly Scored[],
  cells: ReadonlyMap<string, Cell>,
  center: number,
): Cell[] {
  const weights = scored.map(({ hardness }) => Math.exp(-(((hardness - center) / WIDTH) ** 2) / 2))
  const best = scored.map(({ scores }) => scores.get(cellKey(REFERENCE)) ?? 0)
  const total = (key: string | null): number =>
    scored.reduce((sum, { scores }, i) => {
      const score = key === null ? 0 : (scores.get(key) ?? 0)
      return sum + (weights[i] ?? 0) * Math.max(best[i] ?? 0, score)
    }, 0)
  const weight = weights.reduce((sum, one) => sum + one, 0)
  const list: Cell[] = []
  while (list.length < LIST_LENGTH) {
    let [next, reached] = ['', total(null)]
    for (const key of cells.keys()) {
      if (total(key) > reached + GAIN_MIN * weight) [next, reached] = [key, total(key)]
    }
    const cell = cells.get(next)
    if (cell === undefined) break
    list.push({ m: cell.m, efConstruction: cell.efConstruction })
    scored.forEach(({ scores }, i) => (best[i] = Math.max(best[i] ?? 0, scores.get(next) ?? 0)))
  }
  return list
}

function scoredCase({ surface, goal }: FitCase): Scored {
  const costs = surface.cells.map((cell) => [cellKey(cell), costAtGoal(cell, goal)] as const)
  const least = Math.min(...costs.map(([, cost]) => cost))
  const reference = surface.cells.find((cell) => cellKey(cell) === cellKey(REFERENCE))
  const ef = reference?.rows.find(({ lcbA }) => lcbA >= goal)?.ef ?? EF_UNREACHED
  return {
    hardness: Math.log2(ef / SURFACE_K),
    scores: new Map(costs.map(([key, cost]) => [key, cost === Infinity ? 0 : least / cost])),
  }
}

/** Between the rungs around the goal, straight in log cost against log miss; Infinity above all. */
function costAtGoal({ rows }: SurfaceCell, goal: number): number {
  const i = rows.findIndex(({ lcbA }) => lcbA >= goal)
  const [before, after] = [rows[i - 1], rows[i]]
  if (after === undefined) return Infinity
  if (before === undefined) return after.cost.sdc
  const miss = (recall: number): number => -Math.log(Math.max(1 - recall, 1e-4))
  const whole = miss(after.lcbA) - miss(before.lcbA)
  const share = Math.min(1, Math.max(0, (miss(goal) - miss(before.lcbA)) / whole))
  return before.cost.sdc * (after.cost.sdc / before.cost.sdc) ** share
}
