/**
 * What live recall claims, and when it raises its alarm.
 */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import type { RecallSample } from '../../src/autotune/live-recall.ts'
import {
  AGE_MAX_MS,
  ALARM_THRESHOLD,
  LiveRecall,
  SAMPLES_MIN,
  StratumMonitor,
  stratumOf,
} from '../../src/autotune/live-recall.ts'
import { RecallAlarm } from '../../src/autotune/recall-alarm.ts'
import { RecallSequence } from '../../src/autotune/recall-sequence.ts'
import { RecallWindow, WINDOW_SAMPLES } from '../../src/autotune/recall-window.ts'
import { sampleQuery, seeded } from './simulation.ts'

const GOAL = 0.95

/** A query that finds `hits` of 10 at every ef. */
function flat(hits: number, change: Partial<RecallSample> = {}): RecallSample {
  const rungs = [20, 40, 80].map((ef) => ({ ef, hits }))
  const distances = { firstDistance: 1, lastDistance: 2 }
  const base = { generation: 1, k: 10, expected: 10, selectivity: 1, servedEf: 40 }
  return { ...base, ...distances, rungs, atMs: 0, ...change }
}

/** Recall at one ef with the spread of real queries: over-dispersed, mean `recall`. */
function recallOf(recall: number, random: () => number): number {
  const query = { servedEf: 40, atMs: 0, missAt: () => 1 - recall }
  const rung = sampleQuery(query, random).rungs.find(({ ef }) => ef === 40)
  return (rung?.hits ?? 0) / 10
}

/** Samples until the alarm; `max` where none came. */
function runLength(recalls: () => number, goal: number, max: number): number {
  const alarm = new RecallAlarm(goal, ALARM_THRESHOLD)
  for (let count = 1; count <= max; count += 1) {
    alarm.add(recalls())
    if (alarm.isRaised) return count
  }
  return max
}

function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? NaN
}

function runs(recall: number, goal: number, max: number): number[] {
  return Array.from({ length: 60 }, (_, seed) => {
    const random = seeded(1000 + seed)
    return runLength(() => recallOf(recall, random), goal, max)
  })
}

it('at the goal, exactly, the alarm is false in at most 4 of 60 runs of 6,000 samples', () => {
  // The bound alone allows far more: the mean run is at least 1,000 samples by construction.
  const alarms = runs(GOAL, GOAL, 6000).filter((length) => length < 6000)
  assert.ok(alarms.length <= 4, `${alarms.length} alarms`)
})

it('for recall that is all or nothing, the mean run to a false alarm is over 1,000', () => {
  const lengths = Array.from({ length: 60 }, (_, seed) => {
    const random = seeded(seed)
    return runLength(() => (random() < GOAL ? 1 : 0), GOAL, 6000)
  })
  const mean = lengths.reduce((sum, length) => sum + length, 0) / lengths.length
  assert.ok(mean > 1000, `${mean}`)
})

it('a fall is found: 0.93 in about 320 samples, 0.90 in about 80, for a goal of 0.95', () => {
  const small = runs(0.93, GOAL, 6000)
  assert.ok(quantile(small, 0.5) < 400, `median ${quantile(small, 0.5)}`)
  assert.ok(quantile(small, 0.9) < 700, `p90 ${quantile(small, 0.9)}`)
  assert.ok(quantile(runs(0.9, GOAL, 6000), 0.5) < 130)
})

it('a step after a long good time is found within 600 samples, and the run points at it', () => {
  for (let seed = 0; seed < 20; seed += 1) {
    const random = seeded(500 + seed)
    const alarm = new RecallAlarm(GOAL, ALARM_THRESHOLD)
    const takes = (recall: number): boolean => {
      alarm.add(recallOf(recall, random))
      return alarm.isRaised
    }
    for (let i = 0; i < 2000; i += 1) assert.equal(takes(0.975), false)
    let count = 1
    while (!takes(0.9)) count += 1
    assert.ok(count <= 600 && alarm.run <= count + 200, `${alarm.run} after ${count}`)
  }
})

it('no sample moves the evidence by more than its bound, also where recall hardly varies', () => {
  const alarm = new RecallAlarm(0.5, ALARM_THRESHOLD)
  for (let i = 0; i < 500; i += 1) alarm.add(0.5)
  alarm.add(0)
  assert.ok(Math.abs(alarm.evidence - 1.75) < 1e-9, `${alarm.evidence}`)
  alarm.add(1)
  assert.ok(alarm.evidence >= 1.75 / 4 - 1e-9, `${alarm.evidence}`)
})

