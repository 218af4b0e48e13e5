/** Guarantees of the plan by which ef is solved. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import fc from 'fast-check'
import {
  EF_MAX,
  efHint,
  efLadder,
  nextEf,
  NO_HINT,
  solvedEf,
  type EfMeasurement,
  type EfPlan,
} from '../../src/autotune/ef-solver.ts'
import { RECALL_GOALS } from '../../src/domain/trial.ts'
import { point, trial } from '../support/tuner-trials.ts'

const PLAN: EfPlan = { k: 10, efMax: EF_MAX, goals: RECALL_GOALS, resolution: 0, hint: NO_HINT }

/** Asks until the plan is content. */
function solve(plan: EfPlan, lcbAt: (ef: number) => number): EfMeasurement[] {
  const measured: EfMeasurement[] = []
  for (let ef = nextEf(measured, plan); ef !== null; ef = nextEf(measured, plan)) {
    assert.ok(ef >= plan.k && ef <= plan.efMax, `${ef} is within k and the largest ef`)
    assert.ok(!measured.some((one) => one.ef === ef), `${ef} is asked once`)
    assert.ok(measured.length < 100, 'the plan ends')
    measured.push({ ef, recallLcb: lcbAt(ef) })
  }
  return measured
}

it('climbs the ladder of the design', () => {
  assert.deepEqual(
    efLadder(10, 1000),
    [10, 12, 16, 20, 30, 40, 60, 80, 120, 160, 240, 320, 480, 640, 960, 1000],
  )
  assert.deepEqual(efLadder(10, 10), [10])
  assert.deepEqual(efLadder(1, 5), [1, 2, 3, 4, 5])
})

it('finds the smallest ef of every goal, whatever the curve, the k and the hint', () => {
  const thresholds = fc.tuple(fc.integer({ min: 1, max: 3000 }), fc.integer({ min: 1, max: 300 }))
  const hint = fc.record({
    atLeast: fc.option(fc.integer({ min: 1, max: 2000 })),
    atMost: fc.option(fc.integer({ min: 1, max: 2000 })),
  })
  fc.assert(
    fc.property(thresholds, fc.integer({ min: 1, max: 200 }), hint, ([first, gap], k, expected) => {
      const needs = [first, first + gap, first + 3 * gap]
      const lcbAt = (ef: number): number =>
        0.5 + [0.4, 0.05, 0.04].reduce((sum, add, i) => sum + (ef >= (needs[i] ?? 0) ? add : 0), 0)
      const measured = solve({ ...PLAN, k, hint: expected }, (ef) => lcbAt(ef) + 1e-9)
      for (const [i, goal] of RECALL_GOALS.entries()) {
        const need = Math.max(k, needs[i] ?? 0)
        assert.equal(solvedEf(measured, goal), need <= 1000 ? need : null)
      }
    }),
    { numRuns: 500 },
  )
})

it('spends about eight probes where two per cent are near enough, fewer with good hints', () => {
  const lcbAt = (ef: number): number => 1 - 2 / ef
  const one = { ...PLAN, goals: [0.95], resolution: 0.05 }
  const blind = solve(one, lcbAt)
  assert.ok(blind.length <= 10, String(blind.length))
  const hinted = solve({ ...one, hint: { atLeast: 36, atMost: 44 } }, lcbAt)
  assert.ok(hinted.length < blind.length, String(hinted.length))
})

it('ends on curves that dip and on measurements that are no numbers', () => {
  const dips = solve(PLAN, (ef) => (ef % 3 === 0 ? 0.85 : 0.96))
  assert.notEqual(solvedEf(dips, 0.9), null)
  assert.equal(
    solvedEf(
      solve(PLAN, () => Number.NaN),
      0.9,
    ),
    null,
  )
})

it('hints at an ef from denser and from sparser graphs of the history', () => {
  const reaches = (m: number, efConstruction: number, ef: number, seq: number) =>
    trial({ seq, config: { m, efConstruction }, curve: [point({ ef, recall: 0.97 })] })
  const history = [reaches(8, 100, 90, 0), reaches(32, 300, 40, 1), reaches(8, 400, 70, 2)]
  const cell = { m: 16, efConstruction: 200 }
  assert.deepEqual(efHint(history, cell, 0.95), { atLeast: 40, atMost: 90 })
  assert.deepEqual(efHint(history, cell, 0.99), NO_HINT)
})
