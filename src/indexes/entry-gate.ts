/**
 * A gate that lets many work at a time and can be closed: for what must stand still while an index
 * changes its bucket.
 *
 *     open ──close──▶ closed: nobody enters ──all have left──▶ still ──open──▶ open
 */

import { VectordError } from '../lib/errors.ts'
import { invariant } from '../lib/invariant.ts'
import { traced } from '../tracing/tracer.ts'

export class EntryGate {
  readonly #index: string
  #inside = 0
  /** Resolves when the gate is open again; null while it is. */
  #reopened: PromiseWithResolvers<null> | null = null
  /** Resolves when the last one has left. */
  #emptied: PromiseWithResolvers<null> | null = null

  constructor(index: string) {
    this.#index = index
  }

  get isClosed(): boolean {
    return this.#reopened !== null
  }

  /**
   * Waits while the gate is closed. It may be closed again when the caller goes on, so ask in a loop.
   *
   * @throws {VectordError} `index_moving` when `waitMs` pass first.
   */
  async opened(waitMs: number, signal?: AbortSignal): Promise<void> {
    const reopened = this.#reopened?.promise
    if (reopened === undefined) return
    await traced({ name: 'wait for move' }, () => this.#wait(reopened, waitMs, signal))
  }

  async #wait(
    reopened: Promise<null>,
    waitMs: number,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const waiting = Promise.withResolvers<null>()
    const timer = setTimeout(
      () => {
        waiting.reject(indexMoving(this.#index))
      },
      Math.min(Math.max(0, waitMs), WAIT_MS_MAX),
    )
    const stop = (): void => {
      waiting.reject(signal?.reason)
    }
    signal?.addEventListener('abort', stop)
    try {
      signal?.throwIfAborted()
      await Promise.race([reopened, waiting.promise])
    } finally {
      clearTimeout(timer)
      signal?.removeEventListener('abort', stop)
      waiting.promise.catch(() => undefined)
    }
  }

  /** Goes in through the open gate; the answer is to be called once, to leave. */
  enter(): () => void {
    invariant(this.#reopened === null, 'nobody enters through a closed gate')
    this.#inside += 1
    return () => {
      this.#inside -= 1
      if (this.#inside === 0) this.#emptied?.resolve(null)
    }
  }

  /** Runs `work` inside; the gate is open. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    const leave = this.enter()
    try {
      return await work()
    } finally {
      leave()
    }
  }

  /** Closes it; resolves when nobody is inside. @throws the reason of `signal`, and is open again. */
  async close(signal?: AbortSignal): Promise<void> {
    invariant(this.#reopened === null, 'a gate is closed once')
    this.#reopened = Promise.withResolvers()
    if (this.#inside === 0) return
    const emptied = Promise.withResolvers<null>()
    this.#emptied = emptied
    const stop = (): void => {
      emptied.reject(signal?.reason)
    }
    signal?.addEventListener('abort', stop)
    try {
      signal?.throwIfAborted()
      await emptied.promise
    } catch (error) {
      this.open()
      throw error
    } finally {
      emptied.promise.catch(() => undefined)
      this.#emptied = null
      signal?.removeEventListener('abort', stop)
    }
  }

  open(): void {
    this.#reopened?.resolve(null)
    this.#reopened = null
  }
}

/** A timer takes no longer wait: 24 days. */
const WAIT_MS_MAX = 2 ** 31 - 1

export function indexMoving(index: string): VectordError {
  return new VectordError(
    'index_moving',
    `Index "${index}" is being moved to another bucket and takes no changes for a moment.`,
    { details: { index }, retryAfterS: 1 },
  )
}
