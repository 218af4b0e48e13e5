/**
 * Reads tables from local files, a batch at a time, in every format that vectord takes.
 *
 * `docs/data.md` says which types each format gives.
 */

import type { TableBatch } from '../domain/table.ts'
import { openArrowTable } from './table-arrow-reader.ts'
import { openCsvTable } from './table-csv-reader.ts'
import { openNdjsonTable } from './table-ndjson-reader.ts'
import { openParquetTable } from './table-parquet-reader.ts'
import type { TableReadOptions, TableSource } from './table-source.ts'

export const TABLE_FORMATS = ['parquet', 'arrow', 'ndjson', 'csv'] as const
export type TableFormat = (typeof TABLE_FORMATS)[number]

/**
 * Opens a file and finds its columns; of NDJSON and CSV all of it is read for that.
 *
 * Parquet that nobody vouches for is opened in a child process: some damage ends it.
 *
 * @throws {VectordError} `file_corrupt` and `invalid_value`, whose details name the place;
 *   `storage_error` where the file cannot be read.
 */
export function openTable(
  path: string,
  format: TableFormat,
  options: TableReadOptions,
): Promise<TableSource> {
  switch (format) {
    case 'parquet':
      return openParquetTable(path, options)
    case 'arrow':
      return openArrowTable(path, options)
    case 'ndjson':
      return openNdjsonTable(path, options)
    case 'csv':
      return openCsvTable(path, options)
  }
}

/**
 * All rows of a file. A table of no rows gives one batch of none, which tells its columns.
 *
 * @throws as `openTable`.
 */
export async function* readTable(
  path: string,
  format: TableFormat,
  options: TableReadOptions,
): AsyncGenerator<TableBatch, undefined> {
  const table = await openTable(path, format, options)
  try {
    let hasRows = false
    for await (const batch of table.batches()) {
      hasRows = true
      yield batch
    }
    if (hasRows) return
    const { columns } = table
    yield { columns, rows: 0, cells: columns.map(() => []) }
  } finally {
    await table.close()
  }
}
