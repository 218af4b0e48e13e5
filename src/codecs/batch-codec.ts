/**
 * A `LoggedBatch` as bytes: the payload of a log record and of the frames to a core.
 *
 * The bytes are an Arrow IPC stream of one record batch, which any Arrow reader opens; the format
 * is in `docs/formats/batch.md`. apache-arrow writes the headers once for each dimension; after
 * that a batch costs a copy of the headers, six patched counts and one copy of the values.
 */

import type { DeleteBatch, LoggedBatch, ProjectBatch, UpsertBatch } from '../domain/write-batch.ts'
import { VectordError } from '../lib/errors.ts'
import { invariant } from '../lib/invariant.ts'
import type { ArrowColumn } from './arrow-columns.ts'
import { ArrowFault, type ArrowSchema } from './arrow-schema.ts'
import { ArrowStream, type ArrowBatch } from './arrow-stream.ts'
import {
  firstNull,
  float32View,
  float64View,
  hasValue,
  offsetsOf,
  stringsOf,
} from './arrow-values.ts'
import { BATCH_FORMAT, templateFor } from './batch-templates.ts'
import { assemble, bitmap, measure, NOTHING, type Column } from './batch-writer.ts'

const ID_BYTES_MAX = 512

/**
 * Encodes a batch.
 *
 * @returns bytes that share nothing with the batch; vectors start at a multiple of 8.
 * @throws {VectordError} `invalid_points` where a string is not well-formed Unicode: it would not
 *   come back as it went in.
 */
export function encodeBatch(batch: LoggedBatch): Uint8Array {
  const rows = batch.ids.length
  invariant(rows > 0, 'a batch has rows')
  const ids = measure('id', batch.ids)
  if (batch.kind === 'delete') return assemble(templateFor('delete', 0), rows, [ids])
  const { dimension } = batch
  if (batch.kind === 'project') {
    const columns = [ids, ...fixedLists(batch, rows), ...projectColumns(batch, rows)]
    return assemble(templateFor('project', dimension), rows, columns)
  }
  invariant(batch.texts.length === rows && batch.metadata.length === rows, 'columns are even')
  const payload = [measure('text', batch.texts), measure('metadata', batch.metadata)]
  const { places } = batch
  if (places === undefined) {
    const columns = [ids, ...fixedLists(batch, rows), ...payload]
    return assemble(templateFor('upsert', dimension), rows, columns)
  }
  const columns = [ids, ...lists(batch, places), ...payload]
  return assemble(templateFor('texts', dimension), rows, columns)
}

function fixedLists(
  { dimension, vectors }: { readonly dimension: number; readonly vectors: Float32Array },
  rows: number,
): Column[] {
  invariant(vectors.length === rows * dimension, 'every row has a vector')
  return [{ rows, nulls: 0, buffers: [NOTHING] }, floats(vectors)]
}

/** One list for each vector, and none for the other rows. */
function lists({ ids, dimension, vectors }: UpsertBatch, places: Int32Array): Column[] {
  const rows = ids.length
  const offsets = new Int32Array(rows + 1)
  let present = 0
  for (let row = 0; row < rows; row += 1) {
    const place = places[row] ?? -1
    invariant(place === -1 || place === present, 'vectors stand in the order of their rows')
    if (place !== -1) present += 1
    offsets[row + 1] = present * dimension
  }
  invariant(vectors.length === present * dimension, 'every vector has a row')
  const validity = bitmap(Array.from(places, (place) => (place === -1 ? null : place)))
  const buffers = [validity, new Uint8Array(offsets.buffer)]
  return [{ rows, nulls: rows - present, buffers }, floats(vectors)]
}

function floats({ buffer, byteOffset, byteLength, length }: Float32Array): Column {
  return {
    rows: length,
    nulls: 0,
    buffers: [NOTHING, new Uint8Array(buffer, byteOffset, byteLength)],
  }
}

function projectColumns(batch: ProjectBatch, rows: number): Column[] {
  const { versions, textHashes, embedders } = batch
  const isEven = [versions, textHashes, embedders].every(({ length }) => length === rows)
  invariant(isEven, 'columns are even')
  const { buffer, byteOffset, byteLength } = versions
  return [
    { rows, nulls: 0, buffers: [NOTHING, new Uint8Array(buffer, byteOffset, byteLength)] },
    measure('text_hash', textHashes),
    measure('embedder', embedders),
  ]
}

/**
 * Decodes what `encodeBatch` wrote, or any Arrow writer of the same columns.
 *
 * @returns a batch whose vectors are a view of `bytes` where these are aligned for one: whoever
 *   keeps them keeps all of `bytes`.
 * @throws {VectordError} `log_corrupt` on anything else, `format_too_new` on a later format.
 */
export function decodeBatch(bytes: Uint8Array): LoggedBatch {
  try {
    const stream = new ArrowStream(bytes)
    const format = formatOf(stream.schema)
    const batches = stream.batches()
    const batch = batches.next().value
    if (batch === undefined || batch.rows === 0) throw new ArrowFault('it holds no rows')
    if (batches.next().value !== undefined) throw new ArrowFault('it holds several batches')
    if (stream.end !== bytes.length) throw new ArrowFault('bytes follow the end')
    return decodeColumns(stream.schema, batch, format)
  } catch (error) {
    if (!(error instanceof ArrowFault)) throw error
    throw new VectordError('log_corrupt', `A write batch cannot be read: ${error.message}.`, {
      details: { problem: error.message },
      cause: error,
    })
  }
}

