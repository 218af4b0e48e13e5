/**
 * How an index of this server is opened: its log by the kind of its bucket, its shards on cores.
 */

import { join } from 'node:path'
import type { ObjectStore } from '../buckets/object-store.ts'
import type { Dataplane } from '../dataplane/dataplane.ts'
import type { RemoteShard } from '../dataplane/remote-shard.ts'
import type { ShardSource } from '../dataplane/shard-source.ts'
import type { BucketSpec, ShardSpec } from '../domain/shard-spec.ts'
import { hasCode, VectordError } from '../lib/errors.ts'
import { CheckpointStore } from '../log/checkpoint-store.ts'
import { openObjectLog } from '../log/object-log.ts'
import { openSegmentLog } from '../log/segment-log.ts'
import type { IndexMeta } from './index-meta.ts'
import { indexFolder } from './index-objects.ts'
import { IndexOwner, LEASE_MS } from './index-owner.ts'
import { IndexRunner } from './index-runner.ts'
import { IndexStorage } from './index-storage.ts'
import type { MemoryQuota } from './memory-quota.ts'
import { ServedIndex } from './served-index.ts'

export interface OpenIndexOptions {
  readonly dataplane: Dataplane
  /** A bucket as this process reaches it, and as a core can. */
  readonly bucket: (name: string) => { readonly store: ObjectStore; readonly spec: BucketSpec }
  /** Keeps other servers out of a local bucket; resolves at once where this one holds it. */
  readonly lockFolder: (root: string) => Promise<void>
  /** Of this server: kept with its storage root. */
  readonly serverId: string
  /** A local folder for temporary files of cores. */
  readonly scratch: string
  readonly deltaPointsMax: number
  /** Of the whole service. */
  readonly memory: MemoryQuota
  /** Up to so many rows a shard has no graph. */
  readonly flatRowsMax: number
  readonly checkpointsKept: number
  readonly segmentBytesMax: number
  readonly groupBytesMax: number
  readonly nowMs: () => number
  readonly onTrouble: (error: unknown, what: string) => void
}

/** What serves the index that `meta` describes; not started yet. */
export function makeRunner(
  options: OpenIndexOptions,
  meta: IndexMeta,
  revision: number,
): IndexRunner {
  const { nowMs, deltaPointsMax, onTrouble, dataplane } = options
  const memory = options.memory.open(meta, () => index.info.stats)
  const index = new ServedIndex({
    ...{ meta, revision, nowMs, memory },
    deltaPointsMax: deltaPointsMax * meta.shards,
  })
  const owners = new Owners(options, meta)
  return new IndexRunner({
    index,
    openStorage: () => openStorage(options, meta, owners),
    attach: async (storage) => {
      memory.load(storage.checkpoint, storage.log.lastLsn)
      return attachAll(dataplane, storage, options, meta)
    },
    onTrouble: (error) => {
      onTrouble(error, `serve index "${meta.name}"`)
    },
  })
}

/** Remembers how long a foreign lease has stood still, from one attempt to open to the next. */
class Owners {
  readonly #options: OpenIndexOptions
  readonly #meta: IndexMeta
  #owner: IndexOwner | null = null

  constructor(options: OpenIndexOptions, meta: IndexMeta) {
    this.#options = options
    this.#meta = meta
  }

  of(store: ObjectStore): IndexOwner {
    this.#owner ??= new IndexOwner({
      store,
      index: this.#meta.name,
      server: this.#options.serverId,
      monotonicMs: () => performance.now(),
    })
    return this.#owner
  }
}

