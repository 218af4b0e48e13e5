/**
 * How an index of this server is opened: its log by the kind of its bucket, its shards on cores.
 */

import { join } from 'node:path'
import type { ObjectStore } from '../buckets/object-store.ts'
import type { ShardSource } from '../dataplane/shard-source.ts'
import type { HnswConfig } from '../domain/hnsw-config.ts'
import type { BucketSpec, ShardSpec } from '../domain/shard-spec.ts'
import { hasCode } from '../lib/errors.ts'
import { invariant } from '../lib/invariant.ts'
import { CheckpointStore } from '../log/checkpoint-store.ts'
import type { LogStore } from '../log/log-store.ts'
import { openObjectLog } from '../log/object-log.ts'
import { openSegmentLog } from '../log/segment-log.ts'
import type { EffectiveConfig } from './index-api.ts'
import { callOffMove, type IndexMeta } from './index-meta.ts'
import { indexFolder } from './index-objects.ts'
import { IndexOwner } from './index-owner.ts'
import { IndexRunner } from './index-runner.ts'
import { IndexStorage } from './index-storage.ts'
import type { MemoryQuota } from './memory-quota.ts'
import { closingOnFailure, openShared } from './open-shared.ts'
import type { IndexDropping } from './index-checkpoints.ts'
import { ServedIndex } from './served-index.ts'
import type { ShardClient } from './shard-client.ts'

export interface OpenIndexOptions {
  readonly dataplane: { attach(source: ShardSource): Promise<ShardClient> }
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
  /** Older generations whose graphs stay in the bucket. */
  readonly generationsKept: number
  readonly checkpointsKept: number
  /** What is dropped of an index, and not while readers have it open. */
  readonly drops: { ofIndex(index: () => ServedIndex): IndexDropping }
  readonly segmentBytesMax: number
  readonly groupBytesMax: number
  /** What was promoted for an index; null where its settings hold. Asked before it is opened. */
  readonly promoted: (index: string) => Promise<EffectiveConfig | null>
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
  const index: ServedIndex = new ServedIndex({
    ...{ meta, revision, nowMs, memory },
    drops: options.drops.ofIndex(() => index),
    deltaPointsMax: deltaPointsMax * meta.shards,
    specs: (storage) =>
      shardSpecs(storage, options, { meta: index.meta, hnsw: index.steering.config.hnsw }),
  })
  const owners = new Owners(options, meta.name)
  return new IndexRunner({
    index,
    openStorage: async () => {
      index.steering.usePromoted(await options.promoted(meta.name))
      // The home of an index may change, and with it everything that is opened.
      return openStorage(options, index.meta, owners)
    },
    attach: async (storage) => {
      memory.load(storage.checkpoint, storage.log.lastLsn)
      return attachAll(dataplane, storage, index)
    },
    rehome: (shard) => rehomeShard(shard, options.bucket(index.meta.bucket).spec),
    onTrouble: (error) => {
      onTrouble(error, `serve index "${meta.name}"`)
    },
  })
}

/** Remembers how long a foreign lease has stood still, from one attempt to open to the next. */
class Owners {
  readonly #options: Pick<OpenIndexOptions, 'serverId'>
  readonly #index: string
  #last: { readonly store: ObjectStore; readonly owner: IndexOwner } | null = null

  constructor(options: Pick<OpenIndexOptions, 'serverId'>, index: string) {
    this.#options = options
    this.#index = index
  }

