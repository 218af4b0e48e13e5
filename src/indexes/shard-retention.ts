/**
 * How many versions of each point the shards of an index keep: told to them when it changes.
 *
 * A shard that is loaded reads the settings when its load begins. One that was on its way while they
 * changed is told once it is ready; telling it twice does no harm.
 */

import type { TrimmedVersions } from '../domain/search.ts'
import { VectordError } from '../lib/errors.ts'
import type { ShardClient } from './shard-client.ts'

/** @throws {VectordError} where a shard is not ready; the others keep what they were told. */
export async function retainInShards(
  shards: readonly ShardClient[],
  keepLastVersions: number,
): Promise<TrimmedVersions> {
  const trimmed = await Promise.all(shards.map((shard) => shard.retain(keepLastVersions)))
  return {
    versions: trimmed.reduce((sum, { versions }) => sum + versions, 0),
    bytes: trimmed.reduce((sum, { bytes }) => sum + bytes, 0),
  }
}

/** Tells the shards that are ready and keep another number. */
export async function alignRetention(
  shards: readonly ShardClient[],
  keepLastVersions: number,
): Promise<void> {
  const others = shards.filter((shard) => {
    const { lastStats } = shard
    return lastStats !== null && lastStats.keepLastVersions !== keepLastVersions
  })
  try {
    await retainInShards(others, keepLastVersions)
  } catch (error) {
    // It was lost meanwhile; its next load reads the settings.
    if (!(error instanceof VectordError)) throw error
  }
}
