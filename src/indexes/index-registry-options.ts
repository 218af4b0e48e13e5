/**
 * What the registry of indexes stands on.
 */

import type { ObjectStore } from '../buckets/object-store.ts'
import type { IndexArrivals } from './index-arrivals.ts'
import type { IndexMeta } from './index-meta.ts'
import type { IndexMoves } from './index-moves.ts'
import type { AnyRunner } from './known-indexes.ts'

/** The buckets, as far as indexes need them. */
interface IndexBuckets {
  names(): readonly string[]
  /** @throws {VectordError} `bucket_not_found`. */
  store(bucket: string): ObjectStore
}

export interface IndexRegistryOptions {
  readonly buckets: IndexBuckets
  readonly indexesMax: number
  readonly nowMs: () => number
  /** Makes what serves an index; the registry starts and closes it. */
  readonly makeRunner: (meta: IndexMeta, revision: number) => AnyRunner
  readonly moves: IndexMoves
  readonly arrivals: IndexArrivals
  /** Removes the table of a Lance index that is being deleted. */
  readonly endTable: (meta: IndexMeta) => Promise<void>
  readonly onTrouble: (error: unknown, what: string) => void
  /** Told how many versions of points an index keeps, when that was set. */
  readonly onRetention: (index: string, keepLastVersions: number) => Promise<void>
  /** Clears away what others keep of an index, before its meta goes. */
  readonly onDelete: (index: string, bucket: string) => Promise<void>
}
