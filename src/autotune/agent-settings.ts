/**
 * What the agent may do with one index: a document of the index, changed by people alone.
 *
 *     [agent] of the configuration ─▶ defaults ─▶ settings of an index, a field at a time
 *
 * Every field has bounds, and a change that breaks one changes nothing. What the agent remembers by
 * itself is in `agent-state.ts`: a person's compare-and-swap must not fail because a trial ended.
 */

import type { Json, JsonObject } from '../buckets/revision-codec.ts'
import type { Config } from '../config/schema.ts'
import {
  fieldsOf,
  isBoolean,
  isIntegerIn,
  isListOf,
  isNumberIn,
  isOneOf,
  isText,
  orNull,
} from '../journal/json-fields.ts'
import { AGENT_MODES, type AgentMode } from './agent-gate.ts'
import { BUDGET_DEFAULTS, type BudgetSettings } from './budget.ts'
import type { Objective } from './champion.ts'
import type { Axis } from './proposer.ts'
import { ROLLOUT_DEFAULTS, type RolloutSettings } from './rollout-settings.ts'
import { VERDICT_DEFAULTS, type VerdictSettings } from './verdict.ts'

export const AGENT_STRATEGIES = ['structured', 'epsilon', 'grid', 'random'] as const
export type AgentStrategy = (typeof AGENT_STRATEGIES)[number]

export const AGENT_AXES: readonly Axis[] = ['ef_construction', 'ef_search', 'm']
export const OBJECTIVES: readonly Objective[] = ['slo', 'recall_first']

/** Inclusive bounds of the numbers: the schema of the route has them too. */
export const AGENT_BOUNDS = {
  minRecall: [0.5, 0.999],
  minGain: [0, 0.9],
  maxTrialsPerHour: [0, 3600],
  cooldownSecs: [0, 86_400],
  cpuShare: [0.001, 16],
  pauseIfP99Over: [1, 100],
  canaryShare: [0.000_001, 0.999_999],
  bakeSecs: [1, 604_800],
} as const

export const CANARY_SHARES_MAX = 8
const NAME_MAX = 256

export interface AgentSettings {
  readonly mode: AgentMode
  readonly strategy: AgentStrategy
  readonly objective: Objective
  readonly axes: readonly Axis[]
  /** The floor that the held-out lower bound must reach. */
  readonly minRecall: number
  readonly minGain: number
  readonly maxTrialsPerHour: number
  readonly cooldownSecs: number
  readonly cpuShare: number
  readonly pauseIfP99Over: number
  /** Ascending. */
  readonly canaryShares: readonly number[]
  readonly bakeSecs: number
  /** Who keeps the configuration as it is; null: nobody. */
  readonly pinnedBy: string | null
  readonly paused: boolean
  /** The eval set that counts; null: the one that the agent makes for itself. */
  readonly evalName: string | null
}

export type AgentSettingsChange = { readonly [K in keyof AgentSettings]?: AgentSettings[K] }

/** @param keys have been checked one by one when the configuration was loaded. */
export function agentDefaults(keys: Config['agent']): AgentSettings {
  return {
    mode: keys.mode,
    strategy: keys.strategy,
    objective: keys.objective,
    axes: AGENT_AXES.filter((axis) => keys.axes.includes(axis)),
    minRecall: keys.minRecall,
    minGain: keys.minGain,
    maxTrialsPerHour: keys.maxTrialsPerHour,
    cooldownSecs: keys.cooldownBetweenTrialsSecs,
    cpuShare: keys.cpuShare,
    pauseIfP99Over: keys.pauseIfP99Over,
    canaryShares: keys.canaryShares.map(Number).sort((a, b) => a - b),
    bakeSecs: keys.bakeSecs,
    pinnedBy: null,
    paused: false,
    evalName: null,
  }
}

/** @throws {VectordError} `object_corrupt` naming the field, for a field out of its bounds. */
export function changedSettings(before: AgentSettings, change: AgentSettingsChange): AgentSettings {
  return settingsFromJson(settingsToJson({ ...before, ...change }))
}

