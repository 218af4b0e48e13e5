/**
 * Tables as NDJSON: an object a line, its fields in the order of the columns.
 *
 *     boolean true · int32 1 · int64 9007199254740993 (all digits) · float64 1.5 · utf8 "text"
 *     timestamp "2026-01-31T12:00:00.123456Z" · binary base64 · vector [1,2] · none null
 *
 * JSON has no NaN and no infinity: they become null.
 */

import type { Cell, Column, ColumnType, TableBatch } from '../domain/table.ts'
import { timestampText } from './timestamp-text.ts'

/** Lines are gathered up to about this many UTF-16 units before they are given out. */
const CHUNK_CHARS = 64 * 1024

export async function* encodeNdjson(
  columns: readonly Column[],
  batches: AsyncIterable<TableBatch>,
): AsyncGenerator<Uint8Array, undefined> {
  const names = columns.map(({ name }) => `${JSON.stringify(name)}:`)
  for await (const batch of batches) {
    let text = ''
    for (let row = 0; row < batch.rows; row += 1) {
      text += lineOf(columns, names, batch, row)
      if (text.length < CHUNK_CHARS) continue
      yield Buffer.from(text)
      text = ''
    }
    if (text !== '') yield Buffer.from(text)
  }
}

function lineOf(
  columns: readonly Column[],
  names: readonly string[],
  { cells }: TableBatch,
  row: number,
): string {
  let line = '{'
  for (const [at, column] of columns.entries()) {
    if (at > 0) line += ','
    line += names[at] ?? ''
    line += cellJson(column.type, cells[at]?.[row] ?? null)
  }
  return `${line}}\n`
}

/** A cell as JSON. */
export function cellJson(type: ColumnType, cell: Cell): string {
  if (cell === null) return 'null'
  if (typeof cell === 'bigint') {
    return type === 'timestamp' ? `"${timestampText(cell)}"` : cell.toString()
  }
  if (cell instanceof Float32Array) return vectorText(cell)
  if (cell instanceof Uint8Array) return `"${Buffer.from(cell).toString('base64')}"`
  return JSON.stringify(cell)
}

/** A JSON array of the shortest numbers that are these float32; JSON has no others than finite. */
export function vectorText(vector: Float32Array): string {
  let text = '['
  for (let at = 0; at < vector.length; at += 1) {
    if (at > 0) text += ','
    text += float32Text(vector[at] ?? 0)
  }
  return `${text}]`
}

/** Digits that tell a float32 from its neighbours: never more than 9, mostly 7 or 8. */
const DIGITS = [7, 8, 9] as const
/** Powers of ten up to this one are exact float64. */
const EXACT_POWER_MAX = 22

function float32Text(value: number): string {
  if (!Number.isFinite(value)) return 'null'
  if (Number.isInteger(value)) return String(value)
  const magnitude = Math.ceil(Math.log10(Math.abs(value)))
  for (const digits of DIGITS) {
    const power = digits - magnitude
    // Rounded by whole numbers, which takes a tenth of the time of `toPrecision`.
    const short =
      power >= 0 && power <= EXACT_POWER_MAX
        ? Math.round(value * 10 ** power) / 10 ** power
        : Number(value.toPrecision(digits))
    if (Math.fround(short) === value) return String(short)
  }
  return String(value)
}
