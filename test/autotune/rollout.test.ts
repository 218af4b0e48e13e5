/**
 * The way of a configuration to the champion and back.
 */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import fc from 'fast-check'
import type { RolloutSettings } from '../../src/autotune/rollout-settings.ts'
import { ROLLOUT_DEFAULTS } from '../../src/autotune/rollout-settings.ts'
import type { RolloutAction, RolloutEvent, RolloutState } from '../../src/autotune/rollout-state.ts'
import { hasEnded, startRollout, stepRollout } from '../../src/autotune/rollout.ts'
import type { WindowStats } from '../../src/autotune/traffic-window.ts'

const MINUTE_MS = 60_000
const SUBJECT = { trialId: 't-1', configKey: 'm=8', epoch: 'abc' }
const FINE: WindowStats = { requests: 500, errors: 0, p99Ms: 10 }
const SLOW: WindowStats = { requests: 500, errors: 0, p99Ms: 13 }
const PASSED: RolloutEvent = { kind: 'validated', verdict: 'promote', reason: 'better' }
const SHADOWED: RolloutEvent = { kind: 'shadow', samples: 200, verdict: 'promote' }
const GOOD_WINDOW: RolloutEvent = { kind: 'window', challenger: FINE, baseline: FINE }
const SLOW_WINDOW: RolloutEvent = { kind: 'window', challenger: SLOW, baseline: FINE }

const TO_SHADOW: readonly RolloutEvent[] = [
  { kind: 'built' },
  { kind: 'tuned', feasible: true },
  PASSED,
  { kind: 'shadow_started' },
]
const TO_CANARY: readonly RolloutEvent[] = [...TO_SHADOW, SHADOWED]
const TO_CHAMPION: readonly RolloutEvent[] = [...TO_CANARY, GOOD_WINDOW, GOOD_WINDOW]

interface Run {
  readonly state: RolloutState
  readonly actions: readonly RolloutAction[]
}

/** One event a minute. */
function play(
  events: readonly RolloutEvent[],
  settings: RolloutSettings = ROLLOUT_DEFAULTS,
  from: RolloutState = startRollout(SUBJECT, 0),
): Run {
  let state = from
  const actions: RolloutAction[] = []
  for (const event of events) {
    const step = stepRollout(state, event, state.time.lastMs + MINUTE_MS, settings)
    state = step.state
    actions.push(...step.actions)
  }
  return { state, actions }
}

function ticks(count: number): RolloutEvent[] {
  return Array.from({ length: count }, () => ({ kind: 'tick' }))
}

const kinds = ({ actions }: Run): string[] => actions.map(({ kind }) => kind)

it('the good way: every stage in its order, baked after 30 minutes', () => {
  const way = [...TO_CHAMPION, ...ticks(30)]
  const stages = way.map((_, i) => play(way.slice(0, i + 1)).state.stage)
  assert.deepEqual(stages.slice(0, 7), [
    'built',
    'tuned',
    'validated',
    'shadow',
    'canary',
    'canary',
    'champion',
  ])
  assert.equal(play([...TO_CHAMPION, ...ticks(29)]).state.stage, 'champion')
  const run = play(way)
  assert.equal(run.state.stage, 'baked')
  assert.deepEqual(run.actions, [
    { kind: 'start_shadow' },
    { kind: 'set_canary', share: 0.05 },
    { kind: 'set_canary', share: 0.25 },
    { kind: 'promote' },
    { kind: 'release_previous' },
  ])
})

it('what is not feasible, not built or not better is rejected', () => {
  const failed = play([{ kind: 'build_failed', reason: 'memory_full' }])
  assert.deepEqual([failed.state.stage, failed.state.reason], ['rejected', 'memory_full'])
  assert.equal(
    play([{ kind: 'built' }, { kind: 'tuned', feasible: false }]).state.stage,
    'rejected',
  )
  const worse: RolloutEvent = { kind: 'validated', verdict: 'reject', reason: 'dearer' }
  assert.equal(play([...TO_SHADOW.slice(0, 2), worse]).state.stage, 'rejected')
})

it('an inconclusive validation is measured on twice, then parked', () => {
  const open: RolloutEvent = { kind: 'validated', verdict: 'inconclusive', reason: 'open' }
  const run = play([...TO_SHADOW.slice(0, 2), open, open, open])
  assert.equal(run.state.stage, 'inconclusive')
  assert.deepEqual(kinds(run), ['extend', 'extend', 'release_challenger'])
})

