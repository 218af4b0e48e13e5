/**
 * Tables written: as a Parquet file of a dataset, or as the bytes of an export in any format.
 *
 * `docs/data.md` says how each type is written in each format.
 */

import type { Column, TableBatch } from '../domain/table.ts'
import { hashFile } from './file-hash.ts'
import { encodeParquet, writeParquet, type ParquetSpec } from './parquet-writer.ts'
import { TableArrowWriter } from './table-arrow-writer.ts'
import { encodeCsv } from './table-csv-writer.ts'
import { encodeNdjson } from './table-ndjson-writer.ts'
import type { TableFormat } from './table-reader.ts'

export interface WrittenTable {
  readonly rows: number
  readonly bytes: number
  /** In hex. */
  readonly sha256: string
}

/** Of a row group, which is held in memory when it is written and when it is read. */
const GROUP_ROWS_MAX = 8192
const GROUP_BYTES_MAX = 4 * 1024 * 1024

function specOf(columns: readonly Column[]): ParquetSpec {
  // What the encoder counts is compressed: vectors are counted before.
  const numbers = columns.reduce((sum, { dimension = 0 }) => sum + dimension, 0)
  const rows = numbers === 0 ? GROUP_ROWS_MAX : Math.floor(GROUP_BYTES_MAX / (4 * numbers))
  return {
    groupRows: Math.max(1, Math.min(GROUP_ROWS_MAX, rows)),
    groupBytes: GROUP_BYTES_MAX,
    metadata: new Map(),
    compression: 'zstd',
  }
}

/**
 * Writes a new Parquet file: complete and synced once resolved, otherwise there is none.
 *
 * @param batches all of these columns; a table may have no rows.
 * @throws {VectordError} `invalid_value` for a cell that its column cannot hold; what `batches`
 *   throws, and errors of the file system.
 */
export async function writeParquetTable(
  path: string,
  columns: readonly Column[],
  batches: AsyncIterable<TableBatch>,
): Promise<WrittenTable> {
  const rows = await writeParquet(path, parquetStreams(columns, batches), specOf(columns))
  return { rows, ...(await hashFile(path)) }
}

/**
 * The bytes of a table as they come: nothing is held but a batch.
 *
 * @throws as `writeParquetTable`, after some bytes: whoever sends them has to break off.
 */
export function encodeTable(
  format: TableFormat,
  columns: readonly Column[],
  batches: AsyncIterable<TableBatch>,
): AsyncIterable<Uint8Array> {
  switch (format) {
    case 'parquet':
      return encodeParquet(parquetStreams(columns, batches), specOf(columns))
    case 'arrow':
      return encodeArrow(columns, batches)
    case 'ndjson':
      return encodeNdjson(columns, batches)
    case 'csv':
      return encodeCsv(columns, batches)
  }
}

async function* encodeArrow(
  columns: readonly Column[],
  batches: AsyncIterable<TableBatch>,
): AsyncGenerator<Uint8Array, undefined> {
  const writer = new TableArrowWriter(columns)
  yield writer.schema()
  for await (const batch of batches) yield writer.message(batch)
  yield writer.end()
}

async function* parquetStreams(
  columns: readonly Column[],
  batches: AsyncIterable<TableBatch>,
): AsyncGenerator<Uint8Array, undefined> {
  const writer = new TableArrowWriter(columns)
  // So that a table of no rows has its columns.
  yield writer.stream({ columns, rows: 0, cells: columns.map(() => []) })
  for await (const batch of batches) if (batch.rows > 0) yield writer.stream(batch)
}
