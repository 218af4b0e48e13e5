/**
 * What an index shows of itself: whether it serves, and how far its load is.
 */

import type { VectordError } from '../lib/errors.ts'
import type { IndexState } from './index-api.ts'
import type { IndexMeta } from './index-meta.ts'
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
