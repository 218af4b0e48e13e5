/**
 * The work of the process of an ingest: rows of a source become points and Parquet parts.
 *
 *     source ─▶ batch of rows ─┬─▶ points ─▶ out
 *                              ╰─▶ part, closed at `PART_BYTES` or `PART_ROWS` ─▶ out
 *
 * A batch of rows is held at a time, and whoever takes what comes out says when the next may come.
 */

import { join } from 'node:path'
import { openTable } from '../codecs/table-reader.ts'
import { writeParquetTable } from '../codecs/table-writer.ts'
import { detectPii } from '../datasets/pii.ts'
import type { Cell, Column, ColumnType, TableBatch } from '../domain/table.ts'
import type { UpsertBatch } from '../domain/write-batch.ts'
import { ColumnFit } from './column-fit.ts'
import type { IngestJob, IngestSource, IngestSummary, WrittenPart } from './ingest-job.ts'
import { RowPoints } from './row-points.ts'
import { openSqlSource } from './sql/open-sql-source.ts'

/** A part is closed at one of the two: few large files are read fastest, and one fits into memory. */
const PART_BYTES = 256 * 1024 * 1024
const PART_ROWS = 1_000_000
/** Values of each column that are looked at for what they tell of a person. */
const SAMPLE_ROWS = 1000
/** Of a text; what tells of a person is shorter. */
const SAMPLE_CHARS = 512
/** Types whose values differ in size; any other takes 8 bytes. */
const SIZED: ReadonlySet<ColumnType> = new Set(['utf8', 'binary', 'vector'])

export interface IngestOutput {
  /** Resolves when the next may come. */
  points(batch: UpsertBatch): Promise<void>
  part(part: WrittenPart): Promise<void>
  /** Rows that were read up to now, and those in all; null where nobody knows. */
  progress(rows: number, total: number | null): void
}

/** Only for tests: when a part is closed. */
export interface PartBounds {
  readonly bytes: number
  readonly rows: number
}

/** @throws {VectordError} what the source, a row or the disk is refused with; `signal`'s reason. */
export async function runIngest(
  job: IngestJob,
  out: IngestOutput,
  signal: AbortSignal,
  bounds: PartBounds = { bytes: PART_BYTES, rows: PART_ROWS },
): Promise<IngestSummary> {
  const source = await openRows(job.source, signal)
  try {
    const fit = new ColumnFit(source.columns, job.appendTo)
    const flow = new RowFlow(job, { columns: fit.columns, total: source.total }, out)
    const rows = flow.through(source.batches, fit)
    const { partsFolder: folder } = job
    const writer = folder === null ? null : { folder, columns: fit.columns, bounds }
    try {
      await takeAll(rows, writer, out)
    } finally {
      // Where writing failed the source has rows left, and a query under way.
      await rows.return(undefined)
    }
    return await flow.finish()
  } finally {
    await source.close()
  }
}

interface OpenRows {
  readonly columns: readonly Column[]
  /** Rows in all; null where only reading tells. */
  readonly total: number | null
  readonly batches: AsyncIterable<TableBatch>
  close(): Promise<void>
}

async function openRows(source: IngestSource, signal: AbortSignal): Promise<OpenRows> {
  if (source.kind === 'sql') {
    const opened = openSqlSource(source.dsn)
    try {
      const columns = await opened.columns(source.query, signal)
      return {
        columns,
        total: null,
        batches: opened.read(source.query, signal),
        close: () => opened.close(),
      }
    } catch (error) {
      await opened.close()
      throw error
    }
  }
  const { path, format, batchRows } = source
  const table = await openTable(path, format, { batchRows, signal })
  return {
    columns: table.columns,
    total: table.rows,
    batches: table.batches(),
    close: () => table.close(),
  }
}

/** Looks at each batch of rows on its way: makes points, samples values, counts. */
class RowFlow {
  readonly #job: IngestJob
  readonly #columns: readonly Column[]
  readonly #total: number | null
  readonly #out: IngestOutput
  readonly #points: RowPoints | null
  readonly #keyAt: number
  readonly #samples: Cell[][]
  #rows = 0
  #sampled = 0
  #pointCount = 0
  #lastKey: Cell = null

  constructor(
    job: IngestJob,
    { columns, total }: Pick<OpenRows, 'columns' | 'total'>,
    out: IngestOutput,
  ) {
    this.#job = job
    this.#columns = columns
    this.#total = total
    this.#out = out
    const { points, source } = job
    this.#points = points === null ? null : new RowPoints({ ...points, columns })
    const key = source.kind === 'sql' ? source.query.key : null
    this.#keyAt = columns.findIndex(({ name }) => name === key)
    this.#samples = columns.map(() => [])
  }

