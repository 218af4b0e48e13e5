/**
 * The cursor of a scroll: opaque to clients, the place of its next page inside.
 *
 *     1:{lsn}:{row}    behind a row, where points come in the order of their writes
 *     2:{id}           behind an id, where they come in the order of their ids
 */

import type { ScrollPosition } from '../domain/search.ts'
import type { ScrollPlace } from '../indexes/index-api.ts'
import { invalidCursor } from '../indexes/index-refusals.ts'

const POSITION = /^1:(\d{1,15}):(\d{1,10})$/
const ID = /^2:(.+)$/su
/** Of a position; an id may have as many bytes as the limits allow. */
const POSITION_CHARS_MAX = 64
/** What schemas let through: base64 of the largest id that can be configured. */
export const CURSOR_CHARS_MAX = 8192

export function toCursor(place: ScrollPlace): string {
  const text = 'id' in place ? `2:${place.id}` : `1:${place.lsn}:${place.row}`
  return Buffer.from(text).toString('base64url')
}

/** @throws {VectordError} `invalid_cursor` for what `toCursor` never made. */
export function fromCursor(cursor: string): ScrollPlace {
  const [, id] = ID.exec(Buffer.from(cursor, 'base64url').toString()) ?? []
  return id === undefined ? positionFrom(cursor) : { id }
}

/** As `fromCursor`, where pages are in the order of writes. */
export function positionFrom(cursor: string): ScrollPosition {
  const isShort = cursor.length <= POSITION_CHARS_MAX
  const text = isShort ? Buffer.from(cursor, 'base64url').toString('latin1') : ''
  const [, lsn, row] = POSITION.exec(text) ?? []
  if (lsn === undefined || row === undefined) throw invalidCursor()
  return { lsn: Number(lsn), row: Number(row) }
}
