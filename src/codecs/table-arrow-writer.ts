/**
 * Table batches as Arrow IPC: the way to Parquet, and the stream that an export sends.
 *
 * The headers are those of a template that apache-arrow writes once for the columns of a table, with
 * the counts patched for each batch, so that a batch costs one pass over its cells.
 *
 *     boolean bool · int32 int32 · int64 int64 · float64 float64 · utf8 utf8 · binary binary
 *     timestamp timestamp(microseconds, UTC) · vector fixed_size_list<float32>(dimension)
 */

import {
  Binary,
  Bool,
  Field,
  FixedSizeList,
  Float32,
  Float64,
  Int32,
  Int64,
  makeData,
  RecordBatch,
  RecordBatchStreamWriter,
  Schema,
  Struct,
  TimestampMicrosecond,
  Utf8,
  type Data,
} from 'apache-arrow'
import type { Column, ColumnType, TableBatch } from '../domain/table.ts'
import { invariant } from '../lib/invariant.ts'
import { ArrowStream, batchLayout } from './arrow-stream.ts'
import { assemble, type Template } from './batch-writer.ts'
import { encodeCells } from './table-cell-encoder.ts'

/** 8-byte end mark of a stream, which `assemble` writes behind every batch. */
const END_BYTES = 8

export class TableArrowWriter {
  readonly columns: readonly Column[]
  readonly #template: Template
  readonly #schemaEnd: number

  constructor(columns: readonly Column[]) {
    invariant(columns.length > 0, 'a table has columns')
    this.columns = columns
    const { template, schemaEnd } = templateOf(columns)
    this.#template = template
    this.#schemaEnd = schemaEnd
  }

  /** The schema message that a stream begins with. */
  schema(): Uint8Array {
    return this.#template.head.subarray(0, this.#schemaEnd)
  }

  /** The end mark of a stream. */
  end(): Uint8Array {
    return Buffer.from([0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0])
  }

  /** The message of one record batch, between `schema` and `end`. @throws as `stream`. */
  message(batch: TableBatch): Uint8Array {
    const bytes = this.stream(batch)
    return bytes.subarray(this.#schemaEnd, bytes.length - END_BYTES)
  }

  /**
   * A whole stream of one batch.
   *
   * @throws {VectordError} `invalid_value` for a cell that its column cannot hold.
   */
  stream(batch: TableBatch): Uint8Array {
    invariant(batch.columns.length === this.columns.length, 'a batch has the columns of its table')
    const columns = this.columns.flatMap((column, at) =>
      encodeCells(column, batch.cells[at] ?? [], batch.rows),
    )
    return assemble(this.#template, batch.rows, columns)
  }
}

function templateOf(columns: readonly Column[]): { template: Template; schemaEnd: number } {
  const fields = columns.map(fieldOf)
  const children = columns.map(sampleOf)
  const schema = new Schema(fields)
  const data = makeData({ type: new Struct(fields), length: 1, nullCount: 0, children })
  const writer = new RecordBatchStreamWriter()
  writer.write(new RecordBatch(schema, data))
  writer.finish()
  const bytes = writer.toUint8Array(true)
  const schemaEnd = ArrowStream.schemaEnd(bytes)
  const layout = batchLayout(bytes, schemaEnd)
  return { template: { head: Buffer.from(bytes.subarray(0, layout.bodyAt)), layout }, schemaEnd }
}

function fieldOf(column: Column): Field {
  return new Field(column.name, typeOf(column), column.nullable)
}

function typeOf({ type, dimension }: Column) {
  switch (type) {
    case 'boolean':
      return new Bool()
    case 'int32':
      return new Int32()
    case 'int64':
      return new Int64()
    case 'float64':
      return new Float64()
    case 'timestamp':
      return new TimestampMicrosecond('UTC')
    case 'utf8':
      return new Utf8()
    case 'binary':
      return new Binary()
    case 'vector':
      invariant(dimension !== undefined && dimension > 0, 'a column of vectors has a dimension')
      return new FixedSizeList(dimension, new Field('item', new Float32(), false))
  }
}

/** One row: what matters is the shape of the headers that it gives. */
function sampleOf(column: Column): Data {
  const type = typeOf(column)
  if (type instanceof FixedSizeList) {
    const { listSize } = type
    const data = new Float32Array(listSize)
    const child = makeData({ type: new Float32(), length: listSize, data })
    return makeData({ type, length: 1, nullCount: 0, child })
  }
  if (type instanceof Utf8 || type instanceof Binary) {
    const data = Uint8Array.of(120)
    return makeData({
      type: type as Utf8,
      length: 1,
      nullCount: 0,
      valueOffsets: Int32Array.of(0, 1),
      data,
    })
  }
  const bytes: Record<Exclude<ColumnType, 'utf8' | 'binary' | 'vector'>, ArrayBufferView> = {
    boolean: Uint8Array.of(1),
    int32: Int32Array.of(1),
    int64: BigInt64Array.of(1n),
    float64: Float64Array.of(1),
    timestamp: BigInt64Array.of(1n),
  }
  const data = bytes[column.type as keyof typeof bytes]
  return makeData({ type: type as Float64, length: 1, nullCount: 0, data: data as Float64Array })
}
