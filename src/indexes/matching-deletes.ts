/**
 * A delete by filter: the ids that it takes, and the log records that hold them.
 */

import type { DeleteBatch } from '../domain/write-batch.ts'
import type { ShardClient } from './shard-client.ts'

/** Ids that one log record of a delete by filter holds. */
const DELETE_BATCH_IDS = 10_000
/** Ids that one delete by filter resolves at the most, on each shard. */
const DELETE_IDS_MAX = 100_000_000

export async function matchingIds(
  shards: readonly ShardClient[],
  filter: string,
  { deadlineMs }: { readonly deadlineMs: number },
): Promise<string[]> {
  const found = await Promise.all(
    shards.map((shard) => shard.matchingIds(filter, DELETE_IDS_MAX, { deadlineMs })),
  )
  return found.flat()
}

export function* deleteBatches(ids: readonly string[]): Generator<DeleteBatch> {
  for (let from = 0; from < ids.length; from += DELETE_BATCH_IDS) {
    yield { kind: 'delete', ids: ids.slice(from, from + DELETE_BATCH_IDS) }
  }
}
