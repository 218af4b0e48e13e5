/**
 * What a core hosts: the shards of `src/shard`, each over a store of its own.
 */

import { MovableStore } from '../buckets/movable-store.ts'
import { openStore } from '../buckets/open-store.ts'
import type { BucketSpec, ShardSpec } from '../domain/shard-spec.ts'
import { openShard } from '../shard/open-shard.ts'
import type { HostedShard } from './shard-host.ts'

/** The shard owns its store: both are closed together, and when opening fails. */
export async function openHostedShard(
  spec: ShardSpec,
  onProgress: (fraction: number) => void,
): Promise<HostedShard> {
  const store = new MovableStore(await openStore(spec.bucket))
  try {
    const shard = await openShard(spec, store, onProgress)
    const closeShard = shard.close.bind(shard)
    return Object.assign(shard, {
      async rehome(bucket: BucketSpec): Promise<void> {
        await store.moveTo(await openStore(bucket))
      },
      async close(): Promise<void> {
        try {
          await closeShard()
        } finally {
          await store.close()
        }
      },
    })
  } catch (error) {
    await store.close()
    throw error
  }
}
