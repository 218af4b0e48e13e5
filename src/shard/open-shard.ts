/**
 * Opens a shard from a checkpoint, or empty.
 *
 *     deletes parts ─▶ points parts ─▶ table ─╮
 *     graph, labels ─▶ hnswlib (beside it) ───┴─▶ join ─▶ Shard
 */

import { mkdir } from 'node:fs/promises'
import type { ObjectStore } from '../buckets/object-store.ts'
import type { GraphRef, PartRef } from '../domain/checkpoint.ts'
import type { ShardSpec } from '../domain/shard-spec.ts'
import { Checkpointer, type CheckpointState } from './checkpointer.ts'
import { ShardGraph, type LoadedGraph } from './graph.ts'
import { chooseGraph, fetchGraph, joinGraph, type FetchedGraph } from './graph-loader.ts'
import { MetadataIndex } from './metadata-index.ts'
import { Fetcher, loadDeletes, loadPoints } from './part-loader.ts'
import { PointTable } from './point-table.ts'
import { FLAT_ROWS_MAX } from './search-plan.ts'
import { Shard } from './shard.ts'

/**
 * @param onProgress told the share that is loaded, from 0 to 1.
 * @throws {VectordError} `object_corrupt` with the `key` of a part that is damaged or missing; errors
 *   of the store. A damaged graph is no error: see `notices` of the shard.
 */
export async function openShard(
  spec: ShardSpec,
  store: ObjectStore,
  onProgress: (fraction: number) => void,
): Promise<Shard> {
  await mkdir(spec.scratch, { recursive: true })
  const table = new PointTable(spec.dimension, spec.metric)
  const metadata = new MetadataIndex()
  const start =
    spec.checkpoint === null ? EMPTY : await load({ spec, store, table, metadata, onProgress })
  onProgress(1)
  return new Shard({
    spec,
    table,
    metadata,
    graph: new ShardGraph(table, spec.hnsw, start.graph),
    checkpointer: new Checkpointer(spec, store, start.state),
    lsn: start.state?.lsn ?? 0,
    flatRowsMax: spec.flatRowsMax ?? FLAT_ROWS_MAX,
    notices: start.notices,
  })
}

interface Start {
  /** A graph, or the generation of the first one. */
  readonly graph: LoadedGraph | number
  readonly state: CheckpointState | null
  readonly notices: readonly string[]
}

const EMPTY: Start = { graph: 1, state: null, notices: [] }

interface Loading {
  readonly spec: ShardSpec
  readonly store: ObjectStore
  readonly table: PointTable
  readonly metadata: MetadataIndex
  readonly onProgress: (fraction: number) => void
}

async function load(loading: Loading): Promise<Start> {
  const { spec, store, table } = loading
  const fetcher = new Fetcher(store, spec.scratch)
  const ref = chooseGraph(spec)
  const [fetched, parts] = await both(
    ref === null ? Promise.resolve(null) : fetchGraph(fetcher, spec, ref),
    loadParts(fetcher, loading),
  )
  const graphs = (spec.checkpoint?.graphs ?? []).filter(({ shard }) => shard === spec.shard)
  const state = { ...parts, graph: null, otherGraphs: graphs.filter((one) => one !== ref) }
  if (fetched === null || typeof fetched === 'string') {
    const notices = fetched === null ? [] : [fetched]
    return { graph: nextGeneration(graphs), state, notices }
  }
  const graph = joinGraph(fetched, table)
  const saved = { ref: fetched.ref, tombstones: graph.index.elements - graph.index.size }
  return { graph, state: { ...state, graph: saved }, notices: [] }
}

/** Both run to their end, so that a failed start leaves neither files nor a graph behind. */
async function both<T>(
  graph: Promise<FetchedGraph | string | null>,
  parts: Promise<T>,
): Promise<[FetchedGraph | string | null, T]> {
  const [first, second] = await Promise.allSettled([graph, parts])
  if (second.status === 'fulfilled' && first.status === 'fulfilled') {
    return [first.value, second.value]
  }
  if (first.status === 'fulfilled' && typeof first.value === 'object') {
    first.value?.loaded.index.close()
  }
  throw second.status === 'rejected' ? second.reason : reasonOf(first)
}

async function loadParts(
  fetcher: Fetcher,
  { spec, table, metadata, onProgress }: Loading,
): Promise<Omit<CheckpointState, 'graph' | 'otherGraphs'>> {
  const { lsn, parts } = spec.checkpoint ?? { lsn: 0, parts: [] }
  const own = parts.filter(({ shard }) => shard === spec.shard)
  const points = own.filter(({ kind }) => kind === 'points').sort(byLsn)
  const deletes = own.filter(({ kind }) => kind === 'deletes').sort(byLsn)
  const deleted = await loadDeletes(fetcher, deletes)
  const total = points.reduce((sum, { rows }) => sum + rows, 0)
  let done = 0
  const onRows = (rows: number): void => {
    done += rows
    onProgress(Math.min(1, done / total))
  }
  await loadPoints(fetcher, points, { table, metadata, deleted, onRows })
  return { lsn, points, deletes, deleted }
}

function byLsn(a: PartRef, b: PartRef): number {
  return a.lastLsn - b.lastLsn
}

/** A graph that is built anew is a new generation. */
function nextGeneration(graphs: readonly GraphRef[]): number {
  return Math.max(0, ...graphs.map(({ generation }) => generation)) + 1
}

function reasonOf(outcome: PromiseSettledResult<unknown>): unknown {
  return outcome.status === 'rejected' ? outcome.reason : null
}
