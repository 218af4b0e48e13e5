/** Guarantees of the choice of a champion. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { chooseChampion, type ChampionOptions } from '../../src/autotune/champion.ts'
import type { Trial } from '../../src/domain/trial.ts'
import { CONFIG, point, trial } from '../support/tuner-trials.ts'

const SLO: ChampionOptions = { objective: 'slo', goal: 0.95, current: CONFIG, costNoise: 0.02 }
const BUILD = { cpuS: 1, wallS: 1, bytes: 1000, predictedCpuS: null, cached: false }

function idOf(history: readonly Trial[], options = SLO): string | undefined {
  return chooseChampion(history, options)?.trial.trialId
}

it('is the cheapest trial whose lower bound meets the goal, at its smallest such ef', () => {
  const history = [
    trial({ seq: 1, config: { m: 8 }, curve: [point({ ef: 40, recall: 0.953, cpuUs: 10 })] }),
    trial({
      seq: 2,
      config: { m: 12 },
      curve: [
        point({ ef: 60, recall: 0.97, cpuUs: 80 }),
        point({ ef: 90, recall: 0.98, cpuUs: 70 }),
      ],
    }),
    trial({ seq: 3, config: { m: 24 }, curve: [point({ ef: 30, recall: 0.96, cpuUs: 95 })] }),
  ]
  const champion = chooseChampion(history, SLO)
  assert.equal(champion?.trial.trialId, 't-2')
  assert.equal(champion.point.ef, 60)
  assert.equal(champion.feasible, true)
})

it('prefers less memory, then a faster build, then what is near, between equal costs', () => {
  const equal = [point({ ef: 40, cpuUs: 100 })]
  const cheaper = [point({ ef: 40, cpuUs: 99 })]
  const pair = (dearer: { m: number; bytes: number; cpuS: number }): Trial[] => [
    trial({ seq: 1, config: { m: dearer.m }, curve: cheaper, build: { ...BUILD, ...dearer } }),
    trial({ seq: 2, config: { m: 24 }, curve: equal, build: { ...BUILD, bytes: 800, cpuS: 5 } }),
  ]
  assert.equal(idOf(pair({ m: 16, bytes: 900, cpuS: 1 })), 't-2')
  assert.equal(idOf(pair({ m: 16, bytes: 800, cpuS: 9 })), 't-2')
  assert.equal(idOf(pair({ m: 64, bytes: 800, cpuS: 5 })), 't-2')
  assert.equal(idOf(pair({ m: 16, bytes: 800, cpuS: 5 })), 't-1')
  assert.equal(idOf(pair({ m: 64, bytes: 900, cpuS: 9 }), { ...SLO, costNoise: 0 }), 't-1')
})

it('never lowers the goal: without a feasible trial it is the highest recall, marked so', () => {
  const history = [
    trial({ seq: 1, config: {}, curve: [point({ ef: 40, recall: 0.9, cpuUs: 1 })] }),
    trial({ seq: 2, config: { m: 32 }, curve: [point({ ef: 40, recall: 0.94 })] }),
  ]
  const champion = chooseChampion(history, SLO)
  assert.equal(champion?.trial.trialId, 't-2')
  assert.equal(champion.feasible, false)
})

it('by recall first: highest recall, then median latency, then build time', () => {
  const options: ChampionOptions = { ...SLO, objective: 'recall_first' }
  const one = (seq: number, recall: number, p50Us: number, cpuS: number): Trial =>
    trial({
      seq,
      config: { efSearch: 40 },
      curve: [point({ ef: 40, recall, p50Us }), point({ ef: 400, recall: 1, p50Us: 1 })],
      build: { ...BUILD, cpuS },
    })
  assert.equal(idOf([one(1, 0.9, 5, 1), one(2, 0.97, 90, 9)], options), 't-2')
  assert.equal(idOf([one(1, 0.97, 95, 1), one(2, 0.97, 90, 9)], options), 't-2')
  assert.equal(idOf([one(1, 0.97, 90, 9), one(2, 0.97, 90, 1)], options), 't-2')
})

it('believes no impossible number, no trial that did not end well and no second record', () => {
  const good = trial({ seq: 1, config: {}, curve: [point({ ef: 40, cpuUs: 50 })] })
  const lie = point({ ef: 10, recall: 0.99, recallLcb: 0.985, cpuUs: 1 })
  const bad = [
    trial({ seq: 2, config: {}, curve: [{ ...lie, recall: 1.2 }] }),
    trial({ seq: 3, config: {}, curve: [{ ...lie, recall: Number.NaN }] }),
    trial({ seq: 4, config: {}, curve: [{ ...lie, recallLcb: 0.995 }] }),
    trial({ seq: 5, config: {}, curve: [{ ...lie, cpuUs: 0 }] }),
    trial({ seq: 6, config: {}, curve: [{ ...lie, cpuUs: Infinity }] }),
    trial({ seq: 7, config: {}, curve: [{ ...lie, ef: 1.5 }] }),
    trial({ seq: 8, config: {}, curve: [lie], state: 'failed' }),
    trial({ seq: 9, config: { m: Number.NaN }, curve: [lie] }),
    trial({ seq: 1, trialId: 'copy', config: {}, curve: [lie] }),
  ]
  assert.equal(idOf([good, ...bad]), 't-1')
  assert.equal(chooseChampion(bad.slice(0, -1), SLO), null)
})
