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

  run<T>(work: () => Promise<T>): Promise<T> {
    this.#waiting += 1
    const ifOpen = (): Promise<T> => {
      this.checkOpen()
      return work()
    }
    const turn = this.#last.then(ifOpen, ifOpen).finally(() => {
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
