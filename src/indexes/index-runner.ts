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
import type { Dataplane } from '../dataplane/dataplane.ts'
import type { RemoteShard } from '../dataplane/remote-shard.ts'
import type { ShardSource } from '../dataplane/shard-source.ts'
import { hasCode, VectordError } from '../lib/errors.ts'
import type { IndexStorage } from './index-storage.ts'
import type { ServedIndex } from './served-index.ts'

const RETRY_MS_MIN = 500
const RETRY_MS_MAX = 30_000

export interface IndexRunnerOptions {
  readonly index: ServedIndex
  readonly dataplane: Dataplane
  readonly openStorage: () => Promise<IndexStorage>
  /** What a core must know to open shard `shard` from `storage` as it is now. */
  readonly shardSource: (storage: IndexStorage, shard: number) => ShardSource
  /** Told of what keeps the index from serving. */
  readonly onTrouble: (error: VectordError) => void
}

export class IndexRunner {
  readonly index: ServedIndex
  readonly #options: IndexRunnerOptions
  readonly #closing = new AbortController()
  #running: Promise<void> = Promise.resolve()
  #storage: IndexStorage | null = null
  #shards: readonly RemoteShard[] = []

  constructor(options: IndexRunnerOptions) {
    this.index = options.index
    this.#options = options
  }

  start(): void {
    this.#running = this.#run()
  }

  /** Makes a last checkpoint where it can, and ends. */
  async close({ checkpoint }: { readonly checkpoint: boolean }): Promise<void> {
    if (checkpoint && this.index.info.state === 'ready') {
      await this.index.checkpoint('always').catch((error: unknown) => {
        this.#options.onTrouble(asVectordError(error))
      })
    }
    this.#closing.abort()
    await this.#running
  }

  async #run(): Promise<void> {
    let waitMs = RETRY_MS_MIN
    while (!this.#closing.signal.aborted) {
      try {
        await this.#serveOnce(() => {
          waitMs = RETRY_MS_MIN
        })
      } catch (error) {
        const trouble = asVectordError(error)
        this.index.withdraw(trouble)
        this.#options.onTrouble(trouble)
      }
      if (this.#closing.signal.aborted) return
      await delay(waitMs, undefined, { signal: this.#closing.signal }).catch(() => undefined)
      waitMs = Math.min(RETRY_MS_MAX, 2 * waitMs)
    }
  }
}
