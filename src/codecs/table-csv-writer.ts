/**
 * Tables as CSV (RFC 4180): a header row, fields in quotes where they need them, CRLF.
 *
 * Values are written as in `table-ndjson-writer.ts`, without quotes of JSON. A null is an empty field;
 * an empty text is a quoted empty field, and so is a null where it would leave the line empty.
 */

import type { Cell, Column, TableBatch } from '../domain/table.ts'
import { vectorText } from './table-ndjson-writer.ts'
import { timestampText } from './timestamp-text.ts'

/** Lines are gathered up to about this many UTF-16 units before they are given out. */
const CHUNK_CHARS = 64 * 1024

export async function* encodeCsv(
  columns: readonly Column[],
  batches: AsyncIterable<TableBatch>,
): AsyncGenerator<Uint8Array, undefined> {
  yield Buffer.from(`${columns.map(({ name }) => quoted(name)).join()}\r\n`)
  for await (const batch of batches) {
    let text = ''
    for (let row = 0; row < batch.rows; row += 1) {
      const fields = columns.map((column, at) => fieldOf(column, batch.cells[at]?.[row] ?? null))
      text += `${fields.join() || '""'}\r\n`
      if (text.length < CHUNK_CHARS) continue
      yield Buffer.from(text)
      text = ''
    }
    if (text !== '') yield Buffer.from(text)
  }
}

function fieldOf({ type }: Column, cell: Cell): string {
  if (cell === null) return ''
  if (typeof cell === 'string') return quoted(cell)
  if (typeof cell === 'bigint' && type === 'timestamp') return timestampText(cell)
  if (cell instanceof Float32Array) return `"${vectorText(cell)}"`
  if (cell instanceof Uint8Array) return Buffer.from(cell).toString('base64')
  return String(cell)
}

function quoted(text: string): string {
  return text === '' || /[",\r\n]|^\s|\s$/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}
