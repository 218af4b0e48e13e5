/**
 * The parts that every request needs: buckets, cores, builders, indexes. Built once, in this order.
 */

import { randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { availableParallelism, totalmem } from 'node:os'
import { join } from 'node:path'
import type { Logger } from 'pino'
import manifest from '../package.json' with { type: 'json' }
import type { BucketLocation } from './buckets/bucket-location.ts'
import { BucketRegistry } from './buckets/bucket-registry.ts'
import type { ConfiguredSource } from './buckets/credentials.ts'
import type { Config } from './config/schema.ts'
import { DropParts } from './drop-parts.ts'
import { Builders } from './dataplane/builders.ts'
import type { DataplaneLog } from './dataplane/core-status.ts'
import { Dataplane } from './dataplane/dataplane.ts'
import { LanceCore } from './dataplane/lance-core.ts'
import { CheckpointSchedule } from './indexes/checkpoint-schedule.ts'
import { GraphCache } from './indexes/graph-cache.ts'
import type { EffectiveConfig } from './indexes/index-api.ts'
import { IndexArrivals } from './indexes/index-arrivals.ts'
import type { IndexMeta } from './indexes/index-meta.ts'
import { IndexRegistry } from './indexes/index-registry.ts'
import type { AnyRunner } from './indexes/known-indexes.ts'
import { memoryBound, MemoryQuota } from './indexes/memory-quota.ts'
import { HomeStores } from './indexes/home-stores.ts'
import { IndexMoves } from './indexes/index-moves.ts'
import type { EmbedTexts } from './indexes/lance-rows.ts'
import { beginLog, makeRunner, type OpenIndexOptions } from './indexes/open-index.ts'
import { beginTable, endTable, makeLanceRunner } from './indexes/open-lance.ts'
import { StorageReports } from './indexes/storage-report.ts'
import { VectordError } from './lib/errors.ts'
import { FolderLocks } from './log/folder-locks.ts'
import { openTracing, type Tracing } from './tracing/open-tracing.ts'

export interface PartsOptions {
  readonly config: Config
  readonly log: Logger
  readonly nowMs: () => number
  /** What was promoted for an index; null where its settings hold. */
  readonly promoted: (index: string) => Promise<EffectiveConfig | null>
  /** Clears away what else belongs to an index, before it is gone. */
  readonly onDelete: (index: string, bucket: string) => Promise<void>
  /** Keys of the eval sets of an index in a bucket. */
  readonly evalKeys: (index: string, bucket: string) => Promise<readonly string[]>
  readonly embed: EmbedTexts
}

export interface Parts {
  readonly buckets: BucketRegistry
  /** Of the buckets that indexes may live in. */
  readonly bucketNames: () => string[]
  readonly indexes: IndexRegistry
  /** The buckets, as those write to them who keep something of an index there. */
  readonly homes: HomeStores
  readonly dataplane: Dataplane
  /** One process for all Lance tables. */
  readonly lance: LanceCore
  readonly builders: Builders
  readonly graphs: GraphCache
  readonly drops: DropParts
  readonly reports: StorageReports
  readonly memory: MemoryQuota
  readonly schedule: CheckpointSchedule
  readonly locks: FolderLocks
  readonly tracing: Tracing
}

export async function assemble(options: PartsOptions): Promise<Parts> {
  const { config, log, nowMs } = options
  const onTrouble = troubleLog(log)
  const tracing = await startTracing(options)
  const buckets = await openBuckets(options, (bucket) => indexes.namesIn(bucket))
  const locks = new FolderLocks(config.storage.root)
  // Whatever an earlier process left there: nobody else writes to it while we hold the root.
  await rm(scratchOf(config), { recursive: true, force: true })
  const drops: DropParts = new DropParts({
    ...{ config, nowMs, onTrouble },
    indexes: () => indexes,
    graphs: () => later.graphs,
  })
  const dataplane = openDataplane(options)
  const builders = new Builders({ ...config.builders, log: dataplaneLog(log) })
  const memory = new MemoryQuota(
    memoryBound(config.dataplane.memoryBytesMax, {
      machineBytes: totalmem(),
      groupBytes: process.constrainedMemory(),
    }),
  )
  const serverId = await readServerId(config.storage.root)
  const open = {
    ...{ dataplane, memory, serverId, nowMs, onTrouble, promoted: options.promoted, drops },
    bucket: (name: string) => ({ store: buckets.get(name), spec: buckets.spec(name) }),
    lockFolder: (root: string) => locks.lock(root),
    ...openBounds(config),
  }
  const lance = new LanceCore({ log: dataplaneLog(log) })
  const opening = indexOpening(open, lance, options.embed)
  const bucketNames = (): string[] => namesOf(buckets)
  const indexes: IndexRegistry = new IndexRegistry({
    buckets: { names: bucketNames, store: (name) => buckets.get(name) },
    indexesMax: config.limits.indexesMax,
    makeRunner: opening.makeRunner,
    endTable: opening.endTable,
    arrivals: new IndexArrivals({ server: serverId, nowMs, onTrouble, ...opening }),
    moves: new IndexMoves({
      ...{ server: serverId, scratch: open.scratch, nowMs, onTrouble },
      store: (name) => buckets.get(name),
      evalKeys: options.evalKeys,
      dropCopy: (index, copy) => drops.moved(index, copy),
      beginLog: opening.beginLog,
    }),
    onRetention: (index, keepLastVersions) => drops.retained(index, keepLastVersions),
    onDelete: async (index, bucket) => {
      await options.onDelete(index, bucket)
      drops.forget(index)
      homes.forget(index)
    },
    ...{ nowMs, onTrouble },
  })
  const homes = new HomeStores({
    store: (name) => buckets.get(name),
    served: (index) => (indexes.has(index) ? indexes.get(index) : null),
    indexesIn: (bucket) => indexes.namesIn(bucket),
  })
  const later = laterParts(options, { buckets, indexes, homes, drops })
  const serving = { buckets, bucketNames, indexes, homes, dataplane, lance, builders, drops }
  return { ...serving, ...later, memory, locks, tracing }
}

/** Of those that indexes may live in. */
function namesOf(buckets: BucketRegistry): string[] {
  return buckets.list().flatMap(({ name, role }) => (role === 'rescue' ? [] : [name]))
}

/** A collector that is gone is told of once, and again when it is back. */
function startTracing({ config, log }: PartsOptions): Promise<Tracing> {
  return openTracing({
    settings: config.tracing,
    version: manifest.version,
    onChange: (change) => {
      if (change.kind === 'back') log.info('traces arrive again')
      else log.warn({ reason: change.reason }, 'traces do not arrive')
    },
  })
}

interface IndexOpening {
  readonly makeRunner: (meta: IndexMeta, revision: number) => AnyRunner
  readonly beginLog: (meta: IndexMeta, baseLsn: number) => Promise<void>
  readonly beginTable: (meta: IndexMeta) => Promise<void>
  readonly endTable: (meta: IndexMeta) => Promise<void>
}

/** How an index is opened, by its backend. */
function indexOpening(open: OpenIndexOptions, lance: LanceCore, embed: EmbedTexts): IndexOpening {
  const tables = { ...open, tables: lance, embed }
  return {
    makeRunner: (meta, revision) =>
      meta.backend === 'lance'
        ? makeLanceRunner(tables, meta, revision)
        : makeRunner(open, meta, revision),
    beginLog: (meta, baseLsn) => beginLog(open, meta, baseLsn),
    beginTable: (meta) => beginTable(tables, meta),
    endTable: (meta) => endTable(tables, meta),
  }
}

/** What stands on the indexes. */
function laterParts(
  { config, log, nowMs }: PartsOptions,
  { buckets, indexes, homes, drops }: Pick<Parts, 'buckets' | 'indexes' | 'homes' | 'drops'>,
): Pick<Parts, 'schedule' | 'graphs' | 'reports'> {
  const onTrouble = troubleLog(log)
  const schedule = new CheckpointSchedule({
    indexes: () => indexes.list(),
    intervalMs: config.checkpoint.intervalMs,
    logBytes: config.checkpoint.logBytes,
    ...{ nowMs, onTrouble },
  })
  const graphs: GraphCache = new GraphCache({
    storeOf: (index) => homes.of(index, indexes.homeOf(index)),
    bytesMax: config.generations.cacheBytes,
    onStored: (index) => drops.graphStored(index),
  })
  const reports = new StorageReports({
    served: (index) => indexes.get(index),
    store: (bucket) => buckets.get(bucket),
    graphs,
  })
  return { schedule, graphs, reports }
}

function openDataplane({ config: { dataplane }, log }: PartsOptions): Dataplane {
  return new Dataplane({
    cores: dataplane.cores || Math.max(1, availableParallelism() - 1),
    queueMax: dataplane.queueMax,
    pace: { turnRequests: dataplane.turnRequests, sliceMs: dataplane.sliceMs },
    watchdog: {
      failuresMax: dataplane.degradeFailures,
      windowMs: dataplane.degradeWindowMs,
      cooldownMs: dataplane.degradeCooldownMs,
    },
    log: dataplaneLog(log),
  })
}

function openBounds(
  config: Config,
): Pick<
  OpenIndexOptions,
  | 'scratch'
  | 'deltaPointsMax'
  | 'flatRowsMax'
  | 'generationsKept'
  | 'checkpointsKept'
  | 'segmentBytesMax'
  | 'groupBytesMax'
> {
  return {
    scratch: scratchOf(config),
    deltaPointsMax: config.dataplane.deltaPointsMax,
    flatRowsMax: config.search.flatThreshold,
    generationsKept: config.generations.keep,
    checkpointsKept: config.checkpoint.keep,
    segmentBytesMax: config.log.segmentBytes,
    groupBytesMax: config.log.groupBytesMax,
  }
}

function scratchOf(config: Config): string {
  return join(config.storage.root, 'scratch')
}

export function dataplaneLog(log: Logger): DataplaneLog {
  return (level, fields, message) => {
    log[level](fields, message)
  }
}

function openBuckets(
  { config, nowMs }: PartsOptions,
  indexesIn: (bucket: string) => readonly string[],
): Promise<BucketRegistry> {
  const { root } = config.storage
  return BucketRegistry.open({
    primary: location(config.primary, join(root, 'buckets', 'primary')),
    rescue: config.rescue.enabled ? location(config.rescue, join(root, 'buckets', 'rescue')) : null,
    storageRoot: root,
    ...{ indexesIn, nowMs },
  })
}

function location(bucket: Config['primary'], localRoot: string): BucketLocation<ConfiguredSource> {
  if (bucket.backend === 'local') return { backend: 'local', root: localRoot }
  return {
    backend: 's3',
    bucket: bucket.bucket,
    prefix: bucket.prefix,
    region: bucket.region,
    endpoint: bucket.endpoint || null,
    credentials: bucket.credentialsFile
      ? { kind: 'file', path: bucket.credentialsFile }
      : { kind: 'environment' },
  }
}

/** An id that outlives restarts: a server recognises its own leases by it. */
async function readServerId(root: string): Promise<string> {
  const path = join(root, 'server-id')
  if (existsSync(path)) return (await readFile(path, 'utf8')).trim()
  const id = randomUUID()
  await writeFile(path, `${id}\n`, { flush: true })
  return id
}

export function troubleLog(log: Logger): (error: unknown, what: string) => void {
  return (error, what) => {
    if (!(error instanceof VectordError)) {
      log.error({ err: error, what }, 'background work failed')
      return
    }
    const { code, message, details } = error
    log.warn({ code, details, what }, message)
  }
}
