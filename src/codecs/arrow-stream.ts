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

import { FlatTable, readCount } from './flat-table.ts'

/** What is wrong with a stream, in words that can go into an error message. */
export class ArrowFault extends Error {
  override readonly name = 'ArrowFault'
}

export type ArrowType =
  | { readonly kind: 'utf8' | 'large_utf8' | 'list' | 'large_list' }
  | { readonly kind: 'int'; readonly bits: number; readonly signed: boolean }
  | { readonly kind: 'float'; readonly bits: number }
  | { readonly kind: 'fixed_size_list'; readonly size: number }
  | { readonly kind: 'other'; readonly code: number }

export interface ArrowField {
  readonly name: string
  readonly nullable: boolean
  /** Of the values, also where the field is dictionary-encoded. */
  readonly type: ArrowType
  readonly children: readonly ArrowField[]
  readonly dictionary: { readonly id: number; readonly index: ArrowType } | null
}

export interface ArrowSchema {
  readonly fields: readonly ArrowField[]
  readonly metadata: ReadonlyMap<string, string>
}

/** One column of one batch; the buffers are views of the input, as long as the sender made them. */
export interface ArrowColumn {
  readonly field: ArrowField
  readonly length: number
  readonly nullCount: number
  /** One bit a row, set where there is a value; null where every row has one. */
  readonly validity: Uint8Array | null
  /** 4 bytes (8 for large types) for each row and one more; null for types without offsets. */
  readonly offsets: Uint8Array | null
  /** Bytes of values, or of indices where the field is dictionary-encoded. */
  readonly data: Uint8Array
  readonly child: ArrowColumn | null
  /** The values that the indices of this column point to. */
  readonly dictionary: ArrowColumn | null
}

export interface ArrowBatch {
  readonly rows: number
  readonly columns: readonly ArrowColumn[]
}

/** Headers name columns; these bounds keep a hostile one from costing more than its bytes. */
const HEADER_BYTES_MAX = 256 * 1024
const FIELDS_MAX = 64
const METADATA_PAIRS_MAX = 64
const DEPTH_MAX = 4
const CONTINUATION = 0xffffffff
const HEADER_SCHEMA = 1
const HEADER_DICTIONARY_BATCH = 2
const HEADER_RECORD_BATCH = 3
const EMPTY = new Uint8Array(0)

interface Message {
  readonly kind: number
  readonly header: FlatTable
  readonly headerBytes: Uint8Array
  readonly body: Uint8Array
  /** Position after the body. */
  readonly end: number
}

export class ArrowStream {
  readonly schema: ArrowSchema
  /** Position after what was read so far. */
  end: number
  readonly #bytes: Uint8Array
  readonly #dictionaries = new Map<number, ArrowColumn>()

