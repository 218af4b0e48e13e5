/**
 * Opens a shard from a checkpoint, or empty.
 *
 *     deletes parts ─▶ points parts ─▶ table ─╮
 *     graph, labels ─▶ hnswlib (beside it) ───┴─▶ join ─▶ Shard
 */

import { mkdir } from 'node:fs/promises'
import type { ObjectStore } from '../buckets/object-store.ts'
import type { GraphRef } from '../domain/checkpoint.ts'
import type { ShardSpec } from '../domain/shard-spec.ts'
import { Checkpointer, type CheckpointState } from './checkpointer.ts'
import { GraphAdopter } from './graph-adopter.ts'
import {
  chooseGraph,
  fetchGraph,
  identityOf,
  joinGraph,
  type FetchedGraph,
} from './graph-loader.ts'
import { ShardGraph, type GraphIdentity, type LoadedGraph } from './graph.ts'
import { MetadataIndex } from './metadata-index.ts'
import { Fetcher } from './part-loader.ts'
import { PointTable } from './point-table.ts'
import { FLAT_ROWS_MAX } from './search-plan.ts'
import { Shard } from './shard.ts'
import { loadTable, type TableLoad } from './table-loader.ts'

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
  const table = new PointTable(spec.dimension, spec.metric, spec.keepLastVersions)
  const metadata = new MetadataIndex()
  const start =
    spec.checkpoint === null
      ? empty(spec)
      : await load({ spec, store, table, metadata, onProgress })
  onProgress(1)
  return new Shard({
    spec,
    table,
    metadata,
    graph: new ShardGraph(table, start.identity, start.graph),
    adopter: new GraphAdopter(spec, store),
    checkpointer: new Checkpointer(spec, store, start.state),
    lsn: start.state?.lsn ?? 0,
    flatRowsMax: spec.flatRowsMax ?? FLAT_ROWS_MAX,
    notices: start.notices,
  })
}

interface Start {
  readonly identity: GraphIdentity
  /** Null where the graph is still to be grown. */
  readonly graph: LoadedGraph | null
  readonly state: CheckpointState | null
  readonly notices: readonly string[]
}

function empty({ hnsw }: ShardSpec): Start {
  const identity = { generation: 1, config: hnsw, graphId: null }
  return { identity, graph: null, state: null, notices: [] }
}

interface Loading extends TableLoad {
  readonly store: ObjectStore
}

async function load(loading: Loading): Promise<Start> {
  const { spec, store, table } = loading
  const fetcher = new Fetcher(store, spec.scratch)
  const ref = chooseGraph(spec)
  const [fetched, parts] = await both(
    ref === null ? Promise.resolve(null) : fetchGraph(fetcher, spec, ref),
    loadTable(fetcher, loading),
  )
  const graphs = (spec.checkpoint?.graphs ?? []).filter(({ shard }) => shard === spec.shard)
  const state = { ...parts, graph: null, otherGraphs: graphs.filter((one) => one !== ref) }
  if (fetched === null || typeof fetched === 'string') {
    const notices = fetched === null ? [] : [fetched]
    const config = ref?.config ?? spec.hnsw
    const identity = { generation: nextGeneration(graphs), config, graphId: null }
    return { identity, graph: null, state, notices }
  }
  const graph = joinGraph(fetched, table)
  const saved = { ref: fetched.ref, tombstones: graph.index.elements - graph.index.size }
  return {
    identity: identityOf(fetched.ref),
    graph,
    state: { ...state, graph: saved },
    notices: [],
  }
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

/** A graph that is built anew is a new generation. */
function nextGeneration(graphs: readonly GraphRef[]): number {
  return Math.max(0, ...graphs.map(({ generation }) => generation)) + 1
}

function reasonOf(outcome: PromiseSettledResult<unknown>): unknown {
  return outcome.status === 'rejected' ? outcome.reason : null
}
