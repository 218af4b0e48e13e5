/**
 * When a core that keeps failing rests, and for how long.
 */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import fc from 'fast-check'
import { COOLDOWN_MS, CoreWatchdog, FAILURE_WINDOW_MS } from '../../src/dataplane/core-watchdog.ts'

it('the third failure within the window degrades, and not the second', () => {
  const watchdog = new CoreWatchdog()
  assert.equal(watchdog.recordFailure(0), false)
  assert.equal(watchdog.recordFailure(FAILURE_WINDOW_MS - 2), false)
  assert.equal(watchdog.cooldownMs(FAILURE_WINDOW_MS - 2), 0)
  assert.equal(watchdog.recordFailure(FAILURE_WINDOW_MS - 1), true)
  assert.equal(watchdog.cooldownMs(FAILURE_WINDOW_MS - 1), COOLDOWN_MS)
})

it('the window slides: a failure counts for as long as it is in it, not from a first one', () => {
  const watchdog = new CoreWatchdog()
  watchdog.recordFailure(0)
  watchdog.recordFailure(50_000)
  assert.equal(watchdog.recordFailure(60_000), false)
  assert.equal(watchdog.recordFailure(109_999), true)
})

it('the cooldown runs out by itself, and nothing is remembered then', () => {
  const watchdog = new CoreWatchdog()
  for (const nowMs of [0, 1, 2]) watchdog.recordFailure(nowMs)
  assert.equal(watchdog.cooldownMs(2 + COOLDOWN_MS - 1), 1)
  assert.equal(watchdog.recordFailure(2 + COOLDOWN_MS - 1), false)
  assert.equal(watchdog.cooldownMs(2 + COOLDOWN_MS), 0)
  assert.equal(watchdog.recordFailure(2 + COOLDOWN_MS), false)
  assert.equal(watchdog.recordFailure(3 + COOLDOWN_MS), false)
  assert.equal(watchdog.recordFailure(4 + COOLDOWN_MS), true)
})

it('deaths are counted on their own: the third degrades, whatever failed between', () => {
  const watchdog = new CoreWatchdog()
  watchdog.recordDeath(0)
  watchdog.recordFailure(1)
  watchdog.recordDeath(2)
  assert.equal(watchdog.recordFailure(3), false)
  assert.equal(watchdog.recordDeath(4), true)
})

it('it degrades exactly where three failures lie within one window', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(40_000), { minLength: 1, maxLength: 30 }), (gaps) => {
      const watchdog = new CoreWatchdog()
      let nowMs = 0
      let seen: number[] = []
      let restsUntilMs = 0
      for (const gap of gaps) {
        nowMs += gap
        const rests = nowMs < restsUntilMs
        if (!rests) seen = [...seen, nowMs].filter((timeMs) => nowMs - timeMs < FAILURE_WINDOW_MS)
        const expected = !rests && seen.length === 3
        assert.equal(watchdog.recordFailure(nowMs), expected)
        if (!expected) continue
        restsUntilMs = nowMs + COOLDOWN_MS
        seen = []
      }
    }),
  )
})
