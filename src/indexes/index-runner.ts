/**
 * Keeps one index in service: opens it, notices that it was lost, opens it again.
 *
 *     open storage ─▶ attach shards ─▶ serve ─▶ (ownership lost | fell behind | closed) ─▶ close
 *          ▲───────────── wait, longer after each failure ◀────────────────────╯
 *
 * What keeps an index from opening is what its requests are told meanwhile. A checkpoint that turns
 * out damaged is given up for an older one from which the log still leads to the present. The shards
 * of an index that was lost stand in for reads until those of the next opening are loaded.
 */

import { setTimeout as delay } from 'node:timers/promises'
import { hasCode, VectordError } from '../lib/errors.ts'
import { invariant } from '../lib/invariant.ts'
import { AttachedShards } from './attached-shards.ts'
import type { IndexStorage } from './index-storage.ts'
import { notOwner } from './index-owner.ts'
import type { ServedIndex } from './served-index.ts'
import type { ShardClient } from './shard-client.ts'

const RETRY_MS_MIN = 500
const RETRY_MS_MAX = 30_000

export interface IndexRunnerOptions {
  readonly index: ServedIndex
  /** Opens log and checkpoints for writing. @throws `not_owner`, `log_corrupt`, … */
  readonly openStorage: () => Promise<IndexStorage>
  /** Places every shard on a core; they load from `storage` as it is when they ask. */
  readonly attach: (storage: IndexStorage) => Promise<readonly ShardClient[]>
  /** Tells a shard where the objects of the index are now. */
  readonly rehome: (shard: ShardClient) => Promise<void>
  /** Told of what keeps the index from serving. */
  readonly onTrouble: (error: VectordError) => void
}

export class IndexRunner {
  readonly backend = 'hnsw'
  readonly index: ServedIndex
  readonly #options: IndexRunnerOptions
  readonly #closing = new AbortController()
  readonly #settled = Promise.withResolvers<null>()
  #running: Promise<void> = Promise.resolve()
  /** What serves now. */
  #storage: IndexStorage | null = null
  /** Shards of an earlier opening that still answer reads. */
  #standing: AttachedShards | null = null

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
    const { state, role } = this.index.info
    if (checkpoint && state === 'ready' && role === 'owner') {
      // What is not in a checkpoint is in the log: a failure costs time at the next start only.
      await this.index.checkpoint('always').catch((error: unknown) => {
        this.#options.onTrouble(asVectordError(error))
      })
    }
    this.#closing.abort()
    await this.#running
  }

  /**
   * Goes on in the bucket that the meta names now, beneath the shards as they are; nothing may be
   * written meanwhile. Where that fails, the index is opened there anew, and what stands answers
   * reads until then.
   */
  async rehome(): Promise<void> {
    const storage = this.#storage
    // What does not serve opens in the right place by itself.
    if (storage === null) return
    try {
      await this.#rehome(storage)
    } catch (error) {
      storage.lose(asVectordError(error))
      // Before its old bucket is cleared: closing it gives a lease back there.
      await storage.close()
    }
  }

  async #rehome(storage: IndexStorage): Promise<void> {
    const { openStorage, rehome } = this.#options
    const opened = await openStorage()
    try {
      const { role, owner } = opened.holding
      if (role !== 'owner') throw notOwner(this.index.meta.name, owner)
      const isSame = opened.log.lastLsn === storage.log.lastLsn
      invariant(isSame && opened.checkpointLsn === opened.log.lastLsn, 'the copy holds all')
      await Promise.all(this.index.ownShards().map(rehome))
    } catch (error) {
      await opened.close()
      throw error
    }
    await storage.become(opened)
  }

  async #run(): Promise<void> {
    const { signal } = this.#closing
    for (let waitMs = RETRY_MS_MIN; !signal.aborted; waitMs = Math.min(RETRY_MS_MAX, 2 * waitMs)) {
      try {
        const storage = await this.#options.openStorage()
        this.#storage = storage
        try {
          await this.#serve(storage)
        } finally {
          this.#storage = null
          await storage.close()
        }
        waitMs = RETRY_MS_MIN
      } catch (error) {
        await this.#failed(asVectordError(error))
      }
      await delay(waitMs, undefined, { signal }).catch(() => undefined)
    }
    await this.#standDown()
    this.index.withdraw(new VectordError('shutting_down', 'The index was taken out of service.'))
  }

  /** Serves until the index is lost or closed. */
  async #serve(storage: IndexStorage): Promise<void> {
    while (!this.#closing.signal.aborted) {
      const shards = await this.#options.attach(storage)
      const attached = new AttachedShards(shards, () => {
        this.#changed()
      })
      try {
        const reason = await this.#serveWith(storage, attached)
        if (reason === 'closed') return
        if (reason instanceof VectordError) {
          this.#lost(reason, attached)
          return
        }
        await this.#recover(storage, attached)
      } finally {
        if (this.#standing !== attached) await attached.detach()
      }
    }
  }

  /** @returns why these shards serve no longer. */
  async #serveWith(
    storage: IndexStorage,
    attached: AttachedShards,
  ): Promise<VectordError | 'closed' | 'damaged'> {
    const end = Promise.race([storage.lost, this.#closed(), attached.damaged])
    if (this.#standing !== null) {
      const early = await Promise.race([end, attached.loaded])
      if (early !== null) return early
    }
    this.index.serve(storage, attached.shards)
    await this.#standDown()
    this.#changed()
    const following = storage.follow(this.index)
    try {
      return await end
    } finally {
      await following.close()
    }
  }

  /** Returns where there is another checkpoint to load. */
  async #recover(storage: IndexStorage, { fault, shards }: AttachedShards): Promise<void> {
    if (await storage.recover()) return
    // What the owner of the index has now may be whole.
    if (storage.holding.role === 'follower' && fault !== null) throw fault
    // Nothing older to go on from: the shards keep telling what is wrong, and try again.
    this.index.serve(storage, shards)
    await this.#standDown()
    await Promise.race([storage.lost, this.#closed()])
  }

  /** Lets shards that still answer stand in until the index is open again. */
  #lost(reason: VectordError, attached: AttachedShards): void {
    const isReady = this.index.info.state === 'ready'
    if (!isReady) throw reason
    this.#standing ??= attached
    this.#options.onTrouble(reason)
  }

  async #failed(trouble: VectordError): Promise<void> {
    const mayPass = hasCode(trouble, 'bucket_unreachable', 'not_owner', 'object_not_found')
    if (this.#standing === null || !mayPass) {
      await this.#standDown()
      this.index.withdraw(trouble)
    }
    this.#settled.resolve(null)
    this.#options.onTrouble(trouble)
  }

  async #standDown(): Promise<void> {
    const standing = this.#standing
    this.#standing = null
    await standing?.detach()
  }

  #changed(): void {
    this.index.caughtUp()
    this.index.alignRetention().catch((error: unknown) => {
      this.#options.onTrouble(asVectordError(error))
    })
    if (this.index.info.state !== 'loading') this.#settled.resolve(null)
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