it('the shadow is judged once at each size, and each extension doubles it', () => {
  const shadow = (samples: number): RolloutEvent => {
    return { kind: 'shadow', samples, verdict: 'inconclusive' }
  }
  const early: RolloutEvent = { kind: 'shadow', samples: 199, verdict: 'promote' }
  assert.equal(play([...TO_SHADOW, early]).state.stage, 'shadow')
  const run = play([...TO_SHADOW, shadow(200), shadow(399), shadow(400), shadow(799)])
  assert.deepEqual(kinds(run), ['start_shadow', 'extend', 'extend'])
  assert.equal(play([shadow(800)], ROLLOUT_DEFAULTS, run.state).state.stage, 'inconclusive')
})

it('without approval nothing that needs it goes on, and an approval needs a note', () => {
  const settings = { ...ROLLOUT_DEFAULTS, automatic: false }
  const run = play(TO_SHADOW, settings)
  assert.deepEqual([run.state.stage, kinds(run)], ['validated', ['recommend']])
  const silent = play([{ kind: 'approved', by: 'ann', note: ' ' }], settings, run.state)
  assert.deepEqual(silent.actions, [])
  const approved = play([{ kind: 'approved', by: 'ann', note: 'looks right' }], settings, run.state)
  assert.deepEqual(kinds(approved), ['start_shadow'])
  const started = play([{ kind: 'shadow_started' }], settings, approved.state)
  assert.equal(started.state.stage, 'shadow')
})

const ROLLED_BACK = ['roll_back', 'quarantine', 'release_challenger']

const HARM: Readonly<Record<string, readonly RolloutEvent[]>> = {
  'a recall alarm': [{ kind: 'recall_alarm' }],
  'memory over its budget': [{ kind: 'memory', usedBytes: 11, budgetBytes: 10 }],
  'three slow windows': [SLOW_WINDOW, SLOW_WINDOW, SLOW_WINDOW],
  errors: [{ kind: 'window', challenger: { ...FINE, errors: 10 }, baseline: FINE }],
  'a few requests that all fail': [
    { kind: 'window', challenger: { requests: 3, errors: 3, p99Ms: null }, baseline: null },
  ],
  quarantine: [{ kind: 'quarantined', reason: 'it did harm elsewhere' }],
  'two deaths of the core': [{ kind: 'core_died' }, { kind: 'core_died' }],
}

for (const [what, events] of Object.entries(HARM)) {
  it(`${what} rolls a canary and a champion back, at once and once`, () => {
    for (const way of [TO_CANARY, TO_CHAMPION]) {
      const before = play(way)
      const run = play([...events, ...events], ROLLOUT_DEFAULTS, before.state)
      assert.equal(run.state.stage, 'rolled_back')
      assert.deepEqual(kinds(run), ROLLED_BACK)
    }
  })
}

it('what is within its bound, or says nothing, rolls nothing back', () => {
  const tiny: WindowStats = { requests: 49, errors: 2, p99Ms: 900 }
  const fine: RolloutEvent[] = [
    { kind: 'memory', usedBytes: 10, budgetBytes: 10 },
    { kind: 'memory', usedBytes: NaN, budgetBytes: 10 },
    { kind: 'window', challenger: tiny, baseline: FINE },
    { kind: 'window', challenger: { ...FINE, errors: 10 }, baseline: { ...FINE, errors: 6 } },
    { kind: 'window', challenger: { ...FINE, p99Ms: 12 }, baseline: FINE },
    { kind: 'core_died' },
  ]
  assert.equal(play([...TO_CHAMPION, ...fine]).state.stage, 'champion')
})

it('breaches count in a row: a good window ends it, an empty one does not', () => {
  const empty: RolloutEvent = {
    kind: 'window',
    challenger: { requests: 0, errors: 0, p99Ms: null },
    baseline: FINE,
  }
  const broken = [SLOW_WINDOW, SLOW_WINDOW, GOOD_WINDOW, SLOW_WINDOW, SLOW_WINDOW]
  assert.equal(play([...TO_CHAMPION, ...broken]).state.stage, 'champion')
  const row = [SLOW_WINDOW, empty, SLOW_WINDOW, empty, SLOW_WINDOW]
  assert.equal(play([...TO_CHAMPION, ...row]).state.stage, 'rolled_back')
})

it('a champion is compared with the last window of the one before it', () => {
  const alone: RolloutEvent = { kind: 'window', challenger: SLOW, baseline: null }
  assert.equal(play([...TO_CHAMPION, alone, alone, alone]).state.stage, 'rolled_back')
})

it('before it serves, a core that dies puts the configuration under quarantine', () => {
  const run = play([...TO_SHADOW, { kind: 'core_died' }])
  assert.equal(run.state.stage, 'quarantined')
  assert.deepEqual(kinds(run), ['start_shadow', 'quarantine', 'release_challenger'])
})

