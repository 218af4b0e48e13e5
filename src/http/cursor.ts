/**
 * The cursor of a scroll: opaque to clients, a position inside.
 */

import type { ScrollPosition } from '../domain/search.ts'
import { VectordError } from '../lib/errors.ts'

const POSITION = /^1:(\d{1,15}):(\d{1,10})$/
const CURSOR_CHARS_MAX = 64

export function toCursor({ lsn, row }: ScrollPosition): string {
  return Buffer.from(`1:${lsn}:${row}`).toString('base64url')
}

/** @throws {VectordError} `invalid_cursor` for what `toCursor` never made. */
export function fromCursor(cursor: string): ScrollPosition {
  const isShort = cursor.length <= CURSOR_CHARS_MAX
  const text = isShort ? Buffer.from(cursor, 'base64url').toString('latin1') : ''
  const [, lsn, row] = POSITION.exec(text) ?? []
  if (lsn === undefined || row === undefined) {
    throw new VectordError('invalid_cursor', 'The cursor is not one of ours: start from none.')
  }
  return { lsn: Number(lsn), row: Number(row) }
}
