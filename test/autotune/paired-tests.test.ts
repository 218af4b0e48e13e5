/**
 * The statistics of pairs against published values, and against SciPy 1.17 where none are printed.
 */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { kolmogorovTail, ksTest } from '../../src/autotune/ks-test.ts'
import {
  fairCoinUpperTail,
  normalUpperQuantile,
  normalUpperTail,
} from '../../src/autotune/p-values.ts'
import { hodgesLehmann, signedRank, signTest } from '../../src/autotune/paired-tests.ts'

/** Depression scores before and after, of R's help page of wilcox.test (Hollander and Wolfe, p. 29). */
const BEFORE = [1.83, 0.5, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.3]
const AFTER = [0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29]
const DEPRESSION = BEFORE.map((before, i) => before - (AFTER[i] ?? NaN))

/** Many equal sizes and two zeros. */
const TIED = Array.from(
  { length: 60 },
  (_, i) => Math.round((Math.sin((i + 1) * 1.7) + 0.2) * 10) / 10,
)

function near(actual: number | undefined, expected: number, tolerance = 1e-9): void {
  assert.ok(
    actual !== undefined && Math.abs(actual - expected) <= tolerance,
    `${actual} is not ${expected}`,
  )
}

it('signed rank: the example of R gives V = 40 and p = 0.01953', () => {
  const result = signedRank(DEPRESSION, 'greater')
  assert.equal(result.rankSum, 40)
  assert.equal(result.exact, true)
  near(result.p, 0.01953125)
  near(signedRank(DEPRESSION, 'two_sided').p, 0.0390625)
  near(signedRank(DEPRESSION, 'less').p, 0.986328125)
})

it('signed rank: with 60 pairs, ties and zeros it is SciPy’s normal approximation', () => {
  const result = signedRank(TIED, 'greater')
  assert.equal(result.exact, false)
  assert.equal(result.pairs, 58)
  assert.equal(result.rankSum, 1160.5)
  near(result.p, 0.009126671800713727)
  near(signedRank(TIED, 'two_sided').p, 0.018253343601427455)
})

it('signed rank: exact with ties is the share of all sign patterns', () => {
  const differences = [0.1, -0.1, 0.2, 0.2, 0.3, 0.3, -0.4, 0.5]
  const ranks = [1.5, 1.5, 3.5, 3.5, 5.5, 5.5, 7, 8]
  const observed = ranks.reduce((sum, rank, i) => sum + ((differences[i] ?? 0) > 0 ? rank : 0), 0)
  let atLeast = 0
  for (let signs = 0; signs < 256; signs += 1) {
    const sum = ranks.reduce((total, rank, i) => total + ((signs >> i) & 1) * rank, 0)
    if (sum >= observed) atLeast += 1
  }
  near(signedRank(differences, 'greater').p, atLeast / 256)
})

it('signed rank: nothing differs, nothing is shown; no number is refused', () => {
  assert.equal(signedRank([], 'two_sided').p, 1)
  assert.equal(signedRank([0, 0, 0], 'greater').p, 1)
  assert.throws(() => signedRank([1, NaN], 'greater'), /differences are finite/)
})

it('shift: the example of R gives 0.46, and 0.010 to 0.786 at 95 %', () => {
  const shift = hodgesLehmann(DEPRESSION, 0.95)
  near(shift?.estimate, 0.46)
  near(shift?.lower, 0.01)
  near(shift?.upper, 0.786)
})

it('shift: with fewer than 7 pairs there is no 98 % interval', () => {
  const six = hodgesLehmann([1, 2, 3, 4, 5, 6], 0.98)
  assert.deepEqual([six?.lower, six?.upper], [-Infinity, Infinity])
  const seven = hodgesLehmann([1, 2, 3, 4, 5, 6, 7], 0.98)
  assert.deepEqual([seven?.lower, seven?.upper], [1, 7])
  assert.equal(hodgesLehmann([], 0.98), null)
})

it('shift: the interval moves with the data and does not jump where the exact one ends', () => {
  const values = (pairs: number): number[] => {
    return Array.from({ length: pairs }, (_, i) => normalUpperQuantile((i + 0.5) / pairs))
  }
  const exact = hodgesLehmann(values(50), 0.98)
  const normal = hodgesLehmann(values(51), 0.98)
  near(normal?.lower, exact?.lower ?? NaN, 0.01)
  const moved = hodgesLehmann(
    values(51).map((value) => value + 5),
    0.98,
  )
  near(moved?.lower, (normal?.lower ?? NaN) + 5)
  assert.throws(() => hodgesLehmann(values(501), 0.98), /at most 500 pairs/)
})

it('sign test: 8 of 10 is 56 of 1,024; 1,060 of 2,000 is SciPy’s', () => {
  const differences = [1, 2, 3, 4, 5, 6, 7, 8, -1, -2, 0]
  const { positive, negative, p } = signTest(differences, 'greater')
  assert.deepEqual([positive, negative], [8, 2])
  near(p, 0.0546875)
  near(signTest(differences, 'two_sided').p, 0.109375)
  near(fairCoinUpperTail(1060, 2000), 0.0038885594509893715, 1e-10)
  assert.equal(signTest([0], 'less').p, 1)
})

it('the normal tail and its quantile are SciPy’s to twelve digits', () => {
  near(normalUpperTail(1.96), 0.024997895148220435, 1e-13)
  near(normalUpperTail(-1), 0.8413447460685429, 1e-13)
  near(normalUpperTail(6) / 9.865876450376946e-10, 1, 1e-9)
  near(normalUpperQuantile(0.05), 1.6448536269514722, 1e-10)
  near(normalUpperQuantile(0.01), 2.3263478740408408, 1e-10)
})

it('Kolmogorov and Smirnov: distance and p are SciPy’s', () => {
  near(kolmogorovTail(1), 0.26999967167735456, 1e-12)
  near(kolmogorovTail(1.36), 0.0494858768, 1e-9)
  const first = Array.from({ length: 60 }, (_, i) => Math.sin((i + 1) * 1.3))
  const second = Array.from({ length: 45 }, (_, i) => Math.sin((i + 1) * 0.9) * 1.4 + 0.3)
  const result = ksTest(first, second)
  near(result?.distance, 0.3111111111111111)
  // SciPy: exact 0.01106, asymptotic without the correction 0.00984.
  assert.ok(result !== null && result.p > 0.009 && result.p < 0.0115)
})

it('Kolmogorov and Smirnov: equal values are one step, an empty sample is no sample', () => {
  assert.deepEqual(ksTest([1, 1, 1, 2], [1, 1, 1, 2]), { distance: 0, p: 1 })
  assert.equal(ksTest([1, 1], [2, 2])?.distance, 1)
  assert.equal(ksTest([], [1]), null)
  assert.throws(() => ksTest([NaN, 1], [1]), /samples hold numbers/)
})
