/**
 * A trial: one graph configuration, built and measured on the points of an index.
 *
 * Recall is the unit of every decision: of a query it is hits / k against exact search, of a set the
 * mean over its queries. The unit of statistics is the query, never the neighbour. For a built graph
 * recall and cost rise with ef, so the whole curve is kept and ef is solved for, not searched.
 */

import type { HnswConfig } from './hnsw-config.ts'
import type { Metric } from './metric.ts'

/** Who proposed the configuration. */
export const STRATEGIES = ['manual', 'epsilon', 'structured', 'grid', 'random'] as const
export type Strategy = (typeof STRATEGIES)[number]

export const TRIAL_STATES = [
  'running',
  'completed',
  /** No ef within the bounds reaches the lowest goal, or a limit forbids the build. */
  'infeasible',
  /** Given up early: it could not win any more. */
  'pruned',
  'failed',
  'aborted',
] as const
export type TrialState = (typeof TRIAL_STATES)[number]

/** Goals for which every trial solves ef. */
export const RECALL_GOALS = [0.9, 0.95, 0.99] as const

/** The points that a trial was run on: trials of other epochs are not compared with it. */
export interface DatasetEpoch {
  /** Hex; two data sets with equal fingerprints are the same rows in the same order. */
  readonly fingerprint: string
  readonly points: number
  readonly dimension: number
  readonly metric: Metric
}

/** One ef of a built graph, measured over `queries` queries. */
export interface CurvePoint {
  readonly ef: number
  readonly queries: number
  readonly recall: number
  /** One-sided lower 95 % bound of the recall. */
  readonly recallLcb: number
  /** Tenth percentile of the recall of single queries. */
  readonly p10: number
  /** CPU time of a query, in microseconds: what cost means here. */
  readonly cpuUs: number
  readonly p50Us: number
  readonly p95Us: number
  readonly p99Us: number
}

/** The smallest ef whose lower bound on the tune queries meets a goal; null where none does. */
export interface Boundary {
  readonly goal: number
  readonly ef: number | null
  /** Cost at that ef. */
  readonly cpuUs: number | null
  /** The curve point of that ef on the held-out queries; null where none was taken. */
  readonly heldOut: CurvePoint | null
}

export interface TrialBuild {
  readonly cpuS: number
  readonly wallS: number
  /** Bytes of the graph file. */
  readonly bytes: number
  /** CPU seconds that were forecast; null where nothing was known. */
  readonly predictedCpuS: number | null
  /** True where the graph came from the cache and nothing was built. */
  readonly cached: boolean
}

export interface TrialEval {
  readonly name: string
  /** Revision of the truth that was used: its lsn. */
  readonly lsn: number
  readonly k: number
  readonly tuneQueries: number
  readonly heldOutQueries: number
  /** Under 200 queries in a half: the agent never promotes on it. */
  readonly weak: boolean
}

export interface TrialEnvironment {
  readonly host: string
  readonly cpu: string
  readonly node: string
  readonly engine: string
  readonly load1: number
}

/** One line of the journal. */
export interface Trial {
  /** Grows by one for each trial of an index and never goes back, also after a compaction. */
  readonly seq: number
  readonly trialId: string
  readonly index: string
  readonly epoch: DatasetEpoch
  readonly strategy: Strategy
  /** Why this configuration: what the proposer says, as JSON. */
  readonly explain: Readonly<Record<string, unknown>>
  /** As proposed; `efSearch` null where the proposer leaves it to the curve. */
  readonly config: HnswConfig
  /** Names the graph of the data set: see `canonicalKey`. */
  readonly canonicalKey: string
  /** Hex name of the graph that was built; null where none was. */
  readonly graphId: string | null
  readonly state: TrialState
  readonly reason: string | null
  readonly build: TrialBuild | null
  /** On the tune queries, ascending in ef. */
  readonly curve: readonly CurvePoint[]
  readonly boundaries: readonly Boundary[]
  readonly eval: TrialEval
  readonly environment: TrialEnvironment
  readonly note: string | null
  readonly startedMs: number
  readonly finishedMs: number | null
  /** A running trial whose lease has passed is aborted by whoever finds it. */
  readonly leaseUntilMs: number | null
}

/** hnswlib builds the same graph for every efConstruction below M: one name for one graph. */
export function effectiveEfConstruction({
  m,
  efConstruction,
}: Pick<HnswConfig, 'm' | 'efConstruction'>): number {
  return Math.max(m, efConstruction)
}

/** Equal for configurations that build the same graph. */
export function canonicalKey(config: HnswConfig): string {
  return `m=${config.m},ef_construction=${effectiveEfConstruction(config)},seed=${config.seed}`
}
