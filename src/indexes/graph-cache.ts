/**
 * Graphs that trials have built, kept in the bucket of their index under their names, so that a
 * promotion publishes the very graph that was measured.
 *
 *     _hnsw_graphs/{index}/{graph_id}.json             what the graph consists of; written last
 *     _hnsw_graphs/{index}/{graph_id}-{shard}.hnsw     its files, one pair for each shard
 *     _hnsw_graphs/{index}/{graph_id}-{shard}.labels
 *
 * A cache: what is not there is built again. It is bounded by bytes; the one that was stored first
 * goes first. The drop worker does that, and not while anybody reads or writes graphs of the index.
 */

import { createHash } from 'node:crypto'
import type { ObjectInfo, ObjectStore } from '../buckets/object-store.ts'
import type { GraphRef } from '../domain/checkpoint.ts'
import type { HnswConfig } from '../domain/hnsw-config.ts'
import { canonicalKey } from '../domain/trial.ts'
import { hasCode, VectordError } from '../lib/errors.ts'
import { graphsFromJson, graphToJson } from '../log/checkpoint-manifest.ts'
import type { DropHandler, DropWork } from '../versions/drop-work.ts'
import { CACHE_VERSION } from '../versions/pins.ts'

const FORMAT = 1

/** The name of the graph that these rows and this configuration make. */
export function graphIdOf(fingerprint: string, config: HnswConfig): string {
  const hash = createHash('sha256').update(`${fingerprint} ${canonicalKey(config)}`)
  return hash.digest('hex').slice(0, 32)
}

export interface FoundGraph {
  readonly graphId: string
  /** One for each shard that has points. */
  readonly graphs: readonly GraphRef[]
}

interface CachedGraph {
  readonly graphId: string
  readonly bytes: number
  readonly storedMs: number
  /** The description first: a graph without one is not found. */
  readonly files: readonly ObjectInfo[]
  readonly isDescribed: boolean
}

export interface GraphCacheOptions {
  readonly storeOf: (index: string) => ObjectStore
  /** Of each index. */
  readonly bytesMax: number
  /** Called when a graph was stored: others may be over the bound now. */
  readonly onStored: (index: string) => Promise<void>
}

export class GraphCache implements DropHandler {
  readonly #options: GraphCacheOptions

  constructor(options: GraphCacheOptions) {
    this.#options = options
  }

  /** What the keys of a graph's files begin with. */
  prefixOf(index: string, graphId: string): string {
    return `${folderOf(index)}${graphId}-`
  }

  /**
   * Null where the graph is not kept. A damaged description counts as none: the graph is derived.
   *
   * @throws {VectordError} what the bucket fails with.
   */
  async find(index: string, graphId: string): Promise<readonly GraphRef[] | null> {
    const key = descriptionKey(index, graphId)
    try {
      const bytes = await this.#options.storeOf(index).get(key)
      return describe(key, bytes)
    } catch (error) {
      if (hasCode(error, 'object_not_found', 'object_corrupt', 'format_too_new')) return null
      throw error
    }
  }

  /** Makes files that are in the bucket already findable. */
  async put(index: string, graphId: string, graphs: readonly GraphRef[]): Promise<void> {
    const json = { format: FORMAT, graphs: graphs.map(graphToJson) }
    const body = Buffer.from(`${JSON.stringify(json, null, 1)}\n`)
    await this.#options.storeOf(index).put(descriptionKey(index, graphId), body)
    await this.#options.onStored(index)
  }

  /** The keys of every graph that can be found: its description and the files that it names. */
  async describedFiles(index: string): Promise<string[]> {
    const keys: string[] = []
    for (const { graphId, isDescribed, files } of await this.#graphs(index)) {
      const graphs = isDescribed ? await this.find(index, graphId) : null
      if (graphs === null) continue
      const named = new Set(graphs.flatMap(({ graph, labels }) => [graph.key, labels.key]))
      const description = descriptionKey(index, graphId)
      keys.push(
        ...files.map(({ key }) => key).filter((key) => key === description || named.has(key)),
      )
    }
    return keys
  }

