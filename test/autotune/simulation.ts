/**
 * Simulated searches for the tests of live recall: a seeded generator, and queries whose recall
 * depends on ef, on the number of points and on how hard each of them is.
 *
 * The curve is that of the recorded surface of random data (M 16, efConstruction 200, 10,000 points),
 * interpolated over log(ef) and log(miss rate). With more points the same recall needs
 * points^growth as much ef, as measured from 2,000 to 10,000 points.
 */

import { ladderOf } from '../../src/autotune/ef-ladder.ts'
import type { RecallSample } from '../../src/autotune/live-recall.ts'

/** splitmix32. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x9e3779b9) | 0
    let mixed = Math.imul(state ^ (state >>> 16), 0x21f0aaad)
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97)
    return ((mixed ^ (mixed >>> 15)) >>> 0) / 2 ** 32
  }
}

export interface Surface {
  /** How much easier these points are than the recorded ones: 1 for random data. */
  readonly ease: number
  readonly growth: number
}

export const RANDOM_DATA: Surface = { ease: 1, growth: 0.43 }
export const SMOOTH_DATA: Surface = { ease: 5, growth: 0.05 }

/** [ef, miss rate] at 10,000 points, mean of the two query sets. */
const RECORDED = [
  [10, 0.407125],
  [14, 0.3205],
  [20, 0.233375],
  [28, 0.16],
  [40, 0.09625],
  [56, 0.05025],
  [80, 0.021875],
  [112, 0.009125],
  [160, 0.00225],
  [320, 0.000125],
] as const

/** Mean share of neighbours that are missed. */
export function missRate(surface: Surface, points: number, ef: number): number {
  const log = Math.log((ef * surface.ease) / (points / 10_000) ** surface.growth)
  const next = RECORDED.findIndex(([recorded]) => Math.log(recorded) > log)
  const high = next === -1 ? RECORDED.length - 1 : Math.max(1, next)
  const [efLow, missLow] = RECORDED[high - 1] ?? [1, 1]
  const [efHigh, missHigh] = RECORDED[high] ?? [2, 1]
  const share = (log - Math.log(efLow)) / Math.log(efHigh / efLow)
  return Math.min(1, Math.exp(Math.log(missLow) + share * Math.log(missHigh / missLow)))
}

/** The smallest ef whose mean recall meets the goal. */
export function oracleEf(surface: Surface, points: number, goal: number): number {
  let ef = 1
  while (1 - missRate(surface, points, ef) < goal) ef += 1
  return ef
}

export interface SimulatedQuery {
  readonly servedEf: number
  readonly atMs: number
  /** Mean miss rate at an ef. */
  readonly missAt: (ef: number) => number
  readonly generation?: number
  readonly k?: number
  /** Adds to the distances: other queries. */
  readonly distance?: number
}

/** Query to query the miss rate varies as an exponential: over-dispersion of about 1.5 at k 10. */
export function sampleQuery(query: SimulatedQuery, random: () => number): RecallSample {
  const k = query.k ?? 10
  const hardness = -Math.log(1 - random())
  const luck = Array.from({ length: k }, () => random())
  const efs = ladderOf(query.servedEf, { efMin: 1, efMax: 10_000 })
  const rungs = efs.map((ef) => {
    const miss = hardness * query.missAt(ef)
    return { ef, hits: luck.filter((value) => value >= miss).length }
  })
  const distance = (query.distance ?? 0) + random()
  return {
    generation: query.generation ?? 1,
    k,
    expected: k,
    selectivity: 1,
    servedEf: query.servedEf,
    rungs,
    firstDistance: distance,
    lastDistance: distance + random(),
    atMs: query.atMs,
  }
}
