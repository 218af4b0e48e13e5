/**
 * The shards of one opening of an index, and what becomes of them.
 */

import { hasCode, type VectordError } from '../lib/errors.ts'
import type { ShardClient } from './shard-client.ts'

export class AttachedShards {
  readonly shards: readonly ShardClient[]
  /** Resolves when parts of the checkpoint turn out damaged or gone. */
  readonly damaged: Promise<'damaged'>
  /** Resolves when no shard is loading any more: with null where it may be served as it is. */
  readonly loaded: Promise<'damaged' | null>
  readonly #stops: readonly (() => void)[]

  /** @param onChange is called after each change of the state of a shard. */
  constructor(shards: readonly ShardClient[], onChange: () => void) {
    this.shards = shards
    const damaged = Promise.withResolvers<'damaged'>()
    const loaded = Promise.withResolvers<'damaged' | null>()
    this.damaged = damaged.promise
    this.loaded = loaded.promise
    const look = (): void => {
      const isDamaged = this.fault !== null
      if (isDamaged) damaged.resolve('damaged')
      if (shards.some(({ state }) => state === 'loading')) return
      loaded.resolve(isDamaged ? 'damaged' : null)
    }
    this.#stops = shards.map((shard) =>
      shard.onStateChange(() => {
        look()
        onChange()
      }),
    )
    look()
  }

  /** What is damaged or gone, or null. */
  get fault(): VectordError | null {
    for (const { error } of this.shards) {
      if (hasCode(error, 'object_corrupt', 'object_not_found')) return error
    }
    return null
  }

  async detach(): Promise<void> {
    for (const stop of this.#stops) stop()
    await Promise.all(this.shards.map((shard) => shard.detach()))
  }
}
