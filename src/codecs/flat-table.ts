/**
 * Reads FlatBuffers tables, the encoding of Arrow's message headers, from bytes that nobody vouches
 * for.
 *
 * Every access goes through a `DataView` over the header alone, which throws `RangeError` outside
 * it; lengths of vectors are checked against the bytes that are there, so that no loop over one can
 * be longer than its input. `arrow-stream.ts` turns the errors into faults.
 */

export interface FlatVector {
  /** Position of the first element. */
  readonly at: number
  readonly length: number
}

export class FlatTable {
  readonly view: DataView
  readonly #at: number
  readonly #vtable: number
  readonly #vtableBytes: number

  constructor(view: DataView, at: number) {
    this.view = view
    this.#at = at
    this.#vtable = at - view.getInt32(at, true)
    this.#vtableBytes = view.getUint16(this.#vtable, true)
  }

  /** The table that a buffer starts with. */
  static root(view: DataView): FlatTable {
    return new FlatTable(view, view.getUint32(0, true))
  }

  /** Where the value of a field lies, or null where it is absent and so has its default. */
  at(field: number): number | null {
    const slot = 4 + 2 * field
    if (slot + 2 > this.#vtableBytes) return null
    const offset = this.view.getUint16(this.#vtable + slot, true)
    return offset === 0 ? null : this.#at + offset
  }

  uint8(field: number): number {
    const at = this.at(field)
    return at === null ? 0 : this.view.getUint8(at)
  }

  int16(field: number, absent = 0): number {
    const at = this.at(field)
    return at === null ? absent : this.view.getInt16(at, true)
  }

  int32(field: number, absent = 0): number {
    const at = this.at(field)
    return at === null ? absent : this.view.getInt32(at, true)
  }

  /** A length or an id: an integer from 0 to 2^53. */
  count(field: number): number {
    const at = this.at(field)
    return at === null ? 0 : readCount(this.view, at)
  }

  table(field: number): FlatTable | null {
    const at = this.at(field)
    return at === null ? null : new FlatTable(this.view, at + this.view.getUint32(at, true))
  }

  /** @param elementBytes the size of an element: 4 for tables, which are held by offset. */
  vector(field: number, elementBytes: number): FlatVector {
    const at = this.at(field)
    if (at === null) return { at: 0, length: 0 }
    const start = at + this.view.getUint32(at, true)
    const length = this.view.getUint32(start, true)
    if (start + 4 + length * elementBytes > this.view.byteLength) {
      throw new RangeError('a vector is longer than the header')
    }
    return { at: start + 4, length }
  }

  /** @param max bounds what a hostile header can make us build. */
  tables(field: number, max: number): FlatTable[] {
    const { at, length } = this.vector(field, 4)
    if (length > max) throw new RangeError('a list of the header is too long')
    const tables: FlatTable[] = []
    for (let i = 0; i < length; i += 1) {
      const slot = at + 4 * i
      tables.push(new FlatTable(this.view, slot + this.view.getUint32(slot, true)))
    }
    return tables
  }

  string(field: number): string {
    const { at, length } = this.vector(field, 1)
    return Buffer.from(this.view.buffer, this.view.byteOffset + at, length).toString('utf8')
  }
}

/** Reads an int64 that must be a count. */
export function readCount(view: DataView, at: number): number {
  const value = view.getUint32(at, true) + view.getInt32(at + 4, true) * 2 ** 32
  if (!Number.isSafeInteger(value) || value < 0) throw new RangeError('a count is out of range')
  return value
}
