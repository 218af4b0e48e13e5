/** Tables of tests: made, written to files, read back, and looked at by DuckDB. */

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { type DuckDBConnection, DuckDBInstance } from '@duckdb/node-api'
import fc from 'fast-check'
import { readTable, type TableFormat } from '../../src/codecs/table-reader.ts'
import { encodeTable, writeParquetTable } from '../../src/codecs/table-writer.ts'
import type { Cell, Column, ColumnType, TableBatch } from '../../src/domain/table.ts'
import { VectordError } from '../../src/lib/errors.ts'
import { collect } from '../support/collect.ts'

/** A whole table: a list of cells for each column. */
export interface WholeTable {
  readonly columns: readonly Column[]
  readonly cells: readonly (readonly Cell[])[]
}

/** A column of each type, each with a null. */
export const MIXED: WholeTable = {
  columns: [
    column('b', 'boolean'),
    column('i', 'int32'),
    column('l', 'int64'),
    column('f', 'float64'),
    column('t', 'timestamp'),
    column('s', 'utf8'),
    column('x', 'binary'),
    column('v', 'vector', 3),
  ],
  cells: [
    [true, null, false],
    [2 ** 31 - 1, null, -(2 ** 31)],
    [2n ** 63n - 1n, null, -(2n ** 63n)],
    [1.5, null, Number.MIN_VALUE],
    [1_700_000_000_123_456n, null, -1n],
    ['é\n"', null, ''],
    [Uint8Array.of(0, 255), null, new Uint8Array(0)],
    [Float32Array.of(1, -0.5, 3e38), null, Float32Array.of(NaN, 0, Infinity)],
  ],
}

export async function folderOf(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'vectord-table-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  return folder
}

export async function duckdb(t: TestContext): Promise<DuckDBConnection> {
  const connection = await (await DuckDBInstance.create()).connect()
  t.after(() => {
    connection.disconnectSync()
  })
  await connection.run(`set threads = 1; set timezone = 'UTC'`)
  return connection
}

export function column(name: string, type: ColumnType, dimension?: number): Column {
  return { name, type, nullable: true, ...(dimension !== undefined && { dimension }) }
}

/** Cut into batches of so many rows. */
export async function* batchesOf(
  { columns, cells }: WholeTable,
  batchRows = 100,
): AsyncGenerator<TableBatch, undefined> {
  const rows = cells[0]?.length ?? 0
  for (let at = 0; at < rows; at += batchRows) {
    const part = cells.map((all) => all.slice(at, at + batchRows))
    yield { columns, rows: part[0]?.length ?? 0, cells: part }
  }
}

export async function readWhole(
  path: string,
  format: TableFormat,
  batchRows = 64,
): Promise<WholeTable> {
  const { signal } = new AbortController()
  const batches = await collect(readTable(path, format, { batchRows, signal }))
  const columns = batches[0]?.columns ?? []
  const cells = columns.map((_, at) => batches.flatMap((batch) => batch.cells[at] ?? []))
  for (const batch of batches) {
    if (batch.rows > batchRows) throw new Error('a batch has too many rows')
    if (batch.cells.some((all) => all.length !== batch.rows)) throw new Error('a batch is ragged')
  }
  return { columns, cells }
}

export async function encoded(
  format: TableFormat,
  table: WholeTable,
  batchRows?: number,
): Promise<Buffer> {
  const chunks = await collect(encodeTable(format, table.columns, batchesOf(table, batchRows)))
  return Buffer.concat(chunks)
}

/** As a Parquet file. */
export async function written(t: TestContext, table: WholeTable): Promise<string> {
  const path = join(await folderOf(t), 'table.parquet')
  await writeParquetTable(path, table.columns, batchesOf(table))
  return path
}

export async function rowsOf(
  connection: DuckDBConnection,
  sql: string,
): Promise<readonly (readonly unknown[])[]> {
  return (await connection.runAndReadAll(sql)).getRowsJS()
}

/** What DuckDB makes of a query, as a Parquet file. */
export async function copied(t: TestContext, select: string, options = ''): Promise<string> {
  const connection = await duckdb(t)
  const path = join(await folderOf(t), 'duck.parquet')
  await connection.run(`copy (${select}) to '${path}' (format parquet${options})`)
  return path
}

/** Through bytes of this format and back. */
export async function roundTrip(
  folder: string,
  format: TableFormat,
  table: WholeTable,
): Promise<WholeTable> {
  const path = join(folder, `table.${format}`)
  await writeFile(path, await encoded(format, table, 7))
  return readWhole(path, format, 5)
}

/** Reads a file that cannot be read. @returns why. */
export async function refusal(path: string, format: TableFormat): Promise<VectordError> {
  try {
    await readWhole(path, format)
  } catch (error) {
    if (error instanceof VectordError) return error
    throw error
  }
  throw new Error(`${path} was read`)
}

const INT64 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })
const FLOAT32 = fc.float({ noNaN: false })

/** Cells of each type. */
export const CELLS: Readonly<Record<ColumnType, (dimension: number) => fc.Arbitrary<Cell>>> = {
  boolean: () => fc.boolean(),
  int32: () => fc.integer(),
  int64: () => INT64,
  float64: () => fc.double(),
  timestamp: () => INT64,
  utf8: () => fc.string({ unit: 'grapheme', maxLength: 20 }),
  binary: () => fc.uint8Array({ maxLength: 20 }),
  vector: (dimension) =>
    fc
      .array(FLOAT32, { minLength: dimension, maxLength: dimension })
      .map((numbers) => Float32Array.from(numbers)),
}

/** Tables of columns of some types, with nulls, of no to 40 rows. */
export function anyTable(types: readonly ColumnType[], cells = CELLS): fc.Arbitrary<WholeTable> {
  const columns = fc.array(
    fc.record({ type: fc.constantFrom(...types), dimension: fc.integer({ min: 1, max: 5 }) }),
    { minLength: 1, maxLength: 8 },
  )
  return fc.tuple(columns, fc.integer({ min: 0, max: 40 })).chain(([shapes, rows]) => {
    const all = shapes.map(({ type, dimension }) =>
      fc.array(fc.option(cells[type](dimension), { nil: null, freq: 5 }), {
        minLength: rows,
        maxLength: rows,
      }),
    )
    return fc.tuple(...all).map((filled) => ({
      columns: shapes.map(({ type, dimension }, at) =>
        column(`c${at}`, type, type === 'vector' ? dimension : undefined),
      ),
      cells: filled,
    }))
  })
}
