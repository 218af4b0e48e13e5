/**
 * Reads Arrow IPC streams from bytes that nobody vouches for: log records and bodies of clients.
 *
 *     stream   message* [0xffffffff 0]
 *     message  0xffffffff, header bytes (int32), header (FlatBuffers), body
 *     header   Schema first, then DictionaryBatch and RecordBatch in any order
 *
 * apache-arrow's own reader trusts the lengths in a header and can loop or allocate by them, and it
 * takes several times longer for a small batch; here every length is checked first, and buffers are
 * views of the input. Only the types that vectord takes are known; others are refused by name.
 */

import { type ArrowColumn, BufferSource } from './arrow-columns.ts'
import {
  ArrowFault,
  type ArrowField,
  type ArrowSchema,
  type ArrowScope,
  POINTS_SCOPE,
  readSchema,
  TABLES_SCOPE,
} from './arrow-schema.ts'
import { FlatTable } from './flat-table.ts'

export interface ArrowBatch {
  readonly rows: number
  readonly columns: readonly ArrowColumn[]
}

const CONTINUATION = 0xffffffff
const HEADER_SCHEMA = 1
const HEADER_DICTIONARY_BATCH = 2
const HEADER_RECORD_BATCH = 3

/** The header of a message, and the bytes that come behind it. */
export interface MessageHeader {
  readonly kind: number
  readonly header: FlatTable
  readonly headerBytes: Uint8Array
  readonly bodyBytes: number
}

interface Message extends MessageHeader {
  readonly body: Uint8Array
  /** Position after the body. */
  readonly end: number
}

export class ArrowStream {
  readonly schema: ArrowSchema
  /** Position after what was read so far. */
  end: number
  readonly #bytes: Uint8Array
  readonly #decoder: BatchDecoder

  /** Reads the schema. @throws {ArrowFault} */
  constructor(bytes: Uint8Array, scope: ArrowScope = POINTS_SCOPE) {
    // A Buffer's `slice` does not copy, as that of other byte arrays does.
    this.#bytes = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    if (startsWithFileMagic(bytes)) {
      throw new ArrowFault('this is the Arrow file format; the stream format is expected')
    }
    const message = readMessage(bytes, 0, scope)
    if (message === null) throw new ArrowFault('the first message is no schema')
    this.schema = schemaOf(message, scope)
    this.#decoder = new BatchDecoder(this.schema, scope)
    this.end = message.end
  }

  /** Where the schema message ends. @throws {ArrowFault} */
  static schemaEnd(bytes: Uint8Array): number {
    return readMessage(bytes, 0, TABLES_SCOPE)?.end ?? 0
  }

  /** The record batches that follow, in order. @throws {ArrowFault} */
  *batches(): Generator<ArrowBatch, undefined> {
    for (;;) {
      const message = readMessage(this.#bytes, this.end, this.#decoder.scope)
      if (message === null) {
        this.end = Math.min(this.end + 8, this.#bytes.length)
        return
      }
      this.end = message.end
      const batch = this.#decoder.take(message, message.body)
      if (batch !== null) yield batch
    }
  }
}

/** Decodes the messages behind a schema, and keeps the dictionaries among them. */
export class BatchDecoder {
  readonly scope: ArrowScope
  readonly #schema: ArrowSchema
  readonly #dictionaries = new Map<number, ArrowColumn>()

  constructor(schema: ArrowSchema, scope: ArrowScope) {
    this.#schema = schema
    this.scope = scope
  }

  /** A record batch, or null where the message is a dictionary. @throws {ArrowFault} */
  take(message: MessageHeader, body: Uint8Array): ArrowBatch | null {
    switch (message.kind) {
      case HEADER_RECORD_BATCH:
        return checked(() => this.#batch(message.header, body))
      case HEADER_DICTIONARY_BATCH:
        checked(() => {
          this.#keepDictionary(message.header, body)
        })
        return null
      default:
        throw new ArrowFault(`a message of kind ${message.kind} is not expected`)
    }
  }

  #batch(header: FlatTable, body: Uint8Array): ArrowBatch {
    const source = this.#source(header, body)
    const rows = header.count(0)
    const columns = this.#schema.fields.map((field) => source.column(field, rows))
    source.expectEnd()
    return { rows, columns }
  }

  #keepDictionary(header: FlatTable, body: Uint8Array): void {
    const id = header.count(0)
    const field = ownerOf(this.#schema.fields, id)
    if (field === null) throw new ArrowFault(`no column has the dictionary ${id}`)
    if (header.uint8(2) !== 0) throw new ArrowFault('delta dictionaries are not read')
    const data = header.table(1)
    if (data === null) throw new ArrowFault('a dictionary batch holds no data')
    const source = this.#source(data, body)
    this.#dictionaries.set(id, source.column({ ...field, dictionary: null }, data.count(0)))
  }

  #source(header: FlatTable, body: Uint8Array): BufferSource {
    const mayInflate = this.scope.types === 'all'
    return new BufferSource(header, body, this.#dictionaries, mayInflate)
  }
}

/** The field whose values are the dictionary `id`, however deep it is nested. */
function ownerOf(fields: readonly ArrowField[], id: number): ArrowField | null {
  for (const field of fields) {
    if (field.dictionary?.id === id) return field
    const nested = ownerOf(field.children, id)
    if (nested !== null) return nested
  }
  return null
}

/** Where a record batch header holds what differs from batch to batch: used to write one. */
export interface BatchLayout {
  readonly headerAt: number
  readonly bodyBytesAt: number
  readonly rowsAt: number
  readonly nodesAt: number
  readonly buffersAt: number
  readonly bodyAt: number
}

/** The layout of the message at `at`, whose counts are none of them 0. @throws {ArrowFault} */
export function batchLayout(bytes: Uint8Array, at: number): BatchLayout {
  const message = readMessage(bytes, at, TABLES_SCOPE)
  if (message?.kind !== HEADER_RECORD_BATCH) throw new ArrowFault('no record batch')
  const headerAt = at + 8
  const bodyBytesAt = FlatTable.root(viewOf(message.headerBytes)).at(3)
  const rowsAt = message.header.at(0)
  if (bodyBytesAt === null || rowsAt === null) throw new ArrowFault('a count is left out')
  return {
    headerAt,
    bodyBytesAt: headerAt + bodyBytesAt,
    rowsAt: headerAt + rowsAt,
    nodesAt: headerAt + message.header.vector(1, 16).at,
    buffersAt: headerAt + message.header.vector(2, 16).at,
    bodyAt: headerAt + message.headerBytes.length,
  }
}

function startsWithFileMagic(bytes: Uint8Array): boolean {
  return Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(6, bytes.length)).equals(
    Buffer.from('ARROW1'),
  )
}

