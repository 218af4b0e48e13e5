/**
 * Rows of LanceDB's answers as points: no Arrow type leaves this folder.
 */

import { DataType, type RecordBatch, type Vector } from 'apache-arrow'
import type { Hit, Include, StoredPoint } from '../../domain/search.ts'
import { invariant } from '../../lib/invariant.ts'
import { ID_COLUMN, VECTOR_COLUMN } from './lance-schema.ts'

export const DISTANCE_COLUMN = '_distance'

/** The columns that a point with these parts is read from. */
export function columnsOf(include: Include): string[] {
  return [
    ID_COLUMN,
    'version',
    ...(include.vector ? [VECTOR_COLUMN] : []),
    ...(include.text ? ['text'] : []),
    ...(include.metadata ? ['metadata'] : []),
  ]
}

/** Points in the order of the rows. */
export function pointsOf(batches: readonly RecordBatch[]): StoredPoint[] {
  const points: StoredPoint[] = []
  for (const batch of batches) {
    const read = readerOf(batch)
    for (let row = 0; row < batch.numRows; row += 1) points.push(read(row))
  }
  return points
}

export function hitsOf(batches: readonly RecordBatch[]): Hit[] {
  const hits: Hit[] = []
  for (const batch of batches) {
    const read = readerOf(batch)
    const distances = columnOf(batch, DISTANCE_COLUMN)
    for (let row = 0; row < batch.numRows; row += 1) {
      hits.push({ ...read(row), distance: Number(distances.get(row)) })
    }
  }
  return hits
}

export function idsOf(batches: readonly RecordBatch[]): string[] {
  return batches.flatMap((batch) => {
    const ids = columnOf(batch, ID_COLUMN)
    return Array.from({ length: batch.numRows }, (_, row) => String(ids.get(row)))
  })
}

/** All vectors of the batches, one after the other. */
export function vectorsOf(batches: readonly RecordBatch[], dimension: number): Float32Array {
  const rows = batches.reduce((sum, batch) => sum + batch.numRows, 0)
  const all = new Float32Array(rows * dimension)
  let at = 0
  for (const batch of batches) {
    const vectorAt = vectorReader(columnOf(batch, VECTOR_COLUMN))
    for (let row = 0; row < batch.numRows; row += 1) {
      all.set(vectorAt(row), at)
      at += dimension
    }
  }
  return all
}

function readerOf(batch: RecordBatch): (row: number) => StoredPoint {
  const ids = columnOf(batch, ID_COLUMN)
  const versions = columnOf(batch, 'version')
  const texts = batch.getChild('text')
  const metadata = batch.getChild('metadata')
  const vectors = batch.getChild(VECTOR_COLUMN)
  const vectorAt = vectors === null ? null : vectorReader(vectors)
  return (row) => ({
    id: String(ids.get(row)),
    version: Number(versions.get(row)),
    metadata: textAt(metadata, row),
    text: textAt(texts, row),
    // A copy: the batch is not kept for the sake of one vector.
    vector: vectorAt === null ? null : vectorAt(row).slice(),
  })
}

function textAt(column: Vector | null, row: number): string | null {
  const value: unknown = column?.get(row)
  return typeof value === 'string' ? value : null
}

/** Views of the vectors of one column. */
function vectorReader(column: Vector): (row: number) => Float32Array {
  const [data] = column.data
  invariant(data !== undefined && column.data.length === 1, 'a batch is in one piece')
  // LanceDB has its own copy of Arrow's classes: `instanceof` would not know them.
  const type = data.type as DataType
  invariant(DataType.isFixedSizeList(type), 'vectors are lists of a fixed size')
  const { listSize } = type
  const [child] = data.children
  const values: unknown = child?.values
  invariant(values instanceof Float32Array, 'vectors are of float32')
  return (row) =>
    values.subarray((data.offset + row) * listSize, (data.offset + row + 1) * listSize)
}

function columnOf(batch: RecordBatch, name: string): Vector {
  const column = batch.getChild(name)
  invariant(column !== null, `an answer has the column "${name}"`)
  return column
}
