/**
 * One live query, run again: exactly, and through graphs at several ef, all at one snapshot.
 */

import type { ShardQuery } from './search.ts'

export interface Probe {
  /** Searches this generation, or the published one where it is gone. */
  readonly generation: number
  readonly ef: number
}

export interface SampleRequest {
  /** By vector. */
  readonly query: ShardQuery
  readonly probes: readonly Probe[]
}

export interface SampledHits {
  /** Nearest first; both as long as there are hits. */
  readonly ids: readonly string[]
  readonly distances: readonly number[]
}

export interface SampledProbe extends SampledHits, Probe {
  /** Microseconds of CPU. */
  readonly cpuUs: number
}

export interface RecallSample {
  /** Of the exact search. */
  readonly truth: SampledHits
  /** In the order of the probes that were asked for. */
  readonly probes: readonly SampledProbe[]
  readonly generation: number
  readonly lsn: number
  readonly livePoints: number
  /** Live points that match the filter. */
  readonly matching: number
  /** Microseconds of the steps of all of it, by the clock: CPU time is counted in coarser ticks. */
  readonly workUs: number
}

/** Distances up to this share beyond the k-th count as tied with it. */
const TIE_SHARE = 1e-6

/**
 * Hits of an approximate search: those no farther than the farthest true one. Equal distances are
 * equally right, whichever id stands for them.
 */
export function countHits(found: readonly number[], truth: readonly number[]): number {
  const last = truth.at(-1)
  if (last === undefined) return 0
  const bound = last + TIE_SHARE * Math.max(Math.abs(last), 1e-3)
  let hits = 0
  for (const distance of found) if (distance <= bound) hits += 1
  return Math.min(hits, truth.length)
}
