/**
 * At most so many works at a time; the others wait in the order in which they came.
 *
 * For work that takes memory while it runs, more than for work that takes time.
 */

export class ReadSlots {
  readonly #max: number
  readonly #waiting: (() => void)[] = []
  #taken = 0

  constructor(max: number) {
    this.#max = max
  }

  /** Runs `work` when a slot is free, and answers what it answers. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#taken < this.#max) this.#taken += 1
    else await new Promise<void>((resolve) => this.#waiting.push(resolve))
    try {
      return await work()
    } finally {
      // The slot goes on to the next one that waits, or is free.
      const next = this.#waiting.shift()
      if (next === undefined) this.#taken -= 1
      else next()
    }
  }
}
