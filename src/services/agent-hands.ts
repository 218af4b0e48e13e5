/**
 * What the agent acts through. It decides; whoever implements this measures, builds and publishes.
 *
 *     runTrial, compare    in a builder, beside serving
 *     prepare ─▶ canary ─▶ publish ─▶ drop    generations of the index
 */

import type { DatasetStatistics } from '../autotune/proposer.ts'
import type { HnswConfig } from '../domain/hnsw-config.ts'
import type { Strategy, Trial } from '../domain/trial.ts'
import type { EffectiveConfig } from '../indexes/index-api.ts'
import type { Canary } from '../indexes/steering.ts'
import type { OperationControl } from './operation.ts'
import type { Comparison, ComparisonRequest } from './trial-comparison.ts'

export interface TrialRequest {
  readonly index: string
  readonly config: HnswConfig
  readonly evalName: string
  readonly strategy: Strategy
  readonly explain: Readonly<Record<string, unknown>>
  readonly note: string | null
}

export interface IndexFacts extends Omit<DatasetStatistics, 'points' | 'lid'> {
  readonly config: EffectiveConfig
  readonly livePoints: number
  /** Null where nobody knows; then nothing is built. */
  readonly memoryHeadroomBytes: number | null
  /** False on a server that follows: the agent of the owner works. */
  readonly owned: boolean
  /** The one that is published. */
  readonly generation: number
}

/** Every call may throw; a failed build of `runTrial` is a trial with state `failed`. */
export interface AgentHands {
  indexes(): readonly string[]
  /** @throws {VectordError} `index_not_found`, `index_loading`. */
  facts(index: string): IndexFacts
  /** Makes or refreshes the eval set of the agent, or looks at the named one. */
  ensureEval(
    index: string,
    name: string | null,
  ): Promise<{ readonly name: string; readonly weak: boolean }>
  /** Journaled at its beginning and its end. */
  runTrial(request: TrialRequest, control: OperationControl): Promise<Trial>
  compare(request: ComparisonRequest, control: OperationControl): Promise<Comparison>
  /** A candidate generation in memory; null: the published one has this graph. */
  prepare(
    index: string,
    wish: { readonly config: HnswConfig; readonly graphId: string | null },
    control: OperationControl,
  ): Promise<number | null>
  publish(index: string, generation: number): Promise<void>
  /** Of one that is gone already: nothing. */
  drop(index: string, generation: number): Promise<void>
  /** Replaces the one before; null ends it. */
  canary(index: string, canary: Canary | null): void
}
