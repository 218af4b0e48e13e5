/**
 * Parquet files of other programs as tables, a batch at a time.
 *
 * Row groups are read one after the other, so that what is wrong can be told by its row group. What is
 * damaged is told where parquet-wasm notices; it does not compare the checksums that pages may have.
 */

import type { Column, TableBatch } from '../domain/table.ts'
import { TypeFault, UUID_EXTENSION } from './arrow-cells.ts'
import { type ArrowField, TABLES_SCOPE } from './arrow-schema.ts'
import { ParquetReader } from './parquet-file.ts'
import { uuidColumns } from './parquet-uuids.ts'
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
    const shape = new TableShape(await fieldsOf(path, reader))
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

async function fieldsOf(path: string, reader: ParquetReader): Promise<readonly ArrowField[]> {
  const uuids = await uuidColumns(path)
  return reader.schema().fields.map((field) => {
    refuseIntervals(field, field)
    return uuids.has(field.name) ? { ...field, metadata: new Map([UUID_EXTENSION]) } : field
  })
}

/** parquet-wasm drops the months of intervals. */
function refuseIntervals(column: ArrowField, { type, children }: ArrowField): void {
  if (type.kind === 'interval') throw new TypeFault(column, 'interval')
  for (const child of children) refuseIntervals(column, child)
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
