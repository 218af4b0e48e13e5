/**
 * A growing set of small numbers, one bit each.
 */

export class Bitmap {
  #words: Uint32Array

  constructor(capacity = 0) {
    this.#words = new Uint32Array((capacity + 31) >>> 5)
  }

  /** The bits themselves; replaced when the set grows. */
  get words(): Uint32Array {
    return this.#words
  }

  /** Makes room for the numbers below `capacity`. */
  reserve(capacity: number): void {
    const needed = (capacity + 31) >>> 5
    if (needed <= this.#words.length) return
    const grown = new Uint32Array(Math.max(needed, this.#words.length * 2, 8))
    grown.set(this.#words)
    this.#words = grown
  }

  has(n: number): boolean {
    return (((this.#words[n >>> 5] ?? 0) >>> (n & 31)) & 1) === 1
  }

  /** `n` lies below the reserved capacity. */
  add(n: number): void {
    this.#words[n >>> 5] = (this.#words[n >>> 5] ?? 0) | (1 << (n & 31))
  }

  delete(n: number): void {
    this.#words[n >>> 5] = (this.#words[n >>> 5] ?? 0) & ~(1 << (n & 31))
  }

  /** Removes the numbers from `from` on. */
  deleteFrom(from: number): void {
    const first = from >>> 5
    if (first >= this.#words.length) return
    this.#words[first] = (this.#words[first] as number) & ~(-1 << (from & 31))
    this.#words.fill(0, first + 1)
  }

  clone(): Bitmap {
    const copy = new Bitmap()
    copy.#words = this.#words.slice()
    return copy
  }

  /** Keeps what `other` has too. */
  intersect(other: Bitmap): void {
    const theirs = other.#words
    for (let i = 0; i < this.#words.length; i += 1) {
      this.#words[i] = (this.#words[i] as number) & (theirs[i] ?? 0)
    }
  }

  unite(other: Bitmap): void {
    this.reserve(other.#words.length * 32)
    const theirs = other.#words
    for (let i = 0; i < theirs.length; i += 1) {
      this.#words[i] = (this.#words[i] as number) | (theirs[i] as number)
    }
  }

  /** Turns every bit of the capacity round. */
  invert(): void {
    for (let i = 0; i < this.#words.length; i += 1) this.#words[i] = ~(this.#words[i] as number)
  }

  count(): number {
    return this.countFrom(0)
  }

  /** How many numbers from `from` on there are. */
  countFrom(from: number): number {
    const first = from >>> 5
    if (first >= this.#words.length) return 0
    let count = bits((this.#words[first] as number) & (-1 << (from & 31)))
    for (let i = first + 1; i < this.#words.length; i += 1) count += bits(this.#words[i] as number)
    return count
  }

  /** The smallest number from `from` on; -1 where there is none. */
  next(from: number): number {
    let at = from >>> 5
    if (at >= this.#words.length) return -1
    let word = (this.#words[at] as number) & (-1 << (from & 31))
    while (word === 0) {
      at += 1
      if (at >= this.#words.length) return -1
      word = this.#words[at] as number
    }
    return at * 32 + 31 - Math.clz32(word & -word)
  }
}

function bits(word: number): number {
  let v = word - ((word >>> 1) & 0x55555555)
  v = (v & 0x33333333) + ((v >>> 2) & 0x33333333)
  return Math.imul((v + (v >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24
}
