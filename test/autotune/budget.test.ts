/**
 * What tuning may take from serving.
 */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import fc from 'fast-check'
import type { BudgetAnswer, BudgetQuestion, BudgetState } from '../../src/autotune/budget.ts'
import {
  askBudget,
  BUDGET_DEFAULTS,
  BUDGET_STEP_MAX_MS,
  passTime,
  recordLiveP99,
  startBudget,
  suffersLiveLatency,
  trialEnded,
  trialStarted,
} from '../../src/autotune/budget.ts'

const MINUTE_MS = 60_000
const HOUR_MS = 3_600_000
const SETTINGS = BUDGET_DEFAULTS
const QUESTION: BudgetQuestion = { predictedBytes: 100, headroomBytes: 1000, liveP99Ms: null }

function ask(state: BudgetState, change: Partial<BudgetQuestion> = {}): BudgetAnswer {
  return askBudget(state, { ...QUESTION, ...change }, SETTINGS)
}

/** Passes time as an agent does that wakes every minute. */
function wait(from: BudgetState, ms: number): BudgetState {
  let state = from
  for (let left = ms; left > 0; left -= MINUTE_MS) {
    state = passTime(state, state.time.lastMs + Math.min(left, MINUTE_MS), SETTINGS)
  }
  return state
}

function trial(state: BudgetState, cpuMs = 1000): BudgetState {
  return trialEnded(trialStarted(state), cpuMs)
}

it('a fresh budget allows a trial', () => {
  assert.deepEqual(ask(startBudget(0, SETTINGS)), { allowed: true, reason: null, retryAtMs: null })
})

it('after a trial comes the cooldown, and it says until when', () => {
  const state = trial(startBudget(5000, SETTINGS))
  const answer = ask(state)
  assert.equal(answer.reason, 'cooldown')
  assert.equal(answer.retryAtMs, 5000 + SETTINGS.cooldownMs)
  assert.equal(ask(passTime(state, answer.retryAtMs, SETTINGS)).allowed, true)
})

it('the seventh trial within an hour waits for the first to be an hour old', () => {
  let state = startBudget(0, SETTINGS)
  for (let i = 0; i < 6; i += 1) state = wait(trial(state), 2 * MINUTE_MS)
  assert.equal(ask(state).reason, 'trials_per_hour')
  assert.equal(ask(wait(state, 47 * MINUTE_MS)).reason, 'trials_per_hour')
  assert.equal(ask(wait(state, 48 * MINUTE_MS)).allowed, true)
})

it('a trial that cost more than an hour of the share is paid back first', () => {
  const state = trial(startBudget(0, SETTINGS), HOUR_MS)
  const later = wait(state, 2 * HOUR_MS)
  assert.equal(ask(later).reason, 'cpu_share')
  assert.equal(ask(wait(later, HOUR_MS + MINUTE_MS)).allowed, true)
})

it('a build that does not fit, or of which nothing is known, is not begun', () => {
  const state = startBudget(0, SETTINGS)
  assert.equal(ask(state, { predictedBytes: 800 }).allowed, true)
  assert.equal(ask(state, { predictedBytes: 801 }).reason, 'memory')
  assert.equal(ask(state, { headroomBytes: null }).reason, 'memory')
  assert.equal(ask(state, { predictedBytes: NaN }).reason, 'memory')
  assert.equal(ask(state, { headroomBytes: -1 }).reason, 'memory')
})

it('trials wait while searches are 1.2 times slower than in the median of an hour', () => {
  let state = startBudget(0, SETTINGS)
  for (let i = 0; i < 9; i += 1) state = recordLiveP99(wait(state, MINUTE_MS), 10)
  assert.equal(suffersLiveLatency(state, 100, SETTINGS), false)
  state = recordLiveP99(wait(state, MINUTE_MS), 10)
  assert.equal(ask(state, { liveP99Ms: 12 }).allowed, true)
  assert.equal(ask(state, { liveP99Ms: 12.1 }).reason, 'live_latency')
  assert.equal(ask(state, { liveP99Ms: null }).allowed, true)
  assert.equal(recordLiveP99(state, 10), state)
  assert.equal(recordLiveP99(wait(state, MINUTE_MS), NaN).latencies.length, 10)
  assert.equal(wait(state, 2 * HOUR_MS).latencies.length, 0)
})

