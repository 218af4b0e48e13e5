/** Bounds of recall: known values, and how often they are wrong where the truth is known. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import fc from 'fast-check'
import {
  estimateRecall,
  percentile,
  poissonUpper,
  studentQuantile,
} from '../../src/journal/recall-bound.ts'
import { seededNormal, seededRandom } from '../support/vectors.ts'

it('the quantiles of Student and of Poisson are those of the tables', () => {
  const student = [1, 2, 5, 10, 20, 21, 30, 60, 120, 1e6].map(studentQuantile)
  const known = [6.314, 2.92, 2.015, 1.812, 1.725, 1.7207, 1.6973, 1.6706, 1.6577, 1.6449]
  for (const [i, value] of student.entries()) assert.ok(Math.abs(value - (known[i] ?? 0)) < 5e-4)
  // Garwood: half the chi-square quantile of 2 (count + 1) degrees.
  const exact = [
    [0, 2.9957],
    [1, 4.7439],
    [2, 6.2958],
    [10, 16.9622],
    [100, 118.079],
  ] as const
  for (const [count, upper] of exact) {
    assert.ok(Math.abs(poissonUpper(count) / upper - 1) < 0.01, `${count}`)
  }
})

it('the mean, the tenth percentile and Student bound of a plain sample are known', () => {
  // Half the queries hit 8 of 10, half all: mean 0.9, deviation 0.1.
  const hits = Uint16Array.from({ length: 400 }, (_, i) => (i % 2 === 0 ? 8 : 10))
  const { queries, recall, lcb, ucb, p10 } = estimateRecall({ hits, k: 10 })
  assert.deepEqual([queries, recall, p10], [400, 0.9, 0.8])
  const margin = (1.6487 * 0.1 * Math.sqrt(400 / 399)) / Math.sqrt(400)
  // The deviation of the sample is above that of independent neighbours, 0.0949.
  assert.ok(lcb <= 0.9 - margin + 1e-6 && lcb > 0.9 - 1.15 * margin, `${lcb}`)
  assert.ok(ucb >= 0.9 + margin - 1e-6 && ucb < 0.9 + 1.3 * margin, `${ucb}`)
})

it('a perfect sample is no proof: the bound is the rule of three with its over-dispersion', () => {
  const lcbOf = (n: number): number =>
    estimateRecall({ hits: new Uint16Array(n).fill(10), k: 10 }).lcb
  for (const n of [2, 5, 50, 500]) {
    const rule = 1 - (3 * Math.sqrt(1.25)) / (n * 10)
    assert.ok(Math.abs(lcbOf(n) - rule) < 0.02 / n, `${n}: ${lcbOf(n)} ${rule}`)
  }
  assert.equal(lcbOf(1), 0)
})

it('a sample without any hit has a bound of 0 below and one above 0 above', () => {
  const none = estimateRecall({ hits: new Uint16Array(100), k: 10 })
  assert.deepEqual([none.recall, none.lcb, none.p10], [0, 0, 0])
  assert.ok(none.ucb > 0 && none.ucb < 0.01)
})

it('more misses never raise the bound where misses are few', () => {
  let before = 1
  for (let misses = 0; misses < 200; misses += 1) {
    const hits = new Uint16Array(500).fill(10)
    for (let i = 0; i < misses; i += 1) hits[i] = 9
    const { lcb } = estimateRecall({ hits, k: 10 })
    assert.ok(lcb < before, `${misses}`)
    before = lcb
  }
})

it('whatever the hits, bounds lie on their sides, and order does not matter', () => {
  const samples = fc
    .integer({ min: 1, max: 40 })
    .chain((k) =>
      fc.tuple(
        fc.constant(k),
        fc.array(fc.integer({ min: 0, max: k }), { minLength: 1, maxLength: 120 }),
      ),
    )
  fc.assert(
    fc.property(samples, ([k, counts]) => {
      const estimate = estimateRecall({ hits: Uint16Array.from(counts), k })
      const { recall, lcb, ucb, p10 } = estimate
      assert.ok(lcb >= 0 && lcb <= recall && recall <= ucb && ucb <= 1)
      assert.ok(p10 >= 0 && p10 <= 1)
      const turned = estimateRecall({ hits: Uint16Array.from(counts.toReversed()), k })
      assert.deepEqual(turned, estimate)
    }),
    { numRuns: 100 },
  )
})

it('more hits than there are neighbours, or no query, is a bug and not a recall', () => {
  assert.throws(() => estimateRecall({ hits: Uint16Array.of(11), k: 10 }), /invariant/)
  assert.throws(() => estimateRecall({ hits: new Uint16Array(0), k: 10 }), /invariant/)
})

it('the computed bootstrap quantile is the drawn one within the noise of 2,000 draws', () => {
  const random = seededRandom(5)
  for (const [n, recall] of [
    [50, 0.9],
    [200, 0.95],
    [400, 0.8],
  ] as const) {
    const hits = betaBinomial(random, { n, k: 10, recall, dispersion: 3 })
    const { lcb, recall: mean } = estimateRecall({ hits, k: 10 })
    const drawn = drawnQuantile(hits, random)
    // The bound is the lowest of three: it may be below the drawn one, never above it.
    assert.ok(lcb <= drawn + 0.1 * (mean - drawn), `n ${n}: ${lcb} above ${drawn}`)
    assert.ok(lcb >= drawn - 0.3 * (mean - drawn), `n ${n}: ${lcb} far below ${drawn}`)
  }
})

it('the lower bound is above the truth in at most about one of twenty samples', (t) => {
  const random = seededRandom(11)
  const cases = [
    { n: 500, k: 10, recall: 0.95, dispersion: 1.25 },
    { n: 500, k: 10, recall: 0.99, dispersion: 1.25 },
    { n: 200, k: 10, recall: 0.9, dispersion: 1.25 },
    { n: 200, k: 30, recall: 0.95, dispersion: 1.25 },
    { n: 40, k: 10, recall: 0.95, dispersion: 1.25 },
  ]
  for (const sample of cases) {
    const wrong = shareWrong(random, sample)
    t.diagnostic(`${JSON.stringify(sample)}: ${(100 * wrong).toFixed(1)} %`)
    // 1,000 samples: the standard error of 5 % is 0.7 points.
    assert.ok(wrong <= 0.07, `${JSON.stringify(sample)}: ${wrong}`)
  }
})

it('where misses come in clusters the bound is wrong more often, and not without measure', (t) => {
  const random = seededRandom(12)
  const wrong = shareWrong(random, { n: 500, k: 10, recall: 0.95, dispersion: 5 })
  t.diagnostic(`over-dispersion 5: ${(100 * wrong).toFixed(1)} %`)
  assert.ok(wrong <= 0.09, `${wrong}`)
})

it('a percentile is the nearest rank', () => {
  const values = Float64Array.of(1, 2, 3, 4)
  assert.deepEqual(
    [0, 0.25, 0.26, 0.5, 0.99, 1].map((share) => percentile(values, share)),
    [1, 1, 2, 2, 4, 4],
  )
  assert.throws(() => percentile(new Float64Array(0), 0.5), /invariant/)
})

interface Population {
  readonly n: number
  readonly k: number
  readonly recall: number
  /** Variance of the hits of a query over that of the binomial. */
  readonly dispersion: number
}

