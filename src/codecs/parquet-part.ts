/**
 * The parts of a checkpoint as Parquet files: rows of points, and deletes.
 *
 *     points   id utf8 · lsn float64 · row uint32 · vector fixed_size_list<float32> · text · metadata
 *              and in format 2: version float64 · embedder utf8, and a vector may be null
 *     deletes  id utf8 · lsn float64
 *
 * Rows stand in (lsn, row) order. lsn are integers below 2^53, exact in a float64. Any Parquet reader
 * opens these files. They are written and read a row group at a time, so that memory is bounded by
 * one; between groups the event loop gets its turn. `docs/formats/checkpoint.md` is the format.
 */

import { basename } from 'node:path'
import {
  Field,
  FixedSizeList,
  Float32,
  Float64,
  makeData,
  RecordBatch,
  Schema,
  Struct,
  Table,
  tableToIPC,
  Uint32,
  Utf8,
  vectorFromArray,
  type Data,
} from 'apache-arrow'
import { VectordError } from '../lib/errors.ts'
import { invariant } from '../lib/invariant.ts'
import { bitmap } from './batch-writer.ts'
import { hashFile, type FileHash } from './file-hash.ts'
import { ParquetReader } from './parquet-file.ts'
import { writeParquet } from './parquet-writer.ts'
import { PartBatch, type RowOriginColumns } from './part-batch.ts'

/** The highest number that is written: where no row needs it, a part has format 1. */
export const PART_FORMAT = 2
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
  /** Of a part where some vector is missing or was made by an embedder. */
  readonly origins?: RowOriginColumns
}

