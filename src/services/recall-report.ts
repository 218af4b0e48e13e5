/**
 * What is told of the recall of an index, and what is told where nothing was measured.
 */

import type { RecallSlo } from '../autotune/live-recall.ts'
import type { EfEstimate } from '../autotune/recall-window.ts'
import {
  anchorOf,
  bucketsOf,
  efInUse,
  reportOf,
  type IndexRecall,
  type StratumReport,
  type WatchedIndex,
} from './index-recall.ts'

export interface RecallReport {
  /** Null while the index does not serve. */
  readonly generation: number | null
  /** Of searches that name none; null where the server chooses by k. */
  readonly ef: number | null
  readonly efSource: 'live' | 'promoted' | 'default'
  /** Samples that were counted, of this generation and configuration. */
  readonly samples: number
  /** Their share of the searches that could have been sampled. */
  readonly sampledShare: number
  readonly slo: RecallSlo
  readonly strata: readonly StratumReport[]
}

/** What metrics tell of an index, cheaply. */
export interface RecallSummary extends Pick<RecallReport, 'ef' | 'samples'> {
  readonly goal: number
  /** In any stratum. */
  readonly isAlarmed: boolean
  /** The stratum that the ef follows; null before its first sample. */
  readonly main: () => StratumReport | null
}

export interface LiveCurve extends Pick<StratumReport, 'kBucket' | 'filterBucket'> {
  /** Ascending in ef. */
  readonly points: readonly EfEstimate[]
}

/** What was measured, and how many searches could have been. */
export interface Measured {
  readonly recall: IndexRecall
  readonly eligible: number
}

export function reportRecall(
  index: WatchedIndex | null,
  measured: Measured | null,
  { goal, nowMs }: { readonly goal: number; readonly nowMs: number },
): RecallReport {
  const served = servedJson(index)
  if (measured === null) {
    return { ...served, samples: 0, sampledShare: 0, strata: [], slo: unknownSlo(goal) }
  }
  const { recall, eligible } = measured
  return {
    ...served,
    samples: recall.counted,
    sampledShare: Math.min(1, recall.counted / Math.max(1, eligible)),
    slo: recall.slo(nowMs),
    strata: recall.strata(nowMs),
  }
}

export function summaryOf(
  index: WatchedIndex,
  { recall }: Pick<Measured, 'recall'>,
  nowMs: number,
): RecallSummary {
  return {
    ef: servedJson(index).ef,
    samples: recall.counted,
    goal: recall.goal,
    isAlarmed: recall.isAlarmed,
    main: () => {
      const main = recall.main()
      return main === null ? null : reportOf(main, nowMs)
    },
  }
}

/** Recall against ef, of the stratum that the ef follows; null before a first sample. */
export function curveOf(
  index: WatchedIndex,
  { recall }: Measured,
  nowMs: number,
): LiveCurve | null {
  const main = recall.main()
  if (main === null) return null
  return { ...bucketsOf(main.name), points: recall.curve(index, main, nowMs) }
}

function servedJson(
  index: WatchedIndex | null,
): Pick<RecallReport, 'generation' | 'ef' | 'efSource'> {
  if (index === null) return { generation: null, ef: null, efSource: 'default' }
  const { liveEf, config } = index.steering
  const isByK = liveEf === null && config.hnsw.efSearch === null
  return {
    generation: anchorOf(index)?.generation ?? null,
    ef: isByK ? null : efInUse(index),
    efSource: liveEf !== null ? 'live' : config.source === 'default' ? 'default' : 'promoted',
  }
}

function unknownSlo(goal: number): RecallSlo {
  return { goal, window: { samples: 0, ageMs: null }, budgetLeft: null, status: 'unknown' }
}
