/**
 * The readable rows of a range of slots, in the batches that a points part is written from.
 */

import type { PointRows } from '../codecs/parquet-part.ts'
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

/**
 * @param readable what was live or kept at the snapshot; the table is held since then.
 * @param batchRows rows of each batch but the last.
 */
export function* readableRows(
  table: PointTable,
  readable: Bitmap,
  { from, to }: SlotRange,
  batchRows: number,
): Generator<PointRows> {
  let slots: number[] = []
  for (let slot = readable.next(from); slot !== -1 && slot < to; slot = readable.next(slot + 1)) {
    slots.push(slot)
    if (slots.length < batchRows) continue
    yield rowsOf(table, slots)
    slots = []
  }
  if (slots.length > 0) yield rowsOf(table, slots)
}

function rowsOf(table: PointTable, slots: readonly number[]): PointRows {
  const { dimension } = table.vectors
  const vectors = new Float32Array(slots.length * dimension)
  for (const [i, slot] of slots.entries()) vectors.set(table.vectors.view(slot), i * dimension)
  return {
    ids: slots.map((slot) => table.id(slot)),
    lsns: Float64Array.from(slots, (slot) => table.lsn(slot)),
    rows: Uint32Array.from(slots, (slot) => table.row(slot)),
    vectors,
    texts: slots.map((slot) => table.text(slot)),
    metadata: slots.map((slot) => table.metadata(slot)),
  }
}