it('an alarm ends with a restart, or with enough good samples', () => {
  const alarm = new RecallAlarm(GOAL, ALARM_THRESHOLD)
  for (let i = 0; i < 100; i += 1) alarm.add(0)
  assert.equal(alarm.isRaised, true)
  alarm.add(1)
  assert.equal(alarm.isRaised, true)
  for (let i = 0; i < 1000; i += 1) alarm.add(1)
  assert.equal(alarm.isRaised, false)
  for (let i = 0; i < 100; i += 1) alarm.add(0)
  alarm.restart()
  assert.deepEqual([alarm.isRaised, alarm.evidence, alarm.run], [false, 1, 0])
})

it('the interval holds at every one of 2,000 looks in at least 95 % of runs', () => {
  const truth = 0.93 + 0.07 * 0.6
  const everyRun = Array.from({ length: 60 }, (_, seed) => {
    const random = seeded(seed)
    const sequence = new RecallSequence(0.95, GOAL)
    assert.equal(sequence.interval(), null)
    const looks = Array.from({ length: 2000 }, () => {
      sequence.add(random() < 0.93 ? 1 : 0.6)
      return sequence.interval() ?? { lower: NaN, upper: NaN }
    })
    const last = looks.at(-1) ?? { lower: 0, upper: 1 }
    const held = looks.every(({ lower, upper }) => lower <= truth && truth <= upper)
    return { held, width: last.upper - last.lower }
  })
  const held = everyRun.filter((run) => run.held).length
  assert.ok(held >= 57, `${held} of 60`)
  assert.ok(everyRun.every(({ width }) => width < 0.04))
})

it('nothing measured is unknown, and so is everything under 100 samples', () => {
  const live = new LiveRecall(GOAL, 1)
  const window = { samples: 0, ageMs: null }
  assert.deepEqual(live.slo(0), { goal: GOAL, window, budgetLeft: null, status: 'unknown' })
  for (let i = 1; i < SAMPLES_MIN; i += 1) live.add(flat(10))
  assert.equal(live.slo(0).status, 'unknown')
  live.add(flat(10))
  assert.deepEqual(live.slo(5), {
    goal: GOAL,
    window: { samples: 100, ageMs: 5 },
    budgetLeft: 1,
    status: 'ok',
  })
})

it('the status follows the bounds, and the budget the misses', () => {
  const monitor = (hits: readonly number[]): StratumMonitor => {
    const found = new StratumMonitor(GOAL)
    for (let i = 0; i < 200; i += 1) found.add(flat(hits[i % hits.length] ?? 0))
    return found
  }
  assert.equal(monitor([10]).slo(0).status, 'ok')
  const atGoal = monitor([10, 9]).slo(0)
  assert.equal(atGoal.status, 'at_risk')
  assert.ok(Math.abs(atGoal.budgetLeft ?? NaN) < 1e-9)
  const bad = monitor([8]).slo(0)
  assert.equal(bad.status, 'violated')
  assert.ok(Math.abs((bad.budgetLeft ?? NaN) + 3) < 1e-9)
})

it('old samples are no claim about now; a clock set back makes none older', () => {
  const live = new LiveRecall(GOAL, 1)
  for (let i = 0; i < 200; i += 1) live.add(flat(10, { atMs: 1000 }))
  assert.equal(live.slo(0).window.ageMs, 0)
  assert.equal(live.slo(1000 + AGE_MAX_MS).status, 'ok')
  assert.equal(live.slo(1001 + AGE_MAX_MS).status, 'unknown')
})

it('a new generation starts from nothing, and late samples of the old one are not counted', () => {
  const live = new LiveRecall(GOAL, 1)
  for (let i = 0; i < 200; i += 1) live.add(flat(10))
  assert.equal(live.add(flat(10, { generation: 2 })), 'counted')
  assert.equal(live.generation, 2)
  assert.equal(live.slo(0).status, 'unknown')
  assert.equal(live.add(flat(10)), 'other_generation')
  assert.equal(live.slo(0).window.samples, 1)
})

it('where everything is filtered out there was nothing to find: no sample, no perfect recall', () => {
  const live = new LiveRecall(GOAL, 1)
  const rungs = [{ ef: 40, hits: 0 }]
  const none = flat(0, { expected: 0, selectivity: 0, rungs })
  for (let i = 0; i < 200; i += 1) assert.equal(live.add(none), 'nothing_to_find')
  assert.equal(live.slo(0).status, 'unknown')
  assert.equal(live.strata().size, 0)
})

