/**
 * What a run of the tour found, kept in docs/pictures/tour.json: the pictures of docs/tuning.md are
 * drawn from it. Fields are as the API answers them, without those that no picture needs.
 */

import { readFileSync } from 'node:fs'
import type { Service } from './service.ts'

export interface RecordedPoint {
  readonly ef: number
  readonly recall: number
  readonly recall_lcb: number
  readonly cpu_us: number
}

export interface RecordedTrial {
  readonly trial_id: string
  readonly config: { readonly m: number; readonly ef_construction: number }
  readonly build_cpu_s: number
  /** Ascending in ef. */
  readonly curve: readonly RecordedPoint[]
  /** The smallest ef that shows the goal, judged on the held-out half; null where none does. */
  readonly at_goal: RecordedPoint | null
}

export interface TourRecord {
  readonly recorded_at: string
  readonly machine: string
  readonly data: string
  readonly goal: number
  /** The graph of the creation at the ef that searches had. */
  readonly before: RecordedPoint
  readonly promoted: { readonly trial_id: string; readonly ef: number; readonly note: string }
  /** In the order in which they were tried. */
  readonly trials: readonly RecordedTrial[]
}

export const RECORD_FILE = 'docs/pictures/tour.json'

export function readRecord(file = RECORD_FILE): TourRecord {
  return JSON.parse(readFileSync(file, 'utf8')) as TourRecord
}

interface TrialJson {
  readonly trial_id: string
  readonly state: string
  readonly config: { readonly m: number; readonly ef_construction: number }
  readonly build: { readonly cpu_s: number } | null
  readonly curve: readonly RecordedPoint[]
  readonly boundaries: readonly {
    readonly goal: number
    readonly ef: number | null
    readonly cpu_us: number | null
    readonly held_out: RecordedPoint | null
  }[]
}

/** The trials of an index that ended well, oldest first. */
export async function recordTrials(
  service: Pick<Service, 'must'>,
  index: string,
  goal: number,
): Promise<RecordedTrial[]> {
  const page = await service.must('GET', `/vectors/hnsw/trials/${index}?limit=1000`)
  const { trials } = page as { readonly trials: readonly TrialJson[] }
  return trials
    .filter(({ state }) => state === 'completed')
    .map((trial) => recorded(trial, goal))
    .toReversed()
}

function recorded({ trial_id, config, build, curve, boundaries }: TrialJson, goal: number) {
  const { m, ef_construction } = config
  const boundary = boundaries.find((one) => one.goal === goal)
  const held = boundary?.held_out ?? null
  return {
    trial_id,
    config: { m, ef_construction },
    build_cpu_s: build?.cpu_s ?? 0,
    curve: curve.map(pointOf),
    at_goal: held === null ? null : pointOf(held),
  }
}

function pointOf({ ef, recall, recall_lcb, cpu_us }: RecordedPoint): RecordedPoint {
  return { ef, recall, recall_lcb, cpu_us }
}
