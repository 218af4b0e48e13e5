/**
 * What a core must know to serve one shard of one index.
 */

import type { CheckpointContent } from './checkpoint.ts'
import type { HnswConfig } from './hnsw-config.ts'
import type { Metric } from './metric.ts'

/** How a core reaches a bucket: enough to build the `ObjectStore` again in another process. */
export type BucketSpec =
  | { readonly backend: 'local'; readonly root: string }
  | {
      readonly backend: 's3'
      readonly bucket: string
      /** Empty, or a key prefix that ends with a slash. */
      readonly prefix: string
      readonly region: string
      readonly endpoint: string | null
      readonly credentials: {
        readonly accessKeyId: string
        readonly secretAccessKey: string
        readonly sessionToken?: string
      } | null
    }

export interface ShardSpec {
  readonly index: string
  /** Distinguishes this index from an earlier one of the same name. */
  readonly incarnation: string
  /** 0-based; the shard holds the ids with `shardOf(id, shards) === shard`. */
  readonly shard: number
  readonly shards: number
  readonly dimension: number
  readonly metric: Metric
  /** For a graph that is begun here: one that was saved keeps its own. */
  readonly hnsw: HnswConfig
  /** Up to so many live points are searched one by one, without a graph; 2,000 if left out. */
  readonly flatRowsMax?: number
  /** Older generations whose graph files are kept for a rollback; 2 if left out. */
  readonly generationsKept?: number
  /** Versions of each id that stay readable, the live one counted; 1 if left out. */
  readonly keepLastVersions?: number
  readonly bucket: BucketSpec
  /** A local folder for temporary files of this shard; the core creates and clears it. */
  readonly scratch: string
  /** Start from this, or from nothing. */
  readonly checkpoint: CheckpointContent | null
}

/**
 * FNV-1a over the UTF-16 units of the id: which shard owns it. It must never change: it decides
 * where stored points are looked for.
 */
export function shardOf(id: string, shards: number): number {
  if (shards === 1) return 0
  let hash = 0x811c9dc5
  for (let i = 0; i < id.length; i += 1) {
    hash = Math.imul(hash ^ id.charCodeAt(i), 0x01000193)
  }
  return (hash >>> 0) % shards
}
