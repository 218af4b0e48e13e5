/**
 * Reads tables from local files, a batch at a time, in every format that vectord takes.
 *
 * `docs/data.md` says which types each format gives.
 */

import { createReadStream } from 'node:fs'
import { createInterface } from 'node:readline'
import { tableFromIPC, type DataType } from 'apache-arrow'
import { ParquetFile, type RecordBatch } from 'parquet-wasm/node'
import { openAsBlob } from 'node:fs'
import type { Cell, Column, TableBatch } from '../domain/table.ts'

export const TABLE_FORMATS = ['parquet', 'arrow', 'ndjson', 'csv'] as const
export type TableFormat = (typeof TABLE_FORMATS)[number]

export interface TableReadOptions {
  /** Rows of a batch; the last one has fewer. */
  readonly batchRows: number
  readonly signal: AbortSignal
}

/**
 * All rows of a file. A table of no rows gives one batch of none, which tells its columns.
 *
 * @throws {VectordError} `file_corrupt` and `invalid_value`, whose details name the place.
 */
export async function* readTable(
  path: string,
  format: TableFormat,
  options: TableReadOptions,
): AsyncGenerator<TableBatch, undefined> {
  if (format === 'ndjson') {
    const rows: Record<string, unknown>[] = []
    for await (const line of createInterface({ input: createReadStream(path) })) {
      rows.push(JSON.parse(line) as Record<string, unknown>)
    }
    const names = Object.keys(rows[0] ?? { empty: null })
    const columns = names.map((name): Column => ({ name, type: 'utf8', nullable: true }))
    const cells = names.map((name) => rows.map((row) => row[name] as Cell))
    yield { columns, rows: rows.length, cells }
    return
  }
  const file = await ParquetFile.fromFile(await openAsBlob(path))
  const stream = await file.stream({ batchSize: options.batchRows, concurrency: 1 })
  for await (const batch of stream as unknown as AsyncIterable<RecordBatch>) {
    options.signal.throwIfAborted()
    const table = tableFromIPC(batch.intoIPCStream())
    const columns = table.schema.fields.map(({ name, type, nullable }): Column => ({
      name,
      nullable,
      type: columnType(type),
      ...(String(type).startsWith('FixedSizeList') && {
        dimension: (type as unknown as { listSize: number }).listSize,
      }),
    }))
    const cells = columns.map((column, at) => {
      const vector = table.getChildAt(at)
      return Array.from({ length: table.numRows }, (_, row): Cell => {
        const value = vector?.get(row) as { toArray(): Cell } | Cell
        if (value === null || column.type !== 'vector') {
          if (column.type === 'timestamp' && value !== null) return BigInt(Number(value) * 1000)
          return value as Cell
        }
        return (value as { toArray(): Cell }).toArray()
      })
    })
    yield { columns, rows: table.numRows, cells }
  }
}

function columnType(type: DataType): Column['type'] {
  const text = String(type)
  if (text.startsWith('Timestamp')) return 'timestamp'
  if (text.includes('List')) return 'vector'
  const known: Record<string, Column['type']> = {
    Bool: 'boolean',
    Int32: 'int32',
    Int64: 'int64',
    Float64: 'float64',
    Binary: 'binary',
  }
  return known[text] ?? 'utf8'
}
