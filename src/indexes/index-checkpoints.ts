/**
 * When the checkpoints of an index are made, one at a time, and what must not happen beside one.
 *
 *     make ─▶ turn: every shard writes its parts, then the manifest ─▶ what is old by now may go
 *
 * Drops of old checkpoints and a move to another bucket take turns with checkpoints: parts that are
 * being written are named by no manifest yet.
 */

import type { CheckpointContent, Clearance } from '../domain/checkpoint.ts'
import { KeyedMutex } from '../lib/keyed-mutex.ts'
import { COPY_VERSION } from '../versions/object-drops.ts'
import type { Pins } from '../versions/pins.ts'
import type { IndexStorage } from './index-storage.ts'
import type { ShardClient } from './shard-client.ts'
import { writeCheckpoint } from './write-checkpoint.ts'

export interface IndexDropping {
  readonly pins: Pins
  /** @param isAlone the checkpoint that was made is to be the only one. */
  readonly onCheckpoint: (isAlone: boolean) => Promise<void>
}

export interface CheckpointOptions {
  /** Writes one also where no write came since the last. Default: where the graph is always saved. */
  readonly force?: boolean
}

export interface Checkpointed {
  /** What it holds. */
  readonly lsn: number
  /** False where the last one holds everything. */
  readonly written: boolean
}

/** A checkpoint that nobody drops before it is let go. */
export interface HeldCheckpoint {
  /** Null where nothing was ever written. */
  readonly content: CheckpointContent | null
  readonly release: () => void
}

type MakeCheckpoint = (graph: 'always' | 'if_worth', force: boolean) => Promise<Checkpointed>

export interface IndexCheckpointsOptions {
  readonly index: string
  readonly nowMs: () => number
  readonly drops: IndexDropping | undefined
  /** @throws what keeps the index from serving, `not_owner`. */
  readonly owned: () => IndexStorage
  /** What it stands on now, in service or not. */
  readonly held: () => IndexStorage | null
  readonly shards: () => readonly ShardClient[]
}

export class IndexCheckpoints {
  readonly #options: IndexCheckpointsOptions
  readonly #turns = new KeyedMutex()
  #clearedMs: number | null = null

  constructor(options: IndexCheckpointsOptions) {
    this.#options = options
  }

  /** When the last one without dead rows was made by this process. */
  get clearedMs(): number | null {
    return this.#clearedMs
  }

  async make(
    graph: 'always' | 'if_worth' = 'if_worth',
    { force = graph === 'always' }: CheckpointOptions = {},
  ): Promise<Checkpointed> {
    const made = await this.#turns.run('', () => this.#make(graph, force))
    // Outside the turn: it may wait for drops that wait for their turn here.
    if (made.written) await this.#options.drops?.onCheckpoint(false)
    return made
  }

  /** One without dead rows and without what `clearance` names; the only one afterwards. */
  async clear(clearance: Clearance): Promise<void> {
    const { shards, drops, nowMs } = this.#options
    const wish = { graph: 'if_worth', clearance } as const
    await this.between((storage) => writeCheckpoint(storage, shards(), wish))
    await drops?.onCheckpoint(true)
    this.#clearedMs = nowMs()
  }

  /** Keeps the newest in the bucket until it is let go; what was adopted too. */
  pin(): () => void {
    const { index, held, drops } = this.#options
    return drops?.pins.pinReader(index, held()?.checkpointLsn ?? 0) ?? (() => undefined)
  }

  /**
   * One of everything that was written so far, for whoever reads its parts. It stays where it lies,
   * also while the index moves to another bucket.
   *
   * @throws {VectordError} as `between`, and what making it fails with.
   */
  async hold(graph: 'always' | 'if_worth'): Promise<HeldCheckpoint> {
    await this.make(graph, { force: false })
    const { index, owned, drops } = this.#options
    const content = owned().checkpoint
    const kept = this.pin()
    const copy = { kind: 'moved_copies', key: index, version: COPY_VERSION } as const
    const left = drops?.pins.pin(copy)
    const release = (): void => {
      kept()
      left?.()
    }
    return { content, release }
  }

  /** Runs `work` while none is made. @throws what keeps the index from serving, `not_owner`. */
  between<T>(work: (storage: IndexStorage) => Promise<T>): Promise<T> {
    return this.#turns.run('', async () => work(this.#options.owned()))
  }

  /**
   * Runs what a shard does one after the other with checkpoints. Where it had that of one shard wait
   * and not that of another, the checkpoint would hold writes of the one that the other lacks.
   */
  apart<T>(work: () => Promise<T>): Promise<T> {
    return this.#turns.run('', work)
  }

  /** Runs `work` while none is made but those that it makes itself. */
  alone<T>(work: (make: MakeCheckpoint) => Promise<T>): Promise<T> {
    return this.#turns.run('', () => work((graph, force) => this.#make(graph, force)))
  }

  async #make(graph: 'always' | 'if_worth', force: boolean): Promise<Checkpointed> {
    const { owned, shards } = this.#options
    const storage = owned()
    if (storage.log.lastLsn === storage.checkpointLsn && !force) {
      return { lsn: storage.checkpointLsn, written: false }
    }
    return { lsn: await writeCheckpoint(storage, shards(), { graph }), written: true }
  }
}
