/**
 * Is the challenger better than the champion? Three answers, and missing data is never "yes".
 *
 *     any critical check fails      → reject
 *     every check passes            → promote
 *     else                          → inconclusive: measure more, twice; then a person decides
 *
 * Both answered the same held-out queries in interleaved blocks, each at its own ef. The gain is in
 * CPU time: the median of the pairwise means of the blocks' log ratios, with a 98 % interval. It
 * passes when the whole interval lies above the least gain and fails when it lies below.
 *
 * Where the champion itself is shown to miss the floor (its data grew), a challenger that meets it
 * is better at any cost: gain and latency are then reported and no longer bounds.
 *
 * A first promotion is measured against the default configuration in the champion's place.
 */

import { hodgesLehmann, SHIFT_PAIRS_MAX, signedRank, signTest } from './paired-tests.ts'

/** How often an inconclusive comparison is measured on before it is parked. */
const EXTENSIONS_MAX = 2

export interface VerdictSettings {
  /** The recall that the lower bound must reach. */
  readonly recallFloor: number
  /** Share of the champion's CPU time that must be saved, 0 to 1. */
  readonly gainMin: number
  /** Two-sided, for the interval of the gain; the p value must be under what is left. */
  readonly confidence: number
  readonly heldOutQueriesMin: number
  readonly p99RatioMax: number
  readonly buildRatioMax: number
  /** How far the tenth percentile of recall may lie below the champion's. */
  readonly p10DropMax: number
  /** Null: no limit is set. */
  readonly memoryBytesMax: number | null
}

export const VERDICT_DEFAULTS: VerdictSettings = {
  recallFloor: 0.9,
  gainMin: 0.05,
  confidence: 0.98,
  heldOutQueriesMin: 200,
  p99RatioMax: 1.05,
  buildRatioMax: 3,
  p10DropMax: 0.1,
  memoryBytesMax: null,
}

/** One configuration at its ef on the held-out queries; null for what was not measured. */
export interface Measured {
  /** Recall of each query, in the order of the evaluation set. */
  readonly recalls: readonly number[] | null
  /** One-sided 95 % bounds of the mean of `recalls`. */
  readonly recallLcb: number | null
  readonly recallUcb: number | null
  readonly p99Us: number | null
  readonly memoryBytes: number | null
  readonly buildCpuS: number | null
}

export interface Comparison {
  readonly challenger: Measured
  /** The champion, or where there is none the default configuration; null: not measured. */
  readonly baseline: Measured | null
  /** For each block, ln(CPU time of the challenger / CPU time of the baseline). */
  readonly costLogRatios: readonly number[]
}

export type CheckStatus = 'pass' | 'fail' | 'unknown'

export type CheckName =
  | 'baseline'
  | 'held_out_queries'
  | 'recall_floor'
  | 'gain'
  | 'significance'
  | 'p99'
  | 'memory'
  | 'build_time'
  | 'p10'
  | 'paired_recall'

export interface Check {
  readonly name: CheckName
  readonly status: CheckStatus
  /** False: reported and never decides. */
  readonly critical: boolean
  readonly observed: number | null
  /** Null where nothing bounds it. */
  readonly bound: number | null
  readonly text: string
}

export type VerdictKind = 'promote' | 'reject' | 'inconclusive'

export interface Verdict {
  readonly verdict: VerdictKind
  readonly checks: readonly Check[]
  readonly reason: string
}

export function judge(comparison: Comparison, settings: VerdictSettings): Verdict {
  const rescue = missesFloor(comparison.baseline, settings)
  const checks = [
    baselineCheck(comparison),
    heldOutCheck(comparison, settings),
    floorCheck(comparison.challenger, settings),
    ...gainChecks(comparison, settings, rescue),
    p99Check(comparison, settings, rescue),
    memoryCheck(comparison.challenger, settings),
    buildCheck(comparison, settings),
    p10Check(comparison, settings),
    pairedRecallCheck(comparison, settings),
  ]
  const critical = checks.filter((check) => check.critical)
  const failed = critical.filter((check) => check.status === 'fail')
  const unknown = critical.filter((check) => check.status === 'unknown')
  if (failed.length > 0) return { verdict: 'reject', checks, reason: texts(failed) }
  if (unknown.length > 0) return { verdict: 'inconclusive', checks, reason: texts(unknown) }
  return { verdict: 'promote', checks, reason: texts(critical) }
}