/** Rows of a deletes part; of a points part, what says which point a row is of, and since when. */
export interface RowKeys {
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
/** Rows with long texts make smaller groups. */
const GROUP_BYTES_MAX = 32 * 1024 * 1024
/** Strings that are encoded in one go, in UTF-16 units: rows with long texts are cut up. */
const PIECE_CHARS_MAX = 4 * 1024 * 1024

/** Rows of a row group: batches of as many, or of a fraction, are what writing costs least for. */
export function groupRows(dimension: number): number {
  return Math.max(1, Math.min(GROUP_ROWS_MAX, Math.floor(GROUP_FLOATS / dimension)))
}

/**
 * Writes a new file: complete and synced once resolved, otherwise there is none.
 *
 * @param batches are not asked for more once the promise has settled.
 * @param hasOrigins all batches have `origins`; otherwise none has.
 * @throws {VectordError} `storage_full`, `storage_error`; or what `batches` throws.
 */
export function writePointsPart(
  path: string,
  batches: Batches<PointRows>,
  dimension: number,
  hasOrigins = false,
): Promise<WrittenPart> {
  const spec = { groupRows: groupRows(dimension), format: hasOrigins ? 2 : 1 }
  return writePart(path, pointTables(batches, { dimension, hasOrigins }), spec)
}

/** As `writePointsPart`. */
export function writeDeletesPart(path: string, batches: Batches<RowKeys>): Promise<WrittenPart> {
  return writePart(path, deleteTables(batches), { groupRows: GROUP_ROWS_MAX, format: 1 })
}

/**
 * Reads a part, a row group at a time.
 *
 * The caller has compared the file's `hashFile` with what `writePointsPart` told: of other bytes
 * most are refused, but some keep the reader waiting for ever and end the process.
 *
 * @throws {VectordError} `object_corrupt`, `format_too_new`, `storage_error`.
 */
export async function* readPointsPart(path: string): AsyncGenerator<PointRows, undefined> {
  yield* readPart(path, [POINT_COLUMNS, ORIGIN_COLUMNS], (batch) => ({
    ids: batch.ids(0),
    lsns: batch.lsns(1),
    rows: batch.unsigned(2),
    texts: batch.strings(4),
    metadata: batch.strings(5),
    ...(batch.has('version')
      ? { vectors: batch.vectors(3, 'some'), origins: batch.origins(3) }
      : { vectors: batch.vectors(3, 'all') }),
  }))
}

/** The ids and lsn of a points part alone, which takes a fraction of the time. As `readPointsPart`. */
export async function* readPointKeys(path: string): AsyncGenerator<RowKeys, undefined> {
  yield* readPart(path, [KEY_COLUMNS], keysOf, KEY_COLUMNS)
}

/** As `readPointsPart`. */
export async function* readDeletesPart(path: string): AsyncGenerator<RowKeys, undefined> {
  yield* readPart(path, [KEY_COLUMNS], keysOf)
}

function keysOf(batch: PartBatch): RowKeys {
  return { ids: batch.ids(0), lsns: batch.lsns(1) }
}

async function writePart(
  path: string,
  tables: AsyncIterable<Table>,
  { groupRows: rowsOfGroup, format }: { readonly groupRows: number; readonly format: number },
): Promise<WrittenPart> {
  const metadata = new Map([[FORMAT_KEY, String(format)]])
  try {
    const rows = await writeParquet(path, streamsOf(tables), {
      groupRows: rowsOfGroup,
      groupBytes: GROUP_BYTES_MAX,
      metadata,
      compression: 'none',
    })
    return { rows, ...(await hashFile(path)) }
  } catch (error) {
    throw ioFault(path, 'written', error) ?? error
  }
}

async function* streamsOf(tables: AsyncIterable<Table>): AsyncGenerator<Uint8Array, undefined> {
  for await (const table of tables) if (table.numRows > 0) yield tableToIPC(table, 'stream')
}

async function* readPart<T>(
  path: string,
  columns: readonly (readonly string[])[],
  decode: (batch: PartBatch) => T,
  only?: readonly string[],
): AsyncGenerator<T, undefined> {
  let reader: ParquetReader | null = null
  try {
    reader = await ParquetReader.open(path)
    const expected = columns[formatOf(reader, path) - 1] ?? columns[0] ?? []
    for await (const batch of reader.batches(GROUP_ROWS_MAX, only && { columns: only })) {
      yield decode(new PartBatch(batch, expected))
    }
  } catch (error) {
    if (error instanceof VectordError) throw error
    throw ioFault(path, 'read', error) ?? corrupt(path, error)
  } finally {
    await reader?.close()
  }
}

const POINT_COLUMNS = ['id', 'lsn', 'row', 'vector', 'text', 'metadata']
const ORIGIN_COLUMNS = [...POINT_COLUMNS, 'version', 'embedder']
const KEY_COLUMNS = ['id', 'lsn']

function formatOf({ metadata }: ParquetReader, path: string): number {
  const format = Number(metadata.get(FORMAT_KEY))
  if (!Number.isInteger(format) || format < 1) {
    throw corrupt(path, new Error('it is not a part of a checkpoint'))
  }
  if (format <= PART_FORMAT) return format
  throw new VectordError(
    'format_too_new',
    `The part "${basename(path)}" has format ${format}; this server reads up to ${PART_FORMAT}.`,
    { details: { file: basename(path), format, supported: PART_FORMAT } },
  )
}

async function* pointTables(
  batches: Batches<PointRows>,
  { dimension, hasOrigins }: { readonly dimension: number; readonly hasOrigins: boolean },
): AsyncGenerator<Table, undefined> {
  for await (const batch of batches) {
    invariant((batch.origins !== undefined) === hasOrigins, 'a part has one format')
    for (const rows of pieces(batch, dimension)) yield pointTable(rows, dimension)
  }
}

/** The rows of a batch in runs whose strings are short enough to be encoded in one go. */
function* pieces(batch: PointRows, dimension: number): Generator<PointRows, undefined> {
  const { ids, texts, metadata } = batch
  let from = 0
  let chars = 0
  for (const [row, id] of ids.entries()) {
    const more = id.length + (texts[row]?.length ?? 0) + (metadata[row]?.length ?? 0)
    if (row > from && chars + more > PIECE_CHARS_MAX) {
      yield slice(batch, dimension, { from, to: row })
      from = row
      chars = 0
    }
    chars += more
  }
  yield from === 0 ? batch : slice(batch, dimension, { from, to: ids.length })
}

function slice(
  { ids, lsns, rows, vectors, texts, metadata, origins }: PointRows,
  dimension: number,
  { from, to }: { readonly from: number; readonly to: number },
): PointRows {
  return {
    ids: ids.slice(from, to),
    lsns: lsns.subarray(from, to),
    rows: rows.subarray(from, to),
    vectors: vectors.subarray(from * dimension, to * dimension),
    texts: texts.slice(from, to),
    metadata: metadata.slice(from, to),
    ...(origins !== undefined && {
      origins: {
        versions: origins.versions.subarray(from, to),
        embedders: origins.embedders.slice(from, to),
        hasVector: origins.hasVector.slice(from, to),
      },
    }),
  }
}

const ID_FIELD = new Field('id', new Utf8(), false)
const LSN_FIELD = new Field('lsn', new Float64(), false)

function pointTable(batch: PointRows, dimension: number): Table {
  const { ids, lsns, rows, vectors, texts, metadata, origins } = batch
  invariant(vectors.length === ids.length * dimension, 'every row has a vector')
  const list = new FixedSizeList(dimension, new Field('item', new Float32(), false))
  const child = makeData({ type: new Float32(), data: vectors })
  return tableOf(ids.length, [
    [ID_FIELD, strings(ids)],
    [LSN_FIELD, makeData({ type: new Float64(), data: lsns })],
    [new Field('row', new Uint32(), false), makeData({ type: new Uint32(), data: rows })],
    [
      new Field('vector', list, origins !== undefined),
      makeData({ type: list, length: ids.length, ...validityOf(origins), child }),
    ],
    [new Field('text', new Utf8(), true), strings(texts)],
    [new Field('metadata', new Utf8(), true), strings(metadata)],
    ...(origins === undefined ? [] : originColumns(origins)),
  ])
}

function validityOf(origins: RowOriginColumns | undefined): {
  readonly nullCount: number
  readonly nullBitmap?: Uint8Array
} {
  const nullCount = origins?.hasVector.filter((has) => !has).length ?? 0
  if (origins === undefined || nullCount === 0) return { nullCount: 0 }
  return { nullCount, nullBitmap: bitmap(origins.hasVector.map((has) => has || null)) }
}

function originColumns({ versions, embedders }: RowOriginColumns): [Field, Data][] {
  return [
    [new Field('version', new Float64(), false), makeData({ type: new Float64(), data: versions })],
    [new Field('embedder', new Utf8(), true), strings(embedders)],
  ]
}

async function* deleteTables(batches: Batches<RowKeys>): AsyncGenerator<Table, undefined> {
  for await (const { ids, lsns } of batches) {
    yield tableOf(ids.length, [
      [ID_FIELD, strings(ids)],
      [LSN_FIELD, makeData({ type: new Float64(), data: lsns })],
    ])
  }
}

/** The schema says which columns have nulls whether or not this batch has any. */
function tableOf(rows: number, columns: readonly (readonly [Field, Data])[]): Table {
  for (const [, { length }] of columns) invariant(length === rows, 'columns are even')
  const fields = columns.map(([field]) => field)
  const children = columns.map(([, data]) => data)
  const data = makeData({ type: new Struct(fields), length: rows, nullCount: 0, children })
  return new Table([new RecordBatch(new Schema(fields), data)])
}

function strings(values: readonly (string | null)[]): Data {
  const [data, ...others] = vectorFromArray(values, new Utf8()).data
  invariant(data !== undefined && others.length === 0, 'a column of a batch is one piece')
  return data
}

function corrupt(path: string, cause: unknown): VectordError {
  const problem = cause instanceof Error ? cause.message : String(cause)
  return new VectordError('object_corrupt', `"${basename(path)}" cannot be read: ${problem}.`, {
    details: { file: basename(path), problem },
    cause,
  })
}

/** Null where `cause` does not come from the system. */
function ioFault(path: string, done: 'read' | 'written', cause: unknown): VectordError | null {
  const code = (cause as { code?: unknown } | null)?.code
  if (typeof code !== 'string' || cause instanceof VectordError) return null
  const isFull = ['ENOSPC', 'EDQUOT', 'EFBIG'].includes(code)
  return new VectordError(
    isFull ? 'storage_full' : 'storage_error',
    `The part "${basename(path)}" could not be ${done}: ${code}.`,
    { details: { file: basename(path), errno: code }, cause },
  )
}