  /** The batches that have rows, each when what it holds was given on. */
  async *through(
    batches: AsyncIterable<TableBatch>,
    fit: ColumnFit,
  ): AsyncGenerator<TableBatch, undefined> {
    for await (const read of batches) {
      if (read.rows === 0) continue
      const batch = fit.fit(read)
      await this.#take(batch)
      yield batch
    }
    return undefined
  }

  async finish(): Promise<IngestSummary> {
    if (this.#points !== null) await this.#send(this.#points.rest())
    const pii = this.#columns.map(({ name }, at) => detectPii(name, this.#samples[at] ?? []))
    return {
      ...{ columns: this.#columns, pii, rows: this.#rows, lastKey: this.#lastKey },
      points: this.#pointCount,
      refusals: this.#points?.refusals ?? { count: 0, rows: [] },
    }
  }

  async #take(batch: TableBatch): Promise<void> {
    this.#sample(batch)
    if (this.#points !== null) await this.#send(this.#points.add(batch))
    if (this.#keyAt >= 0) this.#lastKey = batch.cells[this.#keyAt]?.[batch.rows - 1] ?? null
    this.#rows += batch.rows
    this.#out.progress(this.#rows, this.#total)
  }

  async #send(batches: Iterable<UpsertBatch>): Promise<void> {
    for (const batch of batches) {
      // Before it is sent: what comes before the first bad row may be in the index, nothing behind.
      this.#checkRows()
      await this.#out.points(batch)
      this.#pointCount += batch.ids.length
    }
    this.#checkRows()
  }

  #checkRows(): void {
    if (this.#job.points?.onBadRow === 'fail') this.#points?.checkAll()
  }

  #sample({ rows, cells }: TableBatch): void {
    const wanted = Math.min(rows, SAMPLE_ROWS - this.#sampled)
    if (wanted <= 0) return
    this.#sampled += wanted
    for (const [at, values] of this.#samples.entries()) {
      values.push(...(cells[at] ?? []).slice(0, wanted).map(sampled))
    }
  }
}

/** As much of a value as a look at it takes: samples are held to the end, and must hold no batch. */
function sampled(cell: Cell): Cell {
  // A part of a string keeps the whole: a copy does not.
  if (typeof cell === 'string' && cell.length > SAMPLE_CHARS) {
    return Buffer.from(cell.slice(0, SAMPLE_CHARS)).toString()
  }
  if (cell instanceof Float32Array) return NO_NUMBERS
  return cell instanceof Uint8Array ? NO_BYTES : cell
}

const NO_NUMBERS = new Float32Array()
const NO_BYTES = new Uint8Array()

interface PartWriter {
  readonly folder: string
  readonly columns: readonly Column[]
  readonly bounds: PartBounds
}

/** Takes every row, into parts where there is a writer. */
async function takeAll(
  rows: AsyncGenerator<TableBatch, undefined>,
  writer: PartWriter | null,
  out: IngestOutput,
): Promise<void> {
  let next = await rows.next()
  if (writer === null) {
    while (next.done !== true) next = await rows.next()
    return
  }
  const { folder, columns, bounds } = writer
  async function* onePart(): AsyncGenerator<TableBatch> {
    for (let count = 0, bytes = 0; next.done !== true; next = await rows.next()) {
      // The bound is looked at before a batch: a part holds one at least.
      if (count >= bounds.rows || bytes >= bounds.bytes) return
      count += next.value.rows
      bytes += bytesOf(next.value)
      yield next.value
    }
  }
  for (let number = 1; next.done !== true; number += 1) {
    const path = join(folder, `${number}.parquet`)
    const written = await writeParquetTable(path, columns, onePart())
    await out.part({ path, ...written })
  }
}

/** About what the values take in a file. */
function bytesOf({ columns, rows, cells }: TableBatch): number {
  let bytes = 0
  for (const [at, { type }] of columns.entries()) {
    if (SIZED.has(type)) for (const cell of cells[at] ?? []) bytes += cellBytes(cell)
    else bytes += 8 * rows
  }
  return bytes
}

function cellBytes(cell: Cell): number {
  if (typeof cell === 'string') return cell.length
  return typeof cell === 'object' && cell !== null ? cell.byteLength : 0
}
