/**
 * What the footer of a Parquet file says that parquet-wasm does not tell, or not in time.
 *
 *     file      …, footer (Thrift compact: FileMetaData), footer bytes (int32), PAR1
 *     FileMetaData        2 list of SchemaElement, the tree in preorder · 3 rows
 *     SchemaElement       4 name · 5 num_children · 10 logicalType, of which field 14 is UUID
 */

import { open } from 'node:fs/promises'

const TRAILER_BYTES = 8
const FOOTER_BYTES_MAX = 64 * 1024 * 1024
const DEPTH_MAX = 32

/**
 * Names of the columns at the top that are UUIDs, which parquet-wasm tells as 16 bytes; none where the footer
 * is not sound, which others find out.
 */
export async function uuidColumns(path: string): Promise<ReadonlySet<string>> {
  const footer = await readFooter(path)
  if (footer === null) return new Set()
  try {
    return new Set(uuidsOf(new ThriftReader(footer)))
  } catch (error) {
    if (error instanceof RangeError) return new Set()
    throw error
  }
}

/** Rows that the end of a file tells of; null where its footer is longer than that, or not sound. */
export function rowsOfEnd(end: Uint8Array): number | null {
  if (end.length < TRAILER_BYTES) return null
  const trailer = Buffer.from(
    end.buffer,
    end.byteOffset + end.length - TRAILER_BYTES,
    TRAILER_BYTES,
  )
  const from = end.length - TRAILER_BYTES - trailer.readUInt32LE(0)
  if (from < 0) return null
  let rows: number | null = null
  const reader = new ThriftReader(end.subarray(from))
  reader.struct((field, type) => {
    if (field === ROWS) rows = reader.integer()
    else reader.skip(type, 1)
  })
  return rows
}

async function readFooter(path: string): Promise<Uint8Array | null> {
  const file = await open(path, 'r')
  try {
    const { size } = await file.stat()
    if (size < TRAILER_BYTES) return null
    const trailer = Buffer.alloc(TRAILER_BYTES)
    await file.read(trailer, 0, TRAILER_BYTES, size - TRAILER_BYTES)
    const bytes = trailer.readUInt32LE(0)
    const at = size - TRAILER_BYTES - bytes
    if (at < 0 || bytes > FOOTER_BYTES_MAX) return null
    const footer = new Uint8Array(bytes)
    const { bytesRead } = await file.read(footer, 0, bytes, at)
    return bytesRead === bytes ? footer : null
  } finally {
    await file.close()
  }
}

const SCHEMA = 2
const ROWS = 3
const NAME = 4
const CHILDREN = 5
const LOGICAL_TYPE = 10
const UUID = 14

interface Element {
  name: string
  children: number
  isUuid: boolean
}

function uuidsOf(reader: ThriftReader): string[] {
  const elements: Element[] = []
  reader.struct((field, type) => {
    if (field === SCHEMA) reader.list(() => elements.push(elementOf(reader)))
    else reader.skip(type, 1)
  })
  const uuids: string[] = []
  // The root comes first; below it the children of each element follow it.
  for (let at = 1; at < elements.length; at = behind(elements, at)) {
    const element = elements[at]
    if (element?.isUuid === true && element.children === 0) uuids.push(element.name)
  }
  return uuids
}

function behind(elements: readonly Element[], start: number): number {
  let open = 1
  let at = start
  for (; open > 0 && at < elements.length; at += 1) open += (elements[at]?.children ?? 0) - 1
  return at
}

function elementOf(reader: ThriftReader): Element {
  const element = { name: '', children: 0, isUuid: false }
  reader.struct((field, type) => {
    if (field === NAME) element.name = reader.text()
    else if (field === CHILDREN) element.children = reader.integer()
    else if (field === LOGICAL_TYPE) {
      reader.struct((kind, kindType) => {
        if (kind === UUID) element.isUuid = true
        reader.skip(kindType, 2)
      })
    } else reader.skip(type, 1)
  })
  return element
}

/** Types of Thrift's compact protocol. */
const TRUE = 1
const FALSE = 2
const BYTE = 3
const INT16 = 4
const INT32 = 5
const INT64 = 6
const DOUBLE = 7
const BINARY = 8
const LIST = 9
const SET = 10
const STRUCT = 12

/** Reads what it is asked for; every position is checked, and a `RangeError` where it is outside. */
class ThriftReader {
  readonly #bytes: Uint8Array
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  /** @param take reads or skips the value of each field. */
  struct(take: (field: number, type: number) => void): void {
    let field = 0
    for (;;) {
      const head = this.#byte()
      if (head === 0) return
      const delta = head >> 4
      field = delta === 0 ? this.integer() : field + delta
      take(field, head & 15)
    }
  }

  /** Calls `take`, which reads or skips it, for each element. */
  list(take: (type: number) => unknown): void {
    const head = this.#byte()
    const length = head >> 4 === 15 ? this.#varint() : head >> 4
    if (length > this.#bytes.length - this.#at) throw new RangeError('a list is too long')
    for (let i = 0; i < length; i += 1) take(head & 15)
  }

  integer(): number {
    const value = this.#varint()
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2
  }

  text(): string {
    return Buffer.from(this.#take(this.#varint())).toString()
  }

  skip(type: number, depth: number): void {
    if (depth > DEPTH_MAX) throw new RangeError('nested too deep')
    switch (type) {
      case TRUE:
      case FALSE:
        return
      case BYTE:
        this.#take(1)
        return
      case INT16:
      case INT32:
      case INT64:
        this.#varint()
        return
      case DOUBLE:
        this.#take(8)
        return
      case BINARY:
        this.#take(this.#varint())
        return
      default:
        this.#skipNested(type, depth)
    }
  }

  #skipNested(type: number, depth: number): void {
    if (type === STRUCT) {
      this.struct((_field, inner) => {
        this.skip(inner, depth + 1)
      })
    } else if (type === LIST || type === SET) {
      this.list((item) => {
        // Booleans in lists take a byte each.
        if (item === TRUE || item === FALSE) this.#take(1)
        else this.skip(item, depth + 1)
      })
    } else throw new RangeError('a type is not known')
  }

  #byte(): number {
    return this.#take(1)[0] ?? 0
  }

  #varint(): number {
    let value = 0
    for (let shift = 1; shift <= 2 ** 63; shift *= 128) {
      const byte = this.#byte()
      value += (byte & 127) * shift
      if (byte < 128) return value
    }
    throw new RangeError('a number is too long')
  }

  #take(bytes: number): Uint8Array {
    const end = this.#at + bytes
    if (end > this.#bytes.length) throw new RangeError('outside of the footer')
    const taken = this.#bytes.subarray(this.#at, end)
    this.#at = end
    return taken
  }
}
