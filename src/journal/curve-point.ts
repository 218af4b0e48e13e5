/**
 * From what was seen of one ef to a point of the curve.
 */

import type { CurvePoint } from '../domain/trial.ts'
import { invariant } from '../lib/invariant.ts'
import { estimateRecall, percentile } from './recall-bound.ts'

/** A graph was asked the queries of an eval set at one ef. */
export interface Observation {
  readonly ef: number
  /** Hits of each query against the truth. */
  readonly hits: Uint16Array
  /** Neighbours that a query could hit: k, or fewer where the index has fewer points. */
  readonly k: number
  /** CPU time of a query, in microseconds. */
  readonly cpuUs: number
  /** Of each query, or of as many as were timed; at least one. */
  readonly latenciesUs: Float64Array
}

export function curvePoint({ ef, hits, k, cpuUs, latenciesUs }: Observation): CurvePoint {
  invariant(Number.isFinite(cpuUs) && cpuUs >= 0, 'CPU time was measured')
  invariant(
    latenciesUs.every((us) => Number.isFinite(us) && us >= 0),
    'latencies are times',
  )
  const { queries, recall, lcb, p10 } = estimateRecall({ hits, k })
  const ascending = latenciesUs.toSorted()
  return {
    ...{ ef, queries, recall, recallLcb: lcb, p10, cpuUs },
    p50Us: percentile(ascending, 0.5),
    p95Us: percentile(ascending, 0.95),
    p99Us: percentile(ascending, 0.99),
  }
}