function shareWrong(random: () => number, population: Population): number {
  let wrong = 0
  for (let i = 0; i < 1000; i += 1) {
    const hits = betaBinomial(random, population)
    if (estimateRecall({ hits, k: population.k }).lcb > population.recall) wrong += 1
  }
  return wrong / 1000
}

function betaBinomial(random: () => number, population: Population): Uint16Array {
  const { n, k, recall, dispersion } = population
  const scale = (k - 1) / (dispersion - 1) - 1
  return Uint16Array.from({ length: n }, () => {
    const [a, b] = [gamma(random, recall * scale), gamma(random, (1 - recall) * scale)]
    let hits = 0
    for (let j = 0; j < k; j += 1) if (random() < a / (a + b)) hits += 1
    return hits
  })
}

/** Marsaglia and Tsang (2000). */
function gamma(random: () => number, shape: number): number {
  if (shape < 1) return gamma(random, shape + 1) * (1 - random()) ** (1 / shape)
  const normal = seededNormal(random)
  const d = shape - 1 / 3
  for (;;) {
    const x = normal()
    const v = (1 + x / Math.sqrt(9 * d)) ** 3
    if (v > 0 && Math.log(1 - random()) < x ** 2 / 2 + d - d * v + d * Math.log(v)) return d * v
  }
}

function drawnQuantile(hits: Uint16Array, random: () => number): number {
  const means = Float64Array.from({ length: 2000 }, () => {
    let sum = 0
    for (let i = 0; i < hits.length; i += 1) sum += hits[Math.floor(random() * hits.length)] ?? 0
    return sum / (hits.length * 10)
  })
  return percentile(means.sort(), 0.05)
}
