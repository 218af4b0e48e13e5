/**
 * Whether a trial may start now: tuning is paid from what serving leaves over.
 *
 *     refused by     until
 *     live_latency   the p99 of searches is back under 1.2 times its median of an hour
 *     trials_per_hour, cooldown     enough time has passed
 *     cpu_share      the CPU account is above zero: it fills at the share and holds an hour of it
 *     memory         another configuration is proposed, or memory is free
 *
 * The account may be overdrawn by the trial that empties it, which is then waited for: over any
 * stretch of time, trials begin for at most the share of that time, one hour of it saved up, and
 * one trial.
 *
 * Time is watched time (`steady-time.ts`): setting the clock neither frees trials nor blocks them.
 * `retryAtMs` is therefore at most one step away. Plain data, which survives a restart as JSON;
 * every list is bounded.
 */

import type { SteadyTime } from './steady-time.ts'
import { advance, steadyFrom } from './steady-time.ts'

export interface BudgetSettings {
  readonly trialsPerHourMax: number
  readonly cooldownMs: number
  /** Of one CPU core, over time. */
  readonly cpuShare: number
  /** Live p99 against its own median; above it, trials wait. */
  readonly p99RatioMax: number
  /** Share of the free memory that a build may take. */
  readonly memoryShareMax: number
}

export const BUDGET_DEFAULTS: BudgetSettings = {
  trialsPerHourMax: 6,
  cooldownMs: 60_000,
  cpuShare: 0.25,
  p99RatioMax: 1.2,
  memoryShareMax: 0.8,
}

const HOUR_MS = 3_600_000
/** Time without a look at the budget counts at most so much. */
export const BUDGET_STEP_MAX_MS = 600_000
/** Windows of live p99 that are kept, one a minute; fewer than `P99_WINDOWS_MIN` have no median. */
const P99_WINDOW_MS = 60_000
const P99_WINDOWS_MAX = HOUR_MS / P99_WINDOW_MS
const P99_WINDOWS_MIN = 10

interface LatencyWindow {
  /** Watched time. */
  readonly atMs: number
  readonly p99Ms: number
}

/** JSON as it is. */
export interface BudgetState {
  readonly format: 1
  readonly time: SteadyTime
  /** Watched times at which trials of the last hour began, oldest first. */
  readonly startsMs: readonly number[]
  /** Watched time at which a trial last began or ended; null: never. */
  readonly lastTrialMs: number | null
  /** CPU milliseconds on the account; below zero where a trial cost more. */
  readonly cpuMs: number
  /** Oldest first. */
  readonly latencies: readonly LatencyWindow[]
}

export interface BudgetQuestion {
  /** Bytes that the build will take. */
  readonly predictedBytes: number
  /** Bytes that are free; null where that is unknown, and then nothing is built. */
  readonly headroomBytes: number | null
  /** Of the window that just ended; null without traffic, which nothing can disturb. */
  readonly liveP99Ms: number | null
}

export type BudgetRefusal = 'live_latency' | 'trials_per_hour' | 'cooldown' | 'cpu_share' | 'memory'

export type BudgetAnswer =
  | { readonly allowed: true; readonly reason: null; readonly retryAtMs: null }
  | {
      readonly allowed: false
      readonly reason: BudgetRefusal
      readonly text: string
      /** When to ask again, by the wall clock. */
      readonly retryAtMs: number
    }

/** The account starts full. */
export function startBudget(nowMs: number, settings: BudgetSettings): BudgetState {
  return {
    format: 1,
    time: steadyFrom(nowMs),
    startsMs: [],
    lastTrialMs: null,
    cpuMs: settings.cpuShare * HOUR_MS,
    latencies: [],
  }
}

/** To be called often, and before every question: time passes only by it. */
export function passTime(
  before: BudgetState,
  nowMs: number,
  settings: BudgetSettings,
): BudgetState {
  const time = advance(before.time, nowMs, BUDGET_STEP_MAX_MS)
  const passedMs = time.elapsedMs - before.time.elapsedMs
  const since = time.elapsedMs - HOUR_MS
  return {
    ...before,
    time,
    startsMs: before.startsMs.filter((atMs) => atMs > since),
    cpuMs: Math.min(settings.cpuShare * HOUR_MS, before.cpuMs + passedMs * settings.cpuShare),
    latencies: before.latencies.filter(({ atMs }) => atMs > since),
  }
}

