/**
 * What a checkpoint consists of. It exists when its manifest does.
 *
 *     points parts  rows in (lsn, row) order; a later row or delete of the same id ends them
 *     delete parts  (id, lsn) of deletes that ended rows of the parts
 *     graphs        one for each shard, with the (lsn, row) of each label; derived, may be absent
 *     retention     how many versions of an id the parts hold, for each shard
 *
 * Parts are immutable and shared by manifests. Order of `parts` is order of lsn.
 */

import type { HnswConfig } from './hnsw-config.ts'

/** An immutable object and how to tell that it is still the one that was written. */
export interface StoredFile {
  readonly key: string
  readonly bytes: number
  /** SHA-256 of the whole object, in hex. */
  readonly sha256: string
}

export interface PartRef extends StoredFile {
  readonly kind: 'points' | 'deletes'
  readonly shard: number
  readonly rows: number
  /** Rows that nobody could read any more when the manifest was made. */
  readonly deadRows: number
  readonly firstLsn: number
  readonly lastLsn: number
}

export interface GraphRef {
  readonly shard: number
  readonly generation: number
  /** True for the one that searches use; the others are kept for a rollback to them. */
  readonly published: boolean
  readonly config: HnswConfig
  /** Name of the build that it began with; null where a core grew it from its first point. */
  readonly graphId: string | null
  /** The hnswlib file. */
  readonly graph: StoredFile
  /** The (lsn, row) of each label in label order. */
  readonly labels: StoredFile
  /** Every row up to this (lsn, row) that was live is in the graph. */
  readonly indexedLsn: number
  readonly elements: number
}

/** What a shard keeps of older versions. */
export interface ShardRetention {
  readonly shard: number
  /** Versions of each id that the parts hold, deletes counted. */
  readonly keepLastVersions: number
  /** The last end of any version that was given up: reads as of it and later miss nothing. */
  readonly horizonLsn: number
}

export interface CheckpointContent {
  /** Every write up to this lsn is in the parts. */
  readonly lsn: number
  readonly parts: readonly PartRef[]
  readonly graphs: readonly GraphRef[]
  /** Empty where a version of vectord wrote it that kept live rows only. */
  readonly retention: readonly ShardRetention[]
}

/** Where a checkpoint tells nothing of a shard, every older version may have been given up. */
export function retentionOf(content: CheckpointContent | null, shard: number): ShardRetention {
  const told = content?.retention.find((one) => one.shard === shard)
  return told ?? { shard, keepLastVersions: 1, horizonLsn: content?.lsn ?? 0 }
}

/** What a checkpoint after a compaction leaves out: dead rows of parts, and graphs. */
export interface Clearance {
  /** Generations whose files are kept no longer; the published one always stays. */
  readonly forget: readonly number[]
}
