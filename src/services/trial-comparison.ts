/**
 * Compares two trials of an index in one builder: the same queries, in turns, so that whatever
 * disturbs the machine disturbs both.
 */

import type { Builders, BuilderSession } from '../dataplane/builders.ts'
import type { Trial } from '../domain/trial.ts'
import { encodeQueries, type BuiltGraph } from '../domain/workbench.ts'
import { graphIdOf, type GraphCache } from '../indexes/graph-cache.ts'
import { onDataset } from '../indexes/rebuild.ts'
import type { ServedIndex } from '../indexes/served-index.ts'
import type { EvalSet } from '../journal/eval-set.ts'
import type { EvalStore } from '../journal/eval-store.ts'
import type { TrialJournal } from '../journal/trial-journal.ts'
import { estimateRecall, percentile } from '../journal/recall-bound.ts'
import { median, observeHalf, reachableK } from './measured-half.ts'
import type { OperationControl } from './operation.ts'

export interface ComparisonOptions {
  readonly builders: Pick<Builders, 'session'>
  readonly cache: GraphCache
  readonly evals: EvalStore
  readonly journal: Pick<TrialJournal, 'history'>
  /** @throws {VectordError} `index_not_found`. */
  readonly served: (index: string) => ServedIndex
}

export interface ComparisonSide {
  readonly trial: Trial
  readonly ef: number
}

export interface ComparisonRequest {
  readonly index: string
  readonly evalName: string
  /** The challenger, then the champion. */
  readonly sides: readonly [ComparisonSide, ComparisonSide]
  readonly blocks: number
}

/** What was measured of a side on the held-out queries. */
export interface ComparedSide {
  /** Of each query, from 0 to 1. */
  readonly recalls: readonly number[]
  readonly recallLcb: number
  readonly recallUcb: number
  readonly p10: number
  /** Of the quickest time of each query, the sides in turns. */
  readonly p99Us: number
  readonly cpuUs: number
  readonly memoryBytes: number
  /** Of the trial that built the graph, where this one took it from the cache; null: unknown. */
  readonly buildCpuS: number | null
}

export interface Comparison {
  readonly sides: readonly [ComparedSide, ComparedSide]
  /** ln(challenger / champion) of the CPU time of a query, by block. */
  readonly costLogRatios: readonly number[]
}

/** @throws {VectordError} as a trial. */
export async function compareTrials(
  { builders, cache, evals, journal, served }: ComparisonOptions,
  request: ComparisonRequest,
  control: OperationControl,
): Promise<Comparison> {
  const set = await evals.get(request.evalName)
  const onProgress = ({ stage, fraction }: { stage: string; fraction: number }): void => {
    control.progress(stage, { done: Math.round(fraction * 100), total: 100 })
  }
  const { signal } = control
  return onDataset(served(request.index), builders, { signal, onProgress }, async (session) => {
    const { fingerprint } = await session.run('describe', {})
    const [challenger, champion] = request.sides
    const graph = async ({ trial }: ComparisonSide): Promise<BuiltGraph> => {
      const graphId = graphIdOf(fingerprint, trial.config)
      const cached = await cache.find(request.index, graphId)
      return session.run('build', { config: trial.config, graphId, cached })
    }
    const built = [await graph(challenger), await graph(champion)] as const
    const measured = [
      await compared(session, set, challenger, built[0]),
      await compared(session, set, champion, built[1]),
    ] as const
    const { cpuUs, quickestUs } = await session.run('compare', {
      sides: [
        { graphId: built[0].graphId, ef: challenger.ef },
        { graphId: built[1].graphId, ef: champion.ef },
      ],
      queries: encodeQueries(set.heldOut.queries, set.dimension, set.heldOut.selfIds),
      ...{ k: set.k, blocks: request.blocks },
    })
    // The clock is too coarse for a block of searches that cost nothing.
    const ratios = cpuUs.filter(([a, b]) => a > 0 && b > 0).map(([a, b]) => Math.log(a / b))
    const history = await journal.history(request.index, fingerprint)
    const whole = (side: 0 | 1): ComparedSide => ({
      ...measured[side],
      p99Us: p99Of(quickestUs[side]),
      buildCpuS: buildCpuSOf(request.sides[side].trial, history),
    })
    const sides = [whole(0), whole(1)] as const
    return { sides, costLogRatios: ratios }
  })
}

async function compared(
  session: BuilderSession,
  set: EvalSet,
  { ef }: ComparisonSide,
  { graphId, memoryBytes }: BuiltGraph,
): Promise<Omit<ComparedSide, 'p99Us' | 'buildCpuS'>> {
  const [seen] = await observeHalf(session, set, set.heldOut, { graphId, efs: [ef] })
  const hits = Uint16Array.from(seen?.hits ?? [])
  const k = reachableK(set, set.heldOut)
  const { lcb, ucb, p10 } = estimateRecall({ hits, k })
  return {
    recalls: Array.from(hits, (count) => count / k),
    ...{ recallLcb: lcb, recallUcb: ucb, p10 },
    cpuUs: median(seen?.blockCpuUs ?? [0]),
    memoryBytes,
  }
}

function p99Of(quickestUs: readonly number[]): number {
  return percentile(Float64Array.from(quickestUs).toSorted(), 0.99)
}

function buildCpuSOf({ build, graphId }: Trial, history: readonly Trial[]): number | null {
  if (build !== null && !build.cached) return build.cpuS
  const first = history.find((one) => one.graphId === graphId && one.build?.cached === false)
  return first?.build?.cpuS ?? build?.predictedCpuS ?? null
}