  /** Every graph that can be found, in no order. @throws {VectordError} what the bucket fails with. */
  async list(index: string): Promise<readonly FoundGraph[]> {
    const found: FoundGraph[] = []
    for (const { graphId, isDescribed } of await this.#graphs(index)) {
      const graphs = isDescribed ? await this.find(index, graphId) : null
      if (graphs !== null) found.push({ graphId, graphs })
    }
    return found
  }

  async remove(index: string, graphId: string): Promise<void> {
    const graph = (await this.#graphs(index)).find((one) => one.graphId === graphId)
    const store = this.#options.storeOf(index)
    for (const { key } of graph?.files ?? []) await store.delete(key)
  }

  /** Removes every graph of an index that is gone; nobody else may know any more where it lived. */
  async clear(index: string, store: ObjectStore): Promise<void> {
    for await (const { key } of store.list(folderOf(index))) await store.delete(key)
  }

  /**
   * Deletes files without a description, which a crash left, and whole graphs that are over the
   * bound, oldest first, never the one that was stored last.
   */
  async drop(work: DropWork): Promise<void> {
    const graphs = await this.#graphs(work.key)
    const described = graphs.filter(({ isDescribed }) => isDescribed)
    let total = described.reduce((sum, { bytes }) => sum + bytes, 0)
    for (const graph of graphs) {
      const isOver = total > this.#options.bytesMax && graph !== described.at(-1)
      if (graph.isDescribed && !isOver) continue
      if (graph.isDescribed) total -= graph.bytes
      for (const { key, bytes } of graph.files) {
        await work.turn()
        // A builder that began meanwhile may be writing these very files.
        if (work.doomed([CACHE_VERSION]).length === 0) return
        await this.#options.storeOf(work.key).delete(key)
        work.deleted(bytes)
      }
    }
  }

  /** Ascending by the time at which they were stored. */
  async #graphs(index: string): Promise<CachedGraph[]> {
    const files = new Map<string, ObjectInfo[]>()
    for await (const object of this.#options.storeOf(index).list(folderOf(index))) {
      const graphId = /^([0-9a-f]+)[-.]/.exec(object.key.slice(folderOf(index).length))?.[1]
      if (graphId !== undefined) files.set(graphId, [...(files.get(graphId) ?? []), object])
    }
    return [...files].map(asGraph).sort((a, b) => a.storedMs - b.storedMs)
  }
}

function asGraph([graphId, files]: readonly [string, readonly ObjectInfo[]]): CachedGraph {
  const isDescription = ({ key }: ObjectInfo): boolean => key.endsWith('.json')
  return {
    graphId,
    bytes: files.reduce((sum, { bytes }) => sum + bytes, 0),
    storedMs: Math.max(...files.map(({ modifiedMs }) => modifiedMs)),
    files: [...files.filter(isDescription), ...files.filter((file) => !isDescription(file))],
    isDescribed: files.some(isDescription),
  }
}

function folderOf(index: string): string {
  return `_hnsw_graphs/${index}/`
}

function descriptionKey(index: string, graphId: string): string {
  return `${folderOf(index)}${graphId}.json`
}

function describe(key: string, bytes: Uint8Array): GraphRef[] {
  let json: unknown
  try {
    json = JSON.parse(Buffer.from(bytes).toString('utf8'))
  } catch (cause) {
    throw corrupt(key, cause)
  }
  if (typeof json !== 'object' || json === null || !('format' in json)) throw corrupt(key)
  if (json.format !== FORMAT) {
    throw new VectordError('format_too_new', `The object "${key}" has another format.`, {
      details: { key },
    })
  }
  return graphsFromJson(key, { ...json })
}

function corrupt(key: string, cause?: unknown): VectordError {
  return new VectordError('object_corrupt', `The object "${key}" does not describe a graph.`, {
    details: { key },
    cause,
  })
}
