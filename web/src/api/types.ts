/**
 * The parts of the API's answers that the pages show, in its own spelling.
 *
 * Fields that another backend or an older service may leave out are optional: a page shows a dash.
 */

export interface HnswConfig {
  readonly m: number
  readonly ef_construction: number
  readonly ef_search: number | null
  readonly seed: number
}

export interface Searches {
  readonly qps: number
  readonly p99_ms: number | null
  readonly failed: number
}

export type SloStatus = 'ok' | 'at_risk' | 'violated' | 'unknown'

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
  readonly buckets: readonly { name: string; backend: string; role: string; health: string }[] | null
}

export interface IndexInfo {
  readonly name: string
  readonly dimension: number
  readonly metric: string
  readonly bucket: string
  readonly backend: string
  readonly hnsw?: HnswConfig | null
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

export interface RecallReport {
  readonly recall_slo: {
    readonly goal: number
    readonly status: SloStatus
    readonly budget_left: number | null
    readonly window: { readonly samples: number; readonly age_s: number | null }
  }
  readonly generation: number | null
  readonly ef: number | null
  readonly ef_source: string
  readonly samples: number
  readonly sampled_share: number
  readonly strata: readonly {
    readonly k_bucket: string
    readonly filter_bucket: string
    readonly n: number
    readonly recall: number
    readonly interval: readonly [number, number]
    readonly lcb: number | null
    readonly status: SloStatus
    readonly alarm: boolean
    readonly ef: number
  }[]
}

export interface PromotionEntry {
  readonly config: HnswConfig
  readonly trial_id: string
  readonly promoted_at: string
  readonly promoted_by: string
  readonly note: string | null
  readonly pinned?: boolean
  readonly evidence?: Readonly<Record<string, unknown>>
}

export interface Promoted {
  readonly current: PromotionEntry | null
  readonly history: readonly PromotionEntry[]
  readonly redo: readonly PromotionEntry[]
  readonly revision: number
}

export interface AuditEntry {
  readonly revision: number
  readonly kind: string
  readonly at: string | null
  readonly by: string | null
  readonly note: string | null
  readonly rebuild: string | null
  readonly current: PromotionEntry | null
  readonly discarded?: PromotionEntry
  readonly error: { readonly code: string; readonly message: string } | null
}

export interface CurvePoint {
  readonly ef: number
  readonly recall: number
  readonly recall_lcb: number
  readonly cpu_us: number
}

export interface Trial {
  readonly seq: number
  readonly trial_id: string
  readonly strategy: string
  readonly explain: Readonly<Record<string, unknown>>
  readonly config: HnswConfig
  readonly state: string
  readonly reason: string | null
  readonly build: { readonly cpu_s: number; readonly bytes: number; readonly cached: boolean } | null
  readonly curve: readonly CurvePoint[]
  readonly boundaries: readonly {
    readonly goal: number
    readonly ef: number | null
    readonly cpu_us: number | null
    readonly held_out: CurvePoint | null
  }[]
  readonly eval: { readonly name: string; readonly weak: boolean }
  readonly note: string | null
  readonly started_at: string
  readonly finished_at: string | null
}

export interface TrialPage {
  readonly trials: readonly Trial[]
  readonly next_cursor: string | null
  readonly problems: readonly { readonly key: string; readonly message: string }[]
}

/** Columns: see `GET /vectors/hnsw/trials/{index}/points`. */
export interface TrialPoints {
  readonly fingerprint: string | null
  readonly measured: number
  readonly total: number
  readonly trials: {
    readonly trial_id: readonly string[]
    readonly seq: readonly number[]
    readonly m: readonly number[]
    readonly ef_construction: readonly number[]
  }
  readonly points: {
    readonly trial: readonly number[]
    readonly ef: readonly number[]
    readonly recall: readonly number[]
    readonly recall_lcb: readonly number[]
    readonly cpu_us: readonly number[]
  }
}

export interface Curve {
  readonly generation: number | null
  readonly ef: number | null
  readonly live: {
    readonly k_bucket: string
    readonly filter_bucket: string
    readonly points: readonly {
      readonly ef: number
      readonly n: number
      readonly recall: number
      readonly recall_lcb: number
      readonly recall_ucb: number
    }[]
  } | null
  readonly promoted: {
    readonly trial_id: string
    readonly k: number
    readonly points: readonly (CurvePoint & { readonly n: number })[]
  } | null
}

export interface Generations {
  readonly published: number | null
  readonly config: HnswConfig
  readonly config_source: string
  readonly generations: readonly {
    readonly generation: number
    readonly state: string
    readonly config: HnswConfig
    readonly graph_id: string | null
    readonly elements: number
    readonly tombstones: number
    readonly delta_points: number
  }[]
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

export interface Rollout {
  readonly trial_id: string
  readonly stage: string
  readonly reason: string
  readonly note: string
  readonly config: HnswConfig
}

export interface AgentSeat {
  readonly index: string
  readonly mode: string
  readonly paused: boolean
  readonly owned: boolean
  readonly pinned_by: string | null
  readonly activity: string | null
  readonly wanted: string | null
  readonly tuned: string | null
  readonly budget: { readonly trials_last_hour: number; readonly trials_left: number }
  readonly rollout: Rollout | null
  readonly hold: string | null
  readonly hold_until: string | null
  readonly halted: string | null
  readonly last_error: { readonly at: string; readonly message: string } | null
}

export interface AgentStatus {
  readonly state: 'running' | 'stopped'
  readonly queue: readonly { readonly index: string; readonly reason: string }[]
  readonly indexes: readonly AgentSeat[]
}

export interface AgentSettings {
  readonly mode: string
  readonly strategy: string
  readonly objective: string
  readonly min_recall: number
  readonly max_trials_per_hour: number
  readonly paused: boolean
  readonly pinned_by: string | null
}

export interface Decision {
  readonly decision_id: string
  readonly at: string
  readonly kind: string
  readonly trial_id: string | null
  readonly verdict: string
  readonly reason: string
  readonly by: string
  readonly dry_run: boolean
}

export interface Explanation {
  readonly current: {
    readonly config: HnswConfig
    readonly source: string
    readonly trial_id: string | null
    readonly promoted_by: string | null
    readonly promoted_at: string | null
    readonly note: string | null
  }
  readonly champion: {
    readonly trial_id: string
    readonly feasible: boolean
    readonly ef: number
    readonly recall: number
    readonly recall_lcb: number
    readonly cpu_us: number
  } | null
  readonly challenger: string | null
  readonly next: {
    readonly kind: string
    readonly config: HnswConfig | null
    readonly explain: Readonly<Record<string, unknown>> | null
    readonly predicted_memory_bytes: number | null
  }
  readonly holds: readonly { readonly reason: string; readonly text: string }[]
  readonly rollout: Rollout | null
  readonly quarantine: readonly {
    readonly config: string
    readonly reason: string
    readonly at: string
  }[]
  readonly decisions: readonly Decision[]
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

export interface IndexStorage {
  readonly bucket: string
  readonly total: Sum
  readonly live: Sum
  readonly superseded: Sum
  readonly orphaned: Sum
  readonly dropped: Readonly<Record<string, Sum>>
}
