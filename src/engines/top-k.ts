/**
 * The k nearest of the candidates that were offered: a bounded heap whose root is the farthest.
 *
 * Order is by distance, then by number (slot or label), so that equal distances have one order. It
 * is reused from search to search: `reset` first.
 */

export interface Nearest {
  readonly numbers: number[]
  readonly distances: number[]
}

export class TopK {
  #distances = new Float64Array(16)
  #numbers = new Float64Array(16)
  #k = 0
  #size = 0

  reset(k: number): void {
    this.#k = k
    this.#size = 0
  }

  get size(): number {
    return this.#size
  }

  /** Candidates beyond this distance cannot enter. */
  get bound(): number {
    return this.#size < this.#k ? Infinity : (this.#distances[0] as number)
  }

  offer(distance: number, number: number): void {
    if (this.#size < this.#k) {
      if (this.#size === this.#distances.length) this.#grow()
      this.#size += 1
      this.#rise(this.#size - 1, distance, number)
    } else if (this.#k > 0 && this.#isCloser(distance, number, 0)) {
      this.#sink(distance, number)
    }
  }

  /** What was kept, nearest first. The heap is empty afterwards. */
  drain(): Nearest {
    const numbers = new Array<number>(this.#size)
    const distances = new Array<number>(this.#size)
    while (this.#size > 0) {
      const last = this.#size - 1
      numbers[last] = this.#numbers[0] as number
      distances[last] = this.#distances[0] as number
      this.#size = last
      if (last > 0) this.#sink(this.#distances[last] as number, this.#numbers[last] as number)
    }
    return { numbers, distances }
  }

  #grow(): void {
    const distances = new Float64Array(this.#distances.length * 2)
    const numbers = new Float64Array(this.#distances.length * 2)
    distances.set(this.#distances)
    numbers.set(this.#numbers)
    this.#distances = distances
    this.#numbers = numbers
  }

  #isCloser(distance: number, number: number, at: number): boolean {
    const there = this.#distances[at] as number
    return distance < there || (distance === there && number < (this.#numbers[at] as number))
  }

  #place(at: number, distance: number, number: number): void {
    this.#distances[at] = distance
    this.#numbers[at] = number
  }

  #rise(from: number, distance: number, number: number): void {
    let at = from
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (this.#isCloser(distance, number, parent)) break
      this.#place(at, this.#distances[parent] as number, this.#numbers[parent] as number)
      at = parent
    }
    this.#place(at, distance, number)
  }

  /** Replaces the root. */
  #sink(distance: number, number: number): void {
    let at = 0
    for (let child = 1; child < this.#size; child = 2 * at + 1) {
      const right = child + 1
      if (right < this.#size && this.#isCloserAt(child, right)) child = right
      if (!this.#isCloser(distance, number, child)) break
      this.#place(at, this.#distances[child] as number, this.#numbers[child] as number)
      at = child
    }
    this.#place(at, distance, number)
  }

  #isCloserAt(a: number, b: number): boolean {
    return this.#isCloser(this.#distances[a] as number, this.#numbers[a] as number, b)
  }
}