export function trialStarted(state: BudgetState): BudgetState {
  const nowMs = state.time.elapsedMs
  return { ...state, startsMs: [...state.startsMs, nowMs], lastTrialMs: nowMs }
}

/** Also for a trial that failed: its CPU time was spent all the same. */
export function trialEnded(state: BudgetState, cpuMs: number): BudgetState {
  return { ...state, lastTrialMs: state.time.elapsedMs, cpuMs: state.cpuMs - Math.max(0, cpuMs) }
}

/** Takes in the p99 of a window of searches; more often than once a window changes nothing. */
export function recordLiveP99(state: BudgetState, p99Ms: number): BudgetState {
  const atMs = state.time.elapsedMs
  const last = state.latencies.at(-1)
  if (!Number.isFinite(p99Ms) || (last !== undefined && atMs - last.atMs < P99_WINDOW_MS)) {
    return state
  }
  return { ...state, latencies: [...state.latencies, { atMs, p99Ms }].slice(-P99_WINDOWS_MAX) }
}

/** True where searches suffer: no trial starts, and a running one should pause. */
export function suffersLiveLatency(
  state: BudgetState,
  liveP99Ms: number | null,
  settings: BudgetSettings,
): boolean {
  if (liveP99Ms === null || state.latencies.length < P99_WINDOWS_MIN) return false
  const sorted = state.latencies.map(({ p99Ms }) => p99Ms).sort((a, b) => a - b)
  const median = sorted[Math.floor(sorted.length / 2)] ?? Infinity
  return liveP99Ms > median * settings.p99RatioMax
}

export function askBudget(
  state: BudgetState,
  question: BudgetQuestion,
  settings: BudgetSettings,
): BudgetAnswer {
  const nowMs = state.time.elapsedMs
  if (suffersLiveLatency(state, question.liveP99Ms, settings)) {
    return refuse(state, 'live_latency', P99_WINDOW_MS, 'searches are slower than they were')
  }
  const first = state.startsMs.at(-settings.trialsPerHourMax)
  if (settings.trialsPerHourMax <= 0 || first !== undefined) {
    const waitMs = (first ?? nowMs) + HOUR_MS - nowMs
    const text = `${state.startsMs.length} trials began within an hour`
    return refuse(state, 'trials_per_hour', waitMs, text)
  }
  const sinceTrialMs = nowMs - (state.lastTrialMs ?? -Infinity)
  if (sinceTrialMs < settings.cooldownMs) {
    const waitMs = settings.cooldownMs - sinceTrialMs
    return refuse(state, 'cooldown', waitMs, 'the last trial ended a moment ago')
  }
  if (state.cpuMs <= 0) {
    const text = `trials used ${Math.round(-state.cpuMs)} CPU milliseconds more than their share`
    return refuse(state, 'cpu_share', (1 - state.cpuMs) / settings.cpuShare, text)
  }
  return askMemory(state, question, settings)
}

function askMemory(
  state: BudgetState,
  { predictedBytes, headroomBytes }: BudgetQuestion,
  settings: BudgetSettings,
): BudgetAnswer {
  const room = headroomBytes === null ? NaN : headroomBytes * settings.memoryShareMax
  // Also false where either is no number: what is not known to fit is not built.
  if (predictedBytes <= room) return { allowed: true, reason: null, retryAtMs: null }
  const free = headroomBytes === null ? 'an unknown number' : String(headroomBytes)
  const text = `the build needs ${predictedBytes} bytes and ${free} are free`
  return refuse(state, 'memory', BUDGET_STEP_MAX_MS, text)
}

function refuse(
  state: BudgetState,
  reason: BudgetRefusal,
  waitMs: number,
  text: string,
): BudgetAnswer {
  const step = Math.min(BUDGET_STEP_MAX_MS, Math.max(1, Math.ceil(waitMs)))
  return { allowed: false, reason, text, retryAtMs: state.time.lastMs + step }
}
