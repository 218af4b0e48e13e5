/**
 * What is asked of the shards of an index and what they answer, between front and cores.
 */

import type { GraphRef } from './checkpoint.ts'
import type { HnswConfig } from './hnsw-config.ts'

export interface Include {
  readonly metadata: boolean
  readonly vector: boolean
  readonly text: boolean
}

/** The query vector, as the client sent it, or the id of a stored point (itself left out). */
export type NeighbourTarget = { readonly vector: Float32Array } | { readonly id: string }

/** What is known of the texts of points, for their ranking by words. */
export interface KeywordStatistics {
  /** Live points whose text has a word. */
  readonly documents: number
  /** In the texts of all those. */
  readonly words: number
  /** For each term of a query the live points that have it. */
  readonly frequencies: readonly number[]
}

export interface KeywordQuery {
  /** Distinct words, as `wordsOf` gives them. */
  readonly terms: readonly string[]
  /** Summed over all shards; null where the shard is the only one. */
  readonly statistics: KeywordStatistics | null
}

export interface ShardQuery {
  /** Near what, or which words of the text. */
  readonly target: NeighbourTarget | { readonly keywords: KeywordQuery }
  /** 1 to the configured bound. */
  readonly k: number
  /** Asked for by the request; null leaves it to the config, and then to `defaultEf`. */
  readonly ef: number | null
  /** True: ground truth by a scan over every live point that matches. */
  readonly exact: boolean
  /** A validated filter (see `filter.ts`) as JSON text, or null. */
  readonly filter: string | null
  readonly include: Include
  /** Searches this generation while it is in memory; otherwise, and left out, the published one. */
  readonly generation?: number
  /**
   * Searches the points as they were right after this write, exactly, as far as they are kept. The
   * id of a target then names the version of that time.
   */
  readonly asOf?: number
}

/** A stored point as a reader sees it. */
export interface StoredPoint {
  readonly id: string
  /** The lsn that wrote it. */
  readonly version: number
  /** JSON text of an object, or null where the point has none; null also where not included. */
  readonly metadata: string | null
  readonly text: string | null
  readonly vector: Float32Array | null
}

export interface Hit extends StoredPoint {
  /** Of a search by keywords: the score, negated, so that the best is the nearest. */
  readonly distance: number
}

/** A point that a hybrid search found, with its places in the two rankings. */
export interface HybridHit extends Hit {
  readonly fused: {
    readonly score: number
    /** From 1 on; null where that side did not find it. */
    readonly vector: number | null
    readonly keyword: number | null
  }
}

/** One version of a point: a row, or a delete, which has neither metadata nor text nor vector. */
export interface PointVersion extends StoredPoint {
  readonly kind: 'live' | 'kept' | 'deleted'
  /** The lsn of the write that came after it; null where none did. */
  readonly endedAt: number | null
}

export interface VersionsRequest {
  readonly id: string
  readonly include: Include
  /** Only versions of before this lsn; null for all. */
  readonly before: number | null
  readonly limit: number
  /** The one version of a row that a write made, or that was there right after a write. */
  readonly only: { readonly version: number } | { readonly asOf: number } | null
}

export interface VersionsPage {
  /** Newest first. A delete is told of where the version that it ended is kept. */
  readonly versions: readonly PointVersion[]
  /** There is a live row of the id or a version that is kept. */
  readonly isKnown: boolean
  /** True where no older version is kept. */
  readonly done: boolean
}

/** Versions that were given up, and the bytes of their vectors and strings. */
export interface TrimmedVersions {
  readonly versions: number
  readonly bytes: number
}

/**
 * `hybrid` joins the answers of two others; a shard never answers it. `ivf` and `ivf_filtered` are of
 * Lance tables.
 */
export const SEARCH_PATHS = [
  ...(['exact', 'graph', 'graph_filtered', 'keyword', 'hybrid'] as const),
  ...(['ivf', 'ivf_filtered'] as const),
] as const

export type SearchPath = (typeof SEARCH_PATHS)[number]

