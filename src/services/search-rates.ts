/**
 * How many searches each index answers, and how slow the slowest are: over the last minute.
 *
 *     search ─▶ slot of its five seconds: count, failures, histogram of times
 *
 * A ring of slots bounds the memory, about 4 KiB an index that was searched lately; what is older is
 * overwritten, and goes where an index is searched for the first time. Times are kept in buckets that
 * grow by a fifth, so a p99 is at most that much too high, never too low.
 */

import type { SearchSeen } from './search-observer.ts'

const SLOT_MS = 5000
/** The slots of the last minute, and the one that is being filled. */
const SLOTS = 13
const FIRST_MS = 0.05
const GROWTH = 1.2
/** The last one begins at about half a minute, the longest deadline of a search. */
const BUCKETS = 72

export interface SearchRate {
  /** Searches a second. */
  readonly qps: number
  /** Of those that were answered; null where none was. */
  readonly p99Ms: number | null
  /** Searches that failed, of the window. */
  readonly failed: number
}

interface Slot {
  /** Number of its five seconds since the epoch; -1 before its first. */
  at: number
  seen: number
  failed: number
  readonly times: Uint32Array
}

export class SearchRates {
  readonly #nowMs: () => number
  readonly #startMs: number
  readonly #indexes = new Map<string, readonly Slot[]>()

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs
    this.#startMs = nowMs()
  }

  /** See `SearchObserver`. */
  observe({ index, answer, tookMs }: Pick<SearchSeen, 'index' | 'answer' | 'tookMs'>): void {
    const slot = this.#slotOf(index)
    slot.seen += 1
    if (answer === null) slot.failed += 1
    else slot.times[bucketOf(tookMs)] = (slot.times[bucketOf(tookMs)] ?? 0) + 1
  }

  of(index: string): SearchRate {
    return this.#rateOf(this.#recent(this.#indexes.get(index) ?? []))
  }

  /** Of these indexes together; forgets the indexes that are not among `known`. */
  ofAll(indexes: ReadonlySet<string>, known: ReadonlySet<string>): SearchRate {
    for (const name of this.#indexes.keys()) if (!known.has(name)) this.#indexes.delete(name)
    const rings = [...this.#indexes].filter(([name]) => indexes.has(name))
    return this.#rateOf(rings.flatMap(([, ring]) => this.#recent(ring)))
  }

  #slotOf(index: string): Slot {
    const at = Math.floor(this.#nowMs() / SLOT_MS)
    const ring = this.#indexes.get(index) ?? this.#begin(index)
    const slot = ring[at % SLOTS] ?? newSlot()
    if (slot.at === at) return slot
    slot.times.fill(0)
    return Object.assign(slot, { at, seen: 0, failed: 0 })
  }

  /** Rings of indexes that are gone would pile up: whoever has not been searched lately begins anew. */
  #begin(index: string): readonly Slot[] {
    for (const [name, ring] of this.#indexes) {
      if (this.#recent(ring).length === 0) this.#indexes.delete(name)
    }
    const ring = newRing()
    this.#indexes.set(index, ring)
    return ring
  }

  #recent(ring: readonly Slot[]): readonly Slot[] {
    const oldest = Math.floor(this.#nowMs() / SLOT_MS) - SLOTS + 1
    return ring.filter(({ at }) => at >= oldest)
  }

  #rateOf(slots: readonly Slot[]): SearchRate {
    const sum = (value: (slot: Slot) => number): number =>
      slots.reduce((total, slot) => total + value(slot), 0)
    // The slot that is being filled counts for the part of it that has passed.
    const passedMs = (SLOTS - 1) * SLOT_MS + (this.#nowMs() % SLOT_MS)
    const windowMs = Math.max(1000, Math.min(passedMs, this.#nowMs() - this.#startMs))
    const seen = sum((slot) => slot.seen)
    return { qps: (1000 * seen) / windowMs, p99Ms: p99Of(slots), failed: sum((s) => s.failed) }
  }
}

function newRing(): readonly Slot[] {
  return Array.from({ length: SLOTS }, newSlot)
}

function newSlot(): Slot {
  return { at: -1, seen: 0, failed: 0, times: new Uint32Array(BUCKETS) }
}

/** Bucket i holds times up to `FIRST_MS * GROWTH ** i`. */
function bucketOf(ms: number): number {
  const bucket = Math.ceil(Math.log(Math.max(ms, FIRST_MS) / FIRST_MS) / Math.log(GROWTH))
  return Math.min(BUCKETS - 1, bucket)
}

function p99Of(slots: readonly Slot[]): number | null {
  const counts = Array.from({ length: BUCKETS }, (_, i) =>
    slots.reduce((sum, { times }) => sum + (times[i] ?? 0), 0),
  )
  const total = counts.reduce((sum, count) => sum + count, 0)
  if (total === 0) return null
  let left = Math.ceil(0.99 * total)
  const bucket = counts.findIndex((count) => (left -= count) <= 0)
  return FIRST_MS * GROWTH ** bucket
}
