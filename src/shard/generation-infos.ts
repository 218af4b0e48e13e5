/**
 * What a shard tells of its generations: those in memory, and those whose files are kept.
 */

import type { GraphRef } from '../domain/checkpoint.ts'
import type { GenerationInfo } from '../domain/search.ts'
import type { Generations } from './generations.ts'
import type { ShardGraph } from './graph.ts'
import type { PointTable } from './point-table.ts'

export interface KnownGenerations {
  readonly generations: Generations
  readonly table: PointTable
  /** Graphs of the last checkpoint beside the published one. */
  readonly stored: readonly GraphRef[]
  /** True where there are too few points for a graph: then none waits for it. */
  readonly isFlat: (graph: ShardGraph) => boolean
}

/** In order of their numbers. */
export function generationInfos(known: KnownGenerations): GenerationInfo[] {
  const { generations, table, isFlat } = known
  const inMemory = generations.visible.map((graph): GenerationInfo => {
    const { generation, config, graphId } = graph.identity
    return {
      ...{ generation, config, graphId },
      state: graph === generations.published ? 'published' : 'candidate',
      elements: graph.elements,
      tombstones: graph.tombstones,
      deltaPoints: isFlat(graph) ? 0 : graph.deltaPoints,
    }
  })
  const stored = known.stored
    .filter(({ generation }) => !generations.has(generation))
    .map(({ generation, config, graphId, elements, indexedLsn }): GenerationInfo => {
      const tombstones = Math.max(0, elements - table.liveUpTo(indexedLsn))
      return {
        ...{ generation, config, graphId, elements, tombstones },
        ...{ state: 'stored', deltaPoints: 0 },
      }
    })
  return [...inMemory, ...stored].sort((a, b) => a.generation - b.generation)
}
