/**
 * The cheapest search settings of a Lance index whose recall reaches a floor, as it can be shown.
 *
 *     sampled rows ─▶ queries ─▶ half to choose by ─▶ of each refine factor the first rung whose lower
 *                        │                            bound reaches the floor ─▶ the cheapest of them
 *                        ╰─────▶ half to show ─▶ its lower bound reaches it there too ─▶ chosen
 *                                    ▲               │no
 *                                    ├── half-way from the floor to 1, or the best so far
 *                                    ╰── the dearest of all
 *
 * Settings that fail on the half that they were not chosen by are never told to reach the floor. Only
 * three of them are judged there, each far above the one before, so that what passes by luck stays
 * about as rare as the bounds say.
 */

import { isDeepStrictEqual } from 'node:util'
import { firstPassing, laddersOf, type Ladder } from '../autotune/lance-ladder.ts'
import type { LanceIndexKind, LanceSearchSettings } from '../domain/lance-table.ts'
import { measureLance, type LanceMeasured, type LanceQuestion } from './lance-queries.ts'
import type { LanceScale } from './lance-queries.ts'

/** More candidates than these are compared only where nothing reaches the floor with them. */
const REFINE_FACTOR_ENOUGH = 64

export interface LanceSolved {
  /** On the half that they were not chosen by. */
  readonly shown: LanceMeasured
  /** The lower bound reaches the floor. */
  readonly isReached: boolean
  /** What was measured on the way, on the other half. */
  readonly tried: readonly LanceMeasured[]
}

export interface LanceGoal {
  readonly kind: LanceIndexKind
  readonly rows: number
  readonly minRecall: number
  readonly onProgress: (done: number, total: number) => void
}

export interface LanceHalves {
  readonly tune: readonly LanceQuestion[]
  readonly heldOut: readonly LanceQuestion[]
}

/** Rows are sampled in the order of the table: each half has every second one. */
export function halvesOf(questions: readonly LanceQuestion[]): LanceHalves {
  return {
    tune: questions.filter((_, i) => i % 2 === 0),
    heldOut: questions.filter((_, i) => i % 2 === 1),
  }
}

export async function solveLance(
  scale: LanceScale,
  { tune, heldOut }: LanceHalves,
  { kind, rows, minRecall, onProgress }: LanceGoal,
): Promise<LanceSolved> {
  const tried: LanceMeasured[] = []
  const measure = async (settings: LanceSearchSettings): Promise<LanceMeasured> => {
    const known = tried.find((each) => isDeepStrictEqual(each.settings, settings))
    if (known !== undefined) return known
    const measured = await measureLance(scale, tune, settings)
    tried.push(measured)
    return measured
  }
  const reaches = ({ lcb }: LanceMeasured): boolean => lcb >= minRecall
  const halfWay = minRecall + (1 - minRecall) / 2
  const isSafe = ({ lcb }: LanceMeasured): boolean => lcb >= halfWay
  const ladders = laddersOf(kind, { rows, k: scale.k })
  const { passed, dearest } = await climb(ladders, { measure, reaches, onProgress })
  const [cheapest] = passed.toSorted((a, b) => a.tookUsP50 - b.tookUsP50)
  const highest = tried.reduce((a, b) => (isBetter(b, a) ? b : a))
  const show = (settings: LanceSearchSettings): Promise<LanceMeasured> =>
    measureLance(scale, heldOut, settings)
  const shown = await show((cheapest ?? highest).settings)
  if (cheapest === undefined || reaches(shown)) {
    return { shown, isReached: cheapest !== undefined, tried }
  }
  const { refineFactor } = cheapest.settings
  const own = ladders.flat().filter((rung) => rung.refineFactor === refineFactor)
  // With short codes nothing of that refine factor may come so far: then the best of all so far.
  const safe = (await firstPassing(own, measure, isSafe))?.measured ?? highest
  let best = shown
  for (const settings of [safe.settings, dearest].filter((each) => each !== undefined)) {
    const next = await show(settings)
    if (reaches(next)) return { shown: next, isReached: true, tried }
    if (next.recall > best.recall) best = next
  }
  return { shown: best, isReached: false, tried }
}

interface Climb {
  readonly measure: (settings: LanceSearchSettings) => Promise<LanceMeasured>
  readonly reaches: (measured: LanceMeasured) => boolean
  readonly onProgress: LanceGoal['onProgress']
}

/** The first that passes of each ladder, and the last rung of the last one that was climbed. */
async function climb(
  ladders: readonly Ladder[],
  { measure, reaches, onProgress }: Climb,
): Promise<{
  readonly passed: readonly LanceMeasured[]
  readonly dearest: LanceSearchSettings | undefined
}> {
  const passed: LanceMeasured[] = []
  let rungs = Infinity
  let dearest: LanceSearchSettings | undefined
  for (const [i, ladder] of ladders.entries()) {
    if (passed.length > 0 && (ladder[0]?.refineFactor ?? 0) > REFINE_FACTOR_ENOUGH) break
    onProgress(i, ladders.length)
    dearest = ladder.at(-1)
    const first = await firstPassing(ladder.slice(0, rungs), measure, reaches)
    if (first === null) continue
    passed.push(first.measured)
    // More is refined at a rung that is no lower: that costs more and is not needed.
    rungs = first.place
  }
  return { passed, dearest }
}

/** The higher lower bound; of equal ones the cheaper. */
function isBetter(one: LanceMeasured, other: LanceMeasured): boolean {
  return one.lcb > other.lcb || (one.lcb === other.lcb && one.tookUsP50 < other.tookUsP50)
}
