/**
 * What a shard does beside serving, one after the other: a checkpoint, a check, a change of its
 * generations. Nothing begins after it was closed.
 */

import { invariant } from '../lib/invariant.ts'

export class BackgroundTurns {
  #waiting = 0
  #last: Promise<unknown> = Promise.resolve()
  #closed = false

  get isClosed(): boolean {
    return this.#closed
  }

  /** Something runs or waits. */
  get isBusy(): boolean {
    return this.#waiting > 0
  }

  /**
   * Where nothing is under way, `work` begins at once and not in a later turn: a checkpoint holds what
   * was applied when it was asked for, on every shard alike.
   */
  run<T>(work: () => Promise<T>): Promise<T> {
    const isIdle = this.#waiting === 0
    this.#waiting += 1
    const begin = async (): Promise<T> => {
      this.checkOpen()
      return work()
    }
    const begun = isIdle ? begin() : this.#last.then(begin, begin)
    const turn = begun.finally(() => {
      this.#waiting -= 1
    })
    this.#last = turn
    return turn
  }

  checkOpen(): void {
    invariant(!this.#closed, 'a closed shard does nothing')
  }

  /** Resolves when what runs has ended. */
  async close(): Promise<void> {
    this.#closed = true
    await this.#last.catch(() => undefined)
  }
}