/** Null at the end of the stream: the end mark or the last byte. */
function readMessage(bytes: Uint8Array, at: number, scope: ArrowScope): Message | null {
  if (at === bytes.length) return null
  if (at + 8 > bytes.length) throw new ArrowFault('the stream ends inside a message')
  const headerLength = readPrefix(viewOf(bytes), at, scope)
  if (headerLength === 0) return null
  const bodyAt = at + 8 + headerLength
  if (bodyAt > bytes.length) throw new ArrowFault('the stream ends inside a message header')
  const message = readHeader(bytes.subarray(at + 8, bodyAt))
  const end = bodyAt + message.bodyBytes
  if (end > bytes.length) throw new ArrowFault('the stream ends inside a message body')
  return { ...message, body: bytes.subarray(bodyAt, end), end }
}

/** The length of a message header from the 8 bytes before it; 0 is the end of the stream. */
export function readPrefix(view: DataView, at: number, scope: ArrowScope): number {
  if (view.getUint32(at, true) !== CONTINUATION) throw new ArrowFault('a message has no mark')
  const headerLength = view.getInt32(at + 4, true)
  if (headerLength < 0) throw new ArrowFault('the stream ends inside a message header')
  if (headerLength > scope.headerBytesMax) throw new ArrowFault('a message header is too long')
  return headerLength
}

/** @throws {ArrowFault} where it is damaged. */
export function readHeader(headerBytes: Uint8Array): MessageHeader {
  return checked(() => {
    const root = FlatTable.root(viewOf(headerBytes))
    const header = root.table(2)
    if (header === null) throw new ArrowFault('a message has no header')
    return { kind: root.uint8(1), header, headerBytes, bodyBytes: root.count(3) }
  })
}

/**
 * Streams of one writer open with the same schema again and again, so the last ones are kept by
 * their bytes: it saves two thirds of the time of decoding a small batch.
 */
const SCHEMAS_KEPT = 8
const knownSchemas: { readonly bytes: Buffer; readonly schema: ArrowSchema }[] = []

/** @throws {ArrowFault} where the message is no schema, or one that is not read. */
export function schemaOf(message: MessageHeader, scope: ArrowScope): ArrowSchema {
  if (message.kind !== HEADER_SCHEMA) throw new ArrowFault('the first message is no schema')
  const { headerBytes } = message
  if (scope !== POINTS_SCOPE) return checked(() => readSchema(message.header, scope))
  for (const known of knownSchemas) if (known.bytes.equals(headerBytes)) return known.schema
  const schema = checked(() => readSchema(message.header, scope))
  if (headerBytes.length <= 4096) {
    if (knownSchemas.length === SCHEMAS_KEPT) knownSchemas.shift()
    knownSchemas.push({ bytes: Buffer.from(headerBytes), schema })
  }
  return schema
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/** A `RangeError` from reading a header is a fault of the header. */
function checked<T>(read: () => T): T {
  try {
    return read()
  } catch (error) {
    if (error instanceof RangeError) throw new ArrowFault('a message header is damaged')
    throw error
  }
}
