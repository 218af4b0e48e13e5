/**
 * What the agent remembers of one index, also over a restart. It has one writer: the agent.
 *
 *     epoch       the data that trials are compared on: it ends when points came or went, or drifted
 *     wanted      why the index is in the queue; null: it is not
 *     judged      pairs of configurations that have a verdict in this epoch
 *     quarantine, budget, rollout      see the files of these names
 *
 * The exact data changes with each write, so an epoch is wider than a fingerprint: it lasts while the
 * number of points stays within a tenth of what it was. Verdicts do not rest on that: whatever is
 * promoted was compared with what is served, freshly and on the same rows.
 */

import type { JsonObject } from '../buckets/revision-codec.ts'
import type { HnswConfig } from '../domain/hnsw-config.ts'
import {
  fieldsOf,
  isBoolean,
  isIntegerIn,
  isListOf,
  isNumberIn,
  isObject,
  isOneOf,
  isText,
  orNull,
} from '../journal/json-fields.ts'
import { asJson } from './agent-settings.ts'
import { startBudget, type BudgetSettings, type BudgetState } from './budget.ts'
import { EMPTY_QUARANTINE, ENTRIES_MAX, type ConfigQuarantine } from './config-quarantine.ts'
import type { RolloutState } from './rollout-state.ts'

/** Why the agent is to look at an index; the earlier goes first. */
export const WISHES = ['requested', 'drift', 'appended', 'periodic'] as const
export type Wish = (typeof WISHES)[number]

/** Why there is nothing to try in this epoch. */
export const TUNED_ENDS = ['converged', 'exhausted'] as const
export type TunedEnd = (typeof TUNED_ENDS)[number]

/** Share of the points that may come or go within an epoch. */
const EPOCH_GROWTH = 0.1
const JUDGED_MAX = 512

export interface AgentEpoch {
  readonly name: string
  /** Live points when it began. */
  readonly points: number
  /** Trials from this number on belong to it. */
  readonly sinceSeq: number
  readonly tuned: TunedEnd | null
}

/** What a rollout is carried out with. */
export interface RolloutJob {
  readonly state: RolloutState
  readonly config: HnswConfig
  readonly graphId: string | null
  readonly note: string
  readonly evidence: JsonObject
  /** Revision of the promotions that it was judged against. */
  readonly baseRevision: number
  /** What was served before it. */
  readonly before: HnswConfig
  /** A change of the promotions that is not known to be durable yet. */
  readonly pending: 'promote' | 'roll_back' | null
}

export interface AgentState {
  readonly epoch: AgentEpoch | null
  readonly wanted: { readonly reason: Wish; readonly atMs: number } | null
  readonly judged: readonly string[]
  readonly quarantine: ConfigQuarantine
  readonly budget: BudgetState
  readonly rollout: RolloutJob | null
}

export function newAgentState(nowMs: number, settings: BudgetSettings): AgentState {
  return {
    ...{ epoch: null, wanted: null, judged: [], rollout: null },
    quarantine: EMPTY_QUARANTINE,
    budget: startBudget(nowMs, settings),
  }
}

/** The epoch of `points`: the one before, where it still holds. */
export function inEpoch(
  state: AgentState,
  now: { readonly points: number; readonly seqHigh: number },
): AgentState {
  const { epoch } = state
  const changed = Math.abs(now.points - (epoch?.points ?? Infinity))
  return epoch !== null && changed <= epoch.points * EPOCH_GROWTH ? state : withNewEpoch(state, now)
}

/** After drift nothing that was measured before is compared any more. */
export function withNewEpoch(
  state: AgentState,
  { points, seqHigh }: { readonly points: number; readonly seqHigh: number },
): AgentState {
  const sinceSeq = seqHigh + 1
  const epoch = { name: `${points} points from trial ${sinceSeq}`, points, sinceSeq, tuned: null }
  return { ...state, epoch, judged: [] }
}

export function withJudged(state: AgentState, pair: string): AgentState {
  return { ...state, judged: [...state.judged, pair].slice(-JUDGED_MAX) }
}

/** Of two wishes the one that goes first; the earlier time of equals. */
export function withWish(state: AgentState, reason: Wish, atMs: number): AgentState {
  const { wanted } = state
  if (wanted !== null && WISHES.indexOf(wanted.reason) <= WISHES.indexOf(reason)) return state
  return { ...state, wanted: { reason, atMs } }
}

export function stateToJson(state: AgentState): JsonObject {
  return { format: 1, ...asJson(state) }
}

/** @throws {VectordError} `object_corrupt` naming what cannot be read. */
export function stateFromJson(json: JsonObject): AgentState {
  const field = fieldsOf('agent state', json)
  field('format', isIntegerIn(1, 1))
  const part = (name: string): unknown => field(name, orNull(isObject))
  return {
    epoch: epochFrom(part('epoch')),
    wanted: wantedFrom(part('wanted')),
    judged: field('judged', isListOf(isText(512), JUDGED_MAX)),
    quarantine: quarantineFrom(part('quarantine')),
    budget: budgetFrom(part('budget')),
    rollout: rolloutFrom(part('rollout')),
  }
}

