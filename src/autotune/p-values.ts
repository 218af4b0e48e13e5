/**
 * Tails of the distributions that the tests of this folder need: normal, binomial with p 1/2, and
 * the signed-rank sum. Accurate to about 1e-12, so that a bound is a bound and not a rounding.
 *
 * The normal tail is its Taylor series near zero and Laplace's continued fraction beyond (Abramowitz
 * and Stegun, 26.2.11 and 26.2.14).
 */

import { invariant } from '../lib/invariant.ts'

/** Beyond it the continued fraction is the better of the two. */
const SERIES_X_MAX = 3
const FRACTION_DEPTH = 120
const BISECTIONS = 80

/** P(Z > x) of a standard normal Z. */
export function normalUpperTail(x: number): number {
  if (x < 0) return 1 - normalUpperTail(-x)
  const density = Math.exp((-x * x) / 2) / Math.sqrt(2 * Math.PI)
  if (x > SERIES_X_MAX) {
    let fraction = x
    for (let depth = FRACTION_DEPTH; depth >= 1; depth -= 1) fraction = x + depth / fraction
    return density / fraction
  }
  let term = x
  let sum = x
  for (let odd = 3; term > sum * 1e-17; odd += 2) {
    term *= (x * x) / odd
    sum += term
  }
  return 0.5 - density * sum
}

/** The x with P(Z > x) = tail; `tail` in (0, 1). */
export function normalUpperQuantile(tail: number): number {
  invariant(tail > 0 && tail < 1, 'a tail lies between 0 and 1')
  let low = -40
  let high = 40
  for (let step = 0; step < BISECTIONS; step += 1) {
    const middle = (low + high) / 2
    if (normalUpperTail(middle) > tail) low = middle
    else high = middle
  }
  return (low + high) / 2
}

/** P(B >= successes) of `trials` throws of a fair coin. */
export function fairCoinUpperTail(successes: number, trials: number): number {
  invariant(successes >= 0 && successes <= trials, 'there are at most as many successes as trials')
  if (successes === 0) return 1
  // Logarithms: 2^-trials is no number of its own from 1,075 trials on.
  let logCount = 0
  let tail = 0
  for (let count = trials; count >= successes; count -= 1) {
    tail += Math.exp(logCount - trials * Math.LN2)
    logCount += Math.log(count) - Math.log(trials - count + 1)
  }
  return Math.min(1, tail)
}

/**
 * The distribution of the sum of those `weights` (positive integers) whose coin shows heads.
 *
 * @returns at s, the probability that the sum is s. Costs weights × their sum.
 */
export function coinSumDistribution(weights: readonly number[]): Float64Array {
  const total = weights.reduce((sum, weight) => sum + weight, 0)
  const chance = new Float64Array(total + 1)
  chance[0] = 1
  let reach = 0
  for (const weight of weights) {
    reach += weight
    for (let sum = reach; sum >= 0; sum -= 1) {
      const without = chance[sum] ?? 0
      const having = sum >= weight ? (chance[sum - weight] ?? 0) : 0
      chance[sum] = (without + having) / 2
    }
  }
  return chance
}
