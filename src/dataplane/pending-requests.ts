/**
 * The requests that a core has not answered yet.
 */

import type { VectordError } from '../lib/errors.ts'
import type { CoreRequest } from './core-request.ts'

export interface Pending {
  readonly request: CoreRequest<unknown>
  resolve(answer: unknown): void
  reject(error: VectordError): void
  /** It is suspected of ending cores: the core announces that it runs it. */
  readonly isSuspect: boolean
  /** The core announced that it runs the request now; told of suspects alone. */
  started: boolean
  /** Told when the core runs the request, where somebody asked to know. */
  readonly onStarted?: () => void
}

const IDS = 2 ** 32

export class PendingRequests {
  readonly #pending = new Map<number, Pending>()
  #idleWaiters: (() => void)[] = []
  #lastId = 0

  get size(): number {
    return this.#pending.size
  }

  /** @returns the id under which the answer will come; never 0. */
  add(pending: Pending): number {
    do this.#lastId = (this.#lastId + 1) % IDS
    while (this.#lastId === 0 || this.#pending.has(this.#lastId))
    this.#pending.set(this.#lastId, pending)
    return this.#lastId
  }

  get(id: number): Pending | undefined {
    return this.#pending.get(id)
  }

  /** The request with this id, which waits no more; undefined where it was given up before. */
  take(id: number): Pending | undefined {
    const pending = this.#pending.get(id)
    if (pending !== undefined) {
      this.#pending.delete(id)
      this.#tellIdle()
    }
    return pending
  }

  /** The requests that `which` is true for; they wait no more. */
  takeWhere(which: (request: CoreRequest<unknown>) => boolean): Pending[] {
    const taken: Pending[] = []
    for (const [id, pending] of this.#pending) {
      if (!which(pending.request)) continue
      this.#pending.delete(id)
      taken.push(pending)
    }
    this.#tellIdle()
    return taken
  }

  /** Resolves when no request waits. */
  async idle(): Promise<void> {
    if (this.#pending.size === 0) return
    await new Promise<void>((resolve) => this.#idleWaiters.push(resolve))
  }

  #tellIdle(): void {
    if (this.#pending.size > 0 || this.#idleWaiters.length === 0) return
    const waiters = this.#idleWaiters
    this.#idleWaiters = []
    for (const tell of waiters) tell()
  }
}