it('with k above the points, recall is of those that there are', () => {
  const live = new LiveRecall(GOAL, 1)
  for (let i = 0; i < 200; i += 1) live.add(flat(3, { k: 100, expected: 3 }))
  const monitor = live.strata().get('k=51-200,selectivity=1')
  assert.equal(monitor?.curve([40], 0)[0]?.recall, 1)
})

it('an impossible sample is a fault of ours', () => {
  const live = new LiveRecall(GOAL, 1)
  assert.throws(() => live.add(flat(10, { expected: 11 })), /at most k rows/)
  assert.throws(() => live.add(flat(11)), /no more is found/)
  const rungs = [
    { ef: 40, hits: 1 },
    { ef: 20, hits: 1 },
  ]
  assert.throws(() => live.add(flat(1, { rungs })), /rungs ascend/)
  assert.throws(() => live.add(flat(1, { rungs: [] })), /1 to 8 rungs/)
  assert.throws(() => live.add(flat(1, { k: NaN })), /at most k rows/)
  assert.throws(() => new LiveRecall(1, 1).add(flat(10)), /lies between 0 and 1/)
})

it('an index is as good as its worst stratum that is known', () => {
  const live = new LiveRecall(GOAL, 1)
  for (let i = 0; i < 150; i += 1) {
    live.add(flat(10))
    live.add(flat(8, { selectivity: 0.05 }))
  }
  live.add(flat(0, { k: 20 }))
  const statuses = [...live.strata()].map(([name, monitor]) => [name, monitor.slo(0).status])
  assert.deepEqual(statuses, [
    ['k=1-10,selectivity=1', 'ok'],
    ['k=1-10,selectivity=0.01-0.1', 'violated'],
    ['k=11-50,selectivity=1', 'unknown'],
  ])
  assert.equal(live.slo(0).status, 'violated')
  assert.equal(stratumOf({ k: 201, selectivity: 0.5 }), 'k=201-,selectivity=0.1-1')
  assert.equal(stratumOf({ k: 200, selectivity: 0 }), 'k=51-200,selectivity=0-0.01')
})

it('the window keeps the newest samples, and counts for an ef only between its rungs', () => {
  const window = new RecallWindow(GOAL)
  for (let i = 0; i < WINDOW_SAMPLES; i += 1) window.add(flat(0))
  for (let i = 0; i < WINDOW_SAMPLES / 2; i += 1) window.add(flat(10))
  assert.equal(window.seen, 1.5 * WINDOW_SAMPLES)
  assert.equal(window.estimate(40)?.samples, WINDOW_SAMPLES)
  assert.equal(window.estimate(40)?.recall, 0.5)
  assert.equal(window.estimate(40, 10)?.recall, 1)
  assert.equal(window.estimate(19), null)
  assert.equal(window.estimate(81), null)
  window.keepNewest(100)
  assert.equal(window.estimate(40)?.recall, 1)
})

it('between two rungs recall is interpolated over log(ef), pair by pair', () => {
  const window = new RecallWindow(GOAL)
  const rungs = [
    { ef: 20, hits: 5 },
    { ef: 80, hits: 9 },
  ]
  window.add(flat(0, { rungs }))
  assert.ok(Math.abs((window.newestRecall(40) ?? NaN) - 0.7) < 1e-9)
})

it('perfect samples have bounds below 1, as wide as the goal alone would make them', () => {
  const window = new RecallWindow(GOAL)
  for (let i = 0; i < 100; i += 1) window.add(flat(10))
  const lcb = window.estimate(40)?.lcb ?? NaN
  assert.ok(lcb > 0.985 && lcb < 0.99, `${lcb}`)
})

it('queries that lie elsewhere are told from those of before, the same ones are not', () => {
  const random = seeded(9)
  const monitor = new StratumMonitor(GOAL)
  const add = (count: number, distance: number): void => {
    const query = { servedEf: 40, atMs: 0, missAt: () => 0.01, distance }
    for (let i = 0; i < count; i += 1) monitor.add(sampleQuery(query, random))
  }
  add(399, 0)
  assert.equal(monitor.drift(), null)
  add(1, 0)
  assert.ok((monitor.drift()?.first.p ?? 0) > 0.001)
  add(200, 0.5)
  assert.ok((monitor.drift()?.first.p ?? 1) < 0.001)
  assert.ok((monitor.drift()?.last.p ?? 1) < 0.001)
})
