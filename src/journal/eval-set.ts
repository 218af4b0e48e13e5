/**
 * An eval set: queries with their exact neighbours, against which trials are measured.
 *
 * Two halves: on the tune queries ef is chosen, on the held-out ones it is judged. They are disjoint,
 * also in what they look like: identical queries, and queries that were made from one point, are on
 * one side. A set that was named but has no queries yet is `empty`.
 */

import type { Metric } from '../domain/metric.ts'
import { seededRandom, shuffle } from '../lib/seeded-random.ts'
import type { QueryTruth } from './truth-source.ts'

export const EVAL_SOURCES = ['given', 'index', 'live'] as const
export type EvalSource = (typeof EVAL_SOURCES)[number]

/** Under so many queries in both halves together a set is weak: nothing is promoted by it. */
export const WEAK_BELOW = 400

/** A half needs one. */
export const QUERIES_MIN = 2
export const QUERIES_MAX = 10_000

/** Queries times k: what the truth of a set may hold. */
export const TRUTH_MAX = 1_000_000

/** Growth of the index, and deletes in it, after which the truth is no longer that of the index. */
const GROWTH_MAX = 0.1
const DELETES_MAX = 0.02

export interface EvalHalf {
  /** Row by row. */
  readonly queries: Float32Array
  /** For each query. */
  readonly truth: readonly QueryTruth[]
  /** For each query the point that its truth leaves out, or null. */
  readonly selfIds: readonly (string | null)[]
}

export interface EvalSet {
  readonly name: string
  readonly index: string
  readonly k: number
  readonly metric: Metric
  readonly dimension: number
  /** Null while it is empty. */
  readonly source: EvalSource | null
  /** Of the split. */
  readonly seed: number
  /** State of the index that the truth was computed from. */
  readonly lsn: number
  readonly points: number
  readonly createdMs: number
  readonly tune: EvalHalf
  readonly heldOut: EvalHalf
}

export const NO_QUERIES: EvalHalf = { queries: new Float32Array(0), truth: [], selfIds: [] }

export function isEmpty({ tune, heldOut }: EvalSet): boolean {
  return tune.truth.length + heldOut.truth.length === 0
}

export function isWeak({ tune, heldOut }: EvalSet): boolean {
  return tune.truth.length + heldOut.truth.length < WEAK_BELOW
}

/** What the index has become; `deletes` since the truth was computed, null where nobody counted. */
export interface IndexNow {
  readonly points: number
  readonly lsn: number
  readonly deletes: number | null
}

/** True where the index has moved so far that the truth does not hold for it. */
export function isStale(
  set: Pick<EvalSet, 'points' | 'lsn'>,
  { points, lsn, deletes }: IndexNow,
): boolean {
  // An index that knows less than the truth does is another one under the same name.
  if (lsn < set.lsn) return true
  const gone = deletes ?? Math.max(0, set.points - points)
  return points > set.points * (1 + GROWTH_MAX) || gone > set.points * DELETES_MAX
}

export interface Queries {
  readonly queries: Float32Array
  readonly dimension: number
  readonly metric: Metric
  readonly selfIds: readonly (string | null)[]
}

export interface Split {
  /** Rows, ascending. */
  readonly tune: readonly number[]
  readonly heldOut: readonly number[]
}

/**
 * Deals the queries out to two halves of about the same size, the same for the same seed. One half
 * is empty where all queries are the same.
 */
export function splitQueries(queries: Queries, seed: number): Split {
  const groups = shuffle(groupsOf(queries), seededRandom(seed))
  // Large groups first, so that the small ones can even the halves out.
  groups.sort((a, b) => b.length - a.length)
  const tune: number[] = []
  const heldOut: number[] = []
  for (const rows of groups) (tune.length <= heldOut.length ? tune : heldOut).push(...rows)
  return { tune: tune.sort(ascending), heldOut: heldOut.sort(ascending) }
}

/** Rows that must stay together: they look the same, or were made from the same point. */
function groupsOf(queries: Queries): number[][] {
  const leaders: number[] = []
  const firstWith = new Map<string, number>()
  for (const [row, selfId] of queries.selfIds.entries()) {
    leaders.push(row)
    const keys = [`v${looksOf(queries, row)}`, ...(selfId === null ? [] : [`i${selfId}`])]
    for (const key of keys) {
      const other = firstWith.get(key)
      if (other === undefined) firstWith.set(key, row)
      else leaders[leaderOf(leaders, row)] = leaderOf(leaders, other)
    }
  }
  const groups = new Map<number, number[]>()
  for (const row of leaders.keys()) {
    const leader = leaderOf(leaders, row)
    groups.set(leader, [...(groups.get(leader) ?? []), row])
  }
  return [...groups.values()]
}

function leaderOf(leaders: readonly number[], row: number): number {
  let leader = row
  for (let next = leaders[leader]; next !== undefined && next !== leader; next = leaders[leader]) {
    leader = next
  }
  return leader
}

/** Under cosine the length does not matter: directions that agree to six digits look the same. */
function looksOf({ queries, dimension, metric }: Queries, row: number): string {
  const vector = queries.subarray(row * dimension, (row + 1) * dimension)
  if (metric !== 'cosine') {
    // Adding 0 turns -0 into 0.
    return Buffer.from(vector.map((value) => value + 0).buffer).toString('latin1')
  }
  const length = Math.sqrt(vector.reduce((sum, value) => sum + value * value, 0))
  const direction = Int32Array.from(vector, (value) => Math.round((value / length) * 1e6))
  return Buffer.from(direction.buffer).toString('latin1')
}

function ascending(a: number, b: number): number {
  return a - b
}
