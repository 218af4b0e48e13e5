/**
 * Where the vectors of the slots of a table come from.
 *
 *     slot       0        1        2        3        1 waits for its vector; 3 is 2 once more, with a
 *     origin     client   none     none     m@1      vector that the embedder m@1 made of its text
 *     version    = lsn    = lsn    = lsn    lsn(2)   a row keeps the version of the client's write
 *
 * Until a row needs them there are no columns: an index without texts to embed pays nothing. Of live
 * slots it is known at once which have no vector, which of those wait for one, and which have one of
 * which embedder.
 */

import { CLIENT_TAG } from '../domain/pending-text.ts'
import { Bitmap } from '../engines/bitmap.ts'
import { Float64Column, Int32Column } from './growing.ts'

export interface RowOrigin {
  /** The lsn of the client's write. */
  readonly version: number
  /** Of the vector: `CLIENT_TAG`, or the tag of the embedder; null where there is none. */
  readonly tag: string | null
  /** False where there is nothing to make a vector of: such a row waits for none. */
  readonly hasText: boolean
}

/** Bytes of a slot: number of the origin and version; and the bits. */
const SLOT_BYTES = 4 + 8 + 0.5

/** Numbers of origins; those of embedders follow. */
const CLIENT = 0
const NONE = 1
const FIRST_TAG = 2

interface Columns {
  readonly origins: Int32Column
  readonly versions: Float64Column
}

/** Live slots whose vector is of one embedder, or that have none. */
interface LiveSlots {
  readonly slots: Bitmap
  count: number
}

export class RowOrigins {
  /** Slots without a vector, dead or alive. */
  readonly missing = new Bitmap()
  #columns: Columns | null = null
  /** By number; nobody asks which slots have the client's vector. */
  readonly #live: LiveSlots[] = [newSlots(), newSlots()]
  readonly #tags: string[] = []
  /** Live slots with a text and without a vector. */
  readonly #waiting = newSlots()

  /** True while every vector is the client's. */
  get isPlain(): boolean {
    return this.#columns === null
  }

  get memoryBytes(): number {
    return (this.#columns?.versions.length ?? 0) * SLOT_BYTES
  }

  /** Live slots without a vector. */
  get missingCount(): number {
    return this.#live[NONE]?.count ?? 0
  }

  /** Those of them whose text waits for an embedder. */
  get waitingCount(): number {
    return this.#waiting.count
  }

  /**
   * Takes the next slot, `slot`, which is live.
   *
   * @param lsnOf the lsn of slots before it, for columns that begin with this one.
   */
  push(slot: number, origin: RowOrigin, lsnOf: (slot: number) => number): void {
    const number = this.#numberOf(origin.tag)
    if (this.#columns === null && number === CLIENT) return
    const columns = this.#columns ?? this.#begin(slot, lsnOf)
    columns.origins.push(number)
    columns.versions.push(origin.version)
    if (number === NONE) {
      this.missing.reserve(slot + 1)
      this.missing.add(slot)
    }
    const live = this.#live[number]
    if (number === CLIENT || live === undefined) return
    addSlot(live, slot)
    if (number === NONE && origin.hasText) addSlot(this.#waiting, slot)
  }

  /** A live slot is so no more. */
  ended(slot: number): void {
    const number = this.#columns?.origins.get(slot) ?? CLIENT
    const live = this.#live[number]
    if (number === CLIENT || live === undefined) return
    live.slots.delete(slot)
    live.count -= 1
    if (number !== NONE || !this.#waiting.slots.has(slot)) return
    this.#waiting.slots.delete(slot)
    this.#waiting.count -= 1
  }

  /** Null where it is the lsn of the slot. */
  versionOf(slot: number): number | null {
    return this.#columns?.versions.get(slot) ?? null
  }

  tagOf(slot: number): string | null {
    const number = this.#columns?.origins.get(slot) ?? CLIENT
    if (number === CLIENT) return CLIENT_TAG
    return number === NONE ? null : (this.#tags[number - FIRST_TAG] ?? null)
  }

  /** Live slots whose vector is of an embedder, but of another one. */
  countOfOthers(tag: string): number {
    return this.#others(tag).reduce((sum, { count }) => sum + count, 0)
  }

  /** The first live slot from `from` on whose text waits for a vector; -1 where there is none. */
  nextWaiting(from: number): number {
    return this.#waiting.slots.next(from)
  }

  /** The first live slot from `from` on whose vector is of another embedder; -1 where there is none. */
  nextOfOthers(from: number, tag: string): number {
    let first = -1
    for (const { slots } of this.#others(tag)) {
      const next = slots.next(from)
      if (next !== -1 && (first === -1 || next < first)) first = next
    }
    return first
  }

  #others(tag: string): LiveSlots[] {
    return this.#live.filter((_, number) => {
      return number >= FIRST_TAG && this.#tags[number - FIRST_TAG] !== tag
    })
  }

  #begin(slots: number, lsnOf: (slot: number) => number): Columns {
    const columns = { origins: new Int32Column(), versions: new Float64Column() }
    for (let slot = 0; slot < slots; slot += 1) {
      columns.origins.push(CLIENT)
      columns.versions.push(lsnOf(slot))
    }
    this.#columns = columns
    return columns
  }

  #numberOf(tag: string | null): number {
    if (tag === null) return NONE
    if (tag === CLIENT_TAG) return CLIENT
    const known = this.#tags.indexOf(tag)
    if (known !== -1) return known + FIRST_TAG
    this.#tags.push(tag)
    this.#live.push(newSlots())
    return this.#tags.length - 1 + FIRST_TAG
  }
}

function addSlot(live: LiveSlots, slot: number): void {
  live.slots.reserve(slot + 1)
  live.slots.add(slot)
  live.count += 1
}

function newSlots(): LiveSlots {
  return { slots: new Bitmap(), count: 0 }
}
