/** A point of an index in memory, as the plainest that it can be. */

import { parseFilter } from '../../src/domain/filter.ts'
import type { Include, ScrollPosition, StoredPoint } from '../../src/domain/search.ts'
import { matches } from './plain-filter.ts'
import { VectordError } from '../../src/lib/errors.ts'

export interface Row {
  readonly id: string
  readonly lsn: number
  readonly row: number
  readonly vector: Float32Array | null
  readonly text: string | null
  readonly metadata: string | null
}

export function matching(rows: readonly Row[], filter: string | null): Row[] {
  const parsed = filter === null ? null : parseFilter(JSON.parse(filter))
  return rows.filter((row) => parsed === null || matches(parsed, JSON.parse(row.metadata ?? '{}')))
}

export function shown(row: Row, include: Include): StoredPoint {
  return {
    id: row.id,
    version: row.lsn,
    metadata: include.metadata ? row.metadata : null,
    text: include.text ? row.text : null,
    vector: include.vector ? row.vector : null,
  }
}

export function isAfter(row: Row, after: ScrollPosition): boolean {
  return row.lsn > after.lsn || (row.lsn === after.lsn && row.row > after.row)
}

/** @throws {VectordError} `point_not_found` */
export function need(rows: readonly Row[], id: string): Row {
  const row = rows.find((one) => one.id === id)
  if (row === undefined) throw new VectordError('point_not_found', 'There is no such point.')
  return row
}
