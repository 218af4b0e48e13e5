/**
 * What an index shows of itself: whether it serves, how far its load is, what is durable.
 */

import type { VectordError } from '../lib/errors.ts'
import type { IndexInfo, IndexState } from './index-api.ts'
import type { IndexMeta } from './index-meta.ts'
import type { IndexStorage } from './index-storage.ts'
import type { ShardClient } from './shard-client.ts'

/** @param trouble why it is out of service, or null. */
export function stateOf(
  meta: IndexMeta,
  trouble: VectordError | null,
  shards: readonly ShardClient[],
): IndexState {
  if (meta.state === 'deleting') return 'deleting'
  if (trouble !== null) return 'unavailable'
  if (shards.length === 0) return 'loading'
  if (shards.some((shard) => shard.state === 'unavailable')) return 'unavailable'
  return shards.every((shard) => shard.state === 'ready') ? 'ready' : 'loading'
}

/** 0 to 1: the slowest shard counts. */
export function progressOf(shards: readonly ShardClient[]): number {
  if (shards.length === 0) return 0
  return Math.min(...shards.map((shard) => shard.progress))
}

/** What is known of the durable side. */
export type Stored = Pick<IndexInfo, 'role' | 'owner' | 'lsn' | 'checkpointLsn' | 'logBytes'> & {
  readonly fault: VectordError | null
}

/** @param appliedLsn what reads see: a follower knows of nothing newer. */
export function storedOf(storage: IndexStorage | null, appliedLsn: number): Stored {
  if (storage === null) return NOTHING_STORED
  const { holding, log, checkpointLsn } = storage
  const lsn = holding.role === 'follower' ? appliedLsn : log.lastLsn
  return { ...holding, lsn, checkpointLsn, logBytes: log.bytes }
}

const NOTHING_STORED: Stored = {
  ...{ role: null, owner: null, fault: null },
  ...{ lsn: 0, checkpointLsn: 0, logBytes: 0 },
}
