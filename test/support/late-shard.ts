/**
 * A shard in the test's own process that loads as those of the data plane do: it is loading when it
 * is there, and ready or unavailable some time later.
 */

import type { ObjectStore } from '../../src/buckets/object-store.ts'
import type { ShardSource } from '../../src/dataplane/shard-source.ts'
import type { ShardClient } from '../../src/indexes/shard-client.ts'
import { VectordError } from '../../src/lib/errors.ts'
import { inlineShard } from './inline-shard.ts'

export function lateShard(source: ShardSource, store: ObjectStore): ShardClient {
  const listeners = new Set<() => void>()
  const not = new VectordError('core_unavailable', 'The shard is not ready.')
  let state: ShardClient['state'] = 'loading'
  let error: VectordError | null = null
  let inner: ShardClient | null = null
  let appliedLsn = 0
  const ready = (): ShardClient => {
    if (state === 'ready' && inner !== null) return inner
    throw not
  }
  const load = async (): Promise<void> => {
    const shard = await inlineShard(source, store)
    appliedLsn = shard.lastStats?.appliedLsn ?? 0
    while (appliedLsn < source.lastLsn()) {
      for await (const { lsn, payload } of source.replay(appliedLsn)) {
        await shard.apply(lsn, payload)
        appliedLsn = lsn
      }
    }
    inner = shard
    state = 'ready'
  }
  void load()
    .catch((fault: unknown) => {
      state = 'unavailable'
      error = fault instanceof VectordError ? fault : new VectordError('internal', String(fault))
    })
    .then(() => {
      for (const listener of [...listeners]) listener()
    })
  return {
    core: 0,
    get state() {
      return state
    },
    get error() {
      return error
    },
    get progress() {
      return state === 'ready' ? 1 : 0
    },
    get lastStats() {
      return inner?.lastStats ?? null
    },
    onStateChange: (listener) => {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    whenReady: () => Promise.resolve(),
    admit: () => undefined,
    apply: async (lsn, payload) => {
      const shard = ready()
      if (lsn <= appliedLsn) return
      appliedLsn = lsn
      await shard.apply(lsn, payload)
    },
    search: async (query, bounds) => ready().search(query, bounds),
    keywordStatistics: async (terms, bounds) => ready().keywordStatistics(terms, bounds),
    prepareKeywords: async (bounds) => ready().prepareKeywords(bounds),
    fetch: async (ids, include, bounds) => ready().fetch(ids, include, bounds),
    texts: async (request, bounds) => ready().texts(request, bounds),
    versions: async (request, bounds) => ready().versions(request, bounds),
    retain: async (keepLastVersions) => ready().retain(keepLastVersions),
    scroll: async (request, bounds) => ready().scroll(request, bounds),
    matchingIds: async (filter, limit, bounds) => ready().matchingIds(filter, limit, bounds),
    count: async (filter, bounds) => ready().count(filter, bounds),
    checkpoint: async (graph, clearance) => ready().checkpoint(graph, clearance),
    compact: async (lsns) => ready().compact(lsns),
    adopt: async (graph) => ready().adopt(graph),
    publish: async (generation) => ready().publish(generation),
    drop: async (generation) => ready().drop(generation),
    sample: async (request, bounds) => ready().sample(request, bounds),
    rehome: async (bucket) => ready().rehome(bucket),
    verify: async () => ready().verify(),
    detach: async () => {
      state = 'unavailable'
      await inner?.detach()
    },
  }
}
