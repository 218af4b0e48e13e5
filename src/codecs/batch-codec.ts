/**
 * A `WriteBatch` as bytes: the payload of a log record and of the frames to a core.
 *
 * The bytes are an Arrow IPC stream of one record batch, which any Arrow reader opens; the format
 * is in `docs/formats/batch.md`. apache-arrow writes the headers once for each dimension; after
 * that a batch costs a copy of the headers, six patched counts and one copy of the values.
 */

import {
  Field,
  FixedSizeList,
  Float32,
  makeData,
  RecordBatch,
  RecordBatchStreamWriter,
  Schema,
  Struct,
  Utf8,
  vectorFromArray,
  type Data,
} from 'apache-arrow'
import type { DeleteBatch, UpsertBatch, WriteBatch } from '../domain/write-batch.ts'
import { VectordError } from '../lib/errors.ts'
import { invariant } from '../lib/invariant.ts'
import {
  ArrowFault,
  ArrowStream,
  batchLayout,
  type ArrowBatch,
  type ArrowColumn,
  type ArrowSchema,
  type BatchLayout,
} from './arrow-stream.ts'
import { firstNull, float32View, stringsOf } from './arrow-values.ts'

export const BATCH_FORMAT = 1
const ID_BYTES_MAX = 512
const DIMENSION_MAX = 65_536

/**
 * Encodes a batch.
 *
 * @returns bytes that share nothing with the batch; vectors start at a multiple of 8.
 * @throws {VectordError} `invalid_points` where a string is not well-formed Unicode: it would not
 *   come back as it went in.
 */
export function encodeBatch(batch: WriteBatch): Uint8Array {
  const rows = batch.ids.length
  invariant(rows > 0, 'a batch has rows')
  const ids = measure('id', batch.ids)
  if (batch.kind === 'delete') return assemble(templateFor(null), rows, [ids])
  invariant(batch.vectors.length === rows * batch.dimension, 'every row has a vector')
  invariant(batch.texts.length === rows && batch.metadata.length === rows, 'columns are even')
  const { vectors } = batch
  const columns = [
    ids,
    { rows, nulls: 0, buffers: [NOTHING] },
    {
      rows: rows * batch.dimension,
      nulls: 0,
      buffers: [NOTHING, new Uint8Array(vectors.buffer, vectors.byteOffset, vectors.byteLength)],
    },
    measure('text', batch.texts),
    measure('metadata', batch.metadata),
  ]
  return assemble(templateFor(batch.dimension), rows, columns)
}

/**
 * Decodes what `encodeBatch` wrote, or any Arrow writer of the same columns.
 *
 * @returns a batch whose vectors are a view of `bytes` where these are aligned for one: whoever
 *   keeps them keeps all of `bytes`.
 * @throws {VectordError} `log_corrupt` on anything else, `format_too_new` on a later format.
 */
export function decodeBatch(bytes: Uint8Array): WriteBatch {
  try {
    const stream = new ArrowStream(bytes)
    checkFormat(stream.schema)
    const batches = stream.batches()
    const batch = batches.next().value
    if (batch === undefined || batch.rows === 0) throw new ArrowFault('it holds no rows')
    if (batches.next().value !== undefined) throw new ArrowFault('it holds several batches')
    if (stream.end !== bytes.length) throw new ArrowFault('bytes follow the end')
    return decodeColumns(stream.schema, batch)
  } catch (error) {
    if (!(error instanceof ArrowFault)) throw error
    throw new VectordError('log_corrupt', `A write batch cannot be read: ${error.message}.`, {
      details: { problem: error.message },
      cause: error,
    })
  }
}

function checkFormat(schema: ArrowSchema): void {
  const format = Number(schema.metadata.get('vectord.format'))
  if (!Number.isInteger(format) || format < 1) throw new ArrowFault('it is not a vectord batch')
  if (format <= BATCH_FORMAT) return
  throw new VectordError(
    'format_too_new',
    `A write batch has format ${format}; this server reads up to ${BATCH_FORMAT}.`,
    { details: { what: 'write batch', format, supported: BATCH_FORMAT } },
  )
}

function decodeColumns(schema: ArrowSchema, batch: ArrowBatch): WriteBatch {
  const kind = schema.metadata.get('vectord.kind')
  const [ids, vectors, texts, metadata] = batch.columns
  if (kind === 'delete' && ids !== undefined && batch.columns.length === 1) {
    return { kind: 'delete', ids: decodeIds(ids) } satisfies DeleteBatch
  }
  if (
    kind !== 'upsert' ||
    batch.columns.length !== 4 ||
    ids === undefined ||
    vectors === undefined ||
    texts === undefined ||
    metadata === undefined
  ) {
    throw new ArrowFault('its columns are not those of a batch')
  }
  const dimension = Number(schema.metadata.get('vectord.dimension'))
  return {
    kind: 'upsert',
    dimension,
    ids: decodeIds(ids),
    vectors: decodeVectors(vectors, dimension),
    texts: decodeStrings(texts, 'text'),
    metadata: decodeStrings(metadata, 'metadata'),
  } satisfies UpsertBatch
}

