/**
 * What the drop worker does with old checkpoints and old log of an index, and when it is asked to.
 *
 *     checkpoint written ─▶ request: all but the newest few checkpoints, the log that they do not need
 *     index begins to be served and owned ─▶ the same: what a crash left is found by its turn
 *
 * The requests are wishes; `IndexStorage` knows what must stay. Only the owner of an index drops, and
 * never beside a checkpoint of it: parts that are being written are named by no manifest yet.
 */

import { hasCode } from '../lib/errors.ts'
import type { DropHandler, DropWork } from '../versions/drop-work.ts'
import type { DropWorker } from '../versions/drop-worker.ts'
import type { IndexInfo } from './index-api.ts'
import type { IndexStorage } from './index-storage.ts'
import type { ServedIndex } from './served-index.ts'

/** Finds an index of this server; null where there is none. */
export type FindIndex = (index: string) => ServedIndex | null

export class CheckpointDrops implements DropHandler {
  readonly #find: FindIndex

  constructor(find: FindIndex) {
    this.#find = find
  }

  drop(work: DropWork): Promise<void> {
    return whileOwned(this.#find(work.key), (storage) => storage.dropCheckpoints(work))
  }
}

export class LogDrops implements DropHandler {
  readonly #find: FindIndex

  constructor(find: FindIndex) {
    this.#find = find
  }

  drop(work: DropWork): Promise<void> {
    return whileOwned(this.#find(work.key), async (storage) => {
      await work.turn()
      await storage.dropLog(work.before(), (bytes) => {
        work.deleted(bytes)
      })
    })
  }
}

/** Kept versions of points beyond the setting of an index, in its cores. */
export class PointVersionDrops implements DropHandler {
  readonly #find: FindIndex

  constructor(find: FindIndex) {
    this.#find = find
  }

  async drop(work: DropWork): Promise<void> {
    const index = this.#find(work.key)
    if (index === null) return
    await work.turn()
    try {
      const { versions, bytes } = await index.trimVersions(index.meta.keepLastVersions)
      for (let n = 0; n < versions; n += 1) work.deleted(n === 0 ? bytes : 0)
    } catch (error) {
      // Shards that are not ready are told when they are: see `IndexRunner`.
      if (!hasCode(error, 'index_loading', 'index_unavailable', 'core_unavailable')) throw error
    }
  }
}

/** Cached graphs, of an index that this server writes: nobody else builds for it. */
export class GraphDrops implements DropHandler {
  readonly #find: FindIndex
  readonly #cache: DropHandler

  constructor(find: FindIndex, cache: DropHandler) {
    this.#find = find
    this.#cache = cache
  }

  async drop(work: DropWork): Promise<void> {
    if (this.#find(work.key)?.info.role === 'owner') await this.#cache.drop(work)
  }
}

/** Asks for what a checkpoint has made old. Resolves when that is taken in. */
export async function requestDrops(
  worker: Pick<DropWorker, 'send'>,
  { name, lsn, checkpointLsn }: Pick<IndexInfo, 'name' | 'lsn' | 'checkpointLsn'>,
  checkpointsKept: number,
): Promise<void> {
  await worker.send({
    ...{ kind: 'checkpoints', key: name },
    ...{ keepLastVersions: checkpointsKept, commitVersion: checkpointLsn },
  })
  await worker.send({
    ...{ kind: 'log_segments', key: name },
    ...{ upToVersion: checkpointLsn + 1, commitVersion: lsn },
  })
}

/** Requests the sweep of each index once it serves and is ours; again when it was opened anew. */
export class IndexSweeps {
  readonly #request: (info: IndexInfo) => Promise<void>
  /** The storage that each index had when it was swept. */
  readonly #swept = new WeakSet<IndexStorage>()

  constructor(request: (info: IndexInfo) => Promise<void>) {
    this.#request = request
  }

  /** To be called now and then. */
  async look(indexes: readonly ServedIndex[]): Promise<void> {
    for (const index of indexes) {
      const { info } = index
      const storage = info.state === 'ready' && info.role === 'owner' ? index.storage : null
      if (storage === null || this.#swept.has(storage)) continue
      this.#swept.add(storage)
      await this.#request(info)
    }
  }
}

/** Nothing where the index is gone or another server's: who has it then sweeps it. */
async function whileOwned(
  index: ServedIndex | null,
  work: (storage: IndexStorage) => Promise<void>,
): Promise<void> {
  try {
    await index?.checkpoints.between(work)
  } catch (error) {
    if (!hasCode(error, 'not_owner', 'log_fenced', 'index_not_found')) throw error
  }
}
