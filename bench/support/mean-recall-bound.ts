/**
 * The lower bound of a recall of which only the mean over queries was kept.
 *
 * The bound over single queries needs their hits; a recorded surface has none. It holds the mean of n
 * queries, so their deviation is taken from the binomial one of k neighbours, widened by the design
 * effect that was measured: neighbours of one query are found or missed together.
 */

import { invariant } from '../../src/lib/invariant.ts'

/** 0.95 to 1.27 was measured on data without clusters; the largest is taken. */
export const DESIGN_EFFECT = 1.27

const Z_95 = 1.6448536269514722

export interface MeanRecallSample {
  /** In [0, 1]. */
  readonly recall: number
  readonly queries: number
  readonly k: number
  readonly designEffect?: number
}

/** One-sided, 95 %: mean - t · sd / √queries with sd = √(design effect · R (1 - R) / k). */
export function meanRecallLowerBound({
  recall,
  queries,
  k,
  designEffect = DESIGN_EFFECT,
}: MeanRecallSample): number {
  invariant(recall >= 0 && recall <= 1, 'a recall is a share')
  invariant(queries >= 2 && k >= 1, 'a mean of queries has a deviation')
  const deviation = Math.sqrt((designEffect * recall * (1 - recall)) / k)
  return recall - (studentT95(queries - 1) * deviation) / Math.sqrt(queries)
}

/** The 95 % quantile of Student's t, by the series of Cornish and Fisher; to 1e-4 from 20 degrees. */
export function studentT95(degrees: number): number {
  const z = Z_95
  const first = (z ** 3 + z) / 4
  const second = (5 * z ** 5 + 16 * z ** 3 + 3 * z) / 96
  const third = (3 * z ** 7 + 19 * z ** 5 + 17 * z ** 3 - 15 * z) / 384
  return z + first / degrees + second / degrees ** 2 + third / degrees ** 3
}
