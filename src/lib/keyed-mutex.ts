/**
 * One writer at a time for each key; different keys do not wait for each other.
 *
 * Waiters run in the order in which they came. A failed turn does not stop the next.
 */

export class KeyedMutex {
  readonly #tails = new Map<string, Promise<unknown>>()

  /** Runs `work` when every earlier work on `key` has ended, and answers what it answers. */
  async run<T>(key: string, work: () => Promise<T>): Promise<T> {
    const before = this.#tails.get(key) ?? Promise.resolve()
    const turn = before.then(work, work)
    this.#tails.set(key, turn)
    try {
      return await turn
    } finally {
      if (this.#tails.get(key) === turn) this.#tails.delete(key)
    }
  }

  /**
   * As `run`, for several keys at once: it waits for the earlier works on all of them. Works that
   * share keys go in the order in which they came, so none waits for another that waits for it.
   */
  async runAll<T>(keys: readonly string[], work: () => Promise<T>): Promise<T> {
    const before = Promise.allSettled(keys.map((key) => this.#tails.get(key) ?? Promise.resolve()))
    const turn = before.then(work)
    for (const key of keys) this.#tails.set(key, turn)
    try {
      return await turn
    } finally {
      for (const key of keys) if (this.#tails.get(key) === turn) this.#tails.delete(key)
    }
  }
}
