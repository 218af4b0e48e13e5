/**
 * The inverted index over the words of texts, and the ranking by BM25 (Robertson, k1 1.2, b 0.75).
 *
 *     term ─▶ slots  3   7   9   …   ascending, as slots are given
 *             counts 1   2   1   …   of the term in the text, 255 at the most
 *     slot ─▶ words of the text; 0 where it has none, or the slot is dead
 *
 * It follows the point table: rows are taken in by `catchUp` in slot order, and one that dies only
 * loses its length. Its postings stay until the table is compacted, and are passed over. So a delete
 * costs nothing here, and the number of live texts with a term is counted again when it is asked for.
 *
 * Queries go through the slots window by window, term by term within one. Terms that are too common
 * to bring a text among the best by themselves only add to those that another term has found
 * (MaxScore: Turtle and Flood, 1995).
 */

import type { KeywordStatistics } from '../domain/search.ts'
import { eachWord, TEXT_UNITS_MAX } from '../domain/words.ts'
import type { Bitmap } from '../engines/bitmap.ts'
import type { TopK } from '../engines/top-k.ts'
import { Int32Column } from './growing.ts'
import { Postings, TermTable } from './keyword-postings.ts'
import { PostingCursor, ScoreWindow, type ScoreScale } from './posting-cursor.ts'
import type { PointTable } from './point-table.ts'

/** How soon more of the same word says nothing new. */
const K1 = 1.2
/** How much a long text needs more of a word than a short one. */
const B = 0.75

/** Units that a row costs beside its text. */
const ROW_UNITS = 32
const LENGTH_BYTES = 4

/** One search runs at a time. */
const window = new ScoreWindow()

type Texts = Pick<PointTable, 'slots' | 'live' | 'text'>

interface KeywordScan {
  readonly terms: readonly string[]
  /** Of all shards; `frequencies` as `terms`. */
  readonly statistics: KeywordStatistics
  /** Live slots that may be found; null for all. */
  readonly mask: Bitmap | null
}

export class KeywordIndex {
  readonly #terms = new TermTable()
  /** By slot. */
  readonly #lengths = new Int32Column()
  #documents = 0
  #words = 0
  /** Grows with each row that dies: counts of live texts from before are not trusted. */
  #deaths = 0

  /** Slots that were taken in. */
  get slots(): number {
    return this.#lengths.length
  }

  get memoryBytes(): number {
    return this.#terms.memoryBytes + this.#lengths.length * LENGTH_BYTES
  }

  isBehind(table: Pick<Texts, 'slots'>): boolean {
    return this.#lengths.length < table.slots
  }

  /**
   * Takes in the next rows of the table, one at least, until about `unitsMax` UTF-16 units of text.
   *
   * @returns true where more wait.
   */
  catchUp(table: Texts, unitsMax: number): boolean {
    let left = unitsMax
    for (let slot = this.slots; slot < table.slots && left > 0; slot += 1) {
      const text = table.live.has(slot) ? table.text(slot) : null
      left -= ROW_UNITS + Math.min(text?.length ?? 0, TEXT_UNITS_MAX)
      this.#add(slot, text)
    }
    return this.isBehind(table)
  }

  /** A slot is dead; nothing where it was not taken in yet. */
  remove(slot: number): void {
    if (slot >= this.slots) return
    const length = this.#lengths.get(slot)
    if (length === 0) return
    this.#lengths.set(slot, 0)
    this.#documents -= 1
    this.#words -= length
    this.#deaths += 1
  }

  statistics(terms: readonly string[]): KeywordStatistics {
    const frequencies = terms.map((term) => this.#frequency(term))
    return { documents: this.#documents, words: this.#words, frequencies }
  }

  /** Offers the texts with the highest scores to `top`, under the negated score as a distance. */
  search({ terms, statistics, mask }: KeywordScan, top: TopK): void {
    const { documents, words, frequencies } = statistics
    const cursors: PostingCursor[] = []
    for (const [i, term] of terms.entries()) {
      const postings = this.#terms.get(term)
      if (postings === undefined) continue
      const weight = idf(documents, frequencies[i] ?? 0) * (K1 + 1)
      cursors.push(new PostingCursor(postings, weight))
    }
    // A sum of the same weights in the same order is the same in all shards.
    cursors.sort((a, b) => a.weight - b.weight)
    this.#rank(cursors, words / Math.max(1, documents), mask, top)
  }

  #rank(cursors: readonly PostingCursor[], mean: number, mask: Bitmap | null, top: TopK): void {
    const scale = { lengths: this.#lengths, base: K1 * (1 - B), slope: (K1 * B) / mean }
    const bounds = boundsOf(cursors)
    let first = firstNeeded(bounds, top)
    for (let start = least(cursors, first); start !== Infinity; start = least(cursors, first)) {
      window.start = start
      for (let i = cursors.length - 1; i >= first; i -= 1) cursors[i]?.collect(window, scale)
      for (let place = window.marks.next(0); place !== -1; place = window.marks.next(place + 1)) {
        const slot = start + place
        const score = window.take(place)
        if (this.#lengths.get(slot) === 0 || (mask !== null && !mask.has(slot))) continue
        top.offer(-scoreOf(cursors, { score, slot, first, bounds, scale, top }), slot)
      }
      first = firstNeeded(bounds, top)
    }
  }

  #add(slot: number, text: string | null): void {
    let length = 0
    if (text !== null) {
      eachWord(text, (term) => {
        length += 1
        this.#terms.add(term, slot)
      })
    }
    this.#lengths.push(length)
    if (length === 0) return
    this.#documents += 1
    this.#words += length
  }

  #frequency(term: string): number {
    const postings = this.#terms.get(term)
    if (postings === undefined) return 0
    const isLive = (slot: number): boolean => this.#lengths.get(slot) > 0
    if (postings instanceof Postings) return postings.live(this.#deaths, isLive)
    return isLive(postings.slot) ? 1 : 0
  }
}

/** Never negative, as Lucene has it: a term in every text says little, not less than nothing. */
function idf(documents: number, frequency: number): number {
  return Math.log(1 + (documents - frequency + 0.5) / (frequency + 0.5))
}

/** `bounds[i]`: no text scores as much by the first `i` terms alone. */
function boundsOf(cursors: readonly PostingCursor[]): number[] {
  const bounds = [0]
  let sum = 0
  for (const { weight } of cursors) {
    sum += weight
    bounds.push(sum)
  }
  return bounds
}

/** The first of the terms of which one is needed to be among the best. */
function firstNeeded(bounds: readonly number[], top: TopK): number {
  let first = 0
  while (first + 1 < bounds.length && -(bounds[first + 1] as number) >= top.bound) first += 1
  return first
}

function least(cursors: readonly PostingCursor[], first: number): number {
  let slot = Infinity
  for (let i = first; i < cursors.length; i += 1) {
    const there = (cursors[i] as PostingCursor).slot
    if (there < slot) slot = there
  }
  return slot
}

interface Found {
  /** Of the terms from `first` on. */
  readonly score: number
  readonly slot: number
  readonly first: number
  readonly bounds: readonly number[]
  readonly scale: ScoreScale
  readonly top: TopK
}

/** The score of a text, or less where it cannot be among the best. */
function scoreOf(cursors: readonly PostingCursor[], found: Found): number {
  const { slot, first, bounds, scale, top } = found
  let { score } = found
  for (let i = first - 1; i >= 0; i -= 1) {
    if (-(score + (bounds[i + 1] as number)) >= top.bound) return score
    score += (cursors[i] as PostingCursor).scoreOf(slot, scale)
  }
  return score
}
