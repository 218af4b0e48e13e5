/**
 * What one write changes: the unit of the log, applied whole or not at all.
 *
 * A batch holds upserts or deletes, never both, and each id at most once. The lsn that the log
 * gives it is the version of every point in it; `(lsn, row)` orders all rows ever written.
 */

export interface UpsertBatch {
  readonly kind: 'upsert'
  readonly dimension: number
  /** 1 to 512 bytes of UTF-8 each. */
  readonly ids: readonly string[]
  /** `ids.length × dimension`, row by row; finite numbers as the client sent them. */
  readonly vectors: Float32Array
  readonly texts: readonly (string | null)[]
  /** JSON text of an object, or null where the point has none. */
  readonly metadata: readonly (string | null)[]
}

export interface DeleteBatch {
  readonly kind: 'delete'
  readonly ids: readonly string[]
}

export type WriteBatch = UpsertBatch | DeleteBatch
