/**
 * Long work: how far it is, waiting for it, and cancelling it.
 */

import { OperationFailedError } from './errors.ts'
import { pathOf, pause, type Transport } from './transport.ts'
import type { Answer, CallOptions, Operation } from './types.ts'

export interface WaitOptions extends CallOptions {
  /** Told of every look at the operation. */
  readonly onProgress?: (operation: Operation) => void
  /** Milliseconds between looks; 500 by default. */
  readonly pollMs?: number
  /** Cancels the operation when the signal ends the waiting; true by default. */
  readonly cancelOnAbort?: boolean
}

const POLL_MS = 500
/** Short work is seen to end soon: the time between looks grows from this. */
const POLL_FIRST_MS = 20
/** Cancelling happens after the caller has given up: it must not hold them long. */
const CANCEL_TIMEOUT_MS = 5000

type Page = Answer<'/operations', 'get'>

export class Operations {
  readonly #transport: Transport

  constructor(transport: Transport) {
    this.#transport = transport
  }

  /** What waits, runs or has ended lately, newest first; reads page after page. */
  async *list(options: CallOptions = {}): AsyncGenerator<Operation, void> {
    let cursor: string | undefined
    do {
      const call = { method: 'GET', path: '/operations', again: 'repeatable', options } as const
      const page = await this.#transport.json<Page>({ ...call, query: { cursor } })
      yield* page.operations
      cursor = page.next_cursor ?? undefined
    } while (cursor !== undefined)
  }

  get(id: string, options?: CallOptions): Promise<Operation> {
    const path = pathOf`/operations/${id}`
    return this.#transport.json({ method: 'GET', path, again: 'repeatable', options })
  }

  /** Asks it to stop; it may run to its end all the same. */
  cancel(id: string, options?: CallOptions): Promise<Operation> {
    const path = pathOf`/operations/${id}`
    return this.#transport.json({ method: 'DELETE', path, again: 'repeatable', options })
  }

  /**
   * Waits until it has succeeded. Where the signal ends the waiting, the operation is cancelled too,
   * unless `cancelOnAbort` is false.
   *
   * @throws {OperationFailedError} where it failed or was cancelled by somebody else.
   */
  async wait(id: string, options: WaitOptions = {}): Promise<Operation> {
    const { signal, cancelOnAbort = true } = options
    try {
      return await this.#poll(id, options)
    } catch (error) {
      // Best effort: the caller is told why the waiting ended, and not how the cancelling went.
      const isGivenUp = signal?.aborted === true && cancelOnAbort
      if (isGivenUp) await this.cancel(id, { timeoutMs: CANCEL_TIMEOUT_MS }).catch(() => undefined)
      throw error
    }
  }

  async #poll(id: string, options: WaitOptions): Promise<Operation> {
    const { signal, onProgress, pollMs = POLL_MS } = options
    for (let waitMs = Math.min(POLL_FIRST_MS, pollMs); ; waitMs = Math.min(pollMs, 2 * waitMs)) {
      const operation = await this.get(id, options)
      onProgress?.(operation)
      if (operation.state === 'succeeded') return operation
      if (operation.state === 'failed' || operation.state === 'cancelled') {
        throw new OperationFailedError(operation)
      }
      await pause(waitMs, signal)
    }
  }
}
