/**
 * The way of one configuration from a proposal to the champion, and back.
 *
 *     proposed ─▶ built ─▶ tuned ─▶ validated ─▶ shadow ─▶ canary 5 %, 25 % ─▶ champion ─▶ baked
 *         │         │        │          │           │           │                 │
 *         └─────────┴────────┴──────────┴───────────┴───────────┴─────────────────┘
 *              rejected (it is not better) · inconclusive (nobody knows: a person decides) ·
 *              quarantined (it ended a core) · rolled_back (it was serving and did harm)
 *
 * Invariants: nothing serves that was not validated on held-out queries; nobody sees the shadow;
 * every end but `baked` gives the challenger's graph back, and a rollout rolls back at most once.
 * Every stage has a longest time, so every rollout ends. Events that a stage does not know change
 * nothing but the time.
 *
 * A pure reducer over plain data: the caller stores the state, carries the actions out in order, and
 * after a restart sends `restart` first. Then a rollout that was not champion yet is inconclusive
 * (its graph is cached: proposing it again costs little), and a champion goes on baking.
 */

import type { RolloutSettings } from './rollout-settings.ts'
import type {
  EndedStage,
  RolloutAction,
  RolloutEvent,
  RolloutStage,
  RolloutState,
  RolloutStep,
} from './rollout-state.ts'
import { ENDED_STAGES } from './rollout-state.ts'
import { advance, steadyFrom } from './steady-time.ts'
import { hasTooManyErrors, p99Breach } from './traffic-window.ts'
import type { VerdictKind } from './verdict.ts'
import { nextStep } from './verdict.ts'

export function startRollout(
  subject: { readonly trialId: string; readonly configKey: string; readonly epoch: string },
  nowMs: number,
): RolloutState {
  return {
    format: 1,
    trialId: subject.trialId,
    configKey: subject.configKey,
    epoch: subject.epoch,
    stage: 'proposed',
    reason: 'proposed',
    time: steadyFrom(nowMs),
    sinceMs: 0,
    extensions: 0,
    canaryStep: 0,
    canaryRequests: 0,
    p99Breaches: 0,
    coreDeaths: 0,
    baseline: null,
    approved: false,
  }
}

export function hasEnded(state: RolloutState): boolean {
  return ENDED_STAGES.some((stage) => stage === state.stage)
}

export function stepRollout(
  before: RolloutState,
  event: RolloutEvent,
  nowMs: number,
  settings: RolloutSettings,
): RolloutStep {
  if (hasEnded(before)) return stay(before)
  const state = { ...before, time: advance(before.time, nowMs, settings.stepMaxMs) }
  const step = anywhere(state, event) ?? inStage(state, event, settings)
  return hasEnded(step.state) || step.actions.length > 0 ? step : onTime(step.state, settings)
}

/** What ends a rollout in any stage; null where the stage has to know. */
function anywhere(state: RolloutState, event: RolloutEvent): RolloutStep | null {
  const serves = state.stage === 'canary' || state.stage === 'champion'
  switch (event.kind) {
    case 'quarantined':
      return serves ? rollBack(state, event.reason) : quarantine(state, event.reason)
    case 'superseded':
      return end(state, 'inconclusive', event.reason)
    case 'stop':
      return state.stage === 'champion' ? null : end(state, 'inconclusive', event.reason)
    case 'restart':
      if (state.stage === 'champion') return stay({ ...state, p99Breaches: 0 })
      return end(state, 'inconclusive', 'vectord restarted before it was decided')
    case 'core_died':
      if (serves) return null
      return quarantine(state, 'a core died while it was built or measured')
    default:
      return null
  }
}

