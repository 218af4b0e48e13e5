/**
 * What a sample of queries says about recall: its mean, and how low the true one may be.
 *
 * The unit is the query: its neighbours are found or missed together, so bounds that count neighbours
 * as independent (Clopper and Pearson on hits) are too narrow. The lower bound is the lowest of three,
 * each one-sided at 95 %:
 *
 * - t: R - t(0.95, n-1) · s / √n (Student, 1908), with s at least √(R(1-R)/k), the deviation of
 *   k independent neighbours: a small sample may happen to show less.
 * - bootstrap: the 5 % quantile of the mean of n queries drawn anew from the n (Efron, 1979). Few
 *   queries are resampled, with a fixed seed. For many, that quantile is computed: the mean of n draws
 *   has the known cumulants of the sample over powers of n, and the expansion of Cornish and Fisher
 *   (1938) to its skewness and kurtosis is off by less than the noise of 1,000 resamples.
 * - few misses: where hardly anything was missed the sample cannot show its deviation, and the first
 *   two would say 1 for a perfect one. The number of misses is taken as Poisson (Garwood, 1936): for
 *   none of them at most 3.0 were to be expected, the rule of three (Hanley and Lippman-Hand, 1983).
 *   Neighbours are missed together, so the margin is widened by an over-dispersion of 1.25, which the
 *   sample itself takes over from as it shows misses.
 *
 * Measured, n = 200 to 500, k = 10: with an over-dispersion of 1.25 the lower bound lies above the truth
 * in 4 to 6 % of samples. Where misses come in clusters it is less honest: with an over-dispersion of
 * 5 in 6 % at a recall of 0.95, and in 14 % at 0.99 with 200 queries.
 *
 * The upper bound is the same for misses instead of hits. What no sample of n shows stays unknown:
 * queries that fail as a whole, and make up less than 3/n of all, are most likely not among them.
 */

import { invariant } from '../lib/invariant.ts'
import { seededRandom } from '../lib/seeded-random.ts'

export interface RecallSample {
  /** Hits of each query, at most k. */
  readonly hits: Uint16Array
  /** Neighbours that a query could hit. */
  readonly k: number
}

export interface RecallEstimate {
  readonly queries: number
  readonly recall: number
  /** One-sided bounds at 95 %: each holds with that probability, both together with 90 %. */
  readonly lcb: number
  readonly ucb: number
  /** Recall that nine of ten queries have at least: the nearest rank. */
  readonly p10: number
}

/** One-sided 95 % quantile of the normal distribution. */
const Z = 1.6448536269514722

/** Below this many queries the bootstrap draws, from here on it computes. */
const RESAMPLED_BELOW = 50
const RESAMPLES = 1000
const RESAMPLE_SEED = 0x5eed

/** Variance of hits over that of independent neighbours where the sample is too good to show it. */
const OVER_DISPERSION = 1.25

/** Misses at which half of that is left to the sample. */
const SHOWING_MISSES = 100

/** Moments of the recall of single queries. */
interface Moments {
  readonly n: number
  readonly mean: number
  /** Of the sample as a population: over n. */
  readonly variance: number
  readonly skewness: number
  /** Above that of the normal distribution. */
  readonly kurtosis: number
}

/** O(n); needs at least one query. */
export function estimateRecall({ hits, k }: RecallSample): RecallEstimate {
  invariant(hits.length > 0 && k > 0, 'recall is estimated from queries')
  const counts = countHits(hits, k)
  const misses = counts.toReversed()
  const recall = momentsOf(counts).mean
  return {
    queries: hits.length,
    recall,
    lcb: lowerBound(counts),
    ucb: Math.max(recall, 1 - lowerBound(misses)),
    p10: rankOf(counts, 0.1),
  }
}

/** `counts[h]` queries have h hits. */
function countHits(hits: Uint16Array, k: number): Float64Array {
  const counts = new Float64Array(k + 1)
  for (const count of hits) {
    invariant(count <= k, 'a query hits no more than there is')
    counts[count] = (counts[count] ?? 0) + 1
  }
  return counts
}

function lowerBound(counts: Float64Array): number {
  const moments = momentsOf(counts)
  const k = counts.length - 1
  const bound = Math.min(
    studentBound(moments, k),
    bootstrapBound(counts, moments),
    fewMissesBound(moments, k),
  )
  return Math.min(moments.mean, Math.max(0, bound))
}

function studentBound({ n, mean, variance }: Moments, k: number): number {
  if (n === 1) return 0
  const sample = Math.sqrt((variance * n) / (n - 1))
  const floor = Math.sqrt((mean * (1 - mean)) / k)
  return mean - (studentQuantile(n - 1) * Math.max(sample, floor)) / Math.sqrt(n)
}

