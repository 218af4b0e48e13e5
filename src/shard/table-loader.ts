/**
 * Fills a point table from the parts of a checkpoint: deletes first, then points in order of lsn.
 *
 * Parts may hold rows that had been given up already. Loading under the number of versions that was
 * kept then gives these up again, and no other; a smaller number that holds now gives up more.
 */

import { retentionOf, type PartRef } from '../domain/checkpoint.ts'
import type { ShardSpec } from '../domain/shard-spec.ts'
import type { CheckpointState } from './checkpointer.ts'
import type { MetadataIndex } from './metadata-index.ts'
import { endDeleted, loadDeletes, loadPoints, type Fetcher } from './part-loader.ts'
import type { PointTable } from './point-table.ts'

export interface TableLoad {
  readonly spec: ShardSpec
  /** Empty; it keeps as many versions as are wanted. */
  readonly table: PointTable
  /** Null where only vectors are wanted. */
  readonly metadata: MetadataIndex | null
  /** Told the share that is loaded, from 0 to 1. */
  readonly onProgress: (fraction: number) => void
}

/** @throws {VectordError} `object_corrupt` with the `key` of a part that is damaged or missing. */
export async function loadTable(
  fetcher: Fetcher,
  { spec, table, metadata, onProgress }: TableLoad,
): Promise<Omit<CheckpointState, 'graph' | 'otherGraphs'>> {
  const { lsn, parts } = spec.checkpoint ?? { lsn: 0, parts: [] }
  const own = parts.filter(({ shard }) => shard === spec.shard)
  const points = own.filter(({ kind }) => kind === 'points').sort(byLsn)
  const deletes = own.filter(({ kind }) => kind === 'deletes').sort(byLsn)
  const stored = retentionOf(spec.checkpoint, spec.shard)
  const wanted = table.keepLastVersions
  table.keepVersions(Math.min(wanted, stored.keepLastVersions))
  const only = table.keepLastVersions === 1
  const deleted = await loadDeletes(fetcher, deletes, { only })
  const total = points.reduce((sum, { rows }) => sum + rows, 0)
  let done = 0
  const onRows = (rows: number): void => {
    done += rows
    onProgress(Math.min(1, done / total))
  }
  await loadPoints(fetcher, points, { table, metadata, deleted, onRows })
  if (!only) await endDeleted(table, deleted)
  table.raiseHorizon(stored.horizonLsn)
  table.keepVersions(wanted)
  return { lsn, points, deletes, deleted }
}

function byLsn(a: PartRef, b: PartRef): number {
  return a.lastLsn - b.lastLsn
}