export interface ShardAnswer {
  /** Nearest first, at most k. */
  readonly hits: readonly Hit[]
  readonly path: SearchPath
  /** Candidates that the graph search kept; 0 on the exact path. */
  readonly efUsed: number
  readonly generation: number
  /** Fewer than k live points match at all: the filter, and of keywords one at least. */
  readonly exhausted: boolean
  /** Every write up to this lsn was seen. */
  readonly lsn: number
  /** Of a search as of a write: as of this lsn and later it would miss nothing. */
  readonly completeFrom?: number
}

/** Where a scroll goes on: after the row `(lsn, row)`. */
export interface ScrollPosition {
  readonly lsn: number
  readonly row: number
}

export interface ScrollPage {
  /** In (lsn, row) order. */
  readonly points: readonly StoredPoint[]
  /** `positions[i]` is that of `points[i]`: the front merges shards by it. */
  readonly positions: readonly ScrollPosition[]
  /** True where nothing comes after the last point. */
  readonly done: boolean
}

/**
 * Where a generation of a shard is:
 *
 *     adopted ──caught up──▶ candidate ──publish──▶ published ──publish of another──▶ candidate
 *                                 ╰──drop──▶ stored (its file is kept), or gone
 */
export const GENERATION_STATES = ['published', 'candidate', 'stored'] as const

export type GenerationState = (typeof GENERATION_STATES)[number]

export interface GenerationInfo {
  readonly generation: number
  readonly state: GenerationState
  readonly config: HnswConfig
  readonly graphId: string | null
  readonly elements: number
  /** Elements that are dead; of one that is only stored, those that would be once it is loaded. */
  readonly tombstones: number
  /** Live points outside its graph; 0 where it is only stored. */
  readonly deltaPoints: number
}

/** A generation that a shard is to bring into memory; `ref` or `config` or neither is given. */
export interface AdoptedGraph {
  readonly generation: number
  /** Files of a build beside serving. */
  readonly ref: GraphRef | null
  /** Begins empty and grows here: for shards of few points. */
  readonly config: HnswConfig | null
}

export interface ShardStats {
  /** Points that are there, with a vector or without. */
  readonly livePoints: number
  /** Those whose text still waits for its vector. */
  readonly pendingTexts: number
  /** Rows held, dead ones included. */
  readonly rows: number
  /** Rows that a compaction takes out of memory. */
  readonly deadRows: number
  /** Versions that are over and still readable, and the bytes of their vectors and strings. */
  readonly keptVersions: number
  readonly keptBytes: number
  /** Versions of each id that are kept from the next write on. */
  readonly keepLastVersions: number
  /** Live rows that wait in the delta. */
  readonly deltaPoints: number
  /** Elements of the graph, and those of them that are dead. */
  readonly graphElements: number
  readonly tombstones: number
  /** The published one. */
  readonly generation: number
  /** All that are in memory or whose files are kept; by number. */
  readonly generations: readonly GenerationInfo[]
  /** Last write seen. */
  readonly appliedLsn: number
  /** Every write up to this lsn is in the graph. */
  readonly indexedLsn: number
  readonly memoryBytes: number
  /** Bytes of live vectors, 4 for each number. */
  readonly rawBytes: number
  /** Bytes of metadata JSON, ids and texts. */
  readonly payloadBytes: number
  /** Points a second that went into the graph lately; 0 where none did. */
  readonly insertRate: number
}

/** Points with a vector: what graphs hold and searches find; 0 where the figures are not known. */
export function searchablePoints(
  stats: Pick<ShardStats, 'livePoints' | 'pendingTexts'> | null,
): number {
  return stats === null ? 0 : stats.livePoints - stats.pendingTexts
}

/** What a compaction of the rows of a shard has done. */
export interface TableCompacted {
  /** Rows held afterwards, dead ones included. */
  readonly rows: number
  /** Rows that were held before and are not any more. */
  readonly dropped: number
  /** Live rows up to each lsn that was asked for. */
  readonly liveUpTo: readonly number[]
}

/** One broken rule that `verify` found; none means clean. */
export interface VerifyFault {
  readonly what: string
  readonly detail: string
}
