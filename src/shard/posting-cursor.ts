/**
 * A place in the postings of one term of a query, going up, and the scores that it adds to.
 */

import { Bitmap } from '../engines/bitmap.ts'
import type { Int32Column } from './growing.ts'
import { Postings, type SinglePosting } from './keyword-postings.ts'

/** Scores of a window stay in the nearest cache. */
const WINDOW_SLOTS = 2048

/** What the length of a text makes of a count: `count / (count + base + slope × length)`. */
export interface ScoreScale {
  /** By slot. */
  readonly lengths: Int32Column
  readonly base: number
  readonly slope: number
}

/** Scores of the slots from `start` on, by how far from it. */
export class ScoreWindow {
  start = 0
  readonly scores = new Float64Array(WINDOW_SLOTS)
  /** Those that have one. */
  readonly marks = new Bitmap(WINDOW_SLOTS)

  /** The score of a place, which has none afterwards. */
  take(place: number): number {
    const score = this.scores[place] as number
    this.scores[place] = 0
    this.marks.delete(place)
    return score
  }
}

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

  /** Adds what the term scores to the slots of the window, and goes on behind it. */
  collect({ start, scores, marks }: ScoreWindow, { lengths, base, slope }: ScoreScale): void {
    const end = start + WINDOW_SLOTS
    const slots = this.#slots
    const counts = this.#counts
    let at = this.#at
    for (; at < this.#length; at += 1) {
      const slot = slots[at] as number
      if (slot >= end) break
      const count = counts[at] as number
      const place = slot - start
      const scale = base + slope * lengths.get(slot)
      scores[place] = (scores[place] as number) + (this.weight * count) / (count + scale)
      marks.add(place)
    }
    this.#to(at)
  }

  /** What the term scores in a slot; slots are asked for going up. */
  scoreOf(slot: number, { lengths, base, slope }: ScoreScale): number {
    this.#seek(slot)
    if (this.slot !== slot) return 0
    const count = this.#counts[this.#at] as number
    return (this.weight * count) / (count + base + slope * lengths.get(slot))
  }

  /** To the first posting from `slot` on: by steps that double, and then by halves. */
  #seek(slot: number): void {
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
