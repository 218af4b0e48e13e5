/**
 * A checkpoint of all shards of an index: each writes its parts and graphs, the manifest comes last.
 */

import type { Clearance } from '../domain/checkpoint.ts'
import type { IndexStorage } from './index-storage.ts'
import { mergeContents } from './scatter.ts'
import type { ShardClient } from './shard-client.ts'

export interface CheckpointWish {
  readonly graph: 'always' | 'if_worth'
  /** After a compaction: what is given up. The checkpoint is the only one afterwards. */
  readonly clearance?: Clearance
}

/** @returns the lsn that it holds. */
export async function writeCheckpoint(
  storage: IndexStorage,
  shards: readonly ShardClient[],
  { graph, clearance }: CheckpointWish,
): Promise<number> {
  const { lsn } = await storage.saveCheckpoint(
    async () => {
      // Sent in one turn, so that every shard takes it after the same write.
      const contents = shards.map((shard) => shard.checkpoint(graph, clearance))
      return mergeContents(await Promise.all(contents))
    },
    { alone: clearance !== undefined },
  )
  return lsn
}