export type NextStep = 'promote' | 'reject' | 'extend' | 'park'

/** @param extensions how often this comparison was measured on already. */
export function nextStep(verdict: VerdictKind, extensions: number): NextStep {
  if (verdict !== 'inconclusive') return verdict
  return extensions < EXTENSIONS_MAX ? 'extend' : 'park'
}

function texts(checks: readonly Check[]): string {
  return checks.map((check) => check.text).join('; ')
}

function missesFloor(baseline: Measured | null, settings: VerdictSettings): boolean {
  const upper = known(baseline?.recallUcb)
  return upper !== null && upper < settings.recallFloor
}

function baselineCheck({ baseline }: Comparison): Check {
  const measured = baseline !== null
  return {
    name: 'baseline',
    status: measured ? 'pass' : 'unknown',
    critical: true,
    observed: null,
    bound: null,
    text: measured ? 'the baseline was measured' : 'the baseline was not measured',
  }
}

function heldOutCheck({ challenger }: Comparison, settings: VerdictSettings): Check {
  const observed = challenger.recalls?.length ?? 0
  const bound = settings.heldOutQueriesMin
  return {
    name: 'held_out_queries',
    status: observed >= bound ? 'pass' : 'unknown',
    critical: true,
    observed,
    bound,
    text: `${observed} held-out queries, at least ${bound} are needed`,
  }
}

function floorCheck(challenger: Measured, settings: VerdictSettings): Check {
  const observed = known(challenger.recallLcb)
  const upper = known(challenger.recallUcb)
  const bound = settings.recallFloor
  const shape = { name: 'recall_floor', critical: true, observed, bound } as const
  if (observed === null) {
    return { ...shape, status: 'unknown', text: 'recall was not measured on held-out queries' }
  }
  const recall = `recall is at least ${show(observed)}`
  if (observed >= bound) {
    return { ...shape, status: 'pass', text: `${recall}, the floor is ${show(bound)}` }
  }
  if (upper !== null && upper >= bound) {
    return { ...shape, status: 'unknown', text: `${recall}, which does not show ${show(bound)}` }
  }
  return { ...shape, status: 'fail', text: `${recall}, under the floor of ${show(bound)}` }
}

function gainChecks(
  comparison: Comparison,
  settings: VerdictSettings,
  rescue: boolean,
): readonly Check[] {
  const { gain, lower, upper, p, blocks } = measureGain(comparison, settings.confidence)
  const alpha = 1 - settings.confidence
  const spared = gain === null ? 'no blocks were compared' : `${percent(gain)} less CPU time`
  const range = `${percent(lower)} to ${percent(upper)}`
  const why = rescue ? ', and the champion misses the floor' : ''
  const isShown = rescue || isSaving({ gain, p, alpha })
  return [
    {
      name: 'gain',
      status: rescue ? 'pass' : threeWays({ lower, upper, bound: settings.gainMin }),
      critical: true,
      observed: gain,
      bound: rescue ? null : settings.gainMin,
      text: `${spared} (${range}), ${percent(settings.gainMin)} count${why}`,
    },
    {
      name: 'significance',
      status: isShown ? 'pass' : 'unknown',
      critical: true,
      observed: gain === null ? null : p,
      bound: rescue ? null : alpha,
      text: `p ${show(p)} over ${blocks} blocks`,
    },
  ]
}

function isSaving(test: { gain: number | null; p: number; alpha: number }): boolean {
  return test.gain !== null && test.gain > 0 && test.p < test.alpha
}

interface Gain {
  /** Share of the CPU time that is saved; null where nothing was compared. */
  readonly gain: number | null
  readonly lower: number
  readonly upper: number
  readonly p: number
  readonly blocks: number
}

/** One block that is no number makes the others no better: then nothing was compared. */
function measureGain({ baseline, costLogRatios }: Comparison, confidence: number): Gain {
  const usable = baseline !== null && costLogRatios.every(Number.isFinite)
  const ratios = usable ? costLogRatios.slice(-SHIFT_PAIRS_MAX) : []
  const shift = hodgesLehmann(ratios, confidence)
  const { p } = signedRank(ratios, 'two_sided')
  if (shift === null) return { gain: null, lower: -Infinity, upper: 1, p, blocks: 0 }
  return {
    gain: 1 - Math.exp(shift.estimate),
    lower: 1 - Math.exp(shift.upper),
    upper: 1 - Math.exp(shift.lower),
    p,
    blocks: ratios.length,
  }
}

