/**
 * The parts of a checkpoint as Parquet files: rows of points, and deletes.
 *
 *     points   id utf8 · lsn float64 · row uint32 · vector fixed_size_list<float32> · text · metadata
 *     deletes  id utf8 · lsn float64
 *
 * Rows stand in (lsn, row) order. lsn are integers below 2^53, exact in a float64. Any Parquet reader
 * opens these files. They are written and read a row group at a time, so that memory is bounded by
 * one; between groups the event loop gets its turn.
 */

import { openAsBlob } from 'node:fs'
import { open, rm, stat, type FileHandle } from 'node:fs/promises'
import { basename } from 'node:path'
import { ReadableStream } from 'node:stream/web'
import { setImmediate as turn } from 'node:timers/promises'
import {
  Field,
  FixedSizeList,
  Float32,
  Float64,
  makeData,
  Table as ArrowTable,
  tableToIPC,
  Uint32,
  Utf8,
  Vector as ArrowVector,
  vectorFromArray,
  type Data,
} from 'apache-arrow'
import {
  Compression,
  ParquetFile,
  Table,
  transformParquetStream,
  WriterPropertiesBuilder,
  type RecordBatch,
} from 'parquet-wasm/node'
import { VectordError } from '../lib/errors.ts'
import { invariant } from '../lib/invariant.ts'
import {
  ArrowFault,
  ArrowStream,
  type ArrowBatch,
  type ArrowColumn,
  type ArrowSchema,
  type ArrowType,
} from './arrow-stream.ts'
import { float32View, float64View, stringsOf } from './arrow-values.ts'
import { hashFile, type FileHash } from './file-hash.ts'

export const PART_FORMAT = 1
const FORMAT_KEY = 'vectord.format'

export interface PointRows {
  readonly ids: readonly string[]
  readonly lsns: Float64Array
  /** Place of each row in its write batch. */
  readonly rows: Uint32Array
  /** `ids.length × dimension`. */
  readonly vectors: Float32Array
  readonly texts: readonly (string | null)[]
  readonly metadata: readonly (string | null)[]
}

export interface DeleteRows {
  readonly ids: readonly string[]
  readonly lsns: Float64Array
}

export interface WrittenPart extends FileHash {
  readonly rows: number
}

type Batches<T> = Iterable<T> | AsyncIterable<T>

/** Numbers in the vectors of one row group: about 10 ms of encoding, and 4 MiB. */
const GROUP_FLOATS = 1 << 20
const GROUP_ROWS_MAX = 8192

/** Rows that a caller should put into one `PointRows`: each becomes a row group. */
export function groupRows(dimension: number): number {
  return Math.max(1, Math.min(GROUP_ROWS_MAX, Math.floor(GROUP_FLOATS / dimension)))
}

/**
 * Writes a new file: complete and synced once resolved, otherwise there is none.
 *
 * @throws {VectordError} `storage_full`, `storage_error`.
 */
export function writePointsPart(
  path: string,
  batches: Batches<PointRows>,
  dimension: number,
): Promise<WrittenPart> {
  return writePart(path, batches, (rows) => pointsBatch(rows, dimension))
}

/** As `writePointsPart`. */
export function writeDeletesPart(path: string, batches: Batches<DeleteRows>): Promise<WrittenPart> {
  return writePart(path, batches, deletesBatch)
}

/** @throws {VectordError} `object_corrupt`, `format_too_new`. */
export async function* readPointsPart(path: string): AsyncGenerator<PointRows> {
  for await (const batch of readPart(path)) {
    yield {
      ids: batch.ids(),
      lsns: batch.floats('lsn'),
      rows: batch.unsigned('row'),
      vectors: batch.vectors('vector'),
      texts: batch.strings('text'),
      metadata: batch.strings('metadata'),
    }
  }
}

/** @throws {VectordError} `object_corrupt`, `format_too_new`. */
export async function* readDeletesPart(path: string): AsyncGenerator<DeleteRows> {
  for await (const batch of readPart(path)) yield { ids: batch.ids(), lsns: batch.floats('lsn') }
}

async function writePart<T extends { readonly ids: readonly string[] }>(
  path: string,
  batches: Batches<T>,
  toTable: (rows: T) => ArrowTable,
): Promise<WrittenPart> {
  let rows = 0
  async function* encoded(): AsyncGenerator<RecordBatch> {
    for await (const batch of batches) {
      if (batch.ids.length > 0) yield toWasm(toTable(batch))
      rows += batch.ids.length
      await turn()
    }
    // Without a batch the writer would have no schema, and would end the process.
    invariant(rows > 0, 'a part has rows')
  }
  let file: FileHandle | null = null
  try {
    const source = encoded()
    const first = await source.next()
    file = await open(path, 'wx')
    const written = await writeStream(file, startingWith(first, source))
    await file.sync()
    await file.close()
    file = null
    // A full disk has been seen to look like success: believe the length that is there.
    invariant((await stat(path)).size === written, 'the file is as long as what was written')
    return { rows, ...(await hashFile(path)) }
  } catch (error) {
    await file?.close()
    await rm(path, { force: true })
    throw writeFault(path, error)
  }
}

async function* startingWith<T>(
  first: IteratorResult<T, void>,
  rest: AsyncIterable<T>,
): AsyncGenerator<T> {
  if (first.done !== true) yield first.value
  yield* rest
}

