/**
 * Which slots have a term in their text, and how often: 5 bytes a posting, and no object for a term
 * that only one text has.
 */

/** More of one term in one text counts as this many. */
const COUNT_MAX = 255

/** `slot × SLOT_FACTOR + count`: the one posting of a term. */
const SLOT_FACTOR = COUNT_MAX + 1

/** A `Map` takes twice as many at the most. */
const MAP_TERMS_MAX = 2 ** 23

const TERM_BYTES = 72
const POSTINGS_BYTES = 320
const POSTING_BYTES = 5
const CAPACITY_MIN = 4

/** From this length on V8 lets a part of a string keep the whole of it. */
const SLICED_LENGTH_MIN = 13

/** The posting of a term that one text has. */
export interface SinglePosting {
  readonly slot: number
  readonly count: number
}

export class Postings {
  #slots = new Uint32Array(CAPACITY_MIN)
  #counts = new Uint8Array(CAPACITY_MIN)
  #length = 0
  #live = 0
  #liveAt = 0

  get length(): number {
    return this.#length
  }

  /** Of the first `length` postings, ascending. Not to be changed. */
  get slots(): Uint32Array {
    return this.#slots
  }

  get counts(): Uint8Array {
    return this.#counts
  }

  get capacity(): number {
    return this.#slots.length
  }

  /** Once more in `slot`, which is the last one or larger than any. */
  add(slot: number, count: number): void {
    const last = this.#length - 1
    if (last >= 0 && this.#slots[last] === slot) {
      this.#counts[last] = Math.min(COUNT_MAX, (this.#counts[last] as number) + count)
      return
    }
    if (this.#length === this.#slots.length) this.#grow()
    this.#slots[this.#length] = slot
    this.#counts[this.#length] = count
    this.#length += 1
    // The row that is taken in is live.
    this.#live += 1
  }

  /** How many of its slots are live. @param deaths grows whenever a slot dies. */
  live(deaths: number, isLive: (slot: number) => boolean): number {
    if (deaths === this.#liveAt) return this.#live
    let live = 0
    for (let i = 0; i < this.#length; i += 1) if (isLive(this.#slots[i] as number)) live += 1
    this.#live = live
    this.#liveAt = deaths
    return live
  }

  #grow(): void {
    // By half: what is not filled is memory that nobody asked for.
    const capacity = this.#slots.length + Math.max(CAPACITY_MIN, this.#slots.length >>> 1)
    const slots = new Uint32Array(capacity)
    const counts = new Uint8Array(capacity)
    slots.set(this.#slots)
    counts.set(this.#counts)
    this.#slots = slots
    this.#counts = counts
  }
}

export class TermTable {
  /** Where new terms go. */
  #newest = new Map<string, number | Postings>()
  /** Full ones: none up to `MAP_TERMS_MAX` terms. */
  readonly #full: Map<string, number | Postings>[] = []
  #bytes = 0

  get memoryBytes(): number {
    return this.#bytes
  }

  get(term: string): SinglePosting | Postings | undefined {
    const found = this.#mapOf(term).get(term)
    if (typeof found !== 'number') return found
    return { slot: Math.floor(found / SLOT_FACTOR), count: found % SLOT_FACTOR }
  }

  /** The term comes once more in `slot`, which is no smaller than any before. */
  add(term: string, slot: number): void {
    const map = this.#mapOf(term)
    const found = map.get(term)
    if (found === undefined) {
      this.#addTerm(term, slot)
    } else if (typeof found === 'number') {
      const only = Math.floor(found / SLOT_FACTOR)
      if (only === slot) {
        if (found % SLOT_FACTOR < COUNT_MAX) map.set(term, found + 1)
        return
      }
      const postings = new Postings()
      postings.add(only, found % SLOT_FACTOR)
      postings.add(slot, 1)
      this.#bytes += POSTINGS_BYTES + postings.capacity * POSTING_BYTES
      map.set(term, postings)
    } else {
      const before = found.capacity
      found.add(slot, 1)
      this.#bytes += (found.capacity - before) * POSTING_BYTES
    }
  }

  #mapOf(term: string): Map<string, number | Postings> {
    for (const map of this.#full) if (map.has(term)) return map
    return this.#newest
  }

  #addTerm(term: string, slot: number): void {
    if (this.#newest.size === MAP_TERMS_MAX) {
      this.#full.push(this.#newest)
      this.#newest = new Map()
    }
    this.#newest.set(detached(term), slot * SLOT_FACTOR + 1)
    this.#bytes += TERM_BYTES + term.length
  }
}

/** The same string, which keeps no longer one in memory. */
function detached(term: string): string {
  return term.length < SLICED_LENGTH_MIN ? term : Buffer.from(term, 'utf16le').toString('utf16le')
}