async function openStorage(
  options: OpenIndexOptions,
  meta: IndexMeta,
  owners: Owners,
): Promise<IndexStorage> {
  const { store, spec } = options.bucket(meta.bucket)
  const checkpoints = new CheckpointStore({
    store,
    index: meta.name,
    incarnation: meta.incarnation,
    nowMs: options.nowMs,
  })
  const common = {
    index: meta.name,
    ...{ store, checkpoints },
    keep: options.checkpointsKept,
    onTrouble: options.onTrouble,
  }
  if (spec.backend === 'local') {
    await options.lockFolder(spec.root)
    const log = await openSegmentLog({
      folder: join(spec.root, indexFolder(meta.name), 'log'),
      incarnation: meta.incarnation,
      segmentBytesMax: options.segmentBytesMax,
      groupBytesMax: options.groupBytesMax,
    })
    return closingOnFailure(log, () =>
      IndexStorage.open({ ...common, log, release: () => Promise.resolve() }),
    )
  }
  const owner = owners.of(store)
  const epoch = await owner.claim()
  const log = await openObjectLog({
    store,
    prefix: `${indexFolder(meta.name)}log/`,
    incarnation: meta.incarnation,
    owner: options.serverId,
    epoch,
    groupBytesMax: options.groupBytesMax,
  })
  const lease = new Lease(owner, options.onTrouble)
  const storage = await closingOnFailure(log, () =>
    IndexStorage.open({ ...common, log, release: () => lease.end() }),
  )
  lease.start((reason) => {
    storage.lose(reason)
  })
  return storage
}

/** Renews what was claimed until it is lost or ended. */
class Lease {
  readonly #owner: IndexOwner
  readonly #onTrouble: OpenIndexOptions['onTrouble']
  #timer: NodeJS.Timeout | null = null
  #renewing: Promise<void> = Promise.resolve()

  constructor(owner: IndexOwner, onTrouble: OpenIndexOptions['onTrouble']) {
    this.#owner = owner
    this.#onTrouble = onTrouble
  }

  start(onLost: (reason: VectordError) => void): void {
    this.#timer = setInterval(() => {
      this.#renewing = this.#owner.renew().catch((error: unknown) => {
        // A bucket that is down loses nothing yet: the log is what keeps a late writer out.
        if (hasCode(error, 'not_owner')) onLost(error)
        else this.#onTrouble(error, 'renew the lease of an index')
      })
    }, LEASE_MS / 3)
    this.#timer.unref()
  }

  async end(): Promise<void> {
    if (this.#timer !== null) clearInterval(this.#timer)
    await this.#renewing
    await this.#owner.release()
  }
}

async function closingOnFailure<T>(
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

function attachAll(
  dataplane: Dataplane,
  storage: IndexStorage,
  options: OpenIndexOptions,
  meta: IndexMeta,
): Promise<readonly RemoteShard[]> {
  const numbers = Array.from({ length: meta.shards }, (_, shard) => shard)
  return Promise.all(
    numbers.map((shard) => dataplane.attach(shardSource(storage, options, meta, shard))),
  )
}

function shardSource(
  storage: IndexStorage,
  options: OpenIndexOptions,
  meta: IndexMeta,
  shard: number,
): ShardSource {
  return {
    spec: () => Promise.resolve(shardSpec(storage, options, meta, shard)),
    replay: (afterLsn) => storage.log.read(afterLsn),
    lastLsn: () => storage.log.lastLsn,
  }
}

function shardSpec(
  storage: IndexStorage,
  options: OpenIndexOptions,
  meta: IndexMeta,
  shard: number,
): ShardSpec {
  const { checkpoint } = storage
  const isOwn = (of: { readonly shard: number }): boolean => of.shard === shard
  return {
    index: meta.name,
    incarnation: meta.incarnation,
    ...{ shard, shards: meta.shards },
    ...{ dimension: meta.dimension, metric: meta.metric, hnsw: meta.hnsw },
    bucket: options.bucket(meta.bucket).spec,
    flatRowsMax: options.flatRowsMax,
    scratch: join(options.scratch, `${meta.name}-${meta.incarnation}-${shard}`),
    checkpoint:
      checkpoint === null
        ? null
        : {
            lsn: checkpoint.lsn,
            parts: checkpoint.parts.filter(isOwn),
            graphs: checkpoint.graphs.filter(isOwn),
          },
  }
}
