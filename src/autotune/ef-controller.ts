/**
 * Holds the recall goal by the ef that is served: raises it fast, lowers it slowly.
 *
 *     fewer than 100 samples                   hold; but grow with the points
 *     alarm, or upper bound under the goal     the smallest measured ef whose lower bound meets the
 *                                              goal, else 1.5 times as much; up to the cap
 *     lower bound under the goal               a tenth more: in 3 windows, with 300 samples
 *     the rung below meets goal + 0.005        one rung down: in 3 windows, with 300 samples, and
 *                                              10 minutes after any change
 *     5 % more points since ef was set         ef · growth^0.3, unless samples show a margin
 *
 * Looked at every minute, for one stratum of one generation. Every answer says why, in words and
 * numbers. The promoted ef stays what it was: this one is beside it, and a new generation (also a
 * rollback) starts from the promoted one again.
 *
 * Pure: a reducer over plain data, with watched time (`steady-time.ts`).
 */

import type { DriftFacts, DriftKind, DriftSignal } from './drift-signals.ts'
import { driftSignals } from './drift-signals.ts'
import { ladderOf } from './ef-ladder.ts'
import { SAMPLES_MIN } from './live-recall.ts'
import type { EfEstimate } from './recall-window.ts'
import type { SteadyTime } from './steady-time.ts'
import { advance, steadyFrom } from './steady-time.ts'

export interface EfSettings {
  readonly goal: number
  /** At least the largest k of the stratum, or the smallest ef that is worth serving. */
  readonly efMin: number
  readonly efMax: number
}

const RAISE_FACTOR = 1.5
/** For recall that is neither shown to fail nor shown to hold. */
const NUDGE_FACTOR = 1.1
const LOWER_MARGIN = 0.005
/** For small changes, up or down: so many windows in a row must say so, with so many samples. */
const WINDOWS = 3
const SURE_SAMPLES_MIN = 300
const LOWER_PAUSE_MS = 600_000
/** New samples without which another look is no other window. */
const WINDOW_SAMPLES_MIN = 10
const GROWTH_STEP = 1.05
const GROWTH_EXPONENT = 0.3
const STEP_MAX_MS = 600_000

/** JSON as it is. */
export interface EfState {
  readonly format: 1
  readonly generation: number
  readonly ef: number
  readonly time: SteadyTime
  /** Watched time of the last change; null: none yet. */
  readonly changedMs: number | null
  /** Windows in a row in which the rung below met the goal with the margin. */
  readonly lowerWindows: number
  /** Windows in a row in which recall was not shown to hold. */
  readonly riskWindows: number
  /** Samples that had been seen at the last window. */
  readonly windowSeen: number
  /** Points for which `ef` was set. */
  readonly efPoints: number
  /** What was told of this generation already. */
  readonly told: readonly DriftKind[]
}

export interface EfFacts extends Omit<DriftFacts, 'ef' | 'efCap' | 'recallFails'> {
  readonly generation: number
  /** Estimates at the rungs of `efRungs`, of `StratumMonitor.curve`. */
  readonly curve: readonly EfEstimate[]
  readonly isAlarmed: boolean
  /** Samples ever counted in this stratum. */
  readonly seen: number
  /** Largest ef that keeps the promised latency; null: nothing is promised. */
  readonly latencyEfMax: number | null
}

export type EfAction = 'hold' | 'raise' | 'lower' | 'grow' | 'reset'

export interface EfDecision {
  readonly state: EfState
  readonly action: EfAction
  readonly from: number
  readonly to: number
  readonly reason: string
  readonly data: Readonly<Record<string, number | boolean | null>>
  /** New since the last decision. */
  readonly signals: readonly DriftSignal[]
}

export function startEf(
  start: { readonly generation: number; readonly ef: number; readonly points: number },
  nowMs: number,
): EfState {
  return {
    format: 1,
    generation: start.generation,
    ef: start.ef,
    time: steadyFrom(nowMs),
    changedMs: null,
    lowerWindows: 0,
    riskWindows: 0,
    windowSeen: 0,
    efPoints: start.points,
    told: [],
  }
}

/** The efs whose estimates a decision wants. */
export function efRungs(state: EfState, settings: EfSettings): readonly number[] {
  return ladderOf(state.ef, settings)
}

