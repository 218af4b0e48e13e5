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
import { uuidColumns } from './parquet-footer.ts'
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
      while (await findOne(reader, shape, group));
    } catch (error) {
      throw tableFault(path, { row_group: group }, error)
    }
  }
}

/** @returns whether one was found: then the others are looked for alone. */
async function findOne(reader: ParquetReader, shape: TableShape, group: number): Promise<boolean> {
  const { open } = shape
  if (open.length === 0) return false
  for await (const { batch } of reader.batches(LOOK_ROWS, { group, columns: open })) {
    shape.look(batch)
    if (shape.open.length < open.length) return true
  }
  return false
}

async function* readGroups(
  path: string,
  reader: ParquetReader,
  columns: readonly Column[],
  { batchRows, signal }: TableReadOptions,
): AsyncGenerator<TableBatch, undefined> {
  for (const group of reader.groupRows.keys()) {
    const place = { rowsBefore: 0 }
    try {
      for await (const table of readGroup(reader, columns, { group, batchRows, place })) {
        signal.throwIfAborted()
        yield table
      }
    } catch (error) {
      if (signal.aborted) throw error
      throw tableFault(path, { row_group: group }, error, place.rowsBefore)
    }
  }
}

async function* readGroup(
  reader: ParquetReader,
  columns: readonly Column[],
  {
    group,
    batchRows,
    place,
  }: { readonly group: number; readonly batchRows: number; readonly place: { rowsBefore: number } },
): AsyncGenerator<TableBatch, undefined> {
  for await (const { batch } of reader.batches(batchRows, { group })) {
    yield* tableBatches(columns, batch, batchRows)
    place.rowsBefore += batch.rows
  }
}
