/**
 * Applies one write batch to a shard, whole or not at all: everything that can fail comes before
 * the first change.
 */

import { shardOf, type ShardSpec } from '../domain/shard-spec.ts'
import { CLIENT_TAG } from '../domain/pending-text.ts'
import {
  offsetOf,
  type LoggedBatch,
  type ProjectBatch,
  type UpsertBatch,
} from '../domain/write-batch.ts'
import { VectordError } from '../lib/errors.ts'
import { squaredNorm } from '../engines/flat/kernels.ts'
import type { DeletedIds } from './deleted-ids.ts'
import type { Generations } from './generations.ts'
import type { FieldValue } from '../domain/metadata-fields.ts'
import { parseMetadata, type MetadataIndex } from './metadata-index.ts'
import type { PointTable } from './point-table.ts'
import { project, type ProjectTarget } from './project.ts'

export interface Applied {
  readonly table: PointTable
  readonly metadata: MetadataIndex
  readonly graphs: Pick<Generations, 'remove'> & ProjectTarget['graphs']
  /** Deletes since the last checkpoint. */
  readonly deletes: DeletedIds
}

type Owner = Pick<ShardSpec, 'shard' | 'shards' | 'dimension' | 'metric'>

/**
 * @throws {VectordError} `vector_dimension_mismatch`, `invalid_vector`, `invalid_points`,
 *   `memory_full`; then nothing has changed.
 */
export function applyBatch(shard: Applied, owner: Owner, batch: LoggedBatch, lsn: number): void {
  if (batch.kind === 'project') {
    const rows = ownRows(batch, owner)
    checkVectors(batch, owner, rows)
    project(shard, batch, { lsn, rows })
  } else if (batch.kind === 'upsert') {
    const rows = ownRows(batch, owner)
    checkVectors(batch, owner, rows)
    const fields = rows.map((row) => parseMetadata(batch.metadata[row] ?? null))
    shard.table.reserve(rows.length)
    for (const [i, row] of rows.entries()) upsert(shard, batch, { lsn, row }, fields[i] ?? [])
  } else {
    for (const id of batch.ids) remove(shard, id, lsn)
  }
  shard.metadata.changed()
}

function ownRows(batch: UpsertBatch | ProjectBatch, { shard, shards }: Owner): number[] {
  const rows: number[] = []
  for (const [row, id] of batch.ids.entries()) if (shardOf(id, shards) === shard) rows.push(row)
  return rows
}

function checkVectors(
  batch: UpsertBatch | ProjectBatch,
  owner: Owner,
  rows: readonly number[],
): void {
  const { dimension, metric } = owner
  if (batch.dimension !== dimension) {
    throw new VectordError(
      'vector_dimension_mismatch',
      `The batch has dimension ${batch.dimension}; the index has ${dimension}.`,
      { details: { expected: dimension, got: batch.dimension } },
    )
  }
  for (const row of rows) {
    const offset = batch.kind === 'upsert' ? offsetOf(batch, row) : row * dimension
    if (offset < 0) continue
    const sum = squaredNorm(batch.vectors, offset, dimension)
    if (Number.isFinite(sum) && (sum > 0 || metric !== 'cosine')) continue
    throw new VectordError(
      'invalid_vector',
      'A vector has a number that is not finite, or is zero under cosine.',
      { details: { row } },
    )
  }
}

function upsert(
  { table, metadata, graphs }: Applied,
  batch: UpsertBatch,
  { lsn, row }: { readonly lsn: number; readonly row: number },
  fields: readonly FieldValue[],
): void {
  const id = batch.ids[row] ?? ''
  const older = table.slotOf(id)
  if (older !== undefined) {
    table.end(older, { lsn, by: 'upsert' })
    graphs.remove(older)
  }
  const offset = offsetOf(batch, row)
  const slot = table.append({
    id,
    lsn,
    row,
    vectors: batch.vectors,
    offset,
    tag: offset < 0 ? null : CLIENT_TAG,
    text: batch.texts[row] ?? null,
    metadata: batch.metadata[row] ?? null,
  })
  metadata.add(slot, fields)
}

function remove({ table, graphs, deletes }: Applied, id: string, lsn: number): void {
  const slot = table.slotOf(id)
  if (slot === undefined) return
  table.end(slot, { lsn, by: 'delete' })
  graphs.remove(slot)
  deletes.note(id, lsn, { only: table.keepLastVersions === 1 })
}
