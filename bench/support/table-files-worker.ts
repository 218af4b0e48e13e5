/**
 * One measurement of `bench/table-files.ts`: what was asked for in the arguments, told as JSON.
 *
 *     action kind rows path format
 */

import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import {
  Field,
  FixedSizeList,
  Float32,
  makeData,
  makeVector,
  Table as ArrowTable,
  tableFromIPC,
  tableToIPC,
  type Vector,
  vectorFromArray,
} from 'apache-arrow'
import { readParquet, Table, writeParquet } from 'parquet-wasm/node'
import { readTable, type TableFormat } from '../../src/codecs/table-reader.ts'
import { encodeTable, writeParquetTable } from '../../src/codecs/table-writer.ts'
import type { Cell, Column, TableBatch } from '../../src/domain/table.ts'
import { uniform } from './prng.ts'

const DIMENSION = 768
const BATCH_ROWS = 2048

const [action = '', kind = '', rowsText = '', path = '', format = ''] = process.argv.slice(2)
const rows = Number(rowsText)
const batch = kind === 'vectors' ? vectorBatch() : mixedBatch()

// Not measured: a first small table loads and warms up what every one needs.
await drain(encodeTable(format as TableFormat, batch.columns, batches(BATCH_ROWS)))
const startedMs = performance.now()
await act()
const ms = performance.now() - startedMs
process.stdout.write(JSON.stringify({ ms, peakMib: process.resourceUsage().maxRSS / 1024 }))

async function act(): Promise<void> {
  switch (action) {
    case 'write':
      rmSync(path, { force: true })
      return format === 'parquet' ? writeFile() : exportFile()
    case 'read': {
      const { signal } = new AbortController()
      const read = readTable(path, format as TableFormat, { batchRows: BATCH_ROWS, signal })
      let count = 0
      for await (const one of read) count += one.rows
      expectRows(count)
      return
    }
    case 'plain-write': {
      const table = Table.fromIPCStream(tableToIPC(plainTable(), 'stream'))
      writeFileSync(path, writeParquet(table))
      return
    }
    case 'plain-read': {
      const table = readParquet(readFileSync(path))
      expectRows(tableFromIPC(table.intoIPCStream()).numRows)
      return
    }
    default:
      throw new Error(`no action ${action}`)
  }
}

function expectRows(count: number): void {
  if (count !== rows) throw new Error(`${count} rows`)
}

async function writeFile(): Promise<void> {
  const written = await writeParquetTable(path, batch.columns, batches(rows))
  expectRows(written.rows)
}

async function exportFile(): Promise<void> {
  const file = await open(path, 'wx')
  for await (const chunk of encodeTable(format as TableFormat, batch.columns, batches(rows))) {
    await file.writeFile(chunk)
  }
  await file.close()
}

async function drain(chunks: AsyncIterable<Uint8Array>): Promise<void> {
  let bytes = 0
  for await (const chunk of chunks) bytes += chunk.length
  if (bytes === 0) throw new Error('nothing was written')
}

/** The same rows again and again. */
async function* batches(count: number): AsyncGenerator<TableBatch, undefined> {
  for (let left = count; left > 0; left -= BATCH_ROWS) {
    if (left >= BATCH_ROWS) yield batch
    else yield { ...batch, rows: left, cells: batch.cells.map((cells) => cells.slice(0, left)) }
  }
}

function vectorBatch(): TableBatch {
  const random = uniform(1)
  const numbers = Float32Array.from({ length: BATCH_ROWS * DIMENSION }, () => random() - 0.5)
  const vectors = Array.from({ length: BATCH_ROWS }, (_, row) =>
    numbers.subarray(row * DIMENSION, (row + 1) * DIMENSION),
  )
  const columns: Column[] = [
    { name: 'id', type: 'utf8', nullable: false },
    { name: 'vector', type: 'vector', nullable: false, dimension: DIMENSION },
  ]
  return { columns, rows: BATCH_ROWS, cells: [vectors.map((_, row) => `doc-${row}`), vectors] }
}

function mixedBatch(): TableBatch {
  const random = uniform(1)
  const make = (cell: (row: number) => Cell): Cell[] =>
    Array.from({ length: BATCH_ROWS }, (_, row) => cell(row))
  const some = (cell: (row: number) => Cell): Cell[] =>
    make((row) => (random() < 0.1 ? null : cell(row)))
  const columns: readonly (readonly [Column, readonly Cell[]])[] = [
    [of('id', 'int64'), make((row) => BigInt(row) * 7_919n)],
    [of('count', 'int32'), some((row) => row * 3)],
    [of('price', 'float64'), some(() => Math.round(random() * 1e6) / 100)],
    [of('active', 'boolean'), some(() => random() < 0.5)],
    [of('at', 'timestamp'), some((row) => 1_700_000_000_000_000n + BigInt(row) * 1_234_567n)],
    [of('name', 'utf8'), some((row) => `customer number ${row}`)],
    [of('colour', 'utf8'), make((row) => ['red', 'green', 'blue'][row % 3] ?? '')],
    [of('score', 'float64'), make(() => random())],
  ]
  return {
    columns: columns.map(([column]) => column),
    rows: BATCH_ROWS,
    cells: columns.map(([, cells]) => cells),
  }
}

function of(name: string, type: Column['type']): Column {
  return { name, type, nullable: true }
}

/** All rows as one Arrow table, the way its documentation has it. */
function plainTable(): ArrowTable {
  const repeat = (cells: readonly Cell[]): Cell[] =>
    Array.from({ length: rows }, (_, row) => cells[row % BATCH_ROWS] ?? null)
  if (kind === 'mixed') {
    const columns = batch.columns.map(({ name }, at) => [name, repeat(batch.cells[at] ?? [])])
    return new ArrowTable(
      Object.fromEntries(
        columns.map(([name, cells]) => [name, vectorFromArray(cells as string[])]),
      ),
    )
  }
  const list = new FixedSizeList(DIMENSION, new Field('item', new Float32(), false))
  const numbers = new Float32Array(rows * DIMENSION)
  for (let row = 0; row < rows; row += 1) {
    numbers.set(batch.cells[1]?.[row % BATCH_ROWS] as Float32Array, row * DIMENSION)
  }
  const child = makeData({ type: new Float32(), data: numbers })
  const vector = makeVector(makeData({ type: list, length: rows, nullCount: 0, child }))
  return new ArrowTable({ id: vectorFromArray(repeat(batch.cells[0] ?? []) as string[]), vector })
}
