/**
 * Tests for paired measurements: both configurations answered the same block of queries.
 *
 * - signed rank (Wilcoxon, 1945): is the difference centred at zero? Pairs without a difference are
 *   left out. Up to `EXACT_PAIRS_MAX` pairs its distribution is computed, with midranks where sizes
 *   are equal; beyond it is the normal one, with the corrections for ties and continuity.
 * - Hodges and Lehmann (1963): how large is the difference? The median of all pairwise means, with
 *   the interval that the signed-rank test inverts to (Hollander and Wolfe, 3.2 and 3.3).
 * - sign test: how often is one better, however little?
 *
 * A difference is what the challenger measured minus what the champion measured, or the logarithm
 * of their ratio.
 */

import { invariant } from '../lib/invariant.ts'
import {
  coinSumDistribution,
  fairCoinUpperTail,
  normalUpperQuantile,
  normalUpperTail,
} from './p-values.ts'

const EXACT_PAIRS_MAX = 50

/** Pairwise means grow as the square: at 500 pairs they are sorted in a few milliseconds. */
export const SHIFT_PAIRS_MAX = 500

/** What is to be shown of the differences. */
export type Alternative = 'less' | 'greater' | 'two_sided'

export interface SignedRank {
  /** Sum of the ranks of positive differences. */
  readonly rankSum: number
  /** Pairs that differ. */
  readonly pairs: number
  /** 1 where no pair differs. */
  readonly p: number
  readonly exact: boolean
}

export interface Shift {
  readonly estimate: number
  /** Infinite where there are too few pairs for the confidence. */
  readonly lower: number
  readonly upper: number
  readonly pairs: number
}

export interface SignTest {
  readonly positive: number
  readonly negative: number
  /** 1 where no pair differs. */
  readonly p: number
}

export function signedRank(differences: readonly number[], alternative: Alternative): SignedRank {
  const { sizes, ranks } = rankSizes(differences)
  const pairs = sizes.length
  const rankSum = ranks.reduce((sum, rank, i) => ((sizes[i] ?? 0) > 0 ? sum + rank : sum), 0)
  if (pairs === 0) return { rankSum, pairs, p: 1, exact: true }
  const exact = pairs <= EXACT_PAIRS_MAX
  const tails = exact ? exactTails(rankSum, ranks) : normalTails(rankSum, ranks)
  return { rankSum, pairs, p: pickTail(tails, alternative), exact }
}

/**
 * How far the differences are shifted from zero; null for no differences.
 *
 * @param confidence of the two-sided interval, in (0, 1).
 */
export function hodgesLehmann(differences: readonly number[], confidence: number): Shift | null {
  const pairs = differences.length
  invariant(pairs <= SHIFT_PAIRS_MAX, `a shift is of at most ${SHIFT_PAIRS_MAX} pairs`)
  if (pairs === 0) return null
  const means = pairwiseMeans(differences)
  const rank = intervalRank(pairs, (1 - confidence) / 2)
  return {
    estimate: median(means),
    lower: rank < 1 ? -Infinity : at(means, rank - 1),
    upper: rank < 1 ? Infinity : at(means, means.length - rank),
    pairs,
  }
}

export function signTest(differences: readonly number[], alternative: Alternative): SignTest {
  const positive = differences.filter((difference) => difference > 0).length
  const negative = differences.filter((difference) => difference < 0).length
  const pairs = positive + negative
  if (pairs === 0) return { positive, negative, p: 1 }
  const tails = {
    upper: fairCoinUpperTail(positive, pairs),
    lower: fairCoinUpperTail(negative, pairs),
  }
  return { positive, negative, p: pickTail(tails, alternative) }
}

interface Tails {
  /** P(statistic >= observed) and P(statistic <= observed) where nothing differs. */
  readonly upper: number
  readonly lower: number
}

function pickTail({ upper, lower }: Tails, alternative: Alternative): number {
  if (alternative === 'greater') return Math.min(1, upper)
  if (alternative === 'less') return Math.min(1, lower)
  return Math.min(1, 2 * Math.min(upper, lower))
}

/** Differences without zeros, ascending in size, with the mean rank where sizes are equal. */
function rankSizes(differences: readonly number[]): { sizes: number[]; ranks: number[] } {
  invariant(
    differences.every((difference) => Number.isFinite(difference)),
    'differences are finite',
  )
  const sizes = differences
    .filter((difference) => difference !== 0)
    .sort((a, b) => Math.abs(a) - Math.abs(b))
  const ranks: number[] = []
  while (ranks.length < sizes.length) {
    const first = ranks.length
    const size = Math.abs(at(sizes, first))
    let end = first
    while (end < sizes.length && Math.abs(at(sizes, end)) === size) end += 1
    for (let i = first; i < end; i += 1) ranks.push((first + 1 + end) / 2)
  }
  return { sizes, ranks }
}

function exactTails(rankSum: number, ranks: readonly number[]): Tails {
  // Midranks end in .5, so twice the ranks are whole.
  const chance = coinSumDistribution(ranks.map((rank) => 2 * rank))
  const observed = Math.round(2 * rankSum)
  let lower = 0
  for (let sum = 0; sum <= observed; sum += 1) lower += at(chance, sum)
  return { lower, upper: 1 - lower + at(chance, observed) }
}

function normalTails(rankSum: number, ranks: readonly number[]): Tails {
  const pairs = ranks.length
  let ties = 0
  for (let i = 0; i < pairs;) {
    const equal = ranks.lastIndexOf(at(ranks, i)) + 1 - i
    ties += equal ** 3 - equal
    i += equal
  }
  const mean = (pairs * (pairs + 1)) / 4
  const sd = Math.sqrt((pairs * (pairs + 1) * (2 * pairs + 1)) / 24 - ties / 48)
  return {
    upper: normalUpperTail((rankSum - mean - 0.5) / sd),
    lower: normalUpperTail((mean - rankSum - 0.5) / sd),
  }
}

function pairwiseMeans(differences: readonly number[]): Float64Array {
  const pairs = differences.length
  const means = new Float64Array((pairs * (pairs + 1)) / 2)
  let next = 0
  for (let i = 0; i < pairs; i += 1) {
    for (let j = i; j < pairs; j += 1) {
      means[next] = (at(differences, i) + at(differences, j)) / 2
      next += 1
    }
  }
  return means.sort()
}

/** The rank of the pairwise mean that bounds the interval; under 1 where none does. */
function intervalRank(pairs: number, tail: number): number {
  if (pairs > EXACT_PAIRS_MAX) {
    const mean = (pairs * (pairs + 1)) / 4
    const sd = Math.sqrt((pairs * (pairs + 1) * (2 * pairs + 1)) / 24)
    return Math.floor(mean - normalUpperQuantile(tail) * sd)
  }
  const chance = coinSumDistribution(Array.from({ length: pairs }, (_, i) => i + 1))
  let lower = 0
  for (let rank = 0; rank < chance.length; rank += 1) {
    lower += at(chance, rank)
    if (lower > tail) return rank
  }
  return 0
}

function median(sorted: Float64Array): number {
  const middle = sorted.length / 2
  return (at(sorted, Math.ceil(middle) - 1) + at(sorted, Math.floor(middle))) / 2
}

function at(values: ArrayLike<number>, i: number): number {
  const value = values[i]
  invariant(value !== undefined, 'the index lies inside the array')
  return value
}
