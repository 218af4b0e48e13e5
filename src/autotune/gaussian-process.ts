/**
 * A Gaussian process over few points of the plane, for guessing what was not measured.
 *
 * Matérn 5/2 with fixed length scales and a constant mean that is estimated with the points
 * (generalised least squares). No optimizer and no randomness: equal points give equal answers. A
 * hundred points at most: the cost is n³ / 6 once and n² for each guess.
 */

import { invariant } from '../lib/invariant.ts'

export type PlanePoint = readonly [number, number]

export interface Kernel {
  /** Distance along each axis over which values stay alike. */
  readonly lengthScales: PlanePoint
  /** Standard deviation of the values around their mean. */
  readonly amplitude: number
  /** Standard deviation of the noise in each measured value; above 0. */
  readonly noise: number
}

export interface Guess {
  readonly mean: number
  readonly deviation: number
}

export interface Observation {
  readonly at: PlanePoint
  readonly value: number
}

/** Below this a variance is rounding. */
const VARIANCE_MIN = 1e-12

/** @throws when there is no observation. */
export function gaussianProcess(
  observations: readonly Observation[],
  kernel: Kernel,
): (at: PlanePoint) => Guess {
  invariant(observations.length > 0, 'a Gaussian process has observations')
  const factor = cholesky(
    observations.map((a, i) =>
      observations.map(
        (b, j) => covariance(a.at, b.at, kernel) + (i === j ? kernel.noise ** 2 : 0),
      ),
    ),
  )
  const ones = solveLower(
    factor,
    Float64Array.from(observations, () => 1),
  )
  const values = solveLower(
    factor,
    Float64Array.from(observations, ({ value }) => value),
  )
  const mean = dot(ones, values) / dot(ones, ones)
  const residuals = Float64Array.from(observations, ({ value }) => value - mean)
  const weights = solveUpper(factor, solveLower(factor, residuals))
  return (at) => {
    const shared = Float64Array.from(observations, (one) => covariance(one.at, at, kernel))
    const explained = solveLower(factor, shared)
    const variance = kernel.amplitude ** 2 - dot(explained, explained)
    return {
      mean: mean + dot(shared, weights),
      deviation: Math.sqrt(Math.max(VARIANCE_MIN, variance)),
    }
  }
}

/** How much below `best` a value is expected to be, counting what is above as nothing. */
export function expectedImprovement(best: number, { mean, deviation }: Guess): number {
  const z = (best - mean) / deviation
  return (best - mean) * normalBelow(z) + deviation * normalDensity(z)
}

/** Matérn 5/2 of the distance in length scales. */
export function matern52(distance: number): number {
  const scaled = Math.sqrt(5) * distance
  return (1 + scaled + (scaled * scaled) / 3) * Math.exp(-scaled)
}

/** Lower triangular L with L Lᵀ = `matrix`. @throws when the matrix is not positive definite. */
export function cholesky(matrix: readonly (readonly number[])[]): Float64Array[] {
  const rows: Float64Array[] = []
  for (const [i, row] of matrix.entries()) {
    const next = new Float64Array(i + 1)
    for (const [j, above] of rows.entries()) {
      next[j] = ((row[j] ?? 0) - dotFirst(next, above, j)) / (above[j] ?? 1)
    }
    const left = (row[i] ?? 0) - dotFirst(next, next, i)
    invariant(left > 0, 'the covariance is positive definite')
    next[i] = Math.sqrt(left)
    rows.push(next)
  }
  return rows
}

function covariance(a: PlanePoint, b: PlanePoint, { lengthScales, amplitude }: Kernel): number {
  const x = (a[0] - b[0]) / lengthScales[0]
  const y = (a[1] - b[1]) / lengthScales[1]
  return amplitude ** 2 * matern52(Math.hypot(x, y))
}

function solveLower(factor: readonly Float64Array[], right: Float64Array): Float64Array {
  const solved = new Float64Array(right.length)
  for (const [i, row] of factor.entries()) {
    let sum = right[i] ?? 0
    for (let k = 0; k < i; k += 1) sum -= (row[k] ?? 0) * (solved[k] ?? 0)
    solved[i] = sum / (row[i] ?? 1)
  }
  return solved
}

function solveUpper(factor: readonly Float64Array[], right: Float64Array): Float64Array {
  const solved = Float64Array.from(right)
  for (let i = factor.length - 1; i >= 0; i -= 1) {
    const row = factor[i] ?? new Float64Array(0)
    const value = (solved[i] ?? 0) / (row[i] ?? 1)
    solved[i] = value
    for (let k = 0; k < i; k += 1) solved[k] = (solved[k] ?? 0) - (row[k] ?? 0) * value
  }
  return solved
}

function dot(a: Float64Array, b: Float64Array): number {
  return dotFirst(a, b, a.length)
}

/** Of the first `count` numbers. */
function dotFirst(a: Float64Array, b: Float64Array, count: number): number {
  let sum = 0
  for (let i = 0; i < count; i += 1) sum += (a[i] ?? 0) * (b[i] ?? 0)
  return sum
}

function normalDensity(z: number): number {
  return Math.exp((-z * z) / 2) / Math.sqrt(2 * Math.PI)
}

/** Share of a standard normal below `z`, to 1.5e-7 (Abramowitz and Stegun 7.1.26). */
function normalBelow(z: number): number {
  const x = Math.abs(z) / Math.SQRT2
  const t = 1 / (1 + 0.3275911 * x)
  const terms = [1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592]
  const tail = terms.reduce((sum, term) => (sum + term) * t, 0) * Math.exp(-x * x)
  return z < 0 ? tail / 2 : 1 - tail / 2
}