function inStage(state: RolloutState, event: RolloutEvent, settings: RolloutSettings): RolloutStep {
  switch (state.stage) {
    case 'proposed':
      return onProposed(state, event)
    case 'built':
      if (event.kind !== 'tuned') return stay(state)
      if (event.feasible) return stay(enter(state, 'tuned', 'an ef meets the goal'))
      return end(state, 'rejected', 'no ef meets the goal')
    case 'tuned':
      return onTuned(state, event, settings)
    case 'validated':
      return onValidated(state, event, settings)
    case 'shadow':
      return onShadow(state, event, settings)
    case 'canary':
    case 'champion':
      return onTraffic(state, event, settings)
    default:
      return stay(state)
  }
}

function onProposed(state: RolloutState, event: RolloutEvent): RolloutStep {
  if (event.kind === 'built') return stay(enter(state, 'built', 'built'))
  if (event.kind === 'build_failed') return end(state, 'rejected', event.reason)
  return stay(state)
}

function onTuned(state: RolloutState, event: RolloutEvent, settings: RolloutSettings): RolloutStep {
  if (event.kind !== 'validated') return stay(state)
  const pass = { stage: 'validated', action: afterValidation(settings) } as const
  return onVerdict(state, { ...event, pass })
}

function afterValidation(settings: RolloutSettings): RolloutAction {
  return settings.automatic ? { kind: 'start_shadow' } : { kind: 'recommend' }
}

function onValidated(
  state: RolloutState,
  event: RolloutEvent,
  settings: RolloutSettings,
): RolloutStep {
  if (event.kind === 'approved' && !settings.automatic && event.note.trim() !== '') {
    const reason = `approved by ${event.by}: ${event.note}`
    return { state: { ...state, reason, approved: true }, actions: [{ kind: 'start_shadow' }] }
  }
  const isApproved = settings.automatic || state.approved
  if (event.kind === 'shadow_started' && isApproved)
    return stay(enter(state, 'shadow', 'shadow started'))
  return stay(state)
}

function onShadow(
  state: RolloutState,
  event: RolloutEvent,
  settings: RolloutSettings,
): RolloutStep {
  if (event.kind !== 'shadow') return stay(state)
  // Judged once at each size and not whenever it looks good.
  if (event.samples < settings.shadowSamplesMin * 2 ** state.extensions) return stay(state)
  const share = settings.canaryShares[0]
  const reason = `${event.samples} shadow samples`
  if (share === undefined) {
    return onVerdict(state, {
      verdict: event.verdict,
      reason,
      pass: { stage: 'champion', action: { kind: 'promote' } },
    })
  }
  return onVerdict(state, {
    verdict: event.verdict,
    reason,
    pass: { stage: 'canary', action: { kind: 'set_canary', share } },
  })
}

interface Judged {
  readonly verdict: VerdictKind
  readonly reason: string
  /** Where it goes when it passes. */
  readonly pass: { readonly stage: RolloutStage; readonly action: RolloutAction }
}

function onVerdict(state: RolloutState, { verdict, reason, pass }: Judged): RolloutStep {
  switch (nextStep(verdict, state.extensions)) {
    case 'promote':
      return { state: enter(state, pass.stage, reason), actions: [pass.action] }
    case 'reject':
      return end(state, 'rejected', reason)
    case 'extend':
      return {
        state: { ...state, extensions: state.extensions + 1, reason },
        actions: [{ kind: 'extend' }],
      }
    case 'park':
      return end(state, 'inconclusive', reason)
  }
}

/** Canary and champion: real requests, watched by the same guards. */
function onTraffic(
  state: RolloutState,
  event: RolloutEvent,
  settings: RolloutSettings,
): RolloutStep {
  switch (event.kind) {
    case 'recall_alarm':
      return rollBack(state, 'live recall fell under the goal')
    case 'memory':
      return event.usedBytes > event.budgetBytes
        ? rollBack(state, `${event.usedBytes} bytes are used of ${event.budgetBytes}`)
        : stay(state)
    case 'core_died':
      return onCoreDeath(state, settings)
    case 'window':
      return onWindow(state, event, settings)
    default:
      return stay(state)
  }
}

