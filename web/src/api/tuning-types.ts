/** What the API answers about configurations, trials and the agent; see `types.ts`. */

export interface HnswConfig {
  readonly m: number
  readonly ef_construction: number
  readonly ef_search: number | null
  readonly seed: number
}

export type SloStatus = 'ok' | 'at_risk' | 'violated' | 'unknown'

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
  readonly strata: readonly Stratum[]
}

/** Searches of one kind. */
export interface Stratum {
  /** Of their k, such as 1-10. */
  readonly k_bucket: string
  /** Share of the points that match; 1: no filter. */
  readonly filter_bucket: string
  readonly n: number
  readonly recall: number
  readonly interval: readonly [number, number]
  readonly lcb: number | null
  readonly status: SloStatus
  readonly alarm: boolean
  /** Of an index of the backend lance: its nprobes. */
  readonly ef: number
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
  readonly build: {
    readonly cpu_s: number
    readonly bytes: number
    readonly cached: boolean
  } | null
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
  readonly evidence: Readonly<Record<string, unknown>>
}

export interface DecisionPage {
  readonly decisions: readonly Decision[]
  readonly next_cursor: string | null
  readonly problems: readonly { readonly key: string; readonly message: string }[]
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
}
