/**
 * A page of points from every shard of an index, in the order of their writes.
 */

import type { ReadOptions, ScrollReply, ScrollRequest } from './index-api.ts'
import { invalidCursor } from './index-refusals.ts'
import { mergePages } from './scatter.ts'
import type { ShardClient } from './shard-client.ts'

/** @throws {VectordError} `invalid_cursor` for a place that is none in the order of writes. */
export async function scrollShards(
  shards: readonly ShardClient[],
  { after, ...request }: ScrollRequest,
  options: ReadOptions,
): Promise<Omit<ScrollReply, 'lsn'>> {
  if (after !== null && 'id' in after) throw invalidCursor()
  const wanted = { ...request, after }
  const pages = await Promise.all(shards.map((shard) => shard.scroll(wanted, options)))
  return mergePages(pages, request.limit)
}
