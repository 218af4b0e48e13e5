/**
 * Which trial is worth comparing with what is served, at which ef; and what is to be said of the
 * comparison.
 *
 *     trials of the epoch ─▶ best one that is not under quarantine ─▶ its ef ─▶ judged before? ─▶ compare
 *
 * The ef is the smallest whose lower bound on the tune queries meets the floor with a margin: one
 * that just meets it fails half of the time on the held-out queries, which decide.
 */

import type { JsonObject } from '../buckets/revision-codec.ts'
import { defaultEf, type HnswConfig } from '../domain/hnsw-config.ts'
import { canonicalKey, type CurvePoint, type Trial } from '../domain/trial.ts'
import { estimateRecall } from '../journal/recall-bound.ts'
import type { AgentSettings } from './agent-settings.ts'
import { chooseChampion, type Champion } from './champion.ts'
import { configKey, isQuarantined, type ConfigQuarantine } from './config-quarantine.ts'
import { reachOf, soundHistory, type Reach } from './measured-trial.ts'
import type { Comparison, Measured, Verdict } from './verdict.ts'

/** Share of the misses that the floor allows which are kept as a margin. */
const MARGIN_SHARE = 0.1
/** Costs of two trials that differ by less are equal. */
const COST_NOISE = 0.03
const K_MAX = 65_535

export interface ChallengerQuestion {
  /** Ended trials of the epoch. */
  readonly history: readonly Trial[]
  readonly settings: Pick<AgentSettings, 'minRecall' | 'objective'>
  readonly current: HnswConfig
  readonly quarantine: ConfigQuarantine
  readonly epoch: string
  readonly judged: readonly string[]
}

export interface Challenger {
  readonly kind: 'challenger'
  readonly trial: Trial
  readonly point: CurvePoint
  readonly ef: number
  readonly configKey: string
  /** The trial of what is served; null where it was not measured. */
  readonly baseline: Trial | null
  readonly baselineEf: number
  /** Names the two: for `judged`. */
  readonly pair: string
}

export type ChallengerAnswer =
  | Challenger
  /** `trial` is the best there is; null where nothing was measured. */
  | { readonly kind: 'none'; readonly reason: NoChallenger; readonly trial: Trial | null }

export type NoChallenger = 'not_measured' | 'slo_unreachable' | 'is_served' | 'judged'

export function findChallenger(question: ChallengerQuestion): ChallengerAnswer {
  const { current, judged } = question
  const best = bestTrial(question)
  if (best === null) return { kind: 'none', reason: 'not_measured', trial: null }
  const reach = best.feasible ? efFor(best.trial, question.settings.minRecall) : null
  if (reach === null) return { kind: 'none', reason: 'slo_unreachable', trial: best.trial }
  const { trial, ef, point } = reach
  const key = configKey(trial.canonicalKey, ef)
  const baselineEf = servedEf(current, trial.eval.k)
  const servedKey = configKey(canonicalKey(current), baselineEf)
  if (key === servedKey) return { kind: 'none', reason: 'is_served', trial }
  const pair = `${key} / ${servedKey}`
  if (judged.includes(pair)) return { kind: 'none', reason: 'judged', trial }
  const baseline = baselineTrial(question.history, current)
  return { kind: 'challenger', trial, point, ef, configKey: key, baseline, baselineEf, pair }
}

/** The best trial of those that are not out; null where nothing was measured. */
export function bestTrial(question: Omit<ChallengerQuestion, 'judged'>): Champion | null {
  const { history, settings, current, quarantine, epoch } = question
  const allowed = history.filter((trial) => {
    const reach = efFor(trial, settings.minRecall)
    const key = configKey(trial.canonicalKey, reach?.ef ?? 0)
    return reach === null || !isQuarantined(quarantine, { configKey: key, epoch })
  })
  const { objective, minRecall: goal } = settings
  return chooseChampion(allowed, { objective, goal, current, costNoise: COST_NOISE })
}

