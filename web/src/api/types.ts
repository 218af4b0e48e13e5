/**
 * The parts of the API's answers that the pages show, in its own spelling.
 *
 * Fields that another backend or an older service may leave out are optional: a page shows a dash.
 */

import type { HnswConfig, SloStatus } from './tuning-types.ts'

export interface Searches {
  readonly qps: number
  readonly p99_ms: number | null
  readonly failed: number
}

export interface OverviewIndex {
  readonly name: string
  readonly backend: string
  readonly bucket: string
  readonly state: string
  readonly reason: string | null
  readonly progress: number
  readonly role: string | null
  readonly points: number | null
  readonly dimension: number
  readonly metric: string
  readonly memory_bytes: number | null
  readonly delta_points: number | null
  readonly config_source: string
  readonly searches: Searches
  readonly recall: {
    readonly goal: number
    readonly status: SloStatus
    readonly alarm: boolean
    readonly recall: number | null
    readonly interval: readonly [number, number] | null
    readonly samples: number
    readonly ef: number | null
  }
}

export interface Core {
  readonly core: number
  readonly state: string
  readonly pressure?: string
  readonly queue: number
  readonly queue_max?: number
  readonly deaths?: number
  readonly rss_bytes?: number
  readonly cpu_s?: number
  readonly shards?: number
}

export interface Overview {
  readonly version: string
  readonly at: string
  readonly started_at: string
  readonly searches: Searches
  readonly indexes: readonly OverviewIndex[]
  readonly memory: {
    readonly used_bytes: number
    readonly bound_bytes: number | null
    readonly rss_bytes: number
  } | null
  readonly cores: readonly Core[] | null
  readonly buckets:
    readonly { name: string; backend: string; role: string; health: string }[] | null
}

export interface IndexInfo {
  readonly name: string
  readonly dimension: number
  readonly metric: string
  readonly bucket: string
  readonly backend: string
  readonly hnsw?: HnswConfig | null
  readonly lance?: {
    readonly index_kind: string | null
    readonly nprobes: number | null
    readonly refine_factor: number | null
    readonly shown: { readonly recall: number; readonly recall_lcb: number } | null
  } | null
  readonly shards?: number
  readonly embedder?: { readonly name: string; readonly model: string } | null
  readonly stream?: object | null
  readonly state: string
  readonly reason: string | null
  readonly progress: number
  readonly role: string | null
  readonly created_at: string
  readonly lsn?: number
  readonly checkpoint_lsn?: number
  readonly log_bytes?: number
  readonly points: number | null
  readonly compaction?: { readonly ratio: number; readonly last_at: string | null }
  readonly stats?: {
    readonly dead_rows: number
    readonly delta_points: number
    readonly graph_elements: number
    readonly tombstones: number
    readonly generation: number
    readonly memory_bytes: number
    readonly pending_texts: number
    readonly kept_versions: number
    readonly insert_rate: number
  } | null
}

export interface Operation {
  readonly operation_id: string
  readonly kind: string
  readonly index: string
  readonly state: string
  readonly stage: string | null
  readonly done: number | null
  readonly total: number | null
  readonly eta_s: number | null
  readonly created_at: string
  readonly ended_at: string | null
  readonly error?: { readonly code: string; readonly message: string }
}

export interface Hit {
  readonly id: string
  readonly score: number | null
  readonly distance: number | null
  readonly version: number
  readonly metadata?: Readonly<Record<string, unknown>> | null
  readonly text?: string | null
}

export interface Found {
  readonly results: readonly Hit[]
  readonly path: string
  readonly ef_used: number
  readonly generation: number
  readonly config_source: string
  readonly exhausted: boolean
  readonly took_ms: number
}

export interface Bucket {
  readonly name: string
  readonly backend: string
  readonly uri: string
  readonly role: string
  readonly protected: boolean
  readonly health: string
  readonly conditional_writes: string
}

export interface BucketHealth {
  readonly name: string
  readonly reachable: boolean
  readonly latency_ms: number | null
  readonly error: string | null
  readonly checked_at: string | null
}

export interface StorageFailure {
  readonly at: string
  readonly bucket: string
  readonly operation: string
  readonly key: string | null
  readonly code: string
  readonly message: string
}

export interface StreamStatus {
  readonly state: string
  readonly settings: { readonly buffer_size: number }
  readonly buffered_points: number
  readonly unapplied_points: number
  readonly waiting_requests: number
  readonly oldest_ms: number | null
  readonly drain_rate: number | null
  readonly dead_letters: number | null
  readonly totals: Readonly<Record<string, number>>
  readonly last_error: { readonly message: string; readonly at: string } | null
}

export interface ProjectionStatus {
  readonly index: string
  readonly state: string
  readonly embedder: { readonly name: string; readonly model: string }
  readonly pending: { readonly writes: number; readonly backfill: number } | null
  readonly failed: number
  readonly freshness_s: number
  readonly texts_per_s: number
  readonly last_error: { readonly message: string; readonly at: string } | null
}

export interface Sum {
  readonly objects: number
  readonly bytes: number
}

export interface Drops {
  readonly waiting: number
  readonly waiting_max: number
  readonly failing: readonly {
    readonly key: string
    readonly error: string
    readonly attempts: number
  }[]
  readonly pins: readonly object[]
  readonly dropped: Readonly<Record<string, Sum>>
}

export interface IndexStorage {
  readonly bucket: string
  readonly total: Sum
  readonly live: Sum
  readonly superseded: Sum
  readonly orphaned: Sum
  readonly dropped: Readonly<Record<string, Sum>>
}
