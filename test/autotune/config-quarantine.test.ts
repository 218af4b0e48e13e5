/**
 * What the agent does not try again, when it stops, and what it may do at all.
 */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import type { AgentDeed, AgentPosture } from '../../src/autotune/agent-gate.ts'
import { AGENT_MODES, agentMay } from '../../src/autotune/agent-gate.ts'
import type { ConfigQuarantine, QuarantineEntry } from '../../src/autotune/config-quarantine.ts'
import {
  agentHold,
  checkNote,
  clearHalt,
  configKey,
  COOLDOWN_MIN_MS,
  EMPTY_QUARANTINE,
  ENTRIES_MAX,
  isQuarantined,
  quarantineConfig,
  recordRollback,
  seeClock,
} from '../../src/autotune/config-quarantine.ts'

const HOUR_MS = 3_600_000

function entry(atMs: number, name = 'a'): QuarantineEntry {
  return { configKey: name, epoch: 'e1', reason: 'recall', atMs }
}

function afterRollbacks(...timesMs: readonly number[]): ConfigQuarantine {
  return timesMs.reduce((state, atMs) => recordRollback(state, entry(atMs)), EMPTY_QUARANTINE)
}

it('a configuration is out at its ef and in its epoch, and nowhere else', () => {
  const key = configKey('m=8,ef_construction=64,seed=42', 40)
  const state = recordRollback(EMPTY_QUARANTINE, entry(0, key))
  assert.equal(isQuarantined(state, { configKey: key, epoch: 'e1' }), true)
  assert.equal(isQuarantined(state, { configKey: key, epoch: 'e2' }), false)
  const otherEf = configKey('m=8,ef_construction=64,seed=42', 41)
  assert.equal(isQuarantined(state, { configKey: otherEf, epoch: 'e1' }), false)
})

it('after a rollback the agent waits 30 minutes, after the second an hour', () => {
  const once = afterRollbacks(1000)
  const hold = agentHold(once, 1000)
  assert.deepEqual(hold, {
    held: true,
    reason: 'waiting after 1 rollbacks',
    untilMs: 1000 + COOLDOWN_MIN_MS,
  })
  assert.equal(agentHold(once, 1000 + COOLDOWN_MIN_MS).held, false)
  const twice = afterRollbacks(0, HOUR_MS)
  assert.equal(agentHold(twice, 2 * HOUR_MS - 1).held, true)
  assert.equal(agentHold(twice, 2 * HOUR_MS).held, false)
})

it('the third within 24 hours halts it, until a person clears it with a note', () => {
  const day = 24 * HOUR_MS
  assert.equal(afterRollbacks(0, 1, day).halted, null)
  const halted = afterRollbacks(0, 1, day - 1)
  assert.match(halted.halted ?? '', /^3 rollbacks in 24 hours/)
  assert.deepEqual(agentHold(halted, 100 * day), {
    held: true,
    reason: halted.halted,
    untilMs: null,
  })
  assert.throws(() => clearHalt(halted, ' \n'), { code: 'bad_request' })
  const cleared = clearHalt(halted, 'the disk was full')
  assert.equal(agentHold(cleared, day).held, false)
  assert.equal(isQuarantined(cleared, entry(0)), true)
})

it('a clock that was set back holds nothing longer than its time from now', () => {
  const state = afterRollbacks(1000 * HOUR_MS)
  const seen = seeClock(state, 0)
  assert.equal(agentHold(seen, 0).held, true)
  assert.equal(agentHold(seen, COOLDOWN_MIN_MS).held, false)
})

it('it is bounded, keeps a configuration once, and survives JSON', () => {
  let state = EMPTY_QUARANTINE
  for (let i = 0; i < ENTRIES_MAX + 10; i += 1) state = quarantineConfig(state, entry(i, `c${i}`))
  assert.equal(state.entries.length, ENTRIES_MAX)
  assert.equal(isQuarantined(state, entry(0, 'c9')), false)
  assert.equal(quarantineConfig(state, entry(0, 'c10')), state)
  assert.equal(state.rollbacksMs.length, 0)
  assert.deepEqual(JSON.parse(JSON.stringify(state)), state)
})

it('a change by hand needs a note', () => {
  checkNote('because of the launch')
  assert.throws(() => checkNote(''), { code: 'bad_request' })
})

const FREE: AgentPosture = {
  mode: 'auto',
  serverStopped: false,
  indexPaused: false,
  held: null,
  pinnedBy: null,
}

const allowed = (deed: AgentDeed, change: Partial<AgentPosture>): boolean => {
  return agentMay(deed, { ...FREE, ...change }).allowed
}

it('each mode allows what the modes before it do, and more', () => {
  const table = AGENT_MODES.map((mode) => {
    const deeds: AgentDeed[] = ['trial', 'recommend', 'change_live_ef', 'promote']
    return deeds.map((deed) => allowed(deed, { mode }))
  })
  assert.deepEqual(table, [
    [false, false, false, false],
    [true, false, false, false],
    [true, true, false, false],
    [true, true, true, true],
  ])
})

it('every switch stops every deed, and a pin only what would change the configuration', () => {
  for (const deed of ['trial', 'recommend', 'change_live_ef', 'promote'] as const) {
    assert.equal(allowed(deed, { serverStopped: true }), false)
    assert.equal(allowed(deed, { indexPaused: true }), false)
    assert.equal(allowed(deed, { held: 'halted' }), false)
  }
  assert.equal(allowed('trial', { pinnedBy: 'ann' }), true)
  assert.equal(allowed('recommend', { pinnedBy: 'ann' }), true)
  assert.equal(allowed('change_live_ef', { pinnedBy: 'ann' }), false)
  assert.deepEqual(agentMay('promote', { ...FREE, pinnedBy: 'ann' }), {
    allowed: false,
    reason: 'ann pinned the configuration of this index',
  })
})
