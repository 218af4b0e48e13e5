/**
 * The readable rows of a range of slots, in the batches that a points part is written from.
 */

import type { PointRows } from '../codecs/parquet-part.ts'
import type { RowOriginColumns } from '../codecs/part-batch.ts'
import { CLIENT_TAG } from '../domain/pending-text.ts'
import type { Bitmap } from '../engines/bitmap.ts'
import type { PointTable } from './point-table.ts'

export interface SlotRange {
  readonly from: number
  /** Exclusive. */
  readonly to: number
}

/** The slots, dead and alive, of the rows from `firstLsn` to `lastLsn`. */
export function slotRange(
  table: PointTable,
  { firstLsn, lastLsn }: { readonly firstLsn: number; readonly lastLsn: number },
): SlotRange {
  const after = (lsn: number): number => table.firstAfter({ lsn, row: Infinity })
  return { from: after(firstLsn - 1), to: after(lastLsn) }
}

/** True where the vector of some readable row of the range is not the client's. */
export function hasOrigins(table: PointTable, readable: Bitmap, { from, to }: SlotRange): boolean {
  if (table.origins.isPlain) return false
  for (let slot = readable.next(from); slot !== -1 && slot < to; slot = readable.next(slot + 1)) {
    if (table.origins.tagOf(slot) !== CLIENT_TAG) return true
  }
  return false
}

export interface RowBatches {
  /** Rows of each batch but the last. */
  readonly batchRows: number
  /** Whether the rows tell where their vectors come from. */
  readonly withOrigins: boolean
}

/** @param readable what was live or kept at the snapshot; the table is held since then. */
export function* readableRows(
  table: PointTable,
  readable: Bitmap,
  { from, to }: SlotRange,
  { batchRows, withOrigins }: RowBatches,
): Generator<PointRows> {
  let slots: number[] = []
  for (let slot = readable.next(from); slot !== -1 && slot < to; slot = readable.next(slot + 1)) {
    slots.push(slot)
    if (slots.length < batchRows) continue
    yield rowsOf(table, slots, withOrigins)
    slots = []
  }
  if (slots.length > 0) yield rowsOf(table, slots, withOrigins)
}

function rowsOf(table: PointTable, slots: readonly number[], withOrigins: boolean): PointRows {
  const { dimension } = table.vectors
  const vectors = new Float32Array(slots.length * dimension)
  for (const [i, slot] of slots.entries()) {
    if (table.hasVector(slot)) vectors.set(table.vectors.view(slot), i * dimension)
  }
  return {
    ids: slots.map((slot) => table.id(slot)),
    lsns: Float64Array.from(slots, (slot) => table.lsn(slot)),
    rows: Uint32Array.from(slots, (slot) => table.row(slot)),
    vectors,
    texts: slots.map((slot) => table.text(slot)),
    metadata: slots.map((slot) => table.metadata(slot)),
    ...(withOrigins && { origins: originsOf(table, slots) }),
  }
}

function originsOf(table: PointTable, slots: readonly number[]): RowOriginColumns {
  return {
    versions: Float64Array.from(slots, (slot) => table.version(slot)),
    embedders: slots.map((slot) => {
      const tag = table.origins.tagOf(slot)
      return tag === CLIENT_TAG ? null : tag
    }),
    hasVector: slots.map((slot) => table.hasVector(slot)),
  }
}
