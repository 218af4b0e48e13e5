/**
 * How a Lance index is searched where the request says nothing else, and what that was shown to find.
 */

import { LANCE_INDEX_KINDS, type LanceIndexKind, type LanceSearchSettings } from './lance-table.ts'

/** What was measured of settings, on queries that they were not chosen by. */
export interface LanceShown {
  readonly recall: number
  /** Its one-sided lower 95 % bound. */
  readonly recallLcb: number
  /** The recall that was asked for; above `recallLcb` where nothing reached it. */
  readonly minRecall: number
  readonly k: number
  readonly queries: number
  /** Version of the table. */
  readonly version: number
  /** Milliseconds since the Unix epoch. */
  readonly atMs: number
}

export interface LanceSettings extends LanceSearchSettings {
  /** The index of the vectors that was built; null: every search compares every row. */
  readonly indexKind: LanceIndexKind | null
  /** Null where the settings were given, or are the defaults. */
  readonly shown: LanceShown | null
}

/** As stored objects and answers have them. */
export type LanceSettingsJson = Readonly<{
  index_kind: LanceIndexKind | null
  nprobes: number | null
  refine_factor: number | null
  ef: number | null
  shown: Readonly<{
    recall: number
    recall_lcb: number
    min_recall: number
    k: number
    queries: number
    version: number
    at: string
  }> | null
}>

export const LANCE_BOUNDS = {
  nprobes: [1, 10_000],
  refineFactor: [1, 1000],
  ef: [1, 10_000],
} as const

/** LanceDB's own 20 lists, and exact distances for ten candidates of each neighbour: without, IVF_PQ finds a third. */
export const LANCE_DEFAULTS: LanceSettings = {
  ...{ indexKind: null, nprobes: 20, refineFactor: 10, ef: null, shown: null },
}

export function lanceToJson(settings: LanceSettings): LanceSettingsJson {
  const { indexKind, nprobes, refineFactor, ef, shown } = settings
  return {
    ...{ index_kind: indexKind, nprobes, refine_factor: refineFactor, ef },
    shown: shown && {
      ...{ recall: shown.recall, recall_lcb: shown.recallLcb, min_recall: shown.minRecall },
      ...{ k: shown.k, queries: shown.queries, version: shown.version },
      at: new Date(shown.atMs).toISOString(),
    },
  }
}

/** Null for what `lanceToJson` never made. */
export function lanceFromJson(json: unknown): LanceSettings | null {
  if (!isObject(json)) return null
  const indexKind = LANCE_INDEX_KINDS.find((kind) => kind === json['index_kind']) ?? null
  const nprobes = json['nprobes']
  const refineFactor = json['refine_factor']
  const { ef } = json
  const shown = json['shown'] === null ? null : shownFrom(json['shown'])
  // Null alone stands for none; what is not known does not.
  if (indexKind !== json['index_kind'] || (shown === null && json['shown'] !== null)) return null
  if (!isIn(nprobes, LANCE_BOUNDS.nprobes) || !isIn(ef, LANCE_BOUNDS.ef)) return null
  if (!isIn(refineFactor, LANCE_BOUNDS.refineFactor)) return null
  return { indexKind, nprobes, refineFactor, ef, shown }
}

function shownFrom(json: unknown): LanceShown | null {
  if (!isObject(json)) return null
  const { recall, k, queries, version, at } = json
  const recallLcb = json['recall_lcb']
  const minRecall = json['min_recall']
  const atMs = typeof at === 'string' ? Date.parse(at) : NaN
  if (!isShare(recall) || !isShare(recallLcb) || !isShare(minRecall)) return null
  if (!isCount(k) || !isCount(queries) || !isCount(version) || !Number.isFinite(atMs)) return null
  return { recall, recallLcb, minRecall, k, queries, version, atMs }
}

function isObject(
  value: unknown,
): value is Record<'ef' | 'recall' | 'k' | 'queries' | 'version' | 'at', unknown> &
  Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isIn(value: unknown, [low, high]: readonly [number, number]): value is number | null {
  return value === null || (isCount(value) && value >= low && value <= high)
}

function isShare(value: unknown): value is number {
  return typeof value === 'number' && value >= 0 && value <= 1
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
}
