/**
 * How many ingests run at the same time: the others wait in the order in which they came.
 */

import { VectordError } from '../lib/errors.ts'

/** What a refused one is told to wait; nobody knows how long the others take. */
const RETRY_AFTER_S = 30

export class IngestSlots {
  readonly #runningMax: number
  readonly #waitingMax: number
  readonly #waiting: (() => void)[] = []
  #running = 0

  constructor({
    runningMax,
    waitingMax,
  }: {
    readonly runningMax: number
    readonly waitingMax: number
  }) {
    this.#runningMax = runningMax
    this.#waitingMax = waitingMax
  }

  get running(): number {
    return this.#running
  }

  get waiting(): number {
    return this.#waiting.length
  }

  /** @throws {VectordError} `overloaded` where nobody more may wait. */
  check(): void {
    if (this.#running < this.#runningMax || this.#waiting.length < this.#waitingMax) return
    throw new VectordError('overloaded', 'Too many ingests wait already.', {
      details: { waiting: this.#waiting.length, bound: this.#waitingMax },
      retryAfterS: RETRY_AFTER_S,
    })
  }

  /** Runs `work` when a place is free. @throws as `check`; the reason of the signal. */
  async run<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    this.check()
    await this.#enter(signal)
    try {
      return await work()
    } finally {
      this.#leave()
    }
  }

  #enter(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    if (this.#running < this.#runningMax) {
      this.#running += 1
      return Promise.resolve()
    }
    const { promise, resolve, reject } = Promise.withResolvers<undefined>()
    const enter = (): void => {
      signal.removeEventListener('abort', give)
      resolve(undefined)
    }
    const give = (): void => {
      this.#waiting.splice(this.#waiting.indexOf(enter), 1)
      reject(signal.reason as Error)
    }
    signal.addEventListener('abort', give, { once: true })
    this.#waiting.push(enter)
    return promise
  }

  /** The place goes to the one that waits longest. */
  #leave(): void {
    const next = this.#waiting.shift()
    if (next === undefined) this.#running -= 1
    else next()
  }
}
