/**
 * What every strategy is: a pure function from what was tried to what to try next.
 *
 * A proposer reads no clock, does no I/O and keeps no state, so that the same journal gives the same
 * proposal after a restart, after a compaction and on another machine. What it answers is stored
 * with the trial, together with the reasons.
 *
 *     history ─▶ propose ─▶ {config, explain} ─▶ built and measured ─▶ one more trial in the history
 */

import type { HnswConfig } from '../domain/hnsw-config.ts'
import type { Metric } from '../domain/metric.ts'
import type { Trial } from '../domain/trial.ts'
import {
  DEFAULT_LATTICE,
  type GraphLimits,
  type Lattice,
  type SearchBounds,
} from './search-space.ts'

export type Axis = 'ef_construction' | 'ef_search' | 'm'

export interface ProposerOptions {
  /** Results that a query asks for; an ef below it is the same as it. */
  readonly k: number
  /** Share of proposals that look anywhere, in [0, 1]. */
  readonly epsilon: number
  /** Largest step of efConstruction in exploit mode; at least 1. */
  readonly deltaEfConstruction: number
  /** Largest step of efSearch in exploit mode; at least 1. */
  readonly deltaEfSearch: number
  readonly axes: readonly Axis[]
  /** Tells many alike indexes apart; 0 for none. */
  readonly seedSalt: number
  /** The ef from which the epsilon proposer steps on: the champion's own or its solved one. */
  readonly efSource: 'proposed' | 'boundary'
  readonly lattice: Lattice
  /** A lattice cell that is forecast to need more is not proposed. */
  readonly limits: GraphLimits
}

export const DEFAULT_OPTIONS: ProposerOptions = {
  k: 10,
  epsilon: 0.25,
  deltaEfConstruction: 20,
  deltaEfSearch: 10,
  axes: ['ef_construction', 'ef_search'],
  seedSalt: 0,
  efSource: 'proposed',
  lattice: DEFAULT_LATTICE,
  limits: { memoryBytes: null, buildCpuS: null },
}

/** What is known of the points without building anything. */
export interface DatasetStatistics {
  readonly points: number
  readonly dimension: number
  readonly metric: Metric
  /** Local intrinsic dimension; null where it was not estimated. */
  readonly lid: number | null
}

export interface ProposalInput {
  /** Ended trials of this index and this epoch, in the order of their seq. */
  readonly history: readonly Trial[]
  /** Trials of the epoch ever made, also those that a compaction took out of the history. */
  readonly len: number
  readonly champion: Trial | null
  /** What is served now: the first proposal, because everything is compared with it. */
  readonly current: HnswConfig
  /** Recall that the lower bound must meet. */
  readonly goal: number
  readonly bounds: SearchBounds
  readonly options: ProposerOptions
  readonly statistics?: DatasetStatistics
}

export interface Proposal {
  /** `efSearch` is null where it is solved for on the built graph. */
  readonly config: HnswConfig
  /** Why this one, in JSON. */
  readonly explain: Readonly<Record<string, unknown>>
}

export interface Proposer {
  /** Null where there is nothing to try any more. Never what the history holds already. */
  propose(input: ProposalInput): Proposal | null
}

/** Of lattice strategies: what is served now, as a trial whose ef is solved for. */
export function baselineProposal({ current, len }: ProposalInput): Proposal {
  return { config: { ...current, efSearch: null }, explain: { mode: 'baseline', len } }
}
