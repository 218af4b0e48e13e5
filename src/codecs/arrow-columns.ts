/**
 * The columns of one record batch: which of its nodes and buffers belong to which.
 */

import { BufferInflater } from './arrow-compression.ts'
import { ArrowFault, type ArrowField } from './arrow-schema.ts'
import { type FlatTable, type FlatVector, readCount } from './flat-table.ts'

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
  /** Of a list: its elements. */
  readonly child: ArrowColumn | null
  /** Of a struct: its fields, each with a row for each of its own. */
  readonly children: readonly ArrowColumn[]
  /** Of strings and bytes as views: what the longer ones point into. */
  readonly pools: readonly Uint8Array[]
  /** The values that the indices of this column point to. */
  readonly dictionary: ArrowColumn | null
}

type Values = Pick<ArrowColumn, 'offsets' | 'data' | 'child' | 'children' | 'pools'>

const EMPTY = new Uint8Array(0)
const NONE = [] as const

/** Hands out the nodes and buffers of one record batch in the order in which fields own them. */
export class BufferSource {
  readonly #header: FlatTable
  readonly #body: Uint8Array
  readonly #dictionaries: ReadonlyMap<number, ArrowColumn>
  readonly #nodes: FlatVector
  readonly #buffers: FlatVector
  /** How many pools each column of views has. */
  readonly #poolCounts: FlatVector
  readonly #inflater: BufferInflater | null
  #node = 0
  #buffer = 0
  #pools = 0

  /** @param mayInflate whether compressed bodies are read. */
  constructor(
    header: FlatTable,
    body: Uint8Array,
    dictionaries: ReadonlyMap<number, ArrowColumn>,
    mayInflate: boolean,
  ) {
    const compression = header.table(3)
    if (compression !== null && !mayInflate) throw new ArrowFault('compressed bodies are not read')
    this.#header = header
    this.#body = body
    this.#dictionaries = dictionaries
    this.#nodes = header.vector(1, 16)
    this.#buffers = header.vector(2, 16)
    this.#poolCounts = header.vector(4, 8)
    this.#inflater = compression === null ? null : new BufferInflater(compression.uint8(0))
  }

  /** @param rows the length that the column must have, or null for the child of a list. */
  column(field: ArrowField, rows: number | null): ArrowColumn {
    const { length, nullCount } = this.#nextNode()
    if (rows !== null && length !== rows) {
      throw new ArrowFault(`column "${field.name}" has ${length} rows instead of ${rows}`)
    }
    if (field.type.kind === 'null' && field.dictionary === null) {
      const validity = new Uint8Array(Math.ceil(length / 8))
      return { field, length, nullCount: length, validity, ...valuesOf(), dictionary: null }
    }
    const shared = { field, length, nullCount, validity: this.#validity(length, nullCount) }
    if (field.dictionary === null) {
      return { ...shared, ...this.#values(field, length), dictionary: null }
    }
    const dictionary = this.#dictionaries.get(field.dictionary.id)
    if (dictionary === undefined) {
      throw new ArrowFault(`the dictionary of column "${field.name}" is missing`)
    }
    return { ...shared, ...valuesOf({ data: this.#nextBuffer() }), dictionary }
  }

  expectEnd(): void {
    if (this.#node !== this.#nodes.length || this.#buffer !== this.#buffers.length) {
      throw new ArrowFault('a record batch does not fit its schema')
    }
  }

  #values(field: ArrowField, length: number): Values {
    const { type } = field
    switch (type.kind) {
      case 'utf8':
      case 'large_utf8':
      case 'binary':
      case 'large_binary':
        return valuesOf({ offsets: this.#nextBuffer(), data: this.#nextBuffer() })
      case 'utf8_view':
      case 'binary_view':
        return valuesOf({ data: this.#nextBuffer(), pools: this.#nextPools() })
      case 'list':
      case 'large_list':
      case 'map':
        return valuesOf({ offsets: this.#nextBuffer(), child: this.#child(field, null) })
      case 'fixed_size_list':
        return valuesOf({ child: this.#child(field, length * type.size) })
      case 'struct':
        return valuesOf({ children: field.children.map((child) => this.column(child, length)) })
      case 'other':
        throw new ArrowFault(`column "${field.name}" has a type that is not read (${type.code})`)
      default:
        return valuesOf({ data: this.#nextBuffer() })
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

  #nextPools(): readonly Uint8Array[] {
    if (this.#pools === this.#poolCounts.length) throw new ArrowFault('a column has no pools')
    const count = readCount(this.#header.view, this.#poolCounts.at + 8 * this.#pools)
    this.#pools += 1
    if (count > this.#buffers.length - this.#buffer) throw new ArrowFault('a pool is missing')
    return Array.from({ length: count }, () => this.#nextBuffer())
  }

  #nextBuffer(): Uint8Array {
    if (this.#buffer === this.#buffers.length) throw new ArrowFault('a column has no buffer')
    const at = this.#buffers.at + 16 * this.#buffer
    this.#buffer += 1
    const { view } = this.#header
    const start = readCount(view, at)
    const end = start + readCount(view, at + 8)
    if (end > this.#body.length) throw new ArrowFault('a buffer lies outside its message')
    const bytes = this.#body.subarray(start, end)
    return this.#inflater === null ? bytes : this.#inflater.inflate(bytes)
  }
}

function valuesOf(some: Partial<Values> = {}): Values {
  return {
    offsets: some.offsets ?? null,
    data: some.data ?? EMPTY,
    child: some.child ?? null,
    children: some.children ?? NONE,
    pools: some.pools ?? NONE,
  }
}
