/**
 * Decisions of the controller of ef, one by one.
 */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import type { EfDecision, EfFacts, EfState } from '../../src/autotune/ef-controller.ts'
import { decideEf, efRungs, startEf } from '../../src/autotune/ef-controller.ts'
import { ladderOf } from '../../src/autotune/ef-ladder.ts'
import type { EfEstimate } from '../../src/autotune/recall-window.ts'

const MINUTE_MS = 60_000
const SETTINGS = { goal: 0.95, efMin: 10, efMax: 500 }
const START = startEf({ generation: 1, ef: 100, points: 10_000 }, 0)

/** A curve over the rungs of 100: 50, 71, 100, 141, 200, 283. */
function curve(recalls: readonly number[], samples = 1000, width = 0.005): EfEstimate[] {
  return efRungs(START, SETTINGS).map((ef, i) => {
    const recall = recalls[i] ?? NaN
    return { ef, samples, recall, lcb: recall - width, ucb: recall + width }
  })
}

const HOLDS = curve([0.8, 0.92, 0.958, 0.98, 0.99, 0.995])
const SPARE = curve([0.9, 0.965, 0.98, 0.99, 0.995, 0.998])
const FAILS = curve([0.7, 0.8, 0.9, 0.94, 0.97, 0.99])

function facts(change: Partial<EfFacts> = {}): EfFacts {
  return {
    generation: 1,
    curve: HOLDS,
    isAlarmed: false,
    seen: 1000,
    latencyEfMax: null,
    promotedEf: 100,
    points: 10_000,
    pointsTuned: 10_000,
    deletedShare: 0,
    lid: null,
    lidTuned: null,
    queryDrift: null,
    ...change,
  }
}

function decide(change: Partial<EfFacts>, state: EfState = START, minutes = 1): EfDecision {
  return decideEf(state, facts(change), state.time.lastMs + minutes * MINUTE_MS, SETTINGS)
}

/** The same facts every minute, with 16 new samples each. */
function repeat(change: Partial<EfFacts>, times: number, from: EfState = START): EfDecision {
  let decision = decide(change, from)
  for (let i = 1; i < times; i += 1) {
    decision = decide({ ...change, seen: 1000 + 16 * i }, decision.state)
  }
  return decision
}

it('the ladder goes in steps of √2, within its bounds, with the served ef on it', () => {
  assert.deepEqual(ladderOf(100, SETTINGS), [50, 71, 100, 141, 200, 283])
  assert.deepEqual(ladderOf(10, SETTINGS), [10, 14, 20, 28])
  assert.deepEqual(ladderOf(400, SETTINGS), [200, 283, 400, 500])
  assert.deepEqual(ladderOf(600, SETTINGS), [300, 424, 500, 600])
})

it('under 100 samples it holds, whatever they say', () => {
  const few = curve([0, 0, 0, 0, 0, 0], 99)
  for (const change of [
    { curve: few, seen: 99 },
    { curve: few, seen: 99, isAlarmed: true },
  ]) {
    const decision = decide(change)
    assert.deepEqual([decision.action, decision.to], ['hold', 100])
    assert.match(decision.reason, /^99 samples/)
  }
  assert.equal(decide({ curve: [], seen: 0 }).action, 'hold')
})

it('an upper bound under the goal raises at once to the smallest ef that meets it', () => {
  const decision = decide({ curve: FAILS })
  assert.deepEqual([decision.action, decision.from, decision.to], ['raise', 100, 200])
  assert.match(decision.reason, /at most 0\.905.*200 meets it/)
  assert.equal(decision.data['recallUcb'], 0.905)
})

it('the alarm raises too, also where the samples since then are few', () => {
  const decision = decide({ curve: curve([0.8, 0.9, 0.95, 0.97, 0.99, 1], 40), isAlarmed: true })
  assert.deepEqual([decision.action, decision.to], ['raise', 141])
})

