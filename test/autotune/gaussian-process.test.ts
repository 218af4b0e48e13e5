/** Guarantees of the Gaussian process: numbers that were worked out by hand. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import {
  cholesky,
  expectedImprovement,
  gaussianProcess,
  matern52,
  type Kernel,
} from '../../src/autotune/gaussian-process.ts'
import { InvariantError } from '../../src/lib/invariant.ts'

const KERNEL: Kernel = { lengthScales: [2, 4], amplitude: 0.5, noise: 0.1 }

function near(actual: number, expected: number, within = 1e-9): void {
  assert.ok(Math.abs(actual - expected) <= within, `${actual} is not ${expected}`)
}

it('factors a matrix as by hand', () => {
  // [[4, 2], [2, 5]] = [[2, 0], [1, 2]] · [[2, 1], [0, 2]]
  const [first, second] = cholesky([
    [4, 2],
    [2, 5],
  ])
  assert.deepEqual([...(first ?? [])], [2])
  assert.deepEqual([...(second ?? [])], [1, 2])
})

it('refuses a matrix that is no covariance, and no observations', () => {
  const indefinite = [
    [1, 2],
    [2, 1],
  ]
  assert.throws(() => cholesky(indefinite), InvariantError)
  assert.throws(() => gaussianProcess([], KERNEL), InvariantError)
})

it('has the Matérn 5/2 values of the formula', () => {
  near(matern52(0), 1)
  // 1 + √5 + 5/3 = 4.902734644…, e^-√5 = 0.106888…
  near(matern52(1), (1 + Math.sqrt(5) + 5 / 3) * Math.exp(-Math.sqrt(5)))
  near(matern52(1), 0.5239941088318203)
})

it('with one observation answers what two lines of algebra give', () => {
  // The mean is the value itself, so the guess is the value everywhere; the variance is
  // a² - a⁴ r² / (a² + s²) with r the correlation.
  const guess = gaussianProcess([{ at: [0, 0], value: 3 }], KERNEL)
  const here = guess([0, 0])
  near(here.mean, 3)
  near(here.deviation ** 2, 0.25 - 0.25 ** 2 / 0.26)
  const away = guess([2, 0])
  near(away.mean, 3)
  near(away.deviation ** 2, 0.25 - (0.25 * 0.5239941088318203) ** 2 / 0.26)
})

it('with two observations answers what the inverse of a 2 × 2 matrix gives', () => {
  const guess = gaussianProcess(
    [
      { at: [0, 0], value: 1 },
      { at: [0, 4], value: 2 },
    ],
    KERNEL,
  )
  // Symmetric, so the mean is 1.5 and the residuals are -0.5 and 0.5: their weight is
  // ±0.5 / (a² + s² - c) with c = a² · matern(1).
  const c = 0.25 * 0.5239941088318203
  const weight = 0.5 / (0.26 - c)
  near(guess([0, 0]).mean, 1.5 - weight * 0.25 + weight * c)
  near(guess([0, 2]).mean, 1.5)
  near(guess([1000, 1000]).mean, 1.5)
  near(guess([1000, 1000]).deviation, 0.5)
})

it('expects the improvement of the formula', () => {
  // At the mean half of the density: s φ(0).
  near(expectedImprovement(1, { mean: 1, deviation: 0.5 }), 0.5 / Math.sqrt(2 * Math.PI), 1e-7)
  // z = 1: Φ(1) = 0.8413447, φ(1) = 0.2419707.
  near(expectedImprovement(2, { mean: 1, deviation: 1 }), 0.8413447461 + 0.2419707245, 1e-6)
  near(expectedImprovement(0, { mean: 1, deviation: 1 }), -0.1586552539 + 0.2419707245, 1e-6)
  near(expectedImprovement(1, { mean: 0, deviation: 1e-6 }), 1, 1e-6)
})

it('is fit for as many observations as a proposal may use', () => {
  const many = Array.from({ length: 96 }, (_, i) => ({
    at: [Math.floor(i / 12) / 4, (i % 12) / 4] as const,
    value: Math.sin(i),
  }))
  const { mean, deviation } = gaussianProcess(many, KERNEL)([1, 1])
  assert.ok(Number.isFinite(mean) && deviation > 0 && deviation < 0.5)
})