function onCoreDeath(state: RolloutState, settings: RolloutSettings): RolloutStep {
  const coreDeaths = state.coreDeaths + 1
  const isTooMany = state.stage === 'canary' || coreDeaths >= settings.coreDeathsMax
  return isTooMany ? rollBack(state, 'a core died while it served') : stay({ ...state, coreDeaths })
}

function onWindow(
  before: RolloutState,
  event: Extract<RolloutEvent, { kind: 'window' }>,
  settings: RolloutSettings,
): RolloutStep {
  const { challenger } = event
  const baseline = event.baseline ?? before.baseline
  const state = { ...before, baseline }
  if (hasTooManyErrors(challenger, baseline, settings)) {
    return rollBack(state, `${challenger.errors} of ${challenger.requests} requests failed`)
  }
  const breach = p99Breach(challenger, baseline, settings)
  // A window that says nothing neither breaks a row of breaches nor brings the canary further.
  if (breach === 'unknown') return stay(state)
  if (breach === 'no') {
    const canaryRequests = state.canaryRequests + challenger.requests
    return onGoodWindow({ ...state, p99Breaches: 0, canaryRequests }, settings)
  }
  const p99Breaches = state.p99Breaches + 1
  if (p99Breaches < settings.p99BreachesMax) return stay({ ...state, p99Breaches })
  return rollBack(state, `p99 was too high in ${p99Breaches} windows in a row`)
}

function onGoodWindow(state: RolloutState, settings: RolloutSettings): RolloutStep {
  if (state.stage !== 'canary' || state.canaryRequests < settings.canaryRequestsMin) {
    return stay(state)
  }
  const reason = `${state.canaryRequests} canary requests`
  const canaryStep = state.canaryStep + 1
  const share = settings.canaryShares[canaryStep]
  if (share === undefined) {
    return { state: enter(state, 'champion', reason), actions: [{ kind: 'promote' }] }
  }
  return {
    state: { ...enter(state, 'canary', reason), canaryStep },
    actions: [{ kind: 'set_canary', share }],
  }
}

/** The bake is over, or a stage has lasted too long. */
function onTime(state: RolloutState, settings: RolloutSettings): RolloutStep {
  const lastedMs = state.time.elapsedMs - state.sinceMs
  if (state.stage === 'champion') {
    if (lastedMs < settings.bakeMs) return stay(state)
    return {
      state: enter(state, 'baked', 'nothing went wrong while it was watched'),
      actions: [{ kind: 'release_previous' }],
    }
  }
  const isForApproval = state.stage === 'validated' && !settings.automatic
  const maxMs = isForApproval ? settings.approvalMaxMs : settings.stageMaxMs
  return lastedMs < maxMs ? stay(state) : end(state, 'inconclusive', 'it took too long')
}

function stay(state: RolloutState): RolloutStep {
  return { state, actions: [] }
}

function enter(state: RolloutState, stage: RolloutStage, reason: string): RolloutState {
  return {
    ...state,
    stage,
    reason,
    sinceMs: state.time.elapsedMs,
    extensions: 0,
    canaryRequests: 0,
    p99Breaches: 0,
  }
}

function end(state: RolloutState, stage: EndedStage, reason: string): RolloutStep {
  return { state: enter(state, stage, reason), actions: [{ kind: 'release_challenger' }] }
}

function quarantine(state: RolloutState, reason: string): RolloutStep {
  const ended = end(state, 'quarantined', reason)
  return { ...ended, actions: [{ kind: 'quarantine', reason }, ...ended.actions] }
}

function rollBack(state: RolloutState, reason: string): RolloutStep {
  const ended = end(state, 'rolled_back', reason)
  const actions: RolloutAction[] = [
    { kind: 'roll_back', reason },
    { kind: 'quarantine', reason },
  ]
  return { ...ended, actions: [...actions, ...ended.actions] }
}