it('where no measured ef meets the goal it is half as much again, up to the cap', () => {
  const lost = curve([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
  assert.equal(decide({ curve: lost }).to, 150)
  assert.equal(decide({ curve: lost, latencyEfMax: 120.7 }).to, 120)
  const capped = decide({ curve: lost, latencyEfMax: 80 })
  assert.deepEqual([capped.action, capped.to], ['hold', 100])
  assert.match(capped.reason, /at its cap of 80/)
  assert.deepEqual(
    capped.signals.map(({ kind }) => kind),
    ['ef_at_cap'],
  )
})

it('it lowers one rung after three windows, and again ten minutes later at the earliest', () => {
  assert.equal(repeat({ curve: SPARE }, 2).action, 'hold')
  const lowered = repeat({ curve: SPARE }, 3)
  assert.deepEqual([lowered.action, lowered.to], ['lower', 71])
  const spare = (ef: number): EfEstimate[] => {
    return ladderOf(ef, SETTINGS).map((rung) => {
      return { ef: rung, samples: 1000, recall: 0.98, lcb: 0.97, ucb: 0.99 }
    })
  }
  const again = (times: number): EfDecision => repeat({ curve: spare(71) }, times, lowered.state)
  assert.equal(again(9).action, 'hold')
  assert.deepEqual([again(10).action, again(10).to], ['lower', 50])
})

it('it does not lower without the margin, with under 300 samples, or without new ones', () => {
  const tight = curve([0.9, 0.9599, 0.98, 0.99, 0.995, 0.998])
  assert.equal(repeat({ curve: tight }, 20).action, 'hold')
  const few = SPARE.map((estimate) => ({ ...estimate, samples: 299 }))
  assert.equal(repeat({ curve: few }, 20).action, 'hold')
  let state = START
  for (let i = 0; i < 20; i += 1) {
    const decision = decide({ curve: SPARE }, state)
    assert.equal(decision.action, 'hold')
    state = decision.state
  }
})

it('windows count in a row', () => {
  const twice = repeat({ curve: SPARE }, 2)
  const broken = decide({ curve: HOLDS, seen: 2000 }, twice.state)
  const after = decide({ curve: SPARE, seen: 3000 }, broken.state)
  assert.deepEqual([after.action, after.state.lowerWindows], ['hold', 1])
})

it('it never lowers under the smallest ef', () => {
  const state = startEf({ generation: 1, ef: 10, points: 1 }, 0)
  const estimates = [7, 10, 14].map((ef) => ({ ef, samples: 1000, recall: 1, lcb: 1, ucb: 1 }))
  assert.equal(repeat({ curve: estimates, promotedEf: 10 }, 5, state).to, 10)
})

it('recall that is not shown to hold is nudged up by a tenth after three windows', () => {
  const open = curve([0.8, 0.9, 0.951, 0.98, 0.99, 0.995])
  assert.equal(repeat({ curve: open }, 2).action, 'hold')
  const nudged = repeat({ curve: open }, 3)
  assert.deepEqual([nudged.action, nudged.to], ['raise', 111])
  const few = open.map((estimate) => ({ ...estimate, samples: 299 }))
  assert.equal(repeat({ curve: few }, 20).action, 'hold')
})

it('it grows ahead of the samples when points come, and not where samples show a margin', () => {
  assert.equal(decide({ curve: [], points: 10_499 }).action, 'hold')
  const grown = decide({ curve: [], points: 20_000, pointsTuned: 20_000 })
  assert.deepEqual([grown.action, grown.to], ['grow', Math.ceil(100 * 2 ** 0.3)])
  assert.equal(grown.state.efPoints, 20_000)
  assert.equal(decide({ curve: SPARE, points: 20_000 }).action, 'hold')
  assert.equal(decide({ curve: HOLDS, points: 20_000 }).action, 'grow')
  const none = startEf({ generation: 1, ef: 100, points: 0 }, 0)
  assert.equal(decide({ curve: [], points: 20_000 }, none).action, 'hold')
})

it('a new generation starts from the promoted ef again, also in the middle of a window', () => {
  const state = repeat({ curve: SPARE }, 2).state
  const decision = decide({ generation: 2, promotedEf: 64, pointsTuned: 5 }, state)
  assert.deepEqual([decision.action, decision.to, decision.state.lowerWindows], ['reset', 64, 0])
  assert.deepEqual([decision.state.generation, decision.state.efPoints], [2, 5])
})

it('it goes on after a restart where it was', () => {
  const { state } = repeat({ curve: SPARE }, 2)
  const restored: unknown = JSON.parse(JSON.stringify(state))
  assert.deepEqual(restored, state)
  const decision = decide({ curve: SPARE, seen: 5000 }, structuredClone(state))
  assert.equal(decision.action, 'lower')
})

it('a clock that jumps lowers nothing early and blocks nothing for long', () => {
  const lowered = repeat({ curve: SPARE }, 3)
  const back = { ...lowered.state, time: { ...lowered.state.time, lastMs: 1e12 } }
  const settings = { ...SETTINGS, efMin: 60 }
  const jumped = decideEf(back, facts({ curve: [] }), 0, settings)
  assert.equal(jumped.state.time.elapsedMs, back.time.elapsedMs)
  const ahead = decideEf(jumped.state, facts({ curve: [] }), 1e13, settings)
  assert.equal(ahead.state.time.elapsedMs - jumped.state.time.elapsedMs, 10 * MINUTE_MS)
})

it('every sign that the graph should be tuned again is told, once', () => {
  const ks = { distance: 0.3, p: 0.0005 }
  const all: Partial<EfFacts> = {
    curve: FAILS,
    promotedEf: 100,
    points: 12_000,
    deletedShare: 0.1,
    lid: 24,
    lidTuned: 20,
    queryDrift: { first: ks, last: { distance: 0, p: 1 }, samples: 200 },
  }
  const first = decide(all)
  assert.deepEqual(
    first.signals.map(({ kind }) => kind),
    ['ef_over_promoted', 'growth', 'deletes', 'lid_change', 'query_drift'],
  )
  assert.ok(first.signals.every(({ text }) => text.length > 10))
  assert.deepEqual(decide({ ...all, curve: [] }, first.state).signals, [])
})

it('just under its bound no sign is told', () => {
  const weak = { first: { distance: 0, p: 0.001 }, last: { distance: 0, p: 1 }, samples: 200 }
  const few = { first: { distance: 1, p: 0 }, last: { distance: 1, p: 0 }, samples: 199 }
  for (const queryDrift of [weak, few]) {
    const decision = decide({
      points: 11_999,
      deletedShare: 0.099,
      lid: 23.9,
      lidTuned: 20,
      queryDrift,
    })
    assert.deepEqual(decision.signals, [])
  }
})
