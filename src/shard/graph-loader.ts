/**
 * Loads the saved graph of a shard, or says why it has to be built again.
 *
 * A graph is derived: a damaged or missing one costs time, never an answer. Only a bucket that
 * cannot be reached is an error, since the graph may be whole behind it.
 *
 * Labels are joined with the rows of the table by (lsn, row): both ascend. A label without a live
 * row is removed; rows after the last label are the delta.
 */

import { rm } from 'node:fs/promises'
import type { GraphRef } from '../domain/checkpoint.ts'
import type { ShardSpec } from '../domain/shard-spec.ts'
import { alignRemoved, loadHnsw, type LoadedHnsw } from '../engines/hnsw/hnsw-index.ts'
import { hasCode, VectordError } from '../lib/errors.ts'
import type { GraphIdentity, LoadedGraph } from './graph.ts'
import { DEAD_LSN, readLabels, type LabelRows } from './labels-file.ts'
import type { Fetcher } from './part-loader.ts'
import type { PointTable } from './point-table.ts'

export interface FetchedGraph {
  readonly ref: GraphRef
  readonly loaded: LoadedHnsw
  readonly labels: LabelRows
}

/** The published graph of the shard; null where none was saved yet. */
export function chooseGraph(spec: ShardSpec): GraphRef | null {
  const graphs = (spec.checkpoint?.graphs ?? []).filter(
    ({ shard, published }) => shard === spec.shard && published,
  )
  return graphs.reduce<GraphRef | null>(
    (best, ref) => (best === null || ref.generation > best.generation ? ref : best),
    null,
  )
}

/** @returns what is wrong with the graph, where something is. */
export async function fetchGraph(
  fetcher: Fetcher,
  spec: Pick<ShardSpec, 'dimension' | 'metric'>,
  ref: GraphRef,
): Promise<FetchedGraph | string> {
  const paths: string[] = []
  try {
    const labelsPath = await fetcher.fetch(ref.labels)
    paths.push(labelsPath)
    const labels = await readLabels(labelsPath)
    const graphPath = await fetcher.fetch(ref.graph)
    paths.push(graphPath)
    const { dimension, metric } = spec
    const loaded = await loadHnsw(graphPath, { dimension, metric, config: ref.config })
    const problem = mismatch(ref, loaded, labels)
    if (problem === null) return { ref, loaded, labels }
    loaded.index.close()
    return `${ref.graph.key}: ${problem}`
  } catch (error) {
    if (error instanceof VectordError && !hasCode(error, 'object_corrupt')) throw error
    const problem = error instanceof Error ? error.message : String(error)
    return `${ref.graph.key}: ${problem}`
  } finally {
    for (const path of paths) await rm(path, { force: true })
  }
}

function mismatch(ref: GraphRef, { index }: LoadedHnsw, { lsns, rows }: LabelRows): string | null {
  if (index.elements !== lsns.length || index.elements !== ref.elements) {
    return 'its labels are not those of the graph'
  }
  let before = { lsn: -1, row: 0 }
  for (const [label, lsn] of lsns.entries()) {
    if (lsn === DEAD_LSN) continue
    const row = rows[label] ?? 0
    const ascends = lsn > before.lsn || (lsn === before.lsn && row > before.row)
    if (!ascends) return 'its labels do not ascend'
    before = { lsn, row }
  }
  return null
}

/** Connects a fetched graph with the table, which is complete. */
export function joinGraph({ loaded, labels }: FetchedGraph, table: PointTable): LoadedGraph {
  const slots = new Int32Array(labels.lsns.length).fill(-1)
  let slot = 0
  let indexedSlot = 0
  for (const [label, lsn] of labels.lsns.entries()) {
    if (lsn === DEAD_LSN) continue
    const row = labels.rows[label] ?? 0
    while (slot < table.slots && isBefore(table, slot, lsn, row)) slot += 1
    indexedSlot = slot
    if (slot === table.slots || table.lsn(slot) !== lsn || table.row(slot) !== row) continue
    indexedSlot = slot + 1
    if (table.searchable.has(slot)) slots[label] = slot
  }
  alignRemoved(loaded, (label) => slots[label] === -1)
  const { index, unlinked } = loaded
  return { index, slots, unlinked, indexedSlot }
}

export function identityOf({ generation, config, graphId }: GraphRef): GraphIdentity {
  return { generation, config, graphId }
}

function isBefore(table: PointTable, slot: number, lsn: number, row: number): boolean {
  const there = table.lsn(slot)
  return there < lsn || (there === lsn && table.row(slot) < row)
}