/** The ef of searches that name none. */
function servedEf({ efSearch }: HnswConfig, k: number): number {
  return Math.max(k, efSearch ?? defaultEf(k))
}

function efFor(trial: Trial, goal: number): Reach | null {
  return reachOf(trial, goal + (1 - goal) * MARGIN_SHARE) ?? reachOf(trial, goal)
}

/** The newest trial that measured the graph of what is served. */
function baselineTrial(history: readonly Trial[], current: HnswConfig): Trial | null {
  const key = canonicalKey(current)
  const trials = soundHistory(history).filter(({ state }) => state === 'completed')
  return trials.findLast(({ config }) => canonicalKey(config) === key) ?? null
}

/**
 * The measurement with bounds that its own queries show: a bound is believed only where they do.
 *
 * @param k neighbours of a query.
 */
export function believed<T extends Measured>(side: T, k: number): T {
  const { recalls } = side
  const isSound = recalls !== null && recalls.length > 0 && recalls.every(isShare)
  if (!isSound || !Number.isInteger(k) || k < 1 || k > K_MAX) {
    return { ...side, recalls: null, recallLcb: null, recallUcb: null }
  }
  const hits = Uint16Array.from(recalls, (recall) => Math.round(recall * k))
  const { lcb, ucb } = estimateRecall({ hits, k })
  return {
    ...side,
    recallLcb: worse(Math.min, side.recallLcb, lcb),
    recallUcb: worse(Math.max, side.recallUcb, ucb),
  }
}

function worse(pick: typeof Math.min, told: number | null, own: number): number | null {
  return told === null || !Number.isFinite(told) ? null : pick(told, own)
}

function isShare(value: number): boolean {
  return value >= 0 && value <= 1
}

/** For people: `agent: recall=0.957 (lcb 0.951) p50=412us, -23% cpu vs champion t-1, p=0.003, n=500+500`. */
export function noteOf(challenger: Challenger, comparison: Comparison, verdict: Verdict): string {
  const recalls = comparison.challenger.recalls ?? []
  const lcb = comparison.challenger.recallLcb ?? 0
  const mean = recalls.reduce((sum, recall) => sum + recall, 0) / Math.max(1, recalls.length)
  const gain = observed(verdict, 'gain')
  const p = observed(verdict, 'significance')
  const { trial, point, baseline } = challenger
  const recall = `recall=${mean.toFixed(3)} (lcb ${lcb.toFixed(3)})`
  const saved = gain === null ? 'cpu unknown' : `${gain >= 0 ? '-' : '+'}${percent(gain)}% cpu`
  const against = `vs champion ${baseline?.trialId ?? 'unknown'}`
  const shown = p === null ? 'p unknown' : `p=${Number(p.toPrecision(2))}`
  const n = `n=${trial.eval.tuneQueries}+${recalls.length}`
  return `agent: ${recall} p50=${Math.round(point.p50Us)}us, ${saved} ${against}, ${shown}, ${n}`
}

/** The numbers of a verdict, small enough for a promotion. */
export function evidenceOf(challenger: Challenger, verdict: Verdict): JsonObject {
  const { trial, ef, baseline, baselineEf } = challenger
  const checks = verdict.checks.map(({ name, status, observed: value, bound }) => [
    name,
    { status, observed: rounded(value), bound: rounded(bound) },
  ])
  return {
    ...{ trial_id: trial.trialId, ef, eval: trial.eval.name },
    ...{ baseline_trial_id: baseline?.trialId ?? null, baseline_ef: baselineEf },
    checks: Object.fromEntries(checks) as JsonObject,
  }
}

function observed({ checks }: Verdict, name: string): number | null {
  return checks.find((check) => check.name === name)?.observed ?? null
}

function percent(share: number): string {
  return String(Math.round(Math.abs(share) * 100))
}

function rounded(value: number | null): number | null {
  return value === null || !Number.isFinite(value) ? null : Number(value.toPrecision(6))
}
