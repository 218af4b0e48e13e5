/**
 * Keeps one index in service: opens it, notices that it was lost, opens it again.
 *
 *     open storage ─▶ attach shards ─▶ serve ─▶ (ownership lost | closed) ─▶ detach, close
 *          ▲───────────── wait, longer after each failure ◀────────────────────╯
 *
 * What keeps an index from opening is what its requests are told meanwhile. A checkpoint that turns
 * out damaged is given up for an older one from which the log still leads to the present.
 */

import { setTimeout as delay } from 'node:timers/promises'
import { hasCode, VectordError } from '../lib/errors.ts'
import type { IndexStorage } from './index-storage.ts'
import type { ServedIndex, ShardClient } from './served-index.ts'

const RETRY_MS_MIN = 500
const RETRY_MS_MAX = 30_000

export interface IndexRunnerOptions {
  readonly index: ServedIndex
  /** Opens log and checkpoints for writing. @throws `not_owner`, `log_corrupt`, … */
  readonly openStorage: () => Promise<IndexStorage>
  /** Places every shard on a core; they load from `storage` as it is when they ask. */
  readonly attach: (storage: IndexStorage) => Promise<readonly ShardClient[]>
  /** Told of what keeps the index from serving. */
  readonly onTrouble: (error: VectordError) => void
}

export class IndexRunner {
  readonly index: ServedIndex
  readonly #options: IndexRunnerOptions
  readonly #closing = new AbortController()
  readonly #settled = Promise.withResolvers<null>()
  #running: Promise<void> = Promise.resolve()

  constructor(options: IndexRunnerOptions) {
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

  /** Makes a last checkpoint where it is asked for and possible, and ends. Idempotent. */
  async close({ checkpoint }: { readonly checkpoint: boolean }): Promise<void> {
    if (checkpoint && this.index.info.state === 'ready') {
      // What is not in a checkpoint is in the log: a failure costs time at the next start only.
      await this.index.checkpoint('always').catch((error: unknown) => {
        this.#options.onTrouble(asVectordError(error))
      })
    }
    this.#closing.abort()
    await this.#running
  }

  async #run(): Promise<void> {
    const { signal } = this.#closing
    for (let waitMs = RETRY_MS_MIN; !signal.aborted; waitMs = Math.min(RETRY_MS_MAX, 2 * waitMs)) {
      try {
        const storage = await this.#options.openStorage()
        try {
          await this.#serve(storage)
        } finally {
          await storage.close()
        }
        waitMs = RETRY_MS_MIN
      } catch (error) {
        const trouble = asVectordError(error)
        this.index.withdraw(trouble)
        this.#settled.resolve(null)
        this.#options.onTrouble(trouble)
      }
      await delay(waitMs, undefined, { signal }).catch(() => undefined)
    }
    this.index.withdraw(new VectordError('shutting_down', 'The index was taken out of service.'))
  }

  /** Serves until the index is lost or closed. */
  async #serve(storage: IndexStorage): Promise<void> {
    while (!this.#closing.signal.aborted) {
      const shards = await this.#options.attach(storage)
      this.index.serve(storage, shards)
      const changed = (): void => {
        this.index.caughtUp()
        if (this.index.info.state !== 'loading') this.#settled.resolve(null)
      }
      const stops = shards.map((shard) => shard.onStateChange(changed))
      changed()
      try {
        const reason = await this.#end(storage, shards)
        if (reason === 'closed') return
        if (reason === 'damaged' && storage.fallBack()) continue
        if (reason instanceof VectordError) throw reason
        // Nothing older to go on from: the shards keep telling what is wrong, and try again.
        await Promise.race([storage.lost, this.#closed()])
        return
      } finally {
        for (const stop of stops) stop()
        await Promise.all(shards.map((shard) => shard.detach()))
      }
    }
  }

  /** Waits for what ends the service of these shards. */
  #end(
    storage: IndexStorage,
    shards: readonly ShardClient[],
  ): Promise<VectordError | 'closed' | 'damaged'> {
    const damaged = new Promise<'damaged'>((resolve) => {
      for (const shard of shards) {
        shard.onStateChange(() => {
          if (hasCode(shard.error, 'object_corrupt', 'object_not_found')) resolve('damaged')
        })
      }
    })
    return Promise.race([storage.lost, this.#closed(), damaged])
  }

  #closed(): Promise<'closed'> {
    const { signal } = this.#closing
    return new Promise((resolve) => {
      if (signal.aborted) resolve('closed')
      signal.addEventListener('abort', () => {
        resolve('closed')
      })
    })
  }
}

function asVectordError(error: unknown): VectordError {
  if (error instanceof VectordError) return error
  return new VectordError('internal', 'The index could not be opened.', { cause: error })
}