function formatOf(schema: ArrowSchema): number {
  const format = Number(schema.metadata.get('vectord.format'))
  if (!Number.isInteger(format) || format < 1) throw new ArrowFault('it is not a vectord batch')
  if (format <= BATCH_FORMAT) return format
  throw new VectordError(
    'format_too_new',
    `A write batch has format ${format}; this server reads up to ${BATCH_FORMAT}.`,
    { details: { what: 'write batch', format, supported: BATCH_FORMAT } },
  )
}

function decodeColumns(schema: ArrowSchema, batch: ArrowBatch, format: number): LoggedBatch {
  const kind = schema.metadata.get('vectord.kind')
  const dimension = Number(schema.metadata.get('vectord.dimension'))
  const [ids, ...columns] = batch.columns
  if (ids === undefined) throw new ArrowFault('it has no columns')
  if (kind === 'delete' && columns.length === 0) {
    return { kind: 'delete', ids: decodeIds(ids) } satisfies DeleteBatch
  }
  if (kind === 'upsert' && columns.length === 3) {
    const [vectors, texts, metadata] = columns as [ArrowColumn, ArrowColumn, ArrowColumn]
    return {
      kind: 'upsert',
      dimension,
      ids: decodeIds(ids),
      ...(format === 1
        ? { vectors: decodeVectors(vectors, dimension) }
        : decodeLists(vectors, dimension)),
      texts: decodeStrings(texts, 'text'),
      metadata: decodeStrings(metadata, 'metadata'),
    } satisfies UpsertBatch
  }
  if (kind === 'project' && columns.length === 4 && format > 1) {
    return decodeProject(ids, columns, dimension)
  }
  throw new ArrowFault('its columns are not those of a batch')
}

function decodeProject(
  ids: ArrowColumn,
  columns: readonly ArrowColumn[],
  dimension: number,
): ProjectBatch {
  const [vectors, versions, hashes, embedders] = columns as [
    ...[ArrowColumn, ArrowColumn, ArrowColumn, ArrowColumn],
  ]
  return {
    kind: 'project',
    dimension,
    ids: decodeIds(ids),
    vectors: decodeVectors(vectors, dimension),
    versions: decodeVersions(versions),
    textHashes: decodeFilled(hashes, 'text_hash'),
    embedders: decodeFilled(embedders, 'embedder'),
  }
}

function decodeVersions(column: ArrowColumn): Float64Array {
  const { type, name } = column.field
  const isDouble = type.kind === 'float' && type.bits === 64 && column.dictionary === null
  if (name !== 'version' || !isDouble) throw new ArrowFault('a column is not the "version"')
  if (firstNull(column) >= 0) throw new ArrowFault('a version is null')
  return float64View(column.data, column.length)
}

function decodeFilled(column: ArrowColumn, name: string): string[] {
  const strings = decodeStrings(column, name)
  if (strings.includes(null)) throw new ArrowFault(`a "${name}" is null`)
  return strings as string[]
}

function decodeIds(column: ArrowColumn): string[] {
  const ids = decodeStrings(column, 'id')
  for (const id of ids) {
    if (id === null) throw new ArrowFault('an id is null')
    const tooLong = id.length * 3 > ID_BYTES_MAX && Buffer.byteLength(id) > ID_BYTES_MAX
    if (id === '' || tooLong) throw new ArrowFault('an id has a length that is not allowed')
  }
  return ids as string[]
}

function decodeStrings(column: ArrowColumn, name: string): (string | null)[] {
  if (column.field.name !== name || column.field.type.kind !== 'utf8') {
    throw new ArrowFault(`a column is not the expected "${name}"`)
  }
  if (column.dictionary !== null) throw new ArrowFault(`column "${name}" has a dictionary`)
  return stringsOf(column)
}

function decodeVectors(column: ArrowColumn, dimension: number): Float32Array {
  const { type } = column.field
  const isList = type.kind === 'fixed_size_list' && type.size === dimension
  const child = floatsOf(column, isList && dimension > 0)
  if (firstNull(column) >= 0) throw new ArrowFault('a vector is null')
  return float32View(child.data, child.length)
}

/** Lists of `dimension` numbers, and none where a row is null. */
function decodeLists(
  column: ArrowColumn,
  dimension: number,
): Pick<UpsertBatch, 'vectors' | 'places'> {
  const child = floatsOf(column, column.field.type.kind === 'list' && dimension > 0)
  const offsets = offsetsOf(column, child.length)
  const places = new Int32Array(column.length)
  let present = 0
  for (let row = 0; row < column.length; row += 1) {
    const has = hasValue(column, row)
    places[row] = has ? present : -1
    if (has) present += 1
    if ((offsets[row + 1] ?? 0) !== (offsets[0] ?? 0) + present * dimension) {
      throw new ArrowFault('a vector has another length')
    }
  }
  const from = offsets[0] ?? 0
  const vectors = float32View(child.data, child.length)
  return { vectors: vectors.subarray(from, from + present * dimension), places }
}

function floatsOf({ field, child }: ArrowColumn, isVector: boolean): ArrowColumn {
  if (field.name !== 'vector' || !isVector) {
    throw new ArrowFault('a column is not the expected "vector"')
  }
  if (child === null || !isFloat32(child)) throw new ArrowFault('vectors are not float32')
  if (firstNull(child) >= 0) throw new ArrowFault('a number of a vector is null')
  return child
}

function isFloat32({ field, dictionary }: ArrowColumn): boolean {
  return field.type.kind === 'float' && field.type.bits === 32 && dictionary === null
}
