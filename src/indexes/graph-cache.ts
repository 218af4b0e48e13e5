/**
 * Graphs that trials have built, kept in the bucket of their index under their names, so that a
 * promotion publishes the very graph that was measured.
 *
 *     _hnsw_graphs/{index}/{graph_id}.json             what the graph consists of; written last
 *     _hnsw_graphs/{index}/{graph_id}-{shard}.hnsw     its files, one pair for each shard
 *     _hnsw_graphs/{index}/{graph_id}-{shard}.labels
 *
 * A cache: what is not there is built again. It is bounded by bytes; the one that was stored first
 * goes first.
 */

import { createHash } from 'node:crypto'
import type { ObjectStore } from '../buckets/object-store.ts'
import type { GraphRef } from '../domain/checkpoint.ts'
import type { HnswConfig } from '../domain/hnsw-config.ts'
import { canonicalKey } from '../domain/trial.ts'
import { hasCode, VectordError } from '../lib/errors.ts'
import { graphsFromJson, graphToJson } from '../log/checkpoint-manifest.ts'

const FORMAT = 1

/** The name of the graph that these rows and this configuration make. */
export function graphIdOf(fingerprint: string, config: HnswConfig): string {
  const hash = createHash('sha256').update(`${fingerprint} ${canonicalKey(config)}`)
  return hash.digest('hex').slice(0, 32)
}

export class GraphCache {
  readonly #storeOf: (index: string) => ObjectStore
  readonly #bytesMax: number

  /** @param bytesMax of each index. */
  constructor(storeOf: (index: string) => ObjectStore, bytesMax: number) {
    this.#storeOf = storeOf
    this.#bytesMax = bytesMax
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
      const bytes = await this.#storeOf(index).get(key)
      return describe(key, bytes)
    } catch (error) {
      if (hasCode(error, 'object_not_found', 'object_corrupt', 'format_too_new')) return null
      throw error
    }
  }

  /** Makes files that are in the bucket already findable, and clears away what is over the bound. */
  async put(index: string, graphId: string, graphs: readonly GraphRef[]): Promise<void> {
    const json = { format: FORMAT, graphs: graphs.map(graphToJson) }
    const body = Buffer.from(`${JSON.stringify(json, null, 1)}\n`)
    await this.#storeOf(index).put(descriptionKey(index, graphId), body)
    await this.#trim(index, graphId)
  }

  /** Removes every graph of an index that is gone; nobody else may know any more where it lived. */
  async clear(index: string, store: ObjectStore): Promise<void> {
    for await (const { key } of store.list(folderOf(index))) await store.delete(key)
  }

  /** Whole graphs go, oldest first, never the one just stored. Files without a description go too. */
  async #trim(index: string, newest: string): Promise<void> {
    const store = this.#storeOf(index)
    const graphs = new Map<string, { bytes: number; storedMs: number; readonly keys: string[] }>()
    for await (const { key, bytes, modifiedMs } of store.list(folderOf(index))) {
      const graphId = /^([0-9a-f]+)[-.]/.exec(key.slice(folderOf(index).length))?.[1]
      if (graphId === undefined) continue
      const graph = graphs.get(graphId) ?? { bytes: 0, storedMs: 0, keys: [] }
      graph.bytes += bytes
      graph.storedMs = Math.max(graph.storedMs, modifiedMs)
      // The description is the first to go: a graph without one is not found.
      if (key.endsWith('.json')) graph.keys.unshift(key)
      else graph.keys.push(key)
      graphs.set(graphId, graph)
    }
    let total = [...graphs.values()].reduce((sum, { bytes }) => sum + bytes, 0)
    const oldest = [...graphs].sort(([, a], [, b]) => a.storedMs - b.storedMs)
    for (const [graphId, { bytes, keys }] of oldest) {
      if (total <= this.#bytesMax) return
      if (graphId === newest) continue
      for (const key of keys) await store.delete(key)
      total -= bytes
    }
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