it('a clock set forward frees no hour of trials, set back it blocks nothing', () => {
  let state = startBudget(0, SETTINGS)
  for (let i = 0; i < 6; i += 1) state = wait(trial(state), 2 * MINUTE_MS)
  const ahead = passTime(state, state.time.lastMs + 1000 * HOUR_MS, SETTINGS)
  assert.equal(ask(ahead).reason, 'trials_per_hour')
  const back = passTime(state, 0, SETTINGS)
  const answer = ask(back)
  assert.ok(answer.retryAtMs !== null && answer.retryAtMs <= BUDGET_STEP_MAX_MS)
  assert.equal(ask(wait(back, HOUR_MS)).allowed, true)
})

it('it survives JSON', () => {
  const state = recordLiveP99(wait(trial(startBudget(0, SETTINGS)), 90_000), 10)
  assert.deepEqual(JSON.parse(JSON.stringify(state)), state)
})

it('no share, no trials: refused and never stuck', () => {
  const settings = { ...SETTINGS, trialsPerHourMax: 0 }
  assert.equal(askBudget(startBudget(0, settings), QUESTION, settings).reason, 'trials_per_hour')
  const none = { ...SETTINGS, cpuShare: 0 }
  const answer = askBudget(startBudget(0, none), QUESTION, none)
  assert.deepEqual([answer.reason, answer.retryAtMs], ['cpu_share', BUDGET_STEP_MAX_MS])
})

/** Steps of the wall clock: mostly minutes, sometimes a jump by up to a day. */
const clockSteps = fc.array(
  fc.oneof(
    { weight: 8, arbitrary: fc.integer({ min: 0, max: 10 * MINUTE_MS }) },
    { weight: 1, arbitrary: fc.integer({ min: -24 * HOUR_MS, max: 24 * HOUR_MS }) },
  ),
  { minLength: 50, maxLength: 300 },
)

it('whatever the clock does: trials and CPU stay within the share of the time that was watched', () => {
  let most = 0
  fc.assert(
    fc.property(clockSteps, fc.integer({ min: 1, max: 3 * HOUR_MS }), (steps, cpuMs) => {
      let state = startBudget(10 * HOUR_MS, SETTINGS)
      const starts: number[] = []
      let nowMs = 10 * HOUR_MS
      let watchedMs = 0
      for (const step of steps) {
        nowMs += step
        watchedMs += Math.min(BUDGET_STEP_MAX_MS, Math.max(0, step))
        state = passTime(state, nowMs, SETTINGS)
        const answer = ask(state)
        if (answer.allowed) {
          starts.push(watchedMs)
          state = trial(state, cpuMs)
        } else {
          assert.ok(answer.retryAtMs > nowMs && answer.retryAtMs <= nowMs + BUDGET_STEP_MAX_MS)
        }
        assert.ok(state.startsMs.length <= SETTINGS.trialsPerHourMax)
      }
      for (const [i, start] of starts.entries()) {
        const inHour = starts.slice(i).filter((other) => other < start + HOUR_MS).length
        assert.ok(inHour <= SETTINGS.trialsPerHourMax)
        most = Math.max(most, inHour)
      }
      const bound = SETTINGS.cpuShare * (watchedMs + HOUR_MS) + cpuMs
      assert.ok(starts.length * cpuMs <= bound)
    }),
    { numRuns: 200, seed: 5 },
  )
  assert.equal(most, SETTINGS.trialsPerHourMax)
})

it('who asks again when told to is let in: no deadlock', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 2 * HOUR_MS }), fc.integer(), (cpuMs, seed) => {
      let state = trial(startBudget(Math.abs(seed), SETTINGS), cpuMs)
      let answer = ask(state)
      for (let asked = 0; asked < 100 && answer.retryAtMs !== null; asked += 1) {
        state = passTime(state, answer.retryAtMs, SETTINGS)
        answer = ask(state)
      }
      assert.equal(answer.allowed, true)
    }),
    { numRuns: 100, seed: 6 },
  )
})
