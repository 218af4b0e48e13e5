/**
 * A shard that runs inside the test's own process: what the data plane does, without processes.
 *
 * It lets tests of the durable side crash at every step and reopen thousands of times.
 */

import { MovableStore } from '../../src/buckets/movable-store.ts'
import type { ObjectStore } from '../../src/buckets/object-store.ts'
import type { ShardSource } from '../../src/dataplane/shard-source.ts'
import type { BucketSpec } from '../../src/domain/shard-spec.ts'
import type { ShardClient } from '../../src/indexes/shard-client.ts'
import { VectordError } from '../../src/lib/errors.ts'
import { openShard } from '../../src/shard/open-shard.ts'

/** Loads the checkpoint and replays the log; ready once resolved. */
export async function inlineShard(
  source: ShardSource,
  bucket: ObjectStore,
  openBucket: (spec: BucketSpec) => ObjectStore = () => bucket,
): Promise<ShardClient> {
  const store = new MovableStore(bucket)
  // Few points are enough for a graph here.
  const spec = { ...(await source.spec()), flatRowsMax: 0 }
  const shard = await openShard(spec, store, () => undefined)
  for await (const { lsn, payload } of source.replay(shard.stats().appliedLsn)) {
    shard.apply(lsn, payload)
  }
  let open = true
  const live = <T>(work: () => T): Promise<T> =>
    new Promise((resolve) => {
      if (!open) throw new VectordError('core_unavailable', 'The shard is closed.')
      resolve(work())
    })
  return {
    state: 'ready',
    progress: 1,
    error: null,
    core: 0,
    get lastStats() {
      return shard.stats()
    },
    onStateChange: () => () => undefined,
    whenReady: () => Promise.resolve(),
    admit: () => undefined,
    apply: (lsn, payload) =>
      live(() => {
        shard.apply(lsn, payload)
      }),
    search: (query) => live(() => shard.search(query)),
    keywordStatistics: (terms) => live(() => shard.keywordStatistics(terms)),
    prepareKeywords: async () => shard.prepareKeywords(),
    fetch: (ids, include) => live(() => shard.fetch(ids, include)),
    versions: (request) => live(() => shard.versions(request)),
    texts: (request) => live(() => shard.texts(request)),
    scroll: ({ after, limit, filter, include }) =>
      live(() => shard.scroll(after, limit, filter, include)),
    matchingIds: (filter, limit) => live(() => shard.matchingIds(filter, limit)),
    count: (filter) => live(() => shard.count(filter)),
    checkpoint: async (graph, clearance) => {
      while (shard.indexSlice(100));
      return shard.checkpoint(graph, clearance)
    },
    compact: (lsns) => shard.compact(lsns),
    adopt: async (graph) => {
      await shard.adopt(graph)
      while (shard.indexSlice(100));
    },
    publish: (generation) => shard.publish(generation),
    drop: (generation) => shard.drop(generation),
    retain: (keepLastVersions) => shard.retain(keepLastVersions),
    sample: (request) => shard.sample(request),
    rehome: (spec) => store.moveTo(openBucket(spec)),
    verify: () => shard.verify(),
    detach: async () => {
      open = false
      await shard.close()
    },
  }
}
