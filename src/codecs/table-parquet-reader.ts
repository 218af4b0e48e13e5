/**
 * Parquet files of other programs as tables, a batch at a time.
 *
 * Row groups are read one after the other, so that what is wrong can be told by its row group. Most
 * damage is found; some makes parquet-wasm fail outside of any promise, which ends the process: files
 * that nobody vouches for are read in a child process, whose end stands for `file_corrupt`.
 */

import type { Column, TableBatch } from '../domain/table.ts'
import { TABLES_SCOPE } from './arrow-schema.ts'
import { ParquetReader } from './parquet-file.ts'
import { tableFault } from './table-fault.ts'
import { tableBatches, TableShape } from './table-shape.ts'
import type { TableReadOptions, TableSource } from './table-source.ts'

export async function openParquetTable(
  path: string,
  { batchRows, signal }: TableReadOptions,
): Promise<TableSource> {
  let reader: ParquetReader | null = null
  try {
    reader = await ParquetReader.open(path, TABLES_SCOPE)
    const shape = new TableShape(reader.schema().fields)
    await findDimensions(path, reader, shape)
    const columns = shape.columns()
    const { rows } = reader
    const opened = reader
    return {
      columns,
      rows,
      batches: () => readGroups(path, opened, columns, { batchRows, signal }),
      close: () => opened.close(),
    }
  } catch (error) {
    await reader?.close()
    throw tableFault(path, {}, error)
  }
}

/** Rows that are looked at in one go: the first ones mostly have a vector. */
const LOOK_ROWS = 1024

/** Only the columns in question are read, and only to the first vector of each. */
async function findDimensions(
  path: string,
  reader: ParquetReader,
  shape: TableShape,
): Promise<void> {
  for (const group of reader.groupRows.keys()) {
    try {
      while (shape.open.length > 0) {
        const before = shape.open.length
        for await (const { batch } of reader.batches(LOOK_ROWS, { group, columns: shape.open })) {
          shape.look(batch)
          if (shape.open.length < before) break
        }
        if (shape.open.length === before) break
      }
    } catch (error) {
      throw tableFault(path, { row_group: group }, error)
    }
  }
}

async function* readGroups(
  path: string,
  reader: ParquetReader,
  columns: readonly Column[],
  { batchRows, signal }: TableReadOptions,
): AsyncGenerator<TableBatch, undefined> {
  for (const group of reader.groupRows.keys()) {
    let rowsBefore = 0
    try {
      for await (const { batch } of reader.batches(batchRows, { group })) {
        for (const table of tableBatches(columns, batch, batchRows)) {
          signal.throwIfAborted()
          yield table
        }
        rowsBefore += batch.rows
      }
    } catch (error) {
      if (signal.aborted) throw error
      throw tableFault(path, { row_group: group }, error, rowsBefore)
    }
  }
}