  of(store: ObjectStore): IndexOwner {
    if (this.#last?.store === store) return this.#last.owner
    const owner = ownerOf(this.#options, this.#index, store)
    this.#last = { store, owner }
    return owner
  }
}

function ownerOf(
  { serverId }: Pick<OpenIndexOptions, 'serverId'>,
  index: string,
  store: ObjectStore,
): IndexOwner {
  return new IndexOwner({ store, index, server: serverId, monotonicMs: () => performance.now() })
}

/**
 * Makes the log of an index that is on its way to another bucket: it goes on after `baseLsn`, and
 * where servers share the bucket this one is the first to claim it.
 */
export async function beginLog(
  options: Pick<
    OpenIndexOptions,
    'bucket' | 'lockFolder' | 'serverId' | 'segmentBytesMax' | 'groupBytesMax'
  >,
  { name, incarnation, bucket }: IndexMeta,
  baseLsn: number,
): Promise<void> {
  const { store, spec } = options.bucket(bucket)
  const { segmentBytesMax, groupBytesMax, serverId } = options
  let log: LogStore
  if (spec.backend === 'local') {
    await options.lockFolder(spec.root)
    const folder = join(spec.root, indexFolder(name), 'log')
    log = await openSegmentLog({ folder, incarnation, segmentBytesMax, groupBytesMax, baseLsn })
  } else {
    const prefix = `${indexFolder(name)}log/`
    const epoch = await ownerOf(options, name, store).claim()
    log = await openObjectLog({
      ...{ store, prefix, incarnation, groupBytesMax, baseLsn },
      ...{ epoch, owner: serverId },
    })
  }
  await log.close()
}

/** A shard that loads knows one bucket or the other until it is ready. */
async function rehomeShard(shard: ShardClient, bucket: BucketSpec): Promise<void> {
  for (;;) {
    await shard.whenReady()
    try {
      await shard.rehome(bucket)
      return
    } catch (error) {
      if (!hasCode(error, 'core_unavailable', 'index_loading')) throw error
    }
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
    ...{ index: meta.name, server: options.serverId },
    ...{ store, checkpoints },
    keep: options.checkpointsKept,
    onTrouble: options.onTrouble,
  }
  const { incarnation } = meta
  const { segmentBytesMax, groupBytesMax } = options
  if (spec.backend !== 'local') {
    return openShared({
      ...{ storage: common, owner: owners.of(store), incarnation, groupBytesMax },
      monotonicMs: () => performance.now(),
    })
  }
  await options.lockFolder(spec.root)
  await callOffMove(store, meta)
  const folder = join(spec.root, indexFolder(meta.name), 'log')
  const log = await openSegmentLog({ folder, incarnation, segmentBytesMax, groupBytesMax })
  return closingOnFailure(log, () =>
    IndexStorage.open({ ...common, log, release: () => Promise.resolve() }),
  )
}

function attachAll(
  dataplane: OpenIndexOptions['dataplane'],
  storage: IndexStorage,
  index: ServedIndex,
): Promise<readonly ShardClient[]> {
  const numbers = Array.from({ length: index.meta.shards }, (_, shard) => shard)
  return Promise.all(
    numbers.map((shard) =>
      dataplane.attach(shardSource(storage, () => index.specsOf(storage), shard)),
    ),
  )
}

function shardSource(
  storage: IndexStorage,
  specs: () => readonly ShardSpec[],
  shard: number,
): ShardSource {
  return {
    spec: () => {
      const spec = specs()[shard]
      invariant(spec !== undefined, 'an index has a spec for each shard')
      return Promise.resolve(spec)
    },
    replay: (afterLsn) => storage.log.read(afterLsn),
    lastLsn: () => storage.log.lastLsn,
  }
}

function shardSpecs(
  { checkpoint }: IndexStorage,
  options: OpenIndexOptions,
  { meta, hnsw }: { readonly meta: IndexMeta; readonly hnsw: HnswConfig },
): ShardSpec[] {
  return Array.from({ length: meta.shards }, (_, shard) => {
    const isOwn = (of: { readonly shard: number }): boolean => of.shard === shard
    return {
      index: meta.name,
      incarnation: meta.incarnation,
      ...{ shard, shards: meta.shards },
      ...{ dimension: meta.dimension, metric: meta.metric, hnsw },
      bucket: options.bucket(meta.bucket).spec,
      flatRowsMax: options.flatRowsMax,
      generationsKept: options.generationsKept,
      keepLastVersions: meta.keepLastVersions,
      scratch: join(options.scratch, `${meta.name}-${meta.incarnation}-${shard}`),
      checkpoint: checkpoint && {
        lsn: checkpoint.lsn,
        parts: checkpoint.parts.filter(isOwn),
        graphs: checkpoint.graphs.filter(isOwn),
        retention: checkpoint.retention.filter(isOwn),
      },
    }
  })
}
