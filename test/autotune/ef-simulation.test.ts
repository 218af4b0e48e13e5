/**
 * The controller, the monitor and simulated traffic together, minute by minute.
 */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import type { EfDecision, EfState } from '../../src/autotune/ef-controller.ts'
import { decideEf, efRungs, startEf } from '../../src/autotune/ef-controller.ts'
import { SAMPLES_MIN, StratumMonitor } from '../../src/autotune/live-recall.ts'
import type { Surface } from './simulation.ts'
import { missRate, oracleEf, RANDOM_DATA, sampleQuery, seeded, SMOOTH_DATA } from './simulation.ts'

const MINUTE_MS = 60_000
const GOAL = 0.95
const SETTINGS = { goal: GOAL, efMin: 10, efMax: 1000 }
/** 960 samples an hour: what 2 % of a core pay for at 100,000 points of 768 dimensions. */
const SAMPLES_A_MINUTE = 16

interface Minute {
  readonly decision: EfDecision
  readonly points: number
  /** Over the window, at the ef that was served; null under 100 samples. */
  readonly recallLcb: number | null
}

interface World {
  readonly minutes: number
  readonly points: (minute: number) => number
  readonly missAt: (ef: number, minute: number, points: number) => number
  readonly ef: number
  readonly samples?: number
}

function live(world: World, seed: number): readonly Minute[] {
  const random = seeded(seed)
  const monitor = new StratumMonitor(GOAL)
  const pointsTuned = world.points(0)
  let state: EfState = startEf({ generation: 1, ef: world.ef, points: pointsTuned }, 0)
  const minutes: Minute[] = []
  for (let minute = 1; minute <= world.minutes; minute += 1) {
    const points = world.points(minute)
    const atMs = minute * MINUTE_MS
    const missAt = (ef: number): number => world.missAt(ef, minute, points)
    for (let i = 0; i < (world.samples ?? SAMPLES_A_MINUTE); i += 1) {
      monitor.add(sampleQuery({ servedEf: state.ef, atMs, missAt }, random))
    }
    const curve = monitor.curve(efRungs(state, SETTINGS), atMs)
    const decision = decideEf(
      state,
      {
        generation: 1,
        curve,
        isAlarmed: monitor.isAlarmed,
        seen: monitor.seen,
        latencyEfMax: null,
        promotedEf: world.ef,
        points,
        pointsTuned,
        deletedShare: 0,
        lid: null,
        lidTuned: null,
        queryDrift: null,
      },
      atMs,
      SETTINGS,
    )
    if (decision.to !== decision.from) monitor.efChanged()
    const current = curve.find(({ ef }) => ef === decision.from)
    const isKnown = current !== undefined && current.samples >= SAMPLES_MIN
    minutes.push({ decision, points, recallLcb: isKnown ? current.lcb : null })
    state = decision.state
  }
  return minutes
}

/** From 2,000 to 10,000 points in 12 hours. */
function growing(surface: Surface): World {
  const minutes = 12 * 60
  return {
    minutes,
    points: (minute) => Math.round(2000 * 5 ** (minute / minutes)),
    missAt: (ef, _minute, points) => missRate(surface, points, ef),
    ef: Math.max(10, Math.ceil(1.2 * oracleEf(surface, 2000, GOAL))),
  }
}

function share(flags: readonly boolean[]): number {
  return flags.filter(Boolean).length / flags.length
}

for (const [name, surface] of [
  ['random data', RANDOM_DATA],
  ['smooth data', SMOOTH_DATA],
] as const) {
  it(`${name} grow fivefold: the bound holds in 95 % of windows, at 1.3 times the best ef`, () => {
    const world = growing(surface)
    for (const seed of [1, 2]) {
      const known = live(world, seed).filter(({ recallLcb }) => recallLcb !== null)
      assert.ok(known.length > 700)
      const held = share(known.map(({ recallLcb }) => (recallLcb ?? 0) >= GOAL))
      assert.ok(held >= 0.95, `seed ${seed}: held in ${held}`)
      for (const { decision, points } of known) {
        const best = Math.max(SETTINGS.efMin, oracleEf(surface, points, GOAL))
        assert.ok(decision.to <= Math.ceil(1.3 * best), `${decision.to} where ${best} would do`)
      }
    }
  })
}

it('an ef that nobody adapts fails on the same growth', () => {
  const { ef } = growing(RANDOM_DATA)
  assert.ok(1 - missRate(RANDOM_DATA, 10_000, ef) < 0.9)
})

it('queries that become hard at once are met within 600 samples', () => {
  const world: World = {
    minutes: 180,
    points: () => 10_000,
    missAt: (ef, minute, points) => missRate(RANDOM_DATA, points, minute < 90 ? ef : ef / 1.6),
    ef: 68,
  }
  for (const seed of [1, 2, 3]) {
    const minutes = live(world, seed)
    assert.deepEqual(
      minutes.slice(0, 89).map(({ decision }) => decision.to),
      Array(89).fill(68),
    )
    const raised = minutes.findIndex(({ decision }) => decision.to > 68)
    const samples = (raised - 88) * SAMPLES_A_MINUTE
    assert.ok(raised >= 89 && samples <= 600, `raised after ${samples} samples`)
    const served = minutes.at(-1)?.decision.to ?? 0
    assert.ok(1 - missRate(RANDOM_DATA, 10_000, served / 1.6) >= GOAL, `${served} is served`)
  }
})

it('at steady state it changes direction at most twice an hour, from far above too', () => {
  for (const ef of [60, 70, 85, 130]) {
    const world: World = {
      minutes: 360,
      points: () => 10_000,
      missAt: (rung, _minute, points) => missRate(RANDOM_DATA, points, rung),
      ef,
    }
    const moves = live(world, ef)
      .map(({ decision }) => Math.sign(decision.to - decision.from))
      .filter((move) => move !== 0)
    const turns = moves.filter((move, i) => i > 0 && move !== moves[i - 1]).length
    assert.ok(turns <= 2, `${turns} turns in 6 hours from ${ef}`)
    assert.ok(moves.length <= 4, `${moves.length} changes in 6 hours from ${ef}`)
  }
})

it('with hardly any samples it does not claim to know, and grows with the points', () => {
  const world: World = { ...growing(RANDOM_DATA), samples: 0 }
  const minutes = live(world, 1)
  assert.ok(minutes.every(({ recallLcb }) => recallLcb === null))
  assert.ok(minutes.every(({ decision }) => ['hold', 'grow'].includes(decision.action)))
  const last = minutes.at(-1)?.decision.to ?? 0
  assert.ok(Math.abs(last / (world.ef * 5 ** 0.3) - 1) < 0.35, `${last}`)
})
