/**
 * Which slots have a field, and which have which value of it.
 *
 * A posting is one slot or an ascending list of slots, so that a field whose values are all
 * different costs one map entry for each. Slots are added in ascending order and never removed:
 * whoever asks drops the dead ones.
 *
 * Distinct numbers and strings are sorted when the first range asks for them. Later values wait in
 * a short unsorted tail, so that a write between two ranges does not sort everything again.
 */

import type { Scalar } from '../domain/filter.ts'
import type { Bitmap } from '../engines/bitmap.ts'

type Posting = number | number[]

export interface RangeBound {
  readonly op: '$gt' | '$gte' | '$lt' | '$lte'
  readonly bound: string | number
}

const MAP_ENTRY_BYTES = 48
const VALUE_BYTES = 24
const SLOT_BYTES = 10

export class FieldPostings {
  readonly #present: number[] = []
  readonly #values = new Map<Scalar, Posting>()
  readonly #numbers = new SortedValues<number>()
  readonly #strings = new SortedValues<string>()
  #listed = 0

  get memoryBytes(): number {
    const values = this.#values.size * (MAP_ENTRY_BYTES + VALUE_BYTES)
    return values + (this.#listed + this.#present.length) * SLOT_BYTES
  }

  /** `slot` is larger than any before; `values` are distinct. */
  add(slot: number, values: readonly Scalar[]): void {
    this.#present.push(slot)
    for (const value of values) {
      const posting = this.#values.get(value)
      if (posting === undefined) {
        this.#values.set(value, slot)
        if (typeof value === 'number') this.#numbers.add(value)
        else if (typeof value === 'string') this.#strings.add(value)
      } else if (typeof posting === 'number') {
        this.#values.set(value, [posting, slot])
        this.#listed += 2
      } else {
        posting.push(slot)
        this.#listed += 1
      }
    }
  }

  markPresent(into: Bitmap): void {
    for (const slot of this.#present) into.add(slot)
  }

  markEqual(value: Scalar, into: Bitmap): void {
    const posting = this.#values.get(value)
    if (typeof posting === 'number') into.add(posting)
    else if (posting !== undefined) for (const slot of posting) into.add(slot)
  }

  markRange({ op, bound }: RangeBound, into: Bitmap): void {
    const found =
      typeof bound === 'number' ? this.#numbers.range(op, bound) : this.#strings.range(op, bound)
    for (const value of found) this.markEqual(value, into)
  }

  /** True where `slot` is found by its field and by each of `values`. */
  agrees(slot: number, values: readonly Scalar[]): boolean {
    return (
      contains(this.#present, slot) &&
      values.every((value) => {
        const posting = this.#values.get(value)
        return typeof posting === 'object' ? contains(posting, slot) : posting === slot
      })
    )
  }
}

/** Values that wait unsorted: few enough to look at one by one. */
const TAIL_MIN = 256

class SortedValues<T extends string | number> {
  #sorted: T[] = []
  #tail: T[] = []

  add(value: T): void {
    this.#tail.push(value)
  }

  *range(op: RangeBound['op'], bound: T): Generator<T> {
    if (this.#tail.length > Math.max(TAIL_MIN, this.#sorted.length / 16)) this.#sort()
    for (const value of this.#tail) if (holds(value, op, bound)) yield value
    const upper = op === '$gt' || op === '$gte'
    const edge = this.#edge(bound, op === '$gt' || op === '$lte')
    const end = upper ? this.#sorted.length : edge
    for (let i = upper ? edge : 0; i < end; i += 1) {
      const value = this.#sorted[i]
      if (value !== undefined) yield value
    }
  }

  /** Position of the first value >= bound, or > bound where `after`. */
  #edge(bound: T, after: boolean): number {
    let low = 0
    let high = this.#sorted.length
    while (low < high) {
      const middle = (low + high) >>> 1
      const value = this.#sorted[middle] as T
      if (value < bound || (after && value === bound)) low = middle + 1
      else high = middle
    }
    return low
  }

  #sort(): void {
    const tail = this.#tail.sort(compare)
    const merged: T[] = []
    let i = 0
    for (const value of this.#sorted) {
      for (; i < tail.length && (tail[i] as T) < value; i += 1) merged.push(tail[i] as T)
      merged.push(value)
    }
    for (; i < tail.length; i += 1) merged.push(tail[i] as T)
    this.#sorted = merged
    this.#tail = []
  }
}

/** `sorted` is ascending. */
function contains(sorted: readonly number[], slot: number): boolean {
  let low = 0
  let high = sorted.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((sorted[middle] as number) < slot) low = middle + 1
    else high = middle
  }
  return sorted[low] === slot
}

function compare<T extends string | number>(a: T, b: T): number {
  if (a < b) return -1
  return a > b ? 1 : 0
}

function holds<T extends string | number>(value: T, op: RangeBound['op'], bound: T): boolean {
  switch (op) {
    case '$gt':
      return value > bound
    case '$gte':
      return value >= bound
    case '$lt':
      return value < bound
    case '$lte':
      return value <= bound
  }
}
