/**
 * Which requests are refused because they failed before.
 */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { ENTRIES_MAX, MEMORY_MS, Quarantine, STRIKES_MAX } from '../../src/dataplane/quarantine.ts'

it('the second failure is one too many, the first is not', () => {
  const quarantine = new Quarantine()
  assert.equal(quarantine.isWatching(0), false)
  assert.equal(quarantine.recordFailure('a', 0), 1)
  assert.equal(quarantine.isWatching(0), true)
  assert.equal(quarantine.recordFailure('a', 1), STRIKES_MAX)
  assert.equal(quarantine.strikes('b', 1), 0)
})

it('a bystander of any number of deaths is never refused', () => {
  const quarantine = new Quarantine()
  for (let nowMs = 0; nowMs < 10; nowMs += 1) quarantine.recordSuspicion('a', nowMs)
  assert.equal(quarantine.strikes('a', 10), 1)
})

it('suspicion takes nothing back', () => {
  const quarantine = new Quarantine()
  quarantine.recordFailure('a', 0)
  quarantine.recordFailure('a', 0)
  quarantine.recordSuspicion('a', 1)
  assert.equal(quarantine.strikes('a', 1), STRIKES_MAX)
})

it('what failed is let in again after a while', () => {
  const quarantine = new Quarantine()
  quarantine.recordFailure('a', 0)
  quarantine.recordFailure('a', 5)
  assert.equal(quarantine.strikes('a', 5 + MEMORY_MS - 1), STRIKES_MAX)
  assert.equal(quarantine.strikes('a', 5 + MEMORY_MS), 0)
  assert.equal(quarantine.isWatching(5 + MEMORY_MS), false)
})

it('it is bounded, and forgets the oldest first', () => {
  const quarantine = new Quarantine()
  for (let i = 0; i <= ENTRIES_MAX; i += 1) quarantine.recordFailure(`r${i}`, i)
  assert.equal(quarantine.strikes('r0', 2000), 0)
  assert.equal(quarantine.strikes('r1', 2000), 1)
})