it('stopping ends what is not champion yet, and a champion stays watched', () => {
  const stop: RolloutEvent = { kind: 'stop', reason: 'the agent was stopped' }
  assert.equal(play([...TO_CANARY, stop]).state.stage, 'inconclusive')
  assert.equal(play([...TO_CHAMPION, stop, { kind: 'recall_alarm' }]).state.stage, 'rolled_back')
  const superseded: RolloutEvent = { kind: 'superseded', reason: 'promoted by hand' }
  assert.equal(play([...TO_CHAMPION, superseded]).state.stage, 'inconclusive')
})

it('after a restart a canary is inconclusive and a champion goes on baking', () => {
  const restored = (state: RolloutState): RolloutState => structuredClone(state)
  const canary = restored(play(TO_CANARY).state)
  assert.deepEqual(JSON.parse(JSON.stringify(canary)), canary)
  assert.equal(play([{ kind: 'restart' }], ROLLOUT_DEFAULTS, canary).state.stage, 'inconclusive')
  const champion = restored(play([...TO_CHAMPION, ...ticks(10)]).state)
  const after = [{ kind: 'restart' } as const, ...ticks(18)]
  assert.equal(play(after, ROLLOUT_DEFAULTS, champion).state.stage, 'champion')
  assert.equal(play([...after, ...ticks(1)], ROLLOUT_DEFAULTS, champion).state.stage, 'baked')
})

it('a clock that jumps neither bakes at once nor stops baking', () => {
  const { state } = play(TO_CHAMPION)
  const settings = ROLLOUT_DEFAULTS
  const nextWeek = state.time.lastMs + 7 * 24 * 60 * MINUTE_MS
  const ahead = stepRollout(state, { kind: 'tick' }, nextWeek, settings).state
  assert.equal(ahead.stage, 'champion')
  const back = stepRollout(ahead, { kind: 'tick' }, 0, settings).state
  assert.equal(back.stage, 'champion')
  assert.equal(play(ticks(20), settings, back).state.stage, 'baked')
})

const windowStats = fc.record({
  requests: fc.nat(2000),
  errors: fc.nat(20),
  p99Ms: fc.option(fc.integer({ min: 1, max: 30 })),
})
const verdictKind = fc.constantFrom('promote' as const, 'reject' as const, 'inconclusive' as const)
const reason = fc.constant('why')

/** Good events are frequent, or few runs would come far. */
const anyEvent: fc.Arbitrary<RolloutEvent> = fc.oneof(
  { weight: 12, arbitrary: fc.constantFrom(...TO_CHAMPION) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('validated'), verdict: verdictKind, reason }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('shadow'),
      samples: fc.nat(1000),
      verdict: verdictKind,
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('window'),
      challenger: windowStats,
      baseline: fc.option(windowStats),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom<RolloutEvent>(
      { kind: 'recall_alarm' },
      { kind: 'core_died' },
      { kind: 'restart' },
      { kind: 'stop', reason: 'stopped' },
      { kind: 'superseded', reason: 'by hand' },
      { kind: 'quarantined', reason: 'elsewhere' },
      { kind: 'build_failed', reason: 'full' },
      { kind: 'memory', usedBytes: 2, budgetBytes: 1 },
      { kind: 'approved', by: 'ann', note: 'fine' },
    ),
  },
)

it('any events: never champion without validation, one rollback at most, and an end', () => {
  const reached = new Set<string>()
  fc.assert(
    fc.property(fc.array(anyEvent, { maxLength: 40 }), fc.boolean(), (tail, automatic) => {
      const settings = { ...ROLLOUT_DEFAULTS, automatic }
      const events = [...TO_CHAMPION.slice(0, tail.length % 8), ...tail]
      const run = play([...events, ...ticks(7 * 24 * 60 + 1)], settings)
      reached.add(run.state.stage)
      assert.ok(hasEnded(run.state))
      const names = kinds(run)
      assert.ok(names.filter((name) => name === 'roll_back').length <= 1)
      assert.ok(names.filter((name) => name === 'promote').length <= 1)
      if (names.includes('promote')) {
        const order = ['start_shadow', 'set_canary', 'promote'].map((name) => names.indexOf(name))
        assert.ok(order.every((place, i) => place > (order[i - 1] ?? -1)))
        assert.ok(events.some((event) => event.kind === 'validated' && event.verdict === 'promote'))
        if (!automatic) assert.ok(events.some(({ kind }) => kind === 'approved'))
      }
      const isBaked = run.state.stage === 'baked'
      assert.equal(names.at(-1), isBaked ? 'release_previous' : 'release_challenger')
    }),
    { numRuns: 300, seed: 11 },
  )
  assert.deepEqual([...reached].sort(), [
    'baked',
    'inconclusive',
    'quarantined',
    'rejected',
    'rolled_back',
  ])
})
