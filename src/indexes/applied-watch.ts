/**
 * Lets readers wait until every write up to an lsn is searchable (`min_lsn`).
 */

import { VectordError } from '../lib/errors.ts'
import { traced } from '../tracing/tracer.ts'

interface Waiter {
  readonly lsn: number
  readonly resolve: () => void
}

export class AppliedWatch {
  #lsn = 0
  readonly #waiters = new Set<Waiter>()

  get lsn(): number {
    return this.#lsn
  }

  /** Every write up to `lsn` is searchable. An older lsn than before changes nothing. */
  advance(lsn: number): void {
    if (lsn <= this.#lsn) return
    this.#lsn = lsn
    for (const waiter of this.#waiters) {
      if (waiter.lsn > lsn) continue
      this.#waiters.delete(waiter)
      waiter.resolve()
    }
  }

  /** @throws {VectordError} `deadline_exceeded` when `waitMs` pass first. */
  async reached(lsn: number, waitMs: number): Promise<void> {
    if (lsn <= this.#lsn) return
    await traced({ name: 'wait for write' }, () => this.#wait(lsn, waitMs))
  }

  #wait(lsn: number, waitMs: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => {
          this.#waiters.delete(waiter)
          reject(
            new VectordError('deadline_exceeded', `lsn ${lsn} was not applied in time.`, {
              details: { min_lsn: lsn, applied_lsn: this.#lsn },
            }),
          )
        },
        Math.max(0, waitMs),
      )
      const waiter: Waiter = {
        lsn,
        resolve: () => {
          clearTimeout(timer)
          resolve()
        },
      }
      this.#waiters.add(waiter)
    })
  }
}