async function writeStream(
  file: FileHandle,
  batches: AsyncGenerator<RecordBatch>,
): Promise<number> {
  const properties = new WriterPropertiesBuilder()
    .setCompression(Compression.UNCOMPRESSED)
    .setDictionaryEnabled(false)
    .setMaxRowGroupSize(GROUP_ROWS_MAX)
    .setKeyValueMetadata(new Map([[FORMAT_KEY, String(PART_FORMAT)]]))
    .build()
  const source = ReadableStream.from(batches)
  const stream = await transformParquetStream(source as never, properties)
  let written = 0
  for await (const chunk of stream as unknown as AsyncIterable<Uint8Array>) {
    await file.writeFile(chunk)
    written += chunk.length
  }
  return written
}

/** Batches of a part; the check of the values throws inside, so that faults name the file. */
async function* readPart(path: string): AsyncGenerator<PartBatch> {
  try {
    const file = await ParquetFile.fromFile(await openAsBlob(path))
    checkFormat(file, path)
    const stream = await file.stream({ batchSize: GROUP_ROWS_MAX, concurrency: 1 })
    for await (const batch of stream as unknown as AsyncIterable<RecordBatch>) {
      for (const rows of readBatches(batch.intoIPCStream())) yield rows
      await turn()
    }
  } catch (error) {
    if (error instanceof VectordError) throw error
    throw corrupt(path, error)
  }
}

function* readBatches(bytes: Uint8Array): Generator<PartBatch> {
  const stream = new ArrowStream(bytes)
  for (const batch of stream.batches()) yield new PartBatch(stream.schema, batch)
}

/** One record batch, its columns read by name and type. */
class PartBatch {
  readonly #schema: ArrowSchema
  readonly #batch: ArrowBatch

  constructor(schema: ArrowSchema, batch: ArrowBatch) {
    this.#schema = schema
    this.#batch = batch
  }

  ids(): string[] {
    const ids = this.strings('id')
    if (ids.includes(null)) throw new ArrowFault('an id is null')
    return ids as string[]
  }

  strings(name: string): (string | null)[] {
    return stringsOf(this.#column(name, 'utf8'))
  }

  floats(name: string): Float64Array {
    return float64View(this.#column(name, 'float').data, this.#batch.rows)
  }

  unsigned(name: string): Uint32Array {
    const { data } = this.#column(name, 'int')
    if (data.length < 4 * this.#batch.rows) throw new ArrowFault(`column "${name}" is too short`)
    return new Uint32Array(data.slice(0, 4 * this.#batch.rows).buffer)
  }

  vectors(name: string): Float32Array {
    const { child } = this.#column(name, 'fixed_size_list')
    if (child === null) throw new ArrowFault(`column "${name}" holds no numbers`)
    return float32View(child.data, child.length)
  }

  #column(name: string, kind: ArrowType['kind']): ArrowColumn {
    const at = this.#schema.fields.findIndex((field) => field.name === name)
    const column = this.#batch.columns[at]
    if (column?.field.type.kind === kind && column.dictionary === null) return column
    throw new ArrowFault(`there is no column "${name}" of ${kind}`)
  }
}

function checkFormat(file: ParquetFile, path: string): void {
  const stored = file.metadata().fileMetadata().keyValueMetadata().get(FORMAT_KEY)
  const format = Number(stored)
  if (!Number.isInteger(format) || format < 1) {
    throw corrupt(path, new Error('it is not a part of a checkpoint'))
  }
  if (format <= PART_FORMAT) return
  throw new VectordError(
    'format_too_new',
    `The part "${basename(path)}" has format ${format}; this server reads up to ${PART_FORMAT}.`,
    { details: { file: basename(path), format, supported: PART_FORMAT } },
  )
}

function pointsBatch(rows: PointRows, dimension: number): ArrowTable {
  return new ArrowTable({
    id: vectorFromArray(rows.ids, new Utf8()),
    lsn: new ArrowVector([makeData({ type: new Float64(), data: rows.lsns })]),
    row: new ArrowVector([makeData({ type: new Uint32(), data: rows.rows })]),
    vector: new ArrowVector([vectorsData(rows.vectors, dimension)]),
    text: vectorFromArray(rows.texts, new Utf8()),
    metadata: vectorFromArray(rows.metadata, new Utf8()),
  })
}

function deletesBatch(rows: DeleteRows): ArrowTable {
  return new ArrowTable({
    id: vectorFromArray(rows.ids, new Utf8()),
    lsn: new ArrowVector([makeData({ type: new Float64(), data: rows.lsns })]),
  })
}

function vectorsData(vectors: Float32Array, dimension: number): Data<FixedSizeList<Float32>> {
  const item = new Field('item', new Float32(), false)
  return makeData({
    type: new FixedSizeList(dimension, item),
    length: vectors.length / dimension,
    nullCount: 0,
    child: makeData({ type: new Float32(), data: vectors }),
  })
}

function toWasm(table: ArrowTable): RecordBatch {
  const [batch] = Table.fromIPCStream(tableToIPC(table, 'stream')).recordBatches()
  invariant(batch !== undefined, 'a table of one batch has one')
  return batch
}

function corrupt(path: string, cause: unknown): VectordError {
  const problem = cause instanceof Error ? cause.message : String(cause)
  return new VectordError('object_corrupt', `"${basename(path)}" cannot be read: ${problem}.`, {
    details: { file: basename(path), problem },
    cause,
  })
}

function writeFault(path: string, cause: unknown): unknown {
  const code = (cause as { code?: unknown } | null)?.code
  if (typeof code !== 'string' || cause instanceof VectordError) return cause
  const isFull = ['ENOSPC', 'EDQUOT', 'EFBIG'].includes(code)
  return new VectordError(
    isFull ? 'storage_full' : 'storage_error',
    `The part "${basename(path)}" could not be written: ${code}.`,
    { details: { file: basename(path), errno: code }, cause },
  )
}
