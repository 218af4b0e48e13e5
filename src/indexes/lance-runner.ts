/**
 * Keeps one Lance index in service: claims its writing, and looks at its table now and then.
 *
 *     claim ──ours──▶ owner ──lease lost──▶ follower
 *       ╰──another server's──▶ follower: reads, and claims again at each look
 *
 * Reads need no claim: the table is what its commits made of it, whoever made them.
 */

import { setTimeout as delay } from 'node:timers/promises'
import { hasCode, VectordError } from '../lib/errors.ts'
import { foreignHolding, NOBODY, type LanceHolding } from './lance-holding.ts'
import type { LanceIndex } from './lance-index.ts'

/** Between two looks: how late a follower is, and how soon it takes over beyond the lease. */
const LOOK_MS = 5000
const RETRY_MS_MIN = 500

export interface LanceRunnerOptions {
  readonly index: LanceIndex
  /** Claims the writing of the table. @param onLost of the claim. @throws `not_owner`, … */
  readonly claim: (onLost: (reason: VectordError) => void) => Promise<LanceHolding>
  /** Told of what keeps the index from serving. */
  readonly onTrouble: (error: VectordError) => void
}

export class LanceRunner {
  readonly backend = 'lance'
  readonly index: LanceIndex
  readonly #options: LanceRunnerOptions
  readonly #closing = new AbortController()
  readonly #settled = Promise.withResolvers<null>()
  #holding: LanceHolding = NOBODY
  #running: Promise<void> = Promise.resolve()

  constructor(options: LanceRunnerOptions) {
    this.index = options.index
    this.#options = options
  }

  start(): void {
    this.#running = this.#run()
  }

  /** Resolves when the index serves for the first time, or is known not to. */
  get settled(): Promise<null> {
    return this.#settled.promise
  }

  /** Ends its writes, and gives its writing back: there is nothing to save. Idempotent. */
  async close(_how?: { readonly checkpoint: boolean }): Promise<void> {
    this.#closing.abort()
    await this.#running
  }

  async #run(): Promise<void> {
    const { signal } = this.#closing
    let waitMs = RETRY_MS_MIN
    while (!signal.aborted) {
      try {
        await this.#look()
        waitMs = LOOK_MS
      } catch (error) {
        const trouble = asVectordError(error)
        this.index.failed(trouble)
        this.#options.onTrouble(trouble)
        waitMs = Math.min(LOOK_MS, 2 * waitMs)
      }
      this.#settled.resolve(null)
      await delay(waitMs, undefined, { signal }).catch(() => undefined)
    }
    // Before the lease goes: what is committed later would be beside the next owner.
    await this.index.endWrites()
    await this.#holding.release()
    this.#hold(NOBODY)
  }

  async #look(): Promise<void> {
    if (this.#holding.role !== 'owner') await this.#claim()
    await this.index.look()
  }

  async #claim(): Promise<void> {
    const onLost = (reason: VectordError): void => {
      this.#hold(foreignHolding(reason))
      this.#options.onTrouble(reason)
    }
    try {
      this.#hold(await this.#options.claim(onLost))
    } catch (error) {
      if (!hasCode(error, 'not_owner')) throw error
      this.#hold(foreignHolding(error))
    }
  }

  #hold(holding: LanceHolding): void {
    this.#holding = holding
    this.index.hold(holding)
  }
}

function asVectordError(error: unknown): VectordError {
  if (error instanceof VectordError) return error
  return new VectordError('internal', 'The Lance index could not be looked at.', { cause: error })
}