export function decideEf(
  before: EfState,
  facts: EfFacts,
  nowMs: number,
  settings: EfSettings,
): EfDecision {
  if (facts.generation !== before.generation) return reset(before, facts, nowMs)
  const time = advance(before.time, nowMs, STEP_MAX_MS)
  const look = { state: { ...before, time }, facts, settings, cap: capOf(facts, settings) }
  const move = chooseMove(look)
  return tellSignals(settle(look, move), look)
}

interface Look {
  readonly state: EfState
  readonly facts: EfFacts
  readonly settings: EfSettings
  /** The highest ef that may be chosen. */
  readonly cap: number
}

interface Move {
  readonly action: EfAction
  readonly to: number
  readonly reason: string
  readonly lowerWindows?: number
  readonly riskWindows?: number
  readonly windowSeen?: number
}

/** What is served is never lowered for the cap: recall is promised too, and a person is told. */
function capOf({ latencyEfMax }: EfFacts, { efMin, efMax }: EfSettings): number {
  return Math.max(efMin, Math.min(efMax, Math.floor(latencyEfMax ?? efMax)))
}

function chooseMove(look: Look): Move {
  const { state, facts } = look
  const current = estimateAt(look, state.ef)
  const samples = facts.isAlarmed ? facts.seen : (current?.samples ?? 0)
  if (current !== null && samples >= SAMPLES_MIN) return chooseKnown(look, current)
  const reason = `${samples} samples at the served ef: ${SAMPLES_MIN} are needed`
  return grow(look, null) ?? { action: 'hold', to: state.ef, reason }
}

function chooseKnown(look: Look, current: EfEstimate): Move {
  const { state, facts, settings } = look
  if (fails(look, current)) return raise(look, current)
  const growth = grow(look, current)
  if (growth !== null) return growth
  if (facts.seen - state.windowSeen < WINDOW_SAMPLES_MIN) return waitForWindow(look)
  return current.lcb < settings.goal ? nudge(look, current) : lower(look)
}

/** Too little is new for another window: what was counted stays. */
function waitForWindow({ state }: Look): Move {
  const { lowerWindows, riskWindows, windowSeen } = state
  const reason = 'recall does not fail, and nothing new was measured'
  return { action: 'hold', to: state.ef, reason, lowerWindows, riskWindows, windowSeen }
}

/** Recall may be under the goal: not enough to jump, too much to let it be. */
function nudge({ state, facts, cap }: Look, current: EfEstimate): Move {
  const riskWindows = state.riskWindows + 1
  const to = Math.max(state.ef, Math.min(cap, Math.ceil(state.ef * NUDGE_FACTOR)))
  const isSure = current.samples >= SURE_SAMPLES_MIN && riskWindows >= WINDOWS
  const reason = `recall is only shown to be ${show(current.lcb)} in ${riskWindows} windows`
  if (!isSure || to === state.ef) {
    return { action: 'hold', to: state.ef, reason, riskWindows, windowSeen: facts.seen }
  }
  return { action: 'raise', to, reason }
}

function fails({ facts, settings }: Look, current: EfEstimate | null): boolean {
  return facts.isAlarmed || (current !== null && current.ucb < settings.goal)
}

function raise({ state, facts, settings, cap }: Look, current: EfEstimate): Move {
  const why = facts.isAlarmed
    ? 'the alarm says that recall fell under the goal'
    : `recall is at most ${show(current.ucb)}, under the goal`
  const met = facts.curve.find(({ ef, lcb }) => ef > state.ef && lcb >= settings.goal)
  const wanted = met?.ef ?? Math.ceil(state.ef * RAISE_FACTOR)
  const to = Math.max(state.ef, Math.min(cap, wanted))
  if (to === state.ef) {
    return { action: 'hold', to, reason: `${why}, and ef is at its cap of ${cap}` }
  }
  const how = met === undefined ? 'no measured ef meets it' : `${met.ef} meets it`
  return { action: 'raise', to, reason: `${why}; ${how}` }
}

/** Null where the points have not grown enough to matter. */
function grow({ state, facts, settings, cap }: Look, current: EfEstimate | null): Move | null {
  const growth = state.efPoints > 0 ? facts.points / state.efPoints : 1
  if (growth < GROWTH_STEP) return null
  if (current !== null && hasMargin(current, settings)) return null
  const wanted = Math.ceil(state.ef * growth ** GROWTH_EXPONENT)
  const to = Math.max(state.ef, Math.min(cap, wanted))
  if (to === state.ef) return null
  const reason = `there are ${show((growth - 1) * 100)} % more points than ef was set for`
  return { action: 'grow', to, reason }
}

