/**
 * Frees an index of its dead points: in the graph, in memory, in the bucket.
 *
 *     graph built anew (see rebuild.ts) ─▶ rows of each core get new slots ─▶ clearing checkpoint
 *                                                                        ─▶ stale graphs go
 *
 * The clearing checkpoint holds no dead row and was read back, so those before it are given up, with
 * their log. A kept graph serves a rollback; one of which a good share is dead would have to be compacted
 * as soon as it was published, and goes (see adr 0024).
 */

import type { GraphRef } from '../domain/checkpoint.ts'
import type { TableCompacted } from '../domain/search.ts'
import { generationsOf } from './generation-swap.ts'
import type { FoundGraph } from './graph-cache.ts'
import { rebuild, type RebuildControl, type RebuildParts, type Rebuilt } from './rebuild.ts'
import type { ServedIndex } from './served-index.ts'

export interface CompactionWish {
  /** What the graph is built anew for; null leaves it as it is. */
  readonly graph: Parameters<typeof rebuild>[2] | null
  /** Share of a kept graph from which on it is given up where so much of it is dead. */
  readonly deadShareMax: number
}

export interface Compacted extends Rebuilt {
  /** Dead rows that left the memory of the cores. */
  readonly rowsDropped: number
  /** Kept and cached graphs that were given up. */
  readonly graphsDropped: number
}

/** @throws {VectordError} what a rebuild, the cores and the bucket fail with; searches go on. */
export async function compactIndex(
  index: ServedIndex,
  parts: RebuildParts,
  { graph, deadShareMax }: CompactionWish,
  control: RebuildControl,
): Promise<Compacted> {
  const { name } = index.meta
  const rebuilt = await graphOf(index, parts, graph, control)
  control.signal.throwIfAborted()
  control.progress('dropping dead rows')
  const cached = await parts.cache.list(name)
  const shards = index.ownShards()
  const compacted = await index.checkpoints.apart(() =>
    Promise.all(shards.map((shard, number) => shard.compact(lsnsOf(cached, number)))),
  )
  control.signal.throwIfAborted()
  control.progress('writing a checkpoint')
  const forget = staleGenerations(index, deadShareMax)
  await index.checkpoints.clear({ forget })
  const stale = cached.filter(
    ({ graphs }, place) => deadShare(graphs, compacted, place) >= deadShareMax,
  )
  for (const { graphId } of stale) await parts.cache.remove(name, graphId)
  if (rebuilt.source === 'built') await removeCopy(index, parts)
  return {
    ...rebuilt,
    rowsDropped: compacted.reduce((sum, { dropped }) => sum + dropped, 0),
    graphsDropped: forget.length + stale.length,
  }
}

async function graphOf(
  index: ServedIndex,
  parts: RebuildParts,
  wish: CompactionWish['graph'],
  control: RebuildControl,
): Promise<Rebuilt> {
  if (wish !== null) return rebuild(index, parts, wish, control)
  const generation = index.info.stats?.generation ?? 0
  return { generation, source: 'current', before: generation }
}

/** The graph just built is in the checkpoint: the files that the builder handed it over with go. */
async function removeCopy(index: ServedIndex, { cache }: RebuildParts): Promise<void> {
  const published = generationsOf(index).find(({ state }) => state === 'published')
  const graphId = published?.graphId ?? null
  if (graphId !== null) await cache.remove(index.meta.name, graphId)
}

/** Decided over all shards together: a generation is kept on each of them or on none. */
function staleGenerations(index: ServedIndex, deadShareMax: number): number[] {
  return generationsOf(index).flatMap(({ state, generation, elements, tombstones }) =>
    state === 'stored' && tombstones >= deadShareMax * elements ? [generation] : [],
  )
}

/** Of each graph its lsn on the shard; 0 where it has no points there. */
function lsnsOf(cached: readonly FoundGraph[], shard: number): number[] {
  return cached.map(({ graphs }) => refOf(graphs, shard)?.indexedLsn ?? 0)
}

/** @param place of the graph among those whose live rows were counted on each shard. */
function deadShare(
  graphs: readonly GraphRef[],
  compacted: readonly TableCompacted[],
  place: number,
): number {
  let elements = 0
  let dead = 0
  for (const [shard, { liveUpTo }] of compacted.entries()) {
    const held = refOf(graphs, shard)?.elements ?? 0
    elements += held
    dead += Math.max(0, held - (liveUpTo[place] ?? 0))
  }
  return elements === 0 ? 1 : dead / elements
}

function refOf(graphs: readonly GraphRef[], shard: number): GraphRef | undefined {
  return graphs.find((ref) => ref.shard === shard)
}
