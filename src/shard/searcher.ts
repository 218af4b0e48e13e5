/**
 * One search over one shard: graph ∪ delta ∖ dead, cut to what the filter matches.
 *
 * Distances of hits are always computed from the stored vectors in double precision, and equal ones
 * are ordered by slot: a point has one distance and one place, whichever path found it. Where the
 * graph finds fewer than it should, a scan answers: k hits whenever k live points match. What was live
 * as of an earlier write is in no graph and always scanned.
 */

import { defaultEf } from '../domain/hnsw-config.ts'
import { notEmbedded } from '../domain/pending-text.ts'
import type {
  Hit,
  Include,
  NeighbourTarget,
  SearchPath,
  ShardAnswer,
  ShardQuery,
} from '../domain/search.ts'
import type { Bitmap } from '../engines/bitmap.ts'
import { TopK, type Nearest } from '../engines/top-k.ts'
import type { PreparedQuery } from '../engines/flat/vector-chunks.ts'
import { VectordError } from '../lib/errors.ts'
import type { ShardGraph } from './graph.ts'
import type { MetadataIndex } from './metadata-index.ts'
import type { PointTable } from './point-table.ts'
import { isAsOf } from './read-versions.ts'
import { isTrusted, planSecondWalk, planWalk } from './search-plan.ts'
import { visibleAt } from './visible-slots.ts'

export interface Searched {
  readonly table: PointTable
  readonly graph: ShardGraph
  readonly metadata: MetadataIndex
  /** Up to this many points with vectors are scanned, never walked. */
  readonly flatRowsMax: number
}

/** A query with everything that does not depend on the path. */
interface Task {
  readonly vector: Float32Array
  readonly prepared: PreparedQuery
  /** Live slots with a vector that match. */
  readonly mask: Bitmap
  readonly matching: number
  readonly filtered: boolean
  /** Results to collect: the excluded slot takes one place more. */
  readonly wanted: number
  readonly ef: number
}

interface Found {
  readonly nearest: Nearest
  readonly path: SearchPath
  readonly efUsed: number
}

const top = new TopK()

/** A search for neighbours. */
export type NeighbourQuery = ShardQuery & { readonly target: NeighbourTarget }

export function search(shard: Searched, query: NeighbourQuery, lsn: number): ShardAnswer {
  const { table, graph } = shard
  const { asOf, filter } = query
  const visible = asOf === undefined ? null : visibleAt(table, asOf)
  const { vector, self } = targetOf(table, query, visible)
  const prepared = table.vectors.prepare(vector)
  const { slots: mask, count: matching } =
    visible === null ? searchableOf(shard, filter) : matchesAmong(shard, filter, visible)
  const others = matching - (self !== null && mask.has(self) ? 1 : 0)
  const task = {
    vector,
    prepared,
    mask,
    matching,
    filtered: filter !== null,
    wanted: Math.min(query.k, others) + (matching - others),
    ef: Math.max(query.ef ?? graph.config.efSearch ?? defaultEf(query.k), query.k),
  }
  const found = query.exact || visible !== null ? scan(shard, task) : findNearest(shard, task)
  return {
    hits: hitsOf(table, found.nearest, { self, k: query.k, include: query.include }),
    path: found.path,
    efUsed: found.efUsed,
    generation: graph.generation,
    exhausted: others < query.k,
    lsn,
    ...(visible !== null && { completeFrom: table.horizonLsn }),
  }
}

function targetOf(
  table: PointTable,
  { target, asOf }: NeighbourQuery,
  visible: Bitmap | null,
): { readonly vector: Float32Array; readonly self: number | null } {
  if ('vector' in target) return { vector: target.vector, self: null }
  const self =
    visible === null
      ? table.slotOf(target.id)
      : table.slotsOf(target.id).find((slot) => isAsOf(table, slot, asOf ?? 0))
  if (self === undefined) {
    throw new VectordError('point_not_found', 'The index holds no point with the id to search by.')
  }
  if (!table.hasVector(self)) throw notEmbedded()
  return { vector: table.vectors.view(self), self }
}

/** The live slots that a filter (JSON text; null matches all) leaves. */
export function matchesOf(
  { table, metadata }: Pick<Searched, 'table' | 'metadata'>,
  filter: string | null,
): { readonly slots: Bitmap; readonly count: number } {
  if (filter === null) return { slots: table.live, count: table.livePoints }
  return metadata.match(filter, table.live, 'live')
}

