/**
 * What `vectord doctor` finds in a bucket, and what can be done about it.
 */

export interface Finding {
  /** The object, or the path of a file that is none. */
  readonly key: string
  /** Null where it belongs to none. */
  readonly index: string | null
  /** `leftover` is no damage: a crash left it, and the service clears it away. */
  readonly kind: 'damaged' | 'missing' | 'stale' | 'leftover'
  readonly problem: string
  /** What is lost with it; null where nothing is. */
  readonly loss: string | null
  /** Null where only a person can decide. */
  readonly repair: Repair | null
}

/**
 * Takes away what is derived, so that the service makes it anew, or writes a copy again. Logs, parts,
 * manifests and documents are in no repair.
 */
export type Repair =
  | { readonly kind: 'delete'; readonly keys: readonly string[] }
  | { readonly kind: 'copy'; readonly from: string; readonly to: string }
  | { readonly kind: 'unlink'; readonly path: string }

export interface CheckpointSummary {
  readonly lsn: number
  /** False where its manifest or one of its parts is damaged. */
  readonly whole: boolean
  readonly parts: number
  readonly graphs: number
  readonly rows: number
}

export interface LogSummary {
  readonly objects: number
  readonly bytes: number
  readonly records: number
  /** 0 where there is none. */
  readonly firstLsn: number
  readonly lastLsn: number
}

export interface IndexSummary {
  readonly name: string
  /** `hnsw`, or `lance`, of which nothing but that there is a version was looked at. */
  readonly backend: string | null
  /** As its document says; null where that cannot be read. */
  readonly state: string | null
  readonly dimension: number | null
  readonly metric: string | null
  readonly objects: number
  readonly bytes: number
  /** Newest first. */
  readonly checkpoints: readonly CheckpointSummary[]
  readonly log: LogSummary
}

export interface BucketDiagnosis {
  readonly uri: string
  readonly objects: number
  readonly bytes: number
  readonly indexes: readonly IndexSummary[]
  readonly findings: readonly Finding[]
}

export function isDamage({ kind }: Finding): boolean {
  return kind !== 'leftover'
}

/** Why something cannot be read, for `problem`. */
export function problemOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
