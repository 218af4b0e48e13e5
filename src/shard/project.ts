/**
 * Applies the vectors that an embedder made of texts.
 *
 * Whether a vector still belongs to its point is decided here, by what the table holds: the point is
 * live, of the version and the text that the vector was made from, and its vector is not the client's
 * nor already this embedder's. So a replay of the log comes to the same, whatever was written
 * between the text and its vector, and a vector that is logged twice changes nothing.
 */

import { textHash } from '../domain/text-hash.ts'
import { CLIENT_TAG } from '../domain/pending-text.ts'
import type { ProjectBatch } from '../domain/write-batch.ts'
import { parseMetadata, type MetadataIndex } from './metadata-index.ts'
import type { PointTable } from './point-table.ts'

export interface ProjectTarget {
  readonly table: PointTable
  readonly metadata: MetadataIndex
  readonly graphs: {
    /** As `remove`, of a slot that gave way to the newest one. */
    readonly replaced: (slot: number) => void
  }
}

/** @throws {VectordError} `memory_full`; then nothing has changed. */
export function project(
  { table, metadata, graphs }: ProjectTarget,
  batch: ProjectBatch,
  { lsn, rows }: { readonly lsn: number; readonly rows: readonly number[] },
): void {
  table.reserve(rows.length)
  for (const row of rows) {
    const older = slotFor(table, batch, row)
    if (older === null) continue
    const json = table.metadata(older)
    const slot = table.replace(older, {
      ...{ id: table.id(older), lsn, row, text: table.text(older), metadata: json },
      ...{ vectors: batch.vectors, offset: row * batch.dimension },
      version: table.version(older),
      tag: batch.embedders[row] ?? null,
    })
    graphs.replaced(older)
    metadata.add(slot, parseMetadata(json))
  }
}

/** The slot that the vector of a row is for; null where there is none now. */
function slotFor(table: PointTable, batch: ProjectBatch, row: number): number | null {
  const id = batch.ids[row] ?? ''
  const slot = table.slotOf(id)
  if (slot === undefined || table.version(slot) !== batch.versions[row]) return null
  const tag = table.origins.tagOf(slot)
  if (tag === CLIENT_TAG || tag === batch.embedders[row]) return null
  const text = table.text(slot)
  return text !== null && textHash(id, text) === batch.textHashes[row] ? slot : null
}