/** As `matchesOf`, of slots that have a vector. */
export function searchableOf(
  { table, metadata }: Pick<Searched, 'table' | 'metadata'>,
  filter: string | null,
): { readonly slots: Bitmap; readonly count: number } {
  if (table.origins.missingCount === 0) return matchesOf({ table, metadata }, filter)
  if (filter === null) return { slots: table.searchable, count: table.searchablePoints }
  return metadata.match(filter, table.searchable, 'searchable')
}

function matchesAmong(
  { metadata }: Searched,
  filter: string | null,
  among: Bitmap,
): { readonly slots: Bitmap; readonly count: number } {
  if (filter === null) return { slots: among, count: among.count() }
  return metadata.matchAmong(filter, among)
}

function findNearest(shard: Searched, task: Task): Found {
  const { table, graph, flatRowsMax } = shard
  const small = table.searchablePoints <= flatRowsMax
  if (small || task.wanted === 0 || !graph.canSearch(task.vector)) return scan(shard, task)
  return task.filtered ? walkFiltered(shard, task) : walk(shard, task)
}

function scan({ table }: Searched, { mask, prepared, wanted }: Task): Found {
  top.reset(wanted)
  table.vectors.scan(prepared, mask.words, { from: 0, to: table.slots }, top)
  return { nearest: top.drain(), path: 'exact', efUsed: 0 }
}

function walk(shard: Searched, task: Task): Found {
  const { graph } = shard
  const slots = graph.search(task.vector, task.wanted, task.ef)
  const reachable = graph.elements - graph.tombstones
  if (slots.length < Math.min(task.wanted, reachable)) return scan(shard, task)
  const efUsed = Math.max(task.ef, task.wanted)
  return { nearest: withDelta(shard, task, slots), path: 'graph', efUsed }
}

function walkFiltered(shard: Searched, task: Task): Found {
  const { table, graph } = shard
  const inGraph = task.matching - task.mask.countFrom(graph.indexedSlot)
  const filtered = {
    dimension: table.vectors.dimension,
    wanted: Math.min(task.wanted, inGraph),
    ef: task.ef,
    live: table.searchablePoints,
    matching: task.matching,
  }
  let candidates = planWalk(filtered)
  for (let attempt = 0; attempt < 2 && candidates !== null; attempt += 1) {
    const slots = graph.search(task.vector, candidates, candidates)
    const { matches, rank } = keepMatching(slots, task.mask, filtered.wanted)
    if (isTrusted(rank, candidates)) {
      const nearest = withDelta(shard, task, matches)
      return { nearest, path: 'graph_filtered', efUsed: candidates }
    }
    candidates = planSecondWalk(filtered, candidates)
  }
  return scan(shard, task)
}

/** The first `wanted` slots that match, and the rank of the last of them; null where too few do. */
function keepMatching(
  slots: readonly number[],
  mask: Bitmap,
  wanted: number,
): { readonly matches: number[]; readonly rank: number | null } {
  const matches: number[] = []
  for (const [i, slot] of slots.entries()) {
    if (matches.length === wanted) return { matches, rank: i }
    if (mask.has(slot)) matches.push(slot)
  }
  return { matches, rank: matches.length === wanted ? slots.length : null }
}

/** What the graph found together with what it cannot: delta and strays. */
function withDelta({ table, graph }: Searched, task: Task, slots: readonly number[]): Nearest {
  const { vectors } = table
  const { prepared, mask } = task
  top.reset(task.wanted)
  const { strays } = graph
  for (const slot of slots) {
    if (!strays.has(slot)) top.offer(vectors.distance(prepared, slot), slot)
  }
  for (const slot of strays) {
    if (mask.has(slot)) top.offer(vectors.distance(prepared, slot), slot)
  }
  vectors.scan(prepared, mask.words, { from: graph.indexedSlot, to: table.slots }, top)
  return top.drain()
}

interface HitOptions {
  readonly self: number | null
  readonly k: number
  readonly include: Include
}

function hitsOf(table: PointTable, nearest: Nearest, { self, k, include }: HitOptions): Hit[] {
  const hits: Hit[] = []
  for (const [i, slot] of nearest.numbers.entries()) {
    if (slot === self || hits.length === k) continue
    hits.push({ ...table.read(slot, include), distance: nearest.distances[i] ?? Infinity })
  }
  return hits
}
