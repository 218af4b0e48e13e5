/**
 * Opens an index in a bucket that several servers may share: as its owner, or to follow the owner.
 */

import type { ObjectStore } from '../buckets/object-store.ts'
import type { CheckpointStore } from '../log/checkpoint-store.ts'
import { hasCode, VectordError } from '../lib/errors.ts'
import { GroupFollower } from '../log/group-follower.ts'
import type { LogStore } from '../log/log-store.ts'
import { openObjectLog } from '../log/object-log.ts'
import { IndexFollower, OwnerSeen } from './index-follower.ts'
import { IndexLease } from './index-lease.ts'
import { callOffMove, metaDocument, type IndexMeta } from './index-meta.ts'
import { indexFolder } from './index-objects.ts'
import type { IndexOwner } from './index-owner.ts'
import { IndexStorage, type IndexStorageOptions } from './index-storage.ts'
import { SharedLog } from './shared-log.ts'

/** The owner may give up what is being read, with two checkpoints in between. */
const OPEN_TRIES = 5

export interface SharedIndexOptions {
  readonly storage: Omit<IndexStorageOptions, 'log' | 'sharing' | 'release'>
  readonly incarnation: string
  /** Outlives one opening: it remembers for how long a foreign lease has stood still. */
  readonly owner: IndexOwner
  readonly groupBytesMax: number
  /** Milliseconds of a clock that never runs backwards. */
  readonly monotonicMs: () => number
  readonly pollMs?: number
}

/** @throws {VectordError} `not_owner` where the owner has put nothing there to follow yet. */
export async function openShared(options: SharedIndexOptions): Promise<IndexStorage> {
  let epoch: number
  try {
    epoch = await claim(options)
  } catch (error) {
    if (!hasCode(error, 'not_owner')) throw error
    return openFollower(options, error)
  }
  const { index, onTrouble, server } = options.storage
  const lease = new IndexLease(options.owner, onTrouble)
  try {
    const log = await openLog(options, epoch)
    const storage = await closingOnFailure(log, () =>
      IndexStorage.open({
        ...options.storage,
        log: new SharedLog(index, { role: 'owner', log }),
        sharing: {
          holding: () => ({ role: 'owner', owner: server, fault: null }),
          confirm: () => lease.confirm(),
          follow: () => ({ close: () => Promise.resolve() }),
        },
        release: () => lease.end(),
      }),
    )
    lease.start((reason) => {
      storage.lose(reason)
    })
    return storage
  } catch (error) {
    await lease.end()
    throw error
  }
}

async function openFollower(
  options: SharedIndexOptions,
  refused: VectordError,
): Promise<IndexStorage> {
  const { index, onTrouble, server, checkpoints } = options.storage
  const groups = await openGroups(options, checkpoints)
  if (groups === null) throw refused
  const log = new SharedLog(index, { role: 'follower', log: groups })
  const lease = new IndexLease(options.owner, onTrouble)
  const seen = new OwnerSeen(refused)
  const storage = await IndexStorage.open({
    ...options.storage,
    log,
    sharing: {
      holding: () =>
        log.role === 'owner'
          ? { role: 'owner', owner: server, fault: null }
          : { role: 'follower', owner: seen.owner, fault: seen.fault },
      confirm: () => lease.confirm(),
      follow: (sink) => follower.start(sink),
    },
    release: () => lease.end(),
  })
  const follower = new IndexFollower({
    ...{ log, groups, storage, seen, onTrouble },
    claim: async () => {
      const epoch = await claim(options)
      lease.start((reason) => {
        storage.lose(reason)
      })
      return epoch
    },
    release: () => lease.end(),
    openLog: (epoch) => openLog(options, epoch),
    monotonicMs: options.monotonicMs,
    ...(options.pollMs !== undefined && { pollMs: options.pollMs }),
  })
  return storage
}

/** A follower's place in the log, such that the newest checkpoint leads to it. */
async function openGroups(
  options: SharedIndexOptions,
  checkpoints: CheckpointStore,
): Promise<GroupFollower | null> {
  const { store } = options.storage
  const prefix = logPrefix(options)
  for (let tries = 1; ; tries += 1) {
    try {
      const groups = await GroupFollower.open({ store, prefix, incarnation: options.incarnation })
      if (groups === null) return null
      const newest = await checkpoints.newestLsn()
      const base = await groups.base()
      if (base <= newest) return groups
      const message = `The log starts after lsn ${base}, and the newest checkpoint is at ${newest}.`
      if (tries === OPEN_TRIES) throw new VectordError('log_corrupt', message)
    } catch (error) {
      if (!hasCode(error, 'object_not_found') || tries === OPEN_TRIES) throw error
    }
  }
}

/** @throws {VectordError} `index_not_found` where the index was deleted meanwhile; `not_owner`. */
async function claim(options: SharedIndexOptions): Promise<number> {
  const { owner, incarnation } = options
  const { store, index } = options.storage
  const epoch = await owner.claim()
  try {
    await callOffMove(store, await checkStillThere(store, { name: index, incarnation }))
  } catch (error) {
    if (hasCode(error, 'index_not_found')) await owner.release()
    throw error
  }
  return epoch
}

/**
 * The meta of an index that was claimed: its objects go when it is deleted, the claim too, and nothing
 * may be written after that.
 *
 * @throws {VectordError} `index_not_found`.
 */
export async function checkStillThere(
  store: ObjectStore,
  { name, incarnation }: Pick<IndexMeta, 'name' | 'incarnation'>,
): Promise<IndexMeta> {
  const meta = (await metaDocument(store, name).read())?.document ?? null
  const isThere = meta?.state === 'active' || meta?.state === 'restoring'
  if (isThere && meta.incarnation === incarnation) return meta
  throw new VectordError('index_not_found', `Index "${name}" was deleted by another server.`, {
    details: { index: name },
  })
}

function openLog(options: SharedIndexOptions, epoch: number): Promise<LogStore> {
  const { store, server } = options.storage
  const { incarnation, groupBytesMax } = options
  const prefix = logPrefix(options)
  return openObjectLog({ ...{ store, prefix, incarnation, epoch, groupBytesMax }, owner: server })
}

function logPrefix({ storage }: SharedIndexOptions): string {
  return `${indexFolder(storage.index)}log/`
}

/** Runs `work`, and closes the log where it fails. */
export async function closingOnFailure<T>(
  log: { close(): Promise<void> },
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work()
  } catch (error) {
    await log.close()
    throw error
  }
}
