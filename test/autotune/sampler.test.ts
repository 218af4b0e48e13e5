/**
 * Which requests are sampled and which the canary takes.
 */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { canaryShare } from '../../src/autotune/request-share.ts'
import { Sampler, SAMPLER_DEFAULTS } from '../../src/autotune/sampler.ts'
import { seeded } from './simulation.ts'

const MINUTE_MS = 60_000

/** Chi-square of `places` over 20 equal cells; its 99.99 % quantile with 19 degrees is 50.8. */
function unevenness(places: readonly number[]): number {
  const cells = Array<number>(20).fill(0)
  for (const place of places)
    cells[Math.floor(place * 20)] = (cells[Math.floor(place * 20)] ?? 0) + 1
  const expected = places.length / 20
  return cells.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0)
}

it('places are the same for the same id and seed, and spread evenly for ids that are counted', () => {
  assert.equal(canaryShare('req-1', 7), canaryShare('req-1', 7))
  assert.notEqual(canaryShare('req-1', 7), canaryShare('req-1', 8))
  for (const seed of [0, 1, 0x5eed, -1]) {
    const places = Array.from({ length: 20_000 }, (_, i) => canaryShare(`req-${i}`, seed))
    assert.ok(places.every((place) => place >= 0 && place < 1))
    assert.ok(unevenness(places) < 50.8, `seed ${seed}: ${unevenness(places)}`)
  }
  assert.ok(canaryShare('', 0) >= 0)
})

it('the places of two seeds have nothing to do with each other', () => {
  const ids = Array.from({ length: 20_000 }, (_, i) => `req-${i}`)
  const canary = ids.filter((id) => canaryShare(id, 1) < 0.25)
  assert.ok(Math.abs(canary.length / ids.length - 0.25) < 0.01)
  const sampled = canary.filter((id) => canaryShare(id, SAMPLER_DEFAULTS.seed) < 0.1)
  assert.ok(Math.abs(sampled.length / canary.length - 0.1) < 0.015)
})

interface Load {
  readonly minutes: number
  /** Requests of a minute. */
  readonly requests: (minute: number) => number
  /** CPU milliseconds of a sample. */
  readonly costMs: (minute: number) => number
}

/** @returns the share of one core that samples took, and how many they were. */
function simulate(load: Load, seed: number): { readonly share: number; readonly samples: number } {
  const random = seeded(seed)
  const sampler = new Sampler(SAMPLER_DEFAULTS, 10, 0)
  let cpuMs = 0
  let samples = 0
  for (let minute = 0; minute < load.minutes; minute += 1) {
    const requests = load.requests(minute)
    for (let i = 0; i < requests; i += 1) {
      const atMs = minute * MINUTE_MS + (i * MINUTE_MS) / requests
      const taken = sampler.take(`r-${seed}-${minute}-${i}`, atMs)
      if (taken === null) continue
      const costMs = load.costMs(minute) * (0.5 + random())
      cpuMs += costMs
      samples += 1
      sampler.took(taken, costMs)
    }
  }
  return { share: cpuMs / (load.minutes * MINUTE_MS), samples }
}

const LOADS: Readonly<Record<string, Load>> = {
  steady: { minutes: 60, requests: () => 6000, costMs: () => 75 },
  'in bursts': {
    minutes: 60,
    requests: (minute) => (minute % 10 === 0 ? 60_000 : 60),
    costMs: () => 75,
  },
  'ten times dearer from the middle': {
    minutes: 60,
    requests: () => 6000,
    costMs: (minute) => (minute < 30 ? 75 : 750),
  },
}

for (const [name, load] of Object.entries(LOADS)) {
  it(`load that is ${name}: sampling takes at most 1.2 times its share, and uses it`, () => {
    const { share, samples } = simulate(load, 3)
    assert.ok(share <= 1.2 * SAMPLER_DEFAULTS.cpuShare, `share ${share}`)
    assert.ok(samples > 20, `${samples} samples`)
    if (name === 'steady') assert.ok(share > 0.7 * SAMPLER_DEFAULTS.cpuShare, `share ${share}`)
  })
}

it('cheap samples are bounded by the rate', () => {
  const { share, samples } = simulate({ minutes: 30, requests: () => 6000, costMs: () => 1 }, 4)
  const rate = samples / (30 * 6000)
  assert.ok(Math.abs(rate - SAMPLER_DEFAULTS.rateMax) < 0.002, `rate ${rate}`)
  assert.ok(share < SAMPLER_DEFAULTS.cpuShare)
})

it('a clock that jumps by a day gives one minute of account, and set back it goes on', () => {
  const sampler = new Sampler(SAMPLER_DEFAULTS, 100, 0)
  const takenAt = (nowMs: number): number => {
    let taken = 0
    for (let i = 0; i < 20_000; i += 1) if (sampler.take(`j-${nowMs}-${i}`, nowMs)) taken += 1
    return taken
  }
  // A minute of the account is 1,200 ms: 12 samples, and not the 17,280 of a day.
  assert.ok(takenAt(86_400_000) <= 12)
  assert.equal(takenAt(1000), 0)
  assert.ok(takenAt(61_000) > 0)
})

it('what came out as no number changes no cost', () => {
  const sampler = new Sampler({ ...SAMPLER_DEFAULTS, rateMax: 1 }, 100, 0)
  const taken = sampler.take('a', MINUTE_MS)
  assert.ok(taken !== null)
  for (const cost of [NaN, -1, 0, Infinity]) sampler.took(taken, cost)
  assert.deepEqual(sampler.take('b', MINUTE_MS), { chargedMs: 100 })
})
