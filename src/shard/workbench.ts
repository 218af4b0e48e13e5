/**
 * The points of an index at one checkpoint, for building and measuring graphs beside serving.
 *
 *     parts ─▶ tables ─┬─▶ truth, sampled rows
 *                      ╰─▶ build ─▶ graphs (the last few) ─▶ measure, compare, save
 *
 * Rows go into a graph in (lsn, row) order, so that the same points, configuration and seed give the
 * same file. Everything runs in one process of its own, whose CPU time is the measure of cost.
 */

import { createHash } from 'node:crypto'
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { ObjectStore } from '../buckets/object-store.ts'
import { hashFile } from '../codecs/file-hash.ts'
import type { GraphRef, StoredFile } from '../domain/checkpoint.ts'
import type { HnswConfig } from '../domain/hnsw-config.ts'
import type { ShardSpec } from '../domain/shard-spec.ts'
import {
  benchFolder,
  type BuildRequest,
  type BuiltGraph,
  type DatasetInfo,
  type QueryRows,
  type SampleRowsRequest,
  type SaveRequest,
  type Side,
} from '../domain/workbench.ts'
import { VectordError } from '../lib/errors.ts'
import { invariant } from '../lib/invariant.ts'
import { labelRows } from './checkpointer.ts'
import { fetchGraph, joinGraph } from './graph-loader.ts'
import { ShardGraph } from './graph.ts'
import { writeLabels } from './labels-file.ts'
import { MetadataIndex } from './metadata-index.ts'
import { Fetcher } from './part-loader.ts'
import { PointTable } from './point-table.ts'
import { sampleRows } from './row-sample.ts'
import type { Searched } from './searcher.ts'
import { inSteps } from '../lib/steps.ts'
import { loadTable } from './table-loader.ts'

/** Graphs in memory: one that is tried and the one that it is compared with. */
const GRAPHS_MAX = 2

interface Graphs {
  /** One for each shard. */
  readonly graphs: readonly ShardGraph[]
  readonly config: HnswConfig
}

export class Workbench {
  readonly #shards: readonly ShardSpec[]
  readonly #tables: readonly PointTable[]
  readonly #store: ObjectStore
  readonly #fetcher: Fetcher
  readonly #metadata = new MetadataIndex()
  /** By graph id; the one used last is the last. */
  readonly #graphs = new Map<string, Graphs>()
  #files = 0

  private constructor(
    shards: readonly ShardSpec[],
    tables: readonly PointTable[],
    store: ObjectStore,
  ) {
    this.#shards = shards
    this.#tables = tables
    this.#store = store
    this.#fetcher = new Fetcher(store, scratchOf(shards), 'bench')
  }

  /** @throws {VectordError} `object_corrupt` where a part is damaged or gone; errors of the store. */
  static async open(
    shards: readonly ShardSpec[],
    store: ObjectStore,
    onProgress: (fraction: number) => void,
  ): Promise<Workbench> {
    const scratch = scratchOf(shards)
    await rm(scratch, { recursive: true, force: true })
    await mkdir(scratch, { recursive: true })
    const fetcher = new Fetcher(store, scratch)
    const tables: PointTable[] = []
    for (const [i, spec] of shards.entries()) {
      const table = new PointTable(spec.dimension, spec.metric)
      const onPart = (fraction: number): void => {
        onProgress((i + fraction) / shards.length)
      }
      await loadTable(fetcher, { spec, table, metadata: null, onProgress: onPart })
      tables.push(table)
    }
    return new Workbench(shards, tables, store)
  }

  describe(): DatasetInfo {
    const hash = createHash('sha256')
    for (const [shard, table] of this.#tables.entries()) {
      const { incarnation, dimension, metric } = this.#spec(shard)
      hash.update(JSON.stringify([incarnation, shard, dimension, metric]))
      const { searchable } = table
      for (let slot = searchable.next(0); slot !== -1; slot = searchable.next(slot + 1)) {
        hash.update(`${table.lsn(slot)}.${table.row(slot)};`)
      }
    }
    const first = this.#spec(0)
    return {
      lsn: first.checkpoint?.lsn ?? 0,
      points: this.points,
      dimension: first.dimension,
      fingerprint: hash.digest('hex'),
    }
  }

  get points(): number {
    return this.#tables.reduce((sum, table) => sum + table.searchablePoints, 0)
  }

  get dimension(): number {
    return this.#spec(0).dimension
  }

  /** Searched by scans alone. */
  get tables(): readonly PointTable[] {
    return this.#tables
  }

