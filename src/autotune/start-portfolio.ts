/**
 * Where the structured strategy starts: a few graphs, chosen by how hard the points are.
 *
 * How hard they are is read from one graph, the reference: the ef at which it meets the goal, as a
 * multiple of k. An easy set (a small multiple) is served best by sparse graphs, a hard one by dense
 * graphs. Where to start matters more than how to go on, so the lists are fitted: greedily, each graph
 * the one that raises the mean score of the best so far the most, over the recorded surfaces in
 * bench/data, weighted by how near they are in hardness. `npm run bench:tuner` fits them again with
 * each data set left out and prints what they score on it.
 */

import type { Trial } from '../domain/trial.ts'
import { reachOf } from './measured-trial.ts'
import { cellDistance, type Cell } from './search-space.ts'

/** The graph whose ef tells how hard the points are. */
export const REFERENCE: Cell = { m: 16, efConstruction: 200 }

/** A graph this near to the reference, in length scales, tells the same. */
const REFERENCE_DISTANCE = 0.75

/** Up to this multiple of k at the reference points are easy. */
const EASY_EF_PER_K = 2.8

export interface StartLists {
  readonly easy: readonly Cell[]
  readonly hard: readonly Cell[]
}

export const START_LISTS: StartLists = {
  easy: cells([8, 48], [4, 96], [16, 48], [8, 32], [8, 64]),
  hard: cells([12, 200], [32, 200], [16, 64], [12, 300], [8, 64]),
}

/** Below this local intrinsic dimension sparse graphs tend to win. */
const EASY_LID = 18

export interface StartQuestion {
  readonly history: readonly Trial[]
  readonly goal: number
  readonly k: number
  readonly lid: number | null
}

/** Graphs to build before any model is asked, in this order; the reference is the first. */
export function startCells({ history, goal, k, lid }: StartQuestion, lists: StartLists): Cell[] {
  const reference = history.find(
    ({ config }) => cellDistance(config, REFERENCE) <= REFERENCE_DISTANCE,
  )
  // Where the bounds leave the reference out, its nearest cell stands for it and tells nothing.
  if (reference === undefined) return [REFERENCE, ...lists.hard]
  const ef = reachOf(reference, goal)?.ef ?? Infinity
  const list = ef <= EASY_EF_PER_K * k ? lists.easy : lists.hard
  const pick = lid === null ? [] : [lidCell(lid, goal)]
  return [...list, ...pick]
}

/** The one graph to build if only one could be, from the local intrinsic dimension alone. */
function lidCell(lid: number, goal: number): Cell {
  if (lid >= EASY_LID) return goal >= 0.99 ? { m: 24, efConstruction: 300 } : REFERENCE
  const sparse = [48, 64, 96] as const
  return { m: 8, efConstruction: goal >= 0.99 ? sparse[2] : goal >= 0.95 ? sparse[1] : sparse[0] }
}

function cells(...pairs: readonly (readonly [number, number])[]): readonly Cell[] {
  return pairs.map(([m, efConstruction]) => ({ m, efConstruction }))
}