/** The whole interval at or above the bound, the whole interval below it, or neither. */
function threeWays(range: { lower: number; upper: number; bound: number }): CheckStatus {
  if (range.lower >= range.bound) return 'pass'
  return range.upper < range.bound ? 'fail' : 'unknown'
}

function p99Check(comparison: Comparison, settings: VerdictSettings, rescue: boolean): Check {
  const observed = ratio(comparison.challenger.p99Us, comparison.baseline?.p99Us)
  return atMost({
    name: 'p99',
    observed,
    bound: rescue ? null : settings.p99RatioMax,
    what: 'p99 against the champion',
  })
}

function memoryCheck(challenger: Measured, settings: VerdictSettings): Check {
  return atMost({
    name: 'memory',
    observed: known(challenger.memoryBytes),
    bound: settings.memoryBytesMax,
    what: 'memory in bytes',
  })
}

function buildCheck({ challenger, baseline }: Comparison, settings: VerdictSettings): Check {
  return atMost({
    name: 'build_time',
    observed: ratio(challenger.buildCpuS, baseline?.buildCpuS),
    bound: settings.buildRatioMax,
    what: 'build time against the champion',
  })
}

function p10Check({ challenger, baseline }: Comparison, settings: VerdictSettings): Check {
  const observed = tenthPercentile(challenger.recalls)
  const before = tenthPercentile(baseline?.recalls ?? null)
  // Recalls are multiples of 1/k: a drop of exactly the limit must not fail for its last bit.
  const bound = before === null ? null : before - settings.p10DropMax - 1e-9
  const shape = { name: 'p10', critical: true, observed, bound } as const
  if (observed === null || bound === null) {
    return { ...shape, status: 'unknown', text: 'the recall of single queries was not measured' }
  }
  const text = `a tenth of the queries are at recall ${show(observed)}, the bound is ${show(bound)}`
  return { ...shape, status: observed >= bound ? 'pass' : 'fail', text }
}

/** Which recalls more, query by query: a fact for whoever reads; the floor is what decides. */
function pairedRecallCheck({ challenger, baseline }: Comparison, settings: VerdictSettings): Check {
  const shape = { name: 'paired_recall', critical: false, bound: 1 - settings.confidence } as const
  const before = baseline?.recalls ?? []
  const differences = challenger.recalls?.map((recall, i) => recall - (before[i] ?? NaN)) ?? []
  const paired = differences.length === before.length && differences.every(Number.isFinite)
  if (!paired || differences.length === 0) {
    return { ...shape, status: 'unknown', observed: null, text: 'recalls were not paired' }
  }
  const { positive, negative, p } = signTest(differences, 'less')
  return {
    ...shape,
    status: p < shape.bound ? 'fail' : 'pass',
    observed: p,
    text: `recall is higher for ${positive} queries and lower for ${negative}`,
  }
}

function atMost(check: {
  name: CheckName
  observed: number | null
  bound: number | null
  what: string
}): Check {
  const { name, observed, bound, what } = check
  const shape = { name, critical: true, observed, bound }
  if (observed === null) return { ...shape, status: 'unknown', text: `${what} was not measured` }
  const limit = bound === null ? 'nothing bounds it' : `at most ${show(bound)}`
  const status = bound === null || observed <= bound ? 'pass' : 'fail'
  return { ...shape, status, text: `${what} is ${show(observed)}, ${limit}` }
}

/** Null where one was not measured, or the second is nothing to compare with. */
function ratio(value: number | null, base: number | null | undefined): number | null {
  const above = known(value)
  const below = known(base)
  return above === null || below === null || below <= 0 ? null : above / below
}

/** A measurement that came out as no number was not made. */
function known(value: number | null | undefined): number | null {
  return value === null || value === undefined || !Number.isFinite(value) ? null : value
}

function tenthPercentile(recalls: readonly number[] | null): number | null {
  if (recalls === null || recalls.length === 0 || !recalls.every(Number.isFinite)) return null
  const sorted = [...recalls].sort((a, b) => a - b)
  return sorted[Math.ceil(sorted.length / 10) - 1] ?? null
}

function show(value: number): string {
  return String(Number(value.toPrecision(4)))
}

function percent(share: number): string {
  return Number.isFinite(share) ? `${show(share * 100)} %` : 'unknown'
}
