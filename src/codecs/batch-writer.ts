/**
 * Puts the columns of one record batch together as an Arrow IPC stream.
 *
 * The headers are those of a template (`batch-templates.ts`), in which a few counts are patched: the
 * rest of a batch costs one copy of its values.
 */

import { VectordError } from '../lib/errors.ts'
import type { BatchLayout } from './arrow-stream.ts'

/** One column to write: its node and its buffers, where a string column is still strings. */
export interface Column {
  readonly rows: number
  readonly nulls: number
  readonly buffers: readonly Uint8Array[]
  readonly strings?: { readonly values: readonly (string | null)[]; readonly bytes: number }
}

export const NOTHING = new Uint8Array(0)

/** Validity and offsets of a string column, and the size of its bytes. */
export function measure(name: string, values: readonly (string | null)[]): Column {
  const rows = values.length
  const offsets = new Int32Array(rows + 1)
  let nulls = 0
  let bytes = 0
  for (let row = 0; row < rows; row += 1) {
    const value = values[row] ?? null
    if (value === null) {
      nulls += 1
    } else {
      if (!value.isWellFormed()) throw malformed(name, row)
      bytes += Buffer.byteLength(value)
    }
    offsets[row + 1] = bytes
  }
  const validity = nulls === 0 ? NOTHING : bitmap(values)
  return {
    rows,
    nulls,
    buffers: [validity, new Uint8Array(offsets.buffer)],
    strings: { values, bytes },
  }
}

/** The validity of a column: which rows have a value. */
export function bitmap(values: readonly unknown[]): Uint8Array {
  const bits = new Uint8Array(Math.ceil(values.length / 8))
  for (let row = 0; row < values.length; row += 1) {
    if (values[row] !== null) bits[row >> 3] = (bits[row >> 3] ?? 0) | (1 << (row & 7))
  }
  return bits
}

function malformed(column: string, row: number): VectordError {
  return new VectordError(
    'invalid_points',
    `The ${column} of row ${row} is not well-formed Unicode.`,
    { details: { column, row } },
  )
}

/** Headers of a batch of this kind, with a row count and buffers to be patched. */
export interface Template {
  /** Schema message and the header of the record batch message. */
  readonly head: Buffer
  readonly layout: BatchLayout
}

/** 8-byte end mark of a stream. */
const END = Buffer.from([0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0])

export function assemble(template: Template, rows: number, columns: readonly Column[]): Uint8Array {
  const { head, layout } = template
  let bodyBytes = 0
  for (const { buffers, strings } of columns) {
    for (const buffer of buffers) bodyBytes += padded(buffer.length)
    if (strings !== undefined) bodyBytes += padded(strings.bytes)
  }
  const out = alignedBuffer(head.length + bodyBytes + END.length)
  out.set(head)
  out.set(END, head.length + bodyBytes)
  writeCount(out, layout.bodyBytesAt, bodyBytes)
  writeCount(out, layout.rowsAt, rows)
  const cursor = { node: layout.nodesAt, buffer: layout.buffersAt, body: 0 }
  for (const { rows: length, nulls, buffers, strings } of columns) {
    writeCount(out, cursor.node, length)
    writeCount(out, cursor.node + 8, nulls)
    cursor.node += 16
    for (const buffer of buffers) {
      out.set(buffer, head.length + cursor.body)
      place(out, cursor, buffer.length)
    }
    if (strings === undefined) continue
    writeStrings(out, head.length + cursor.body, strings.values)
    place(out, cursor, strings.bytes)
  }
  return out
}

/** Writes where a buffer lies and moves on behind it. */
function place(out: Buffer, cursor: { buffer: number; body: number }, bytes: number): void {
  writeCount(out, cursor.buffer, cursor.body)
  writeCount(out, cursor.buffer + 8, bytes)
  cursor.buffer += 16
  cursor.body += padded(bytes)
}

function writeStrings(out: Buffer, start: number, values: readonly (string | null)[]): void {
  let at = start
  for (const value of values) if (value !== null) at += out.write(value, at)
}

/** Zeroed, so that the padding between buffers is always the same; its memory is 8-aligned. */
function alignedBuffer(bytes: number): Buffer {
  return Buffer.from(new ArrayBuffer(bytes))
}

function writeCount(out: Buffer, at: number, value: number): void {
  out.writeUInt32LE(value % 2 ** 32, at)
  out.writeUInt32LE(Math.floor(value / 2 ** 32), at + 4)
}

function padded(bytes: number): number {
  return (bytes + 7) & ~7
}
