/**
 * A place in the postings of one term of a query, going up.
 */

import { Postings, type SinglePosting } from './keyword-postings.ts'

export class PostingCursor {
  /** Of a text that has nothing but the term, again and again: more than any text scores by it. */
  readonly weight: number
  /** Where it is; Infinity at the end. */
  slot: number
  readonly #slots: Uint32Array
  readonly #counts: Uint8Array
  readonly #length: number
  #at = 0

  constructor(postings: Postings | SinglePosting, weight: number) {
    this.weight = weight
    if (postings instanceof Postings) {
      this.#slots = postings.slots
      this.#counts = postings.counts
      this.#length = postings.length
    } else {
      this.#slots = Uint32Array.of(postings.slot)
      this.#counts = Uint8Array.of(postings.count)
      this.#length = 1
    }
    this.slot = this.#slotAt(0)
  }

  /** How often the text of its slot has the term. */
  get count(): number {
    return this.#counts[this.#at] as number
  }

  /** Leaves `slot`, if it is there. */
  pass(slot: number): void {
    if (this.slot === slot) this.#to(this.#at + 1)
  }

  /** To the first posting from `slot` on: by steps that double, and then by halves. */
  seek(slot: number): void {
    if (this.slot >= slot) return
    let low = this.#at
    let step = 1
    while (this.#slotAt(low + step) < slot) {
      low += step
      step *= 2
    }
    let high = Math.min(this.#length, low + step)
    while (high - low > 1) {
      const middle = (low + high) >>> 1
      if (this.#slotAt(middle) < slot) low = middle
      else high = middle
    }
    this.#to(high)
  }

  #to(at: number): void {
    this.#at = at
    this.slot = this.#slotAt(at)
  }

  #slotAt(at: number): number {
    return at < this.#length ? (this.#slots[at] as number) : Infinity
  }
}
