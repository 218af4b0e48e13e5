/**
 * Rows as the Arrow table that LanceDB takes. Vectors are not copied.
 */

import {
  Float32,
  Int64,
  makeData,
  RecordBatch,
  Struct,
  Table,
  Utf8,
  type Data,
  type DataType,
} from 'apache-arrow'
import type { LanceRows } from '../../domain/lance-table.ts'
import { VectordError } from '../../lib/errors.ts'
import { fieldsOf, tableSchema, vectorType } from './lance-schema.ts'
import { termsOf } from './metadata-terms.ts'

/**
 * @param version the version of the table that writing them makes.
 * @throws {VectordError} `vector_dimension_mismatch`; `invalid_points` for metadata.
 */
export function batchOf(rows: LanceRows, dimension: number, version: number): Table {
  const { ids, vectors, texts, metadata } = rows
  const length = ids.length
  if (vectors.length !== length * dimension) {
    const text = `The vectors are not ${length} of ${dimension} numbers.`
    throw new VectordError('vector_dimension_mismatch', text)
  }
  const schema = tableSchema(dimension)
  const terms = metadata.map(termsOf)
  const children: Data[] = [
    strings(ids),
    makeData({
      type: new Int64(),
      length,
      nullCount: 0,
      data: new BigInt64Array(length).fill(BigInt(version)),
    }),
    vectorData(vectors, length, dimension),
    strings(texts),
    strings(metadata),
    strings(terms),
  ]
  const type = new Struct<Record<string, DataType>>(fieldsOf(schema))
  const data = makeData({ type, length, nullCount: 0, children })
  return new Table(schema, [new RecordBatch(schema, data)])
}

function vectorData(vectors: Float32Array, length: number, dimension: number): Data {
  const item = makeData({
    type: new Float32(),
    length: vectors.length,
    nullCount: 0,
    data: vectors,
  })
  return makeData({ type: vectorType(dimension), length, nullCount: 0, child: item })
}

/** Built by hand: Arrow's own builder takes ten times as long. */
function strings(values: readonly (string | null)[]): Data<Utf8> {
  const length = values.length
  const valueOffsets = new Int32Array(length + 1)
  const nullBitmap = new Uint8Array((length + 7) >> 3)
  let bytes = 0
  for (const value of values) if (value !== null) bytes += Buffer.byteLength(value)
  const data = Buffer.allocUnsafeSlow(bytes)
  let at = 0
  let nullCount = 0
  for (const [row, value] of values.entries()) {
    if (value === null) nullCount += 1
    else {
      at += data.write(value, at, 'utf8')
      nullBitmap[row >> 3] = (nullBitmap[row >> 3] ?? 0) | (1 << (row & 7))
    }
    valueOffsets[row + 1] = at
  }
  return makeData({ type: new Utf8(), length, nullCount, nullBitmap, valueOffsets, data })
}
