/**
 * A host whose shards answer every search with the same ten hits: what is left is the cost of
 * asking. `{"spin_us": 100}` as the filter adds the time of a graph walk.
 */

import type { Hit, ShardAnswer, ShardQuery, ShardStats } from '../../src/domain/search.ts'
import type { ShardSpec } from '../../src/domain/shard-spec.ts'
import type { HostedShard } from '../../src/dataplane/shard-host.ts'

const HITS: readonly Hit[] = Array.from({ length: 10 }, (_, i) => ({
  id: `document-${i}`,
  version: 1000 + i,
  metadata: `{"lang":"en","year":${2000 + i}}`,
  text: null,
  vector: null,
  distance: i / 10,
}))

const STATS: ShardStats = {
  livePoints: HITS.length,
  rows: HITS.length,
  deltaPoints: 0,
  graphElements: HITS.length,
  tombstones: 0,
  generation: 1,
  generations: [],
  appliedLsn: 0,
  indexedLsn: 0,
  memoryBytes: 0,
  rawBytes: 0,
  payloadBytes: 0,
  deadRows: 0,
  insertRate: 0,
  pendingTexts: 0,
  keptVersions: 0,
  keptBytes: 0,
  keepLastVersions: 1,
}

export async function openHostedShard(_spec: ShardSpec): Promise<HostedShard> {
  return {
    apply: () => undefined,
    search: echo,
    keywordStatistics: () => ({ documents: 0, words: 0, frequencies: [] }),
    prepareKeywords: async () => undefined,
    fetch: (ids) => ids.map(() => null),
    versions: () => ({ versions: [], isKnown: false, done: true }),
    texts: () => ({}),
    scroll: () => ({ points: [], positions: [], done: true }),
    matchingIds: () => [],
    count: () => HITS.length,
    indexSlice: () => false,
    checkpoint: async () => ({ lsn: 0, parts: [], graphs: [], retention: [] }),
    compact: async () => ({ rows: 0, dropped: 0, liveUpTo: [] }),
    adopt: async () => undefined,
    publish: async () => undefined,
    drop: async () => undefined,
    retain: async () => ({ versions: 0, bytes: 0 }),
    rehome: async () => undefined,
    sample: async () => {
      throw new Error('no samples here')
    },
    verify: async () => [],
    stats: () => STATS,
    close: async () => undefined,
  }
}

function echo(query: ShardQuery): ShardAnswer {
  if (query.filter !== null) spin((JSON.parse(query.filter) as { spin_us: number }).spin_us)
  return { hits: HITS, path: 'graph', efUsed: 64, generation: 1, exhausted: false, lsn: 7 }
}

function spin(forUs: number): void {
  const endMs = performance.now() + forUs / 1000
  while (performance.now() < endMs);
}