function hasMargin(current: EfEstimate, settings: EfSettings): boolean {
  const isSure = current.samples >= SURE_SAMPLES_MIN
  return isSure && current.lcb >= settings.goal + LOWER_MARGIN
}

/** Recall holds: would it at the rung below? */
function lower({ state, facts, settings }: Look): Move {
  const hold = (reason: string, lowerWindows: number): Move => {
    return { action: 'hold', to: state.ef, reason, lowerWindows, windowSeen: facts.seen }
  }
  const below = facts.curve.findLast(({ ef }) => ef < state.ef && ef >= settings.efMin)
  if (below === undefined) return hold('recall holds and there is no lower ef', 0)
  if (!hasMargin(below, settings)) {
    return hold(`recall holds, and ${below.ef} is not shown to hold it with a margin`, 0)
  }
  const windows = state.lowerWindows + 1
  const restedMs = state.time.elapsedMs - (state.changedMs ?? -Infinity)
  if (windows < WINDOWS || restedMs < LOWER_PAUSE_MS) {
    return hold(`${below.ef} would hold recall too, in ${windows} windows so far`, windows)
  }
  const reason = `recall at ${below.ef} is at least ${show(below.lcb)} in ${windows} windows`
  return { action: 'lower', to: below.ef, reason }
}

function settle(look: Look, move: Move): EfDecision {
  const { state, facts } = look
  const changed = move.to !== state.ef
  return {
    state: {
      ...state,
      ef: move.to,
      changedMs: changed ? state.time.elapsedMs : state.changedMs,
      lowerWindows: move.lowerWindows ?? 0,
      riskWindows: move.riskWindows ?? 0,
      windowSeen: changed ? facts.seen : (move.windowSeen ?? state.windowSeen),
      efPoints: nextPoints(look, changed),
    },
    action: move.action,
    from: state.ef,
    to: move.to,
    reason: move.reason,
    data: dataOf(look),
    signals: [],
  }
}

/** An ef that was just chosen, or is seen to do with a margin, is an ef for the points of now. */
function nextPoints(look: Look, changed: boolean): number {
  const { state, facts, settings } = look
  const current = estimateAt(look, state.ef)
  const isSet = changed || (current !== null && hasMargin(current, settings))
  return isSet ? Math.max(state.efPoints, facts.points) : state.efPoints
}

function dataOf(look: Look): EfDecision['data'] {
  const { state, facts, settings, cap } = look
  const current = estimateAt(look, state.ef)
  return {
    goal: settings.goal,
    samples: current?.samples ?? 0,
    recall: current?.recall ?? null,
    recallLcb: current?.lcb ?? null,
    recallUcb: current?.ucb ?? null,
    alarmed: facts.isAlarmed,
    points: facts.points,
    efPoints: state.efPoints,
    efCap: cap,
  }
}

function tellSignals(decision: EfDecision, look: Look): EfDecision {
  const { state } = decision
  const current = estimateAt(look, decision.from)
  const isKnown = current !== null && current.samples >= SAMPLES_MIN
  const signals = driftSignals({
    ...look.facts,
    ef: state.ef,
    efCap: look.cap,
    recallFails: isKnown && decision.to === decision.from && fails(look, current),
  }).filter(({ kind }) => !state.told.includes(kind))
  const told = [...state.told, ...signals.map(({ kind }) => kind)]
  return { ...decision, state: { ...state, told }, signals }
}

/** The promoted ef of the new generation; what was known is of another graph. */
function reset(before: EfState, facts: EfFacts, nowMs: number): EfDecision {
  const { generation, promotedEf: ef, pointsTuned: points } = facts
  return {
    state: startEf({ generation, ef, points }, nowMs),
    action: 'reset',
    from: before.ef,
    to: ef,
    reason: `generation ${generation} serves at its promoted ef`,
    data: { generation, points: facts.points },
    signals: [],
  }
}

function estimateAt({ facts }: Look, ef: number): EfEstimate | null {
  return facts.curve.find((estimate) => estimate.ef === ef) ?? null
}

function show(value: number): string {
  return String(Number(value.toPrecision(4)))
}