  /** Reads the schema. @throws {ArrowFault} */
  constructor(bytes: Uint8Array) {
    // A Buffer's `slice` does not copy, as that of other byte arrays does.
    this.#bytes = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    if (startsWithFileMagic(bytes)) {
      throw new ArrowFault('this is the Arrow file format; the stream format is expected')
    }
    const message = readMessage(bytes, 0)
    if (message?.kind !== HEADER_SCHEMA) throw new ArrowFault('the first message is no schema')
    this.schema = schemaOf(message)
    this.end = message.end
  }

  /** Where the schema message ends. @throws {ArrowFault} */
  static schemaEnd(bytes: Uint8Array): number {
    const message = readMessage(bytes, 0)
    if (message?.kind !== HEADER_SCHEMA) throw new ArrowFault('the first message is no schema')
    return message.end
  }

  /** The record batches that follow, in order. @throws {ArrowFault} */
  *batches(): Generator<ArrowBatch, undefined> {
    for (;;) {
      const message = readMessage(this.#bytes, this.end)
      if (message === null) {
        this.end = Math.min(this.end + 8, this.#bytes.length)
        return
      }
      this.end = message.end
      if (message.kind === HEADER_DICTIONARY_BATCH) this.#keepDictionary(message)
      else if (message.kind === HEADER_RECORD_BATCH) yield this.#batch(message)
      else throw new ArrowFault(`a message of kind ${message.kind} is not expected`)
    }
  }

  #batch(message: Message): ArrowBatch {
    return checked(() => {
      const source = new BufferSource(message.header, message.body, this.#dictionaries)
      const rows = message.header.count(0)
      const columns = this.schema.fields.map((field) => source.column(field, rows))
      source.expectEnd()
      return { rows, columns }
    })
  }

  #keepDictionary(message: Message): void {
    checked(() => {
      const id = message.header.count(0)
      const field = this.schema.fields.find((one) => one.dictionary?.id === id)
      if (field === undefined) throw new ArrowFault(`no column has the dictionary ${id}`)
      if (message.header.uint8(2) !== 0) throw new ArrowFault('delta dictionaries are not read')
      const data = message.header.table(1)
      if (data === null) throw new ArrowFault('a dictionary batch holds no data')
      const source = new BufferSource(data, message.body, this.#dictionaries)
      this.#dictionaries.set(id, source.column({ ...field, dictionary: null }, data.count(0)))
    })
  }
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
  const message = readMessage(bytes, at)
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
function readMessage(bytes: Uint8Array, at: number): Message | null {
  if (at === bytes.length) return null
  if (at + 8 > bytes.length) throw new ArrowFault('the stream ends inside a message')
  const view = viewOf(bytes)
  if (view.getUint32(at, true) !== CONTINUATION) throw new ArrowFault('a message has no mark')
  const headerLength = view.getInt32(at + 4, true)
  if (headerLength === 0) return null
  const bodyAt = at + 8 + headerLength
  if (headerLength < 0 || bodyAt > bytes.length) {
    throw new ArrowFault('the stream ends inside a message header')
  }
  if (headerLength > HEADER_BYTES_MAX) throw new ArrowFault('a message header is too long')
  const headerBytes = bytes.subarray(at + 8, bodyAt)
  return checked(() => {
    const root = FlatTable.root(viewOf(headerBytes))
    const header = root.table(2)
    if (header === null) throw new ArrowFault('a message has no header')
    const end = bodyAt + root.count(3)
    if (end > bytes.length) throw new ArrowFault('the stream ends inside a message body')
    return { kind: root.uint8(1), header, headerBytes, body: bytes.subarray(bodyAt, end), end }
  })
}

/**
 * Streams of one writer open with the same schema again and again, so the last ones are kept by
 * their bytes: it saves two thirds of the time of decoding a small batch.
 */
const SCHEMAS_KEPT = 8
const knownSchemas: { readonly bytes: Buffer; readonly schema: ArrowSchema }[] = []

function schemaOf(message: Message): ArrowSchema {
  const { headerBytes } = message
  for (const known of knownSchemas) if (known.bytes.equals(headerBytes)) return known.schema
  const schema = checked(() => readSchema(message.header))
  if (headerBytes.length <= 4096) {
    if (knownSchemas.length === SCHEMAS_KEPT) knownSchemas.shift()
    knownSchemas.push({ bytes: Buffer.from(headerBytes), schema })
  }
  return schema
}

function readSchema(header: FlatTable): ArrowSchema {
  if (header.int16(0) !== 0) throw new ArrowFault('big-endian data is not read')
  const budget = { fields: FIELDS_MAX }
  const fields = header.tables(1, FIELDS_MAX).map((table) => readField(table, budget, 1))
  const metadata = new Map(
    header.tables(2, METADATA_PAIRS_MAX).map((pair) => [pair.string(0), pair.string(1)]),
  )
  return { fields, metadata }
}

function readField(table: FlatTable, budget: { fields: number }, depth: number): ArrowField {
  budget.fields -= 1
  if (budget.fields < 0) throw new ArrowFault(`more than ${FIELDS_MAX} fields`)
  if (depth > DEPTH_MAX) throw new ArrowFault('fields are nested too deep')
  const encoding = table.table(4)
  return {
    name: table.string(0),
    nullable: table.uint8(1) !== 0,
    type: readType(table.uint8(2), table.table(3)),
    children: table.tables(5, FIELDS_MAX).map((child) => readField(child, budget, depth + 1)),
    dictionary: encoding === null ? null : readEncoding(encoding),
  }
}

function readEncoding(table: FlatTable): { id: number; index: ArrowType } {
  const index = table.table(1)
  return {
    id: table.count(0),
    index: index === null ? { kind: 'int', bits: 32, signed: true } : readType(2, index),
  }
}

function readType(code: number, table: FlatTable | null): ArrowType {
  switch (code) {
    case 2:
      return { kind: 'int', bits: table?.int32(0) ?? 0, signed: table?.uint8(1) === 1 }
    case 3:
      return { kind: 'float', bits: [16, 32, 64][table?.int16(0) ?? 0] ?? 0 }
    case 5:
      return { kind: 'utf8' }
    case 12:
      return { kind: 'list' }
    case 16:
      return { kind: 'fixed_size_list', size: table?.int32(0) ?? 0 }
    case 20:
      return { kind: 'large_utf8' }
    case 21:
      return { kind: 'large_list' }
    default:
      return { kind: 'other', code }
  }
}

/** Hands out the nodes and buffers of one record batch in the order in which fields own them. */
class BufferSource {
  readonly #header: FlatTable
  readonly #body: Uint8Array
  readonly #dictionaries: ReadonlyMap<number, ArrowColumn>
  readonly #nodes: { readonly at: number; readonly length: number }
  readonly #buffers: { readonly at: number; readonly length: number }
  #node = 0
  #buffer = 0

  constructor(header: FlatTable, body: Uint8Array, dictionaries: ReadonlyMap<number, ArrowColumn>) {
    if (header.at(3) !== null) throw new ArrowFault('compressed bodies are not read')
    this.#header = header
    this.#body = body
    this.#dictionaries = dictionaries
    this.#nodes = header.vector(1, 16)
    this.#buffers = header.vector(2, 16)
  }

  /** @param rows the length that the column must have, or null for the child of a list. */
  column(field: ArrowField, rows: number | null): ArrowColumn {
    const { length, nullCount } = this.#nextNode()
    if (rows !== null && length !== rows) {
      throw new ArrowFault(`column "${field.name}" has ${length} rows instead of ${rows}`)
    }
    const validity = this.#validity(length, nullCount)
    const shared = { field, length, nullCount, validity }
    if (field.dictionary !== null) {
      const dictionary = this.#dictionaries.get(field.dictionary.id)
      if (dictionary === undefined) {
        throw new ArrowFault(`the dictionary of column "${field.name}" is missing`)
      }
      const data = this.#nextBuffer()
      return { ...shared, offsets: null, data, child: null, dictionary }
    }
    return { ...shared, ...this.#values(field, length), dictionary: null }
  }

  expectEnd(): void {
    if (this.#node !== this.#nodes.length || this.#buffer !== this.#buffers.length) {
      throw new ArrowFault('a record batch does not fit its schema')
    }
  }

  #values(field: ArrowField, length: number): Pick<ArrowColumn, 'offsets' | 'data' | 'child'> {
    const { type } = field
    switch (type.kind) {
      case 'int':
      case 'float':
        return { offsets: null, data: this.#nextBuffer(), child: null }
      case 'utf8':
      case 'large_utf8':
        return { offsets: this.#nextBuffer(), data: this.#nextBuffer(), child: null }
      case 'list':
      case 'large_list':
        return { offsets: this.#nextBuffer(), data: EMPTY, child: this.#child(field, null) }
      case 'fixed_size_list':
        return { offsets: null, data: EMPTY, child: this.#child(field, length * type.size) }
      case 'other':
        throw new ArrowFault(`column "${field.name}" has a type that is not read (${type.code})`)
    }
  }

  #child(field: ArrowField, rows: number | null): ArrowColumn {
    const [child] = field.children
    if (child === undefined || field.children.length !== 1) {
      throw new ArrowFault(`the list column "${field.name}" needs one child`)
    }
    return this.column(child, rows)
  }

  #validity(length: number, nullCount: number): Uint8Array | null {
    const bits = this.#nextBuffer()
    if (nullCount === 0) return null
    if (nullCount > length || bits.length * 8 < length) {
      throw new ArrowFault('a validity bitmap is too short')
    }
    return bits
  }

  #nextNode(): { length: number; nullCount: number } {
    if (this.#node === this.#nodes.length) throw new ArrowFault('a column has no node')
    const at = this.#nodes.at + 16 * this.#node
    this.#node += 1
    const { view } = this.#header
    return { length: readCount(view, at), nullCount: readCount(view, at + 8) }
  }

  #nextBuffer(): Uint8Array {
    if (this.#buffer === this.#buffers.length) throw new ArrowFault('a column has no buffer')
    const at = this.#buffers.at + 16 * this.#buffer
    this.#buffer += 1
    const { view } = this.#header
    const start = readCount(view, at)
    const end = start + readCount(view, at + 8)
    if (end > this.#body.length) throw new ArrowFault('a buffer lies outside its message')
    return this.#body.subarray(start, end)
  }
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
