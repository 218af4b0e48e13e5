/**
 * What a search as of an earlier write goes over.
 */

import type { Bitmap } from '../engines/bitmap.ts'
import type { PointTable } from './point-table.ts'

/**
 * The slots of the versions that were live right after the write `lsn`, as far as they are kept and
 * have a vector, also where that came later.
 */
export function visibleAt(table: PointTable, lsn: number): Bitmap {
  const visible = table.searchable.clone()
  const { kept } = table
  for (let slot = kept.next(0); slot !== -1; slot = kept.next(slot + 1)) {
    if (table.endOf(slot) > lsn && table.hasVector(slot)) visible.add(slot)
  }
  const first = table.firstAfter({ lsn, row: Infinity })
  if (table.origins.isPlain) visible.deleteFrom(first)
  for (let slot = visible.next(first); slot !== -1; slot = visible.next(slot + 1)) {
    if (table.version(slot) > lsn) visible.delete(slot)
  }
  return visible
}
