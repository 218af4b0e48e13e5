/**
 * How an index of the vectors is laid out; pure.
 */

import { Index } from '@lancedb/lancedb'
import type { LanceIndexKind } from '../../domain/lance-table.ts'
import type { Metric } from '../../domain/metric.ts'

/** As LanceDB calls them; its distances are those of `src/domain/metric.ts`. */
export const DISTANCE_TYPES = { cosine: 'cosine', l2: 'l2', ip: 'dot' } as const

/** A codebook of product quantisation has this many entries, each trained on a row at least. */
const PQ_ROWS_MIN = 256
/** Numbers of a vector that one code of product quantisation stands for, at most. */
const SUB_VECTOR_MAX = 16
/**
 * How long LanceDB looks for the centres of lists and codes, and on how many rows for each. Its own
 * 50 rounds over 256 rows take three times the processor time, for 0.002 of recall (20,000 × 768,
 * exact distances for 20 candidates of each neighbour).
 */
const TRAINING = { maxIterations: 12, sampleRate: 48 } as const
/** Rows of one graph; a search looks into several where there are more. */
const HNSW_PARTITION_ROWS = 1_048_576

/** Rows without which an index of this kind cannot be trained. */
export function rowsNeeded(kind: LanceIndexKind): number {
  return kind === 'ivf_pq' ? PQ_ROWS_MIN : 1
}

export function vectorIndexOf(
  kind: LanceIndexKind,
  { rows, dimension, metric }: { rows: number; dimension: number; metric: Metric },
): Index {
  const distanceType = DISTANCE_TYPES[metric]
  if (kind === 'ivf_hnsw_sq') {
    return Index.hnswSq({ distanceType, numPartitions: Math.ceil(rows / HNSW_PARTITION_ROWS) })
  }
  return Index.ivfPq({
    ...TRAINING,
    distanceType,
    numPartitions: Math.max(1, Math.round(Math.sqrt(rows))),
    numSubVectors: subVectors(dimension),
  })
}

/** The least number of equal parts that are short enough. */
export function subVectors(dimension: number): number {
  let parts = Math.ceil(dimension / SUB_VECTOR_MAX)
  while (dimension % parts !== 0) parts += 1
  return parts
}