function bootstrapBound(counts: Float64Array, moments: Moments): number {
  return moments.n < RESAMPLED_BELOW ? resampled(counts, moments.n) : expanded(moments)
}

/** The nearest rank of 5 % among the means of samples that are drawn anew. */
function resampled(counts: Float64Array, n: number): number {
  const k = counts.length - 1
  const sample = new Float64Array(n)
  let filled = 0
  for (const [hits, count] of counts.entries()) {
    sample.fill(hits, filled, filled + count)
    filled += count
  }
  const random = seededRandom(RESAMPLE_SEED)
  const means = new Float64Array(RESAMPLES)
  for (let i = 0; i < RESAMPLES; i += 1) {
    let sum = 0
    for (let j = 0; j < n; j += 1) sum += sample[Math.floor(random() * n)] ?? 0
    means[i] = sum / (n * k)
  }
  return percentile(means.sort(), 0.05)
}

/** The same quantile for many queries, from the cumulants of the sample. */
function expanded({ n, mean, variance, skewness, kurtosis }: Moments): number {
  const z = -Z
  const skew = skewness / Math.sqrt(n)
  const w =
    z +
    ((z ** 2 - 1) * skew) / 6 +
    ((z ** 3 - 3 * z) * (kurtosis / n)) / 24 -
    ((2 * z ** 3 - 5 * z) * skew ** 2) / 36
  return mean + w * Math.sqrt(variance / n)
}

function fewMissesBound({ n, mean }: Moments, k: number): number {
  const misses = n * k * (1 - mean)
  const margin = poissonUpper(misses) - misses
  const dispersion = 1 + (OVER_DISPERSION - 1) / (1 + misses / SHOWING_MISSES)
  return mean - (margin * Math.sqrt(mean * dispersion)) / (n * k)
}

/**
 * The mean that a Poisson count is at most, with 95 %: half the chi-square quantile of 2(count + 1)
 * degrees of freedom, by the cube of Wilson and Hilferty (1931). Within 0.4 % of the exact one.
 */
export function poissonUpper(count: number): number {
  const shape = count + 1
  return shape * (1 - 1 / (9 * shape) + Z / (3 * Math.sqrt(shape))) ** 3
}

/** Exact to three digits for few degrees, where the expansion below is not. */
const STUDENT = [
  ...[6.314, 2.92, 2.353, 2.132, 2.015, 1.943, 1.895, 1.86, 1.833, 1.812],
  ...[1.796, 1.782, 1.771, 1.761, 1.753, 1.746, 1.74, 1.734, 1.729, 1.725],
]

/** One-sided 95 % quantile of Student's t (expansion of Cornish and Fisher in 1 / degrees). */
export function studentQuantile(degrees: number): number {
  const known = STUDENT[degrees - 1]
  if (known !== undefined) return known
  const first = (Z ** 3 + Z) / 4
  const second = (5 * Z ** 5 + 16 * Z ** 3 + 3 * Z) / 96
  return Z + first / degrees + second / degrees ** 2
}

function momentsOf(counts: Float64Array): Moments {
  const k = counts.length - 1
  let [n, sum] = [0, 0]
  for (const [hits, count] of counts.entries()) {
    n += count
    sum += hits * count
  }
  const mean = sum / (n * k)
  const central = [0, 0, 0]
  for (const [hits, count] of counts.entries()) {
    if (count === 0) continue
    const off = hits / k - mean
    for (const power of [2, 3, 4]) {
      central[power - 2] = (central[power - 2] ?? 0) + (count * off ** power) / n
    }
  }
  const [variance = 0, third = 0, fourth = 0] = central
  if (variance === 0) return { n, mean, variance, skewness: 0, kurtosis: 0 }
  return {
    ...{ n, mean, variance },
    skewness: third / variance ** 1.5,
    kurtosis: fourth / variance ** 2 - 3,
  }
}

/** The recall at the nearest rank of `share` among the queries. */
function rankOf(counts: Float64Array, share: number): number {
  const n = counts.reduce((sum, count) => sum + count, 0)
  let left = Math.max(1, Math.ceil(share * n))
  for (const [hits, count] of counts.entries()) {
    left -= count
    if (left <= 0) return hits / (counts.length - 1)
  }
  return 1
}

/** The nearest rank of `share` in values that ascend; needs at least one. */
export function percentile(ascending: Float64Array, share: number): number {
  invariant(ascending.length > 0, 'a percentile is one of values')
  const rank = Math.max(1, Math.ceil(share * ascending.length))
  return ascending[rank - 1] ?? 0
}
