/**
 * What a Lance index shows of itself. What only graphs have is none here.
 */

import type { ShardStats } from '../domain/search.ts'
import type { VectordError } from '../lib/errors.ts'
import type { IndexInfo, IndexState } from './index-api.ts'
import type { IndexMeta } from './index-meta.ts'
import type { LanceHolding } from './lance-holding.ts'

export interface LanceIndexState {
  readonly meta: IndexMeta
  readonly revision: number
  /** What was last seen of its table; null before it was. */
  readonly seen: { readonly version: number; readonly rows: number } | null
  readonly trouble: VectordError | null
  readonly holding: LanceHolding
}

export function lanceInfo(of: LanceIndexState): IndexInfo {
  const { meta, revision, seen, trouble, holding } = of
  const { incarnation: _incarnation, state: _state, ...settings } = meta
  const version = seen?.version ?? 0
  return {
    ...settings,
    revision,
    config: { hnsw: meta.hnsw, source: 'default' },
    state: stateOf(of),
    reason: trouble?.message ?? null,
    progress: seen === null ? 0 : 1,
    ...{ role: holding.role, owner: holding.owner },
    ...{ lsn: version, checkpointLsn: version, logBytes: 0, compactedMs: null },
    stats: seen === null ? null : statsOf(seen, meta.dimension),
  }
}

function stateOf({ meta, seen, trouble }: LanceIndexState): IndexState {
  if (meta.state === 'deleting') return 'deleting'
  if (seen !== null) return trouble === null ? 'ready' : 'degraded'
  return trouble === null ? 'loading' : 'unavailable'
}

const NO_GRAPH = {
  ...{ pendingTexts: 0, deadRows: 0, keptVersions: 0, keptBytes: 0, keepLastVersions: 1 },
  ...{ deltaPoints: 0, graphElements: 0, tombstones: 0, generation: 0, generations: [] },
  ...{ memoryBytes: 0, payloadBytes: 0, insertRate: 0 },
}

function statsOf(
  { version, rows }: { readonly version: number; readonly rows: number },
  dimension: number,
): ShardStats {
  const rawBytes = 4 * rows * dimension
  return { ...NO_GRAPH, livePoints: rows, rows, appliedLsn: version, indexedLsn: version, rawBytes }
}