  sampleRows(
    request: SampleRowsRequest,
    onProgress: (fraction: number) => void,
  ): Promise<QueryRows> {
    return sampleRows(this.#tables, request, onProgress)
  }

  /** Builds the graph, or loads it where its files are there and whole. */
  async build(
    { config, graphId, cached }: BuildRequest,
    onProgress: (fraction: number) => void,
  ): Promise<BuiltGraph> {
    const startedMs = performance.now()
    const before = process.cpuUsage()
    let isNew = false
    let graphs = this.#take(graphId) ?? (await this.#load(config, cached))
    if (graphs === null) {
      isNew = true
      graphs = { config, graphs: await this.#grow(config, graphId, onProgress) }
    }
    this.#keep(graphId, graphs)
    const { user, system } = process.cpuUsage(before)
    return {
      graphId,
      elements: sum(graphs.graphs, (graph) => graph.elements),
      memoryBytes: sum(graphs.graphs, (graph) => graph.memoryBytes),
      cpuS: (user + system) / 1e6,
      wallS: (performance.now() - startedMs) / 1000,
      isNew,
    }
  }

  /** What searches of a graph that was built go over, one for each shard. */
  searched({ graphId }: Pick<Side, 'graphId'>): readonly Searched[] {
    const { graphs } = this.#need(graphId)
    return graphs.map((graph, shard) => {
      const table = this.#table(shard)
      return { table, graph, metadata: this.#metadata, flatRowsMax: 0 }
    })
  }

  /** Writes the files of a graph that was built. They are garbage until somebody names them. */
  async save({ graphId, prefix }: SaveRequest): Promise<GraphRef[]> {
    const { graphs } = this.#need(graphId)
    const refs: GraphRef[] = []
    for (const [shard, graph] of graphs.entries()) {
      if (graph.elements === 0) continue
      refs.push(await this.#saveShard(graph, { shard, graphId, key: `${prefix}${shard}` }))
    }
    return refs
  }

  async close(): Promise<void> {
    for (const { graphs } of this.#graphs.values()) for (const graph of graphs) graph.close()
    this.#graphs.clear()
    await rm(scratchOf(this.#shards), { recursive: true, force: true })
  }

  async #grow(
    config: HnswConfig,
    graphId: string,
    onProgress: (fraction: number) => void,
  ): Promise<ShardGraph[]> {
    const graphs = this.#tables.map(
      (table) => new ShardGraph(table, { generation: 0, config, graphId }, null),
    )
    const total = sum(this.#tables, (table) => table.slots)
    let done = 0
    for (const [shard, graph] of graphs.entries()) {
      await inSteps(this.#table(shard).slots, () => {
        graph.insertNext()
        done += 1
        if (done % 1000 === 0) onProgress(done / total)
      })
    }
    return graphs
  }

  async #load(config: HnswConfig, cached: readonly GraphRef[] | null): Promise<Graphs | null> {
    if (cached === null) return null
    const graphs: ShardGraph[] = []
    for (const [shard, table] of this.#tables.entries()) {
      const ref = cached.find((one) => one.shard === shard)
      const graph =
        ref === undefined ? emptyGraph(table, config) : await this.#loadShard(ref, table)
      if (graph === null) {
        for (const loaded of graphs) loaded.close()
        return null
      }
      graphs.push(graph)
    }
    return { config, graphs }
  }

  async #loadShard(ref: GraphRef, table: PointTable): Promise<ShardGraph | null> {
    const { generation, config, graphId } = ref
    const fetched = await fetchGraph(this.#fetcher, this.#spec(ref.shard), ref)
    if (typeof fetched === 'string') return null
    const graph = new ShardGraph(table, { generation, config, graphId }, joinGraph(fetched, table))
    if (graph.indexedSlot === table.slots && graph.tombstones === 0) return graph
    // Of other points than these: not the graph that the name says.
    graph.close()
    return null
  }

  async #saveShard(
    graph: ShardGraph,
    { shard, graphId, key }: { shard: number; graphId: string; key: string },
  ): Promise<GraphRef> {
    const table = this.#table(shard)
    this.#files += 1
    const path = join(scratchOf(this.#shards), `save-${this.#files}`)
    invariant(graph.index !== null, 'a graph with elements is there')
    try {
      const { unlinked } = await graph.index.saveInspected(`${path}.hnsw`)
      graph.addStrayLabels(unlinked)
      await writeLabels(`${path}.labels`, labelRows(table, graph.slotsOfLabels()))
      return {
        ...{ shard, generation: 0, published: false, graphId, config: graph.config },
        graph: await this.#put(`${path}.hnsw`, `${key}.hnsw`),
        labels: await this.#put(`${path}.labels`, `${key}.labels`),
        indexedLsn: table.lsn(table.slots - 1),
        elements: graph.elements,
      }
    } finally {
      await rm(`${path}.hnsw`, { force: true })
      await rm(`${path}.labels`, { force: true })
    }
  }

  async #put(path: string, key: string): Promise<StoredFile> {
    const hash = await hashFile(path)
    await this.#store.putFile(key, path)
    return { key, ...hash }
  }

  /** Takes a graph out, so that keeping it again makes it the one used last. */
  #take(graphId: string): Graphs | null {
    const graphs = this.#graphs.get(graphId) ?? null
    this.#graphs.delete(graphId)
    return graphs
  }

  #keep(graphId: string, graphs: Graphs): void {
    this.#graphs.set(graphId, graphs)
    for (const [oldest, { graphs: old }] of this.#graphs) {
      if (this.#graphs.size <= GRAPHS_MAX) return
      this.#graphs.delete(oldest)
      for (const graph of old) graph.close()
    }
  }

  #need(graphId: string): Graphs {
    const graphs = this.#graphs.get(graphId)
    if (graphs !== undefined) return graphs
    throw new VectordError('builder_failed', `The graph ${graphId} is not in the builder.`)
  }

  #spec(shard: number): ShardSpec {
    const spec = this.#shards[shard]
    invariant(spec !== undefined, 'a shard of the data set')
    return spec
  }

  #table(shard: number): PointTable {
    const table = this.#tables[shard]
    invariant(table !== undefined, 'a shard of the data set')
    return table
  }
}

function scratchOf(shards: readonly ShardSpec[]): string {
  return benchFolder({ shards }, process.pid)
}

/** Of a shard without points nothing was saved; null where it has some. */
function emptyGraph(table: PointTable, config: HnswConfig): ShardGraph | null {
  if (table.searchablePoints > 0) return null
  return new ShardGraph(table, { generation: 0, config, graphId: null }, null)
}

function sum<T>(all: readonly T[], of: (one: T) => number): number {
  return all.reduce((total, one) => total + of(one), 0)
}