function epochFrom(json: unknown): AgentEpoch | null {
  if (json === null) return null
  const field = fieldsOf('epoch of the agent', json)
  return {
    name: field('name', isText(128, 1)),
    points: field('points', isIntegerIn(0)),
    sinceSeq: field('sinceSeq', isIntegerIn(0)),
    tuned: field('tuned', orNull(isOneOf(TUNED_ENDS))),
  }
}

function wantedFrom(json: unknown): AgentState['wanted'] {
  if (json === null) return null
  const field = fieldsOf('wish of the agent', json)
  return { reason: field('reason', isOneOf(WISHES)), atMs: field('atMs', isTimeMs) }
}

function quarantineFrom(json: unknown): ConfigQuarantine {
  const field = fieldsOf('quarantine of the agent', json)
  const entries = field('entries', isListOf(isObject, ENTRIES_MAX)).map((entry) => {
    const of = fieldsOf('entry of the quarantine', entry)
    return {
      configKey: of('configKey', isText(256, 1)),
      epoch: of('epoch', isText(128)),
      reason: of('reason', isText(4096)),
      atMs: of('atMs', isTimeMs),
    }
  })
  return {
    format: 1,
    entries,
    rollbacksMs: field('rollbacksMs', isListOf(isTimeMs, ENTRIES_MAX)),
    halted: field('halted', orNull(isText(8192))),
  }
}

function budgetFrom(json: unknown): BudgetState {
  const field = fieldsOf('budget of the agent', json)
  return {
    format: 1,
    time: timeFrom(field('time', isObject)),
    startsMs: field('startsMs', isListOf(isTimeMs, 10_000)),
    lastTrialMs: field('lastTrialMs', orNull(isTimeMs)),
    cpuMs: field('cpuMs', isNumberIn(-1e15, 1e15)),
    latencies: field('latencies', isListOf(isObject, 1000)).map((entry) => {
      const of = fieldsOf('latency of the budget', entry)
      return { atMs: of('atMs', isTimeMs), p99Ms: of('p99Ms', isNumberIn(0, 1e12)) }
    }),
  }
}

function timeFrom(json: unknown): BudgetState['time'] {
  const field = fieldsOf('time of the agent', json)
  return { lastMs: field('lastMs', isTimeMs), elapsedMs: field('elapsedMs', isTimeMs) }
}

/** Its own words are checked; a window of before is measured again where it cannot be read. */
function rolloutFrom(json: unknown): RolloutJob | null {
  if (json === null) return null
  const field = fieldsOf('rollout of the agent', json)
  return {
    state: rolloutStateFrom(field('state', isObject)),
    config: configFrom(field('config', isObject)),
    graphId: field('graphId', orNull(isText(256, 1))),
    note: field('note', isText(4096)),
    evidence: field('evidence', isObject),
    baseRevision: field('baseRevision', isIntegerIn(0)),
    before: configFrom(field('before', isObject)),
    pending: field('pending', orNull(isOneOf(['promote', 'roll_back'] as const))),
  }
}

const STAGES = [
  ...(['proposed', 'built', 'tuned', 'validated', 'shadow', 'canary', 'champion'] as const),
  ...(['baked', 'rejected', 'inconclusive', 'rolled_back', 'quarantined'] as const),
] as const

function rolloutStateFrom(json: JsonObject): RolloutState {
  const field = fieldsOf('state of a rollout', json)
  const count = (name: string): number => field(name, isIntegerIn(0))
  return {
    format: 1,
    trialId: field('trialId', isText(128, 1)),
    configKey: field('configKey', isText(256, 1)),
    epoch: field('epoch', isText(128)),
    stage: field('stage', isOneOf(STAGES)),
    reason: field('reason', isText(8192)),
    time: timeFrom(field('time', isObject)),
    sinceMs: field('sinceMs', isTimeMs),
    ...{ extensions: count('extensions'), canaryStep: count('canaryStep') },
    ...{ canaryRequests: count('canaryRequests'), p99Breaches: count('p99Breaches') },
    coreDeaths: count('coreDeaths'),
    baseline: windowFrom(field('baseline', orNull(isObject))),
    approved: field('approved', isBoolean),
  }
}

function windowFrom(json: JsonObject | null): RolloutState['baseline'] {
  if (json === null) return null
  const field = fieldsOf('window of a rollout', json)
  return {
    requests: field('requests', isIntegerIn(0)),
    errors: field('errors', isIntegerIn(0)),
    p99Ms: field('p99Ms', orNull(isNumberIn(0, 1e12))),
  }
}

function configFrom(json: JsonObject): HnswConfig {
  const field = fieldsOf('configuration of a rollout', json)
  return {
    m: field('m', isIntegerIn(2, 128)),
    efConstruction: field('efConstruction', isIntegerIn(4, 2000)),
    efSearch: field('efSearch', orNull(isIntegerIn(1, 10_000))),
    seed: field('seed', isIntegerIn(0, 0xffff_ffff)),
  }
}

function isTimeMs(value: unknown): value is number {
  return isNumberIn(0, 1e16)(value)
}