export function budgetSettings(settings: AgentSettings): BudgetSettings {
  return {
    ...BUDGET_DEFAULTS,
    trialsPerHourMax: settings.maxTrialsPerHour,
    cooldownMs: settings.cooldownSecs * 1000,
    cpuShare: settings.cpuShare,
    p99RatioMax: settings.pauseIfP99Over,
  }
}

export function verdictSettings(
  settings: AgentSettings,
  memoryBytesMax: number | null,
): VerdictSettings {
  const { minRecall: recallFloor, minGain: gainMin } = settings
  return { ...VERDICT_DEFAULTS, recallFloor, gainMin, memoryBytesMax }
}

/** In mode `recommend` a rollout waits for a person. */
export function rolloutSettings(settings: AgentSettings): RolloutSettings {
  return {
    ...ROLLOUT_DEFAULTS,
    automatic: settings.mode === 'auto',
    canaryShares: settings.canaryShares,
    bakeMs: settings.bakeSecs * 1000,
  }
}

export function settingsToJson(settings: AgentSettings): JsonObject {
  return {
    format: 1,
    mode: settings.mode,
    strategy: settings.strategy,
    objective: settings.objective,
    axes: [...settings.axes],
    min_recall: settings.minRecall,
    min_gain: settings.minGain,
    max_trials_per_hour: settings.maxTrialsPerHour,
    cooldown_between_trials_secs: settings.cooldownSecs,
    cpu_share: settings.cpuShare,
    pause_if_p99_over: settings.pauseIfP99Over,
    canary_shares: [...settings.canaryShares],
    bake_secs: settings.bakeSecs,
    pinned_by: settings.pinnedBy,
    paused: settings.paused,
    eval: settings.evalName,
  }
}

/** @throws {VectordError} `object_corrupt`. */
export function settingsFromJson(json: JsonObject): AgentSettings {
  const field = fieldsOf('agent settings', json)
  field('format', isIntegerIn(1, 1))
  const numberOf = (name: string, [min, max]: readonly [number, number]): number =>
    field(name, isNumberIn(min, max))
  const whole = (name: string, [min, max]: readonly [number, number]): number =>
    field(name, isIntegerIn(min, max))
  return {
    mode: field('mode', isOneOf(AGENT_MODES)),
    strategy: field('strategy', isOneOf(AGENT_STRATEGIES)),
    objective: field('objective', isOneOf(OBJECTIVES)),
    axes: field('axes', isListOf(isOneOf(AGENT_AXES), AGENT_AXES.length)),
    minRecall: numberOf('min_recall', AGENT_BOUNDS.minRecall),
    minGain: numberOf('min_gain', AGENT_BOUNDS.minGain),
    maxTrialsPerHour: whole('max_trials_per_hour', AGENT_BOUNDS.maxTrialsPerHour),
    cooldownSecs: whole('cooldown_between_trials_secs', AGENT_BOUNDS.cooldownSecs),
    cpuShare: numberOf('cpu_share', AGENT_BOUNDS.cpuShare),
    pauseIfP99Over: numberOf('pause_if_p99_over', AGENT_BOUNDS.pauseIfP99Over),
    canaryShares: field('canary_shares', isAscendingShares),
    bakeSecs: whole('bake_secs', AGENT_BOUNDS.bakeSecs),
    pinnedBy: field('pinned_by', orNull(isText(NAME_MAX, 1))),
    paused: field('paused', isBoolean),
    evalName: field('eval', orNull(isText(NAME_MAX, 1))),
  }
}

export function isAscendingShares(value: unknown): value is readonly number[] {
  const isShare = isNumberIn(...AGENT_BOUNDS.canaryShare)
  if (!isListOf(isShare, CANARY_SHARES_MAX)(value)) return false
  return value.every((share, i) => i === 0 || share > (value[i - 1] ?? 1))
}

/** Only for what is JSON by its type: an interface has no index signature, its value is the same. */
export function asJson(value: object): JsonObject {
  return JSON.parse(JSON.stringify(value)) as Record<string, Json>
}
