/**
 * Renews the lease of an index from when it was claimed until it is lost or ended.
 */

import { hasCode, type VectordError } from '../lib/errors.ts'
import { type IndexOwner, LEASE_MS } from './index-owner.ts'

export class IndexLease {
  readonly #owner: IndexOwner
  readonly #onTrouble: (error: unknown, what: string) => void
  #timer: NodeJS.Timeout | null = null
  #renewing: Promise<void> = Promise.resolve()

  constructor(owner: IndexOwner, onTrouble: (error: unknown, what: string) => void) {
    this.#owner = owner
    this.#onTrouble = onTrouble
  }

  /** To be called after a claim; `onLost` is called where another server took over. */
  start(onLost: (reason: VectordError) => void): void {
    this.#timer = setInterval(() => {
      this.confirm().catch((error: unknown) => {
        // A bucket that is down loses nothing yet: the log is what keeps a late writer out.
        if (hasCode(error, 'not_owner')) onLost(error)
        else this.#onTrouble(error, 'renew the lease of an index')
      })
    }, LEASE_MS / 3)
    this.#timer.unref()
  }

  /** Renews it now: who wrote what is in the bucket by now is known. @throws `not_owner`. */
  confirm(): Promise<void> {
    // One after the other: two at once would take each other for another server.
    const renewed = this.#renewing.then(() => this.#owner.renew())
    this.#renewing = renewed.catch(() => undefined)
    return renewed
  }

  /** Gives the lease back where it is still held. */
  async end(): Promise<void> {
    if (this.#timer !== null) clearInterval(this.#timer)
    this.#timer = null
    await this.#renewing
    await this.#owner.release()
  }
}
