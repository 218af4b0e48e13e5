/**
 * Measures a built graph over one half of an eval set.
 */

import type { BuilderSession } from '../dataplane/builders.ts'
import type { CurvePoint } from '../domain/trial.ts'
import { encodeQueries, type Measured } from '../domain/workbench.ts'
import { curvePoint } from '../journal/curve-point.ts'
import type { EvalHalf, EvalSet } from '../journal/eval-set.ts'
import { invariant } from '../lib/invariant.ts'

export interface Asked {
  readonly graphId: string
  readonly efs: readonly number[]
}

/** Neighbours that a query could hit: k, or fewer where the index has fewer points. */
export function reachableK({ k }: Pick<EvalSet, 'k'>, { truth }: EvalHalf): number {
  return Math.min(k, Math.max(1, ...truth.map(({ ids }) => ids.length)))
}

/** One point for each ef, in their order. */
export async function measureHalf(
  session: BuilderSession,
  set: EvalSet,
  half: EvalHalf,
  asked: Asked,
): Promise<CurvePoint[]> {
  const measured = await observeHalf(session, set, half, asked)
  const k = reachableK(set, half)
  return measured.map(({ ef, hits, blockCpuUs, latencyUs }) =>
    curvePoint({
      ...{ ef, k, hits: Uint16Array.from(hits) },
      cpuUs: median(blockCpuUs),
      latenciesUs: Float64Array.from(latencyUs),
    }),
  )
}

/** What was seen of each query. */
export async function observeHalf(
  session: BuilderSession,
  { dimension, k }: EvalSet,
  { queries, truth, selfIds }: EvalHalf,
  { graphId, efs }: Asked,
): Promise<readonly Measured[]> {
  if (efs.length === 0) return []
  return session.run('measure', {
    ...{ graphId, efs, k },
    queries: encodeQueries(queries, dimension, selfIds),
    truth: truth.map(({ distances }) => distances),
  })
}

/** Blocks that a neighbour on the machine disturbed are far off: the middle one is not. */
export function median(values: readonly number[]): number {
  invariant(values.length > 0, 'something was measured')
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  const upper = sorted[middle] ?? 0
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? 0) + upper) / 2
}
