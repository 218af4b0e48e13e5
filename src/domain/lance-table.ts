/**
 * What is asked of the Lance table of an index and what it answers, between front and Lance core.
 *
 * A table has a row for each point: `id`, `vector`, `text`, `metadata`. Each commit makes a version;
 * versions are counted from 1 and are the lsn of an index of this backend.
 */

import type { Metric } from './metric.ts'
import type { Hit, Include, StoredPoint } from './search.ts'
import type { BucketSpec } from './shard-spec.ts'

export interface LanceTableSpec {
  readonly index: string
  readonly dimension: number
  readonly metric: Metric
  /** The bucket of the table; it lies under `_lance/{index}.lance/`. */
  readonly bucket: BucketSpec
}

export const LANCE_INDEX_KINDS = ['ivf_pq', 'ivf_hnsw_sq'] as const
export type LanceIndexKind = (typeof LANCE_INDEX_KINDS)[number]

/** What a vector search through an index is run with; null leaves it to LanceDB. */
export interface LanceSearchSettings {
  readonly nprobes: number | null
  /** Candidates for each of k whose exact distances are computed. */
  readonly refineFactor: number | null
  /** Of `ivf_hnsw_sq` alone; at least k times the refine factor. */
  readonly ef: number | null
}

export interface LanceSearch extends LanceSearchSettings {
  readonly vector: Float32Array
  readonly k: number
  /** True: a scan over every row, past any index. */
  readonly exact: boolean
  /** A validated filter (see `filter.ts`) as JSON text, or null. */
  readonly filter: string | null
  readonly include: Include
  /** The table as it was at this version; null is the newest. */
  readonly asOf: number | null
}

export interface LanceAnswer {
  /** Nearest first. */
  readonly hits: readonly Hit[]
  /** `ivf` where an index of the vectors was used; rows that it lacks are compared one by one. */
  readonly path: 'exact' | 'ivf' | 'ivf_filtered'
  readonly version: number
  readonly tookUs: number
}

export interface LanceScroll {
  /** An id, or null for the first page. */
  readonly after: string | null
  readonly limit: number
  readonly filter: string | null
  readonly include: Include
  readonly asOf: number | null
}

export interface LancePage {
  readonly points: readonly StoredPoint[]
  /** True where nothing comes after the last point. */
  readonly done: boolean
  readonly version: number
}

export interface LanceRows {
  readonly ids: readonly string[]
  /** `ids.length × dimension`. */
  readonly vectors: Float32Array
  readonly texts: readonly (string | null)[]
  /** JSON text of an object, or null. */
  readonly metadata: readonly (string | null)[]
}

export interface LanceStats {
  readonly rows: number
  readonly version: number
  readonly fragments: number
  readonly bytes: number
  readonly indices: readonly {
    readonly name: string
    readonly column: string
    readonly kind: string
    readonly indexedRows: number
    readonly unindexedRows: number
  }[]
}

export interface LanceVersion {
  readonly version: number
  readonly createdMs: number
}

/** How long somebody waits for a call; the work of a write goes on after that. */
export interface LanceBounds {
  /** Milliseconds since the Unix epoch; Infinity, or left out, where it may take its time. */
  readonly deadlineMs?: number
}

/**
 * Operations of one table; each is one commit at most. `version` is that of the table afterwards.
 *
 * All reject with `index_not_found` where there is no such table, `bucket_unreachable`,
 * `storage_full`, `object_corrupt`, `deadline_exceeded`; those that take `asOf` with
 * `lance_version_gone`.
 */
export interface LanceTable {
  /** Replaces points of the same id, adds the others. */
  upsert(rows: LanceRows, bounds?: LanceBounds): Promise<{ readonly version: number }>
  /** For whoever knows that none of the ids is there: nothing is looked up. */
  append(rows: LanceRows, bounds?: LanceBounds): Promise<{ readonly version: number }>
  delete(ids: readonly string[], bounds?: LanceBounds): Promise<{ readonly version: number }>
  /** @returns how many rows went. */
  deleteMatching(
    filter: string,
    bounds?: LanceBounds,
  ): Promise<{ readonly version: number; readonly deleted: number }>
  search(search: LanceSearch, bounds?: LanceBounds): Promise<LanceAnswer>
  fetch(
    ids: readonly string[],
    include: Include,
    asOf: number | null,
    bounds?: LanceBounds,
  ): Promise<{ readonly points: readonly (StoredPoint | null)[]; readonly version: number }>
  /** In the order of their ids. */
  scroll(page: LanceScroll, bounds?: LanceBounds): Promise<LancePage>
  count(
    filter: string | null,
    bounds?: LanceBounds,
  ): Promise<{ readonly count: number; readonly version: number }>
  /** Vectors of rows, chosen evenly over the table, with their ids; fewer where it has fewer. */
  sample(
    rows: number,
    seed: number,
    bounds?: LanceBounds,
  ): Promise<{ readonly ids: readonly string[]; readonly vectors: Float32Array }>
  /** Ids of which there are several rows: none, or a fault. Not more than a few. */
  repeated(bounds?: LanceBounds): Promise<readonly string[]>
  /**
   * An index of the vectors, in place of the one that there is.
   *
   * @throws {VectordError} `lance_too_few_rows`, whose details say how many it needs.
   */
  buildIndex(kind: LanceIndexKind): Promise<{ readonly version: number }>
  /** A BTree on `id`. */
  buildScalarIndex(): Promise<{ readonly version: number }>
  /** Merges small fragments, takes new rows into the indices, drops versions older than that. */
  optimize(olderThanMs: number): Promise<{ readonly version: number }>
  /** Those that can still be read, oldest first. */
  versions(bounds?: LanceBounds): Promise<readonly LanceVersion[]>
  stats(bounds?: LanceBounds): Promise<LanceStats>
}
