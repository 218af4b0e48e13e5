/**
 * The figures of a shard.
 */

import type { GraphRef } from '../domain/checkpoint.ts'
import type { ShardStats } from '../domain/search.ts'
import { generationInfos } from './generation-infos.ts'
import type { Generations } from './generations.ts'
import type { ShardGraph } from './graph.ts'
import type { PointTable } from './point-table.ts'

interface Counted {
  readonly table: PointTable
  readonly generations: Generations
  readonly stored: readonly GraphRef[]
  readonly isFlat: (graph: ShardGraph) => boolean
  readonly appliedLsn: number
  readonly memoryBytes: number
  readonly insertRate: number
}

export function shardStats(counted: Counted): ShardStats {
  const { table, generations, stored, isFlat, appliedLsn, memoryBytes, insertRate } = counted
  const graph = generations.published
  const { searchable, searchablePoints } = table
  const waiting = isFlat(graph) ? -1 : searchable.next(graph.indexedSlot)
  return {
    livePoints: table.livePoints,
    pendingTexts: table.origins.waitingCount,
    rows: table.slots,
    deadRows: table.deadRows,
    keptVersions: table.keptVersions,
    keptBytes: table.keptBytes,
    keepLastVersions: table.keepLastVersions,
    deltaPoints: waiting === -1 ? 0 : searchable.countFrom(graph.indexedSlot),
    graphElements: graph.elements,
    tombstones: graph.tombstones,
    generation: graph.generation,
    generations: generationInfos({ table, generations, stored, isFlat }),
    appliedLsn,
    indexedLsn: waiting === -1 ? appliedLsn : table.lsn(waiting) - 1,
    memoryBytes,
    rawBytes: searchablePoints * table.vectors.dimension * 4,
    payloadBytes: table.payloadBytes,
    insertRate,
  }
}
