/** Rates and the slowest hundredth of searches, over a minute that moves. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import type { SearchSeen } from '../../src/services/search-observer.ts'
import { SearchRates } from '../../src/services/search-rates.ts'

const ANSWER = {} as NonNullable<SearchSeen['answer']>

function open(): { rates: SearchRates; pass: (ms: number) => void } {
  let now = 1_000_000
  const rates = new SearchRates(() => now)
  return { rates, pass: (ms) => (now += ms) }
}

it('searches a second are those of the last minute, and of less right after the start', () => {
  const { rates, pass } = open()
  assert.deepEqual(rates.of('a'), { qps: 0, p99Ms: null, failed: 0 })
  for (let i = 0; i < 100; i += 1) {
    rates.observe({ index: 'a', answer: ANSWER, tookMs: 2 })
    pass(100)
  }
  assert.equal(rates.of('a').qps, 10)
  pass(50_000)
  assert.ok(Math.abs(rates.of('a').qps - 100 / 60) < 0.1, String(rates.of('a').qps))
  pass(20_000)
  assert.deepEqual(rates.of('a'), { qps: 0, p99Ms: null, failed: 0 })
})

it('p99 is never too low and at most a fifth too high; failures have no time', () => {
  const { rates } = open()
  for (let i = 1; i <= 1000; i += 1) rates.observe({ index: 'a', answer: ANSWER, tookMs: i / 10 })
  rates.observe({ index: 'a', answer: null, tookMs: 5000 })
  const { p99Ms, failed } = rates.of('a')
  assert.ok(p99Ms !== null && p99Ms >= 99 && p99Ms <= 99 * 1.2, String(p99Ms))
  assert.equal(failed, 1)
})

it('times out of every bound are counted at the ends', () => {
  const { rates } = open()
  rates.observe({ index: 'a', answer: ANSWER, tookMs: 0 })
  assert.equal(rates.of('a').p99Ms, 0.05)
  rates.observe({ index: 'b', answer: ANSWER, tookMs: 1e9 })
  assert.ok((rates.of('b').p99Ms ?? 0) > 20_000)
})

it('indexes together are those that are asked for; what is gone is forgotten', () => {
  const { rates, pass } = open()
  for (const index of ['a', 'b', 'c']) rates.observe({ index, answer: ANSWER, tookMs: 1 })
  pass(1000)
  assert.equal(rates.ofAll(new Set(['a', 'b']), new Set(['a', 'b', 'c'])).qps, 2)
  assert.equal(rates.ofAll(new Set(['a', 'c']), new Set(['a', 'b'])).qps, 1)
  assert.equal(rates.of('c').qps, 0)
})

it('what was not searched lately takes no memory, also where nobody asks', () => {
  const { rates, pass } = open()
  for (let i = 0; i < 1000; i += 1) {
    rates.observe({ index: `short-lived-${i}`, answer: ANSWER, tookMs: 1 })
    pass(1000)
  }
  assert.equal(rates.of('short-lived-990').qps, 1 / 60)
  // What was kept would be of the last minute again.
  pass(-1_000_000)
  assert.equal(rates.of('short-lived-0').qps, 0)
})
