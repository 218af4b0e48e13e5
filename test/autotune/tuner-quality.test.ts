/** Guarantees of the tuner on recorded surfaces (T15), and of the replay that measures it. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import {
  DESIGN_EFFECT,
  meanRecallLowerBound,
  studentT95,
} from '../../bench/support/mean-recall-bound.ts'
import { fitStartLists } from '../../bench/support/start-fit.ts'
import { oracleCost, parseSurfaces, readSurfaces } from '../../bench/support/surface.ts'
import { leaveOneOut, scoreAll, scoreUnderNoise, tasksOf } from '../../bench/support/tuner-bench.ts'
import { fixedPick } from '../../bench/support/tuner-replay.ts'
import { scoreStrategy, type StrategyScore } from '../../bench/support/tuner-score.ts'
import { START_LISTS } from '../../src/autotune/start-portfolio.ts'
import { CONFIG } from '../support/tuner-trials.ts'

const surfaces = readSurfaces('bench/data')
const tasks = tasksOf(surfaces, 'sdc')

function meanAfter(score: StrategyScore, builds: number): number {
  return score[`score${builds}`]?.mean ?? Number.NaN
}

function meetsTargets(score: StrategyScore): void {
  assert.ok(meanAfter(score, 3) >= 0.95, String(meanAfter(score, 3)))
  assert.ok(meanAfter(score, 8) >= 0.98, String(meanAfter(score, 8)))
  assert.ok((score['score8']?.p10 ?? 0) >= 0.95)
  assert.ok(meanAfter(score, 16) >= 0.99, String(meanAfter(score, 16)))
  assert.ok(score.honesty >= 0.95, String(score.honesty))
}

it('meets the targets of the structured strategy, and beats every other one', () => {
  const { structured, ...others } = scoreAll(tasks)
  assert.ok(structured !== undefined)
  meetsTargets(structured)
  assert.deepEqual(Object.keys(others).sort(), [
    'default',
    'epsilon',
    'epsilon_curve',
    'grid',
    'random',
  ])
  for (const [name, score] of Object.entries(others)) {
    assert.ok(meanAfter(structured, 8) > meanAfter(score, 8), name)
  }
})

it('meets them also on surfaces that the start lists were not fitted to', () => {
  const left = leaveOneOut(tasks)
  assert.equal(left.length, surfaces.length)
  meetsTargets(scoreStrategy(left.flatMap(({ runs }) => runs)))
})

it('starts with the lists that the recorded surfaces give', () => {
  assert.deepEqual(fitStartLists(tasks), START_LISTS)
})

it('loses little to noise of three per cent on every cost', () => {
  assert.ok(meanAfter(scoreUnderNoise(tasks, 0.03), 8) >= 0.97)
})

it('bounds a mean recall from below by hand-worked numbers', () => {
  // t(399) = 1.64868; sd = √(1.27 · 0.95 · 0.05 / 10) = 0.0776692; / √400.
  const bound = meanRecallLowerBound({ recall: 0.95, queries: 400, k: 10 })
  assert.ok(Math.abs(bound - (0.95 - (1.64868 * 0.0776692) / 20)) < 1e-6)
  assert.equal(DESIGN_EFFECT, 1.27)
  assert.ok(Math.abs(studentT95(399) - 1.648682) < 1e-5)
  assert.ok(Math.abs(studentT95(20) - 1.724718) < 1e-4)
  assert.equal(meanRecallLowerBound({ recall: 1, queries: 400, k: 10 }), 1)
})

const HEAD = 'ds,n,M,efC,ef,buildcpu,builddc,recallA,recallB,sdc,scpu_us,p10'

it('counts as oracle only what meets the goal by its bound, and skips what no row meets', () => {
  const csv = [
    HEAD,
    'x,100,16,200,10,1,1,0.951,0.9,50,5,0.5',
    'x,100,16,200,40,1,1,0.97,0.9,90,9,0.6',
  ]
  const [surface] = parseSurfaces(csv.join('\n'), 'x')
  assert.ok(surface !== undefined)
  assert.equal(oracleCost(surface, 0.95, 'sdc'), 90)
  assert.equal(oracleCost(surface, 0.9, 'scpu_us'), 5)
  assert.deepEqual(
    tasksOf([surface], 'sdc').map(({ goal }) => goal),
    [0.9, 0.95],
  )
  assert.equal(fixedPick({ surface, goal: 0.95, column: 'sdc' }, CONFIG)?.row.ef, 40)
  assert.equal(fixedPick({ surface, goal: 0.99, column: 'sdc' }, CONFIG), null)
})

it('refuses a file that is no surface, by name and line', () => {
  assert.throws(() => parseSurfaces('a,b\n1,2', 'x'), /x: no column ds, n, M/)
  const bad = `${HEAD}\nx,100,16,200,10,1,1,,0.9,50,5,0.5`
  assert.throws(() => parseSurfaces(bad, 'x'), /x, line 2: recallA is not a number/)
  const high = `${HEAD}\nx,100,16,200,10,1,1,1.2,0.9,50,5,0.5`
  assert.throws(() => parseSurfaces(high, 'x'), /a recall is a share/)
  assert.throws(() => readSurfaces('test/fixtures/autotune'), /holds no surface/)
})
