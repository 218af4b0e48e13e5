/**
 * The parameters of one HNSW graph (Malkov and Yashunin, 2016) and of the search over it.
 */

export interface HnswConfig {
  /** Links of a node on the upper layers; twice as many on layer 0. */
  readonly m: number
  /** Candidates kept while a point is inserted. hnswlib uses max(efConstruction, m). */
  readonly efConstruction: number
  /** Candidates kept while searching; null lets the server choose. hnswlib uses max(ef, k). */
  readonly efSearch: number | null
  /** Seeds the levels of the nodes: same vectors, order, config and seed give the same bytes. */
  readonly seed: number
}

/** As stored objects and answers have it. A type, since an interface is no JSON object to TypeScript. */
export type HnswConfigJson = Readonly<{
  m: number
  ef_construction: number
  ef_search: number | null
  seed: number
}>

export const HNSW_BOUNDS = {
  m: [2, 128],
  efConstruction: [4, 2000],
  efSearch: [1, 10_000],
  seed: [0, 0xffff_ffff],
} as const

export const HNSW_DEFAULTS: HnswConfig = { m: 16, efConstruction: 200, efSearch: null, seed: 42 }

/** The k that an ef is meant for where ef follows k. */
export const REFERENCE_K = 10

/** The ef that a search uses when neither the request nor the config names one. */
export function defaultEf(k: number): number {
  return Math.min(512, Math.max(64, 8 * k))
}

/** The ef for k neighbours that is to `defaultEf(k)` as `ef` is to that of `REFERENCE_K`. */
export function efInProportion(ef: number, k: number): number {
  const scaled = Math.ceil((ef * defaultEf(k)) / defaultEf(REFERENCE_K))
  return Math.min(HNSW_BOUNDS.efSearch[1], scaled)
}

export function configToJson({ m, efConstruction, efSearch, seed }: HnswConfig): HnswConfigJson {
  return { m, ef_construction: efConstruction, ef_search: efSearch, seed }
}