function decodeIds(column: ArrowColumn): string[] {
  const ids = decodeStrings(column, 'id')
  for (const id of ids) {
    if (id === null) throw new ArrowFault('an id is null')
    const tooLong = id.length * 3 > ID_BYTES_MAX && Buffer.byteLength(id) > ID_BYTES_MAX
    if (id === '' || tooLong) throw new ArrowFault('an id has a length that is not allowed')
  }
  return ids as string[]
}

function decodeStrings(column: ArrowColumn, name: string): (string | null)[] {
  if (column.field.name !== name || column.field.type.kind !== 'utf8') {
    throw new ArrowFault(`a column is not the expected "${name}"`)
  }
  if (column.dictionary !== null) throw new ArrowFault(`column "${name}" has a dictionary`)
  return stringsOf(column)
}

function decodeVectors(column: ArrowColumn, dimension: number): Float32Array {
  const { type, name } = column.field
  const isList = type.kind === 'fixed_size_list' && type.size === dimension && dimension > 0
  if (name !== 'vector' || !isList) throw new ArrowFault('a column is not the expected "vector"')
  const { child } = column
  if (child === null || !isFloat32(child)) throw new ArrowFault('vectors are not float32')
  if (firstNull(column) >= 0 || firstNull(child) >= 0) throw new ArrowFault('a vector is null')
  return float32View(child.data, child.length)
}

function isFloat32({ field, dictionary }: ArrowColumn): boolean {
  return field.type.kind === 'float' && field.type.bits === 32 && dictionary === null
}

/** One column to write: its node and its buffers, where a string column is still strings. */
interface Column {
  readonly rows: number
  readonly nulls: number
  readonly buffers: readonly Uint8Array[]
  readonly strings?: { readonly values: readonly (string | null)[]; readonly bytes: number }
}

const NOTHING = new Uint8Array(0)

/** Validity and offsets of a string column, and the size of its bytes. */
function measure(name: string, values: readonly (string | null)[]): Column {
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

function bitmap(values: readonly (string | null)[]): Uint8Array {
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
interface Template {
  /** Schema message and the header of the record batch message. */
  readonly head: Buffer
  readonly layout: BatchLayout
}

/** 8-byte end mark of a stream. */
const END = Buffer.from([0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0])

function assemble(template: Template, rows: number, columns: readonly Column[]): Uint8Array {
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

/** Indexes of one server have few dimensions; the bound only keeps a mistake from growing. */
const TEMPLATES_MAX = 64
const templates = new Map<number | null, Template>()

/** @param dimension that of upserts, or null for deletes. */
function templateFor(dimension: number | null): Template {
  const known = templates.get(dimension)
  if (known !== undefined) return known
  if (templates.size >= TEMPLATES_MAX) templates.clear()
  const template = buildTemplate(dimension)
  templates.set(dimension, template)
  return template
}

function buildTemplate(dimension: number | null): Template {
  invariant(dimension === null || (dimension > 0 && dimension <= DIMENSION_MAX), 'a sane dimension')
  const { fields, children } = dimension === null ? deleteSample() : upsertSample(dimension)
  const schema = new Schema(
    fields,
    new Map([
      ['vectord.format', String(BATCH_FORMAT)],
      ['vectord.kind', dimension === null ? 'delete' : 'upsert'],
      ['vectord.dimension', String(dimension ?? 0)],
    ]),
  )
  const data = makeData({ type: new Struct(fields), length: 1, nullCount: 0, children })
  const writer = new RecordBatchStreamWriter()
  writer.write(new RecordBatch(schema, data))
  writer.finish()
  const bytes = writer.toUint8Array(true)
  const schemaEnd = new ArrowStream(bytes).end
  const layout = batchLayout(bytes, schemaEnd)
  invariant(layout.bodyAt % 8 === 0, 'the body is aligned')
  return { head: Buffer.from(bytes.subarray(0, layout.bodyAt)), layout }
}

interface Sample {
  readonly fields: Field[]
  readonly children: Data[]
}

/** One row of deletes: what matters is the shape of the headers that it gives. */
function deleteSample(): Sample {
  return { fields: [new Field('id', new Utf8(), false)], children: [sampleStrings()] }
}

function upsertSample(dimension: number): Sample {
  const list = new FixedSizeList(dimension, new Field('item', new Float32(), false))
  const item = makeData({
    type: new Float32(),
    length: dimension,
    data: new Float32Array(dimension),
  })
  return {
    fields: [
      new Field('id', new Utf8(), false),
      new Field('vector', list, false),
      new Field('text', new Utf8(), true),
      new Field('metadata', new Utf8(), true),
    ],
    children: [
      sampleStrings(),
      makeData({ type: list, length: 1, nullCount: 0, child: item }),
      sampleStrings(),
      sampleStrings(),
    ],
  }
}

function sampleStrings(): Data {
  const [data] = vectorFromArray(['x'], new Utf8()).data
  invariant(data !== undefined, 'a vector of one row has data')
  return data
}
