/**
 * The composition root: builds every component once and mounts every route.
 *
 * This is the one file that imports both components and routes. Routes are listed by hand, so that
 * a search for a path always ends here.
 */

import { randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { availableParallelism, totalmem } from 'node:os'
import { join } from 'node:path'
import type { FastifyInstance } from 'fastify'
import type { Logger } from 'pino'
import manifest from '../package.json' with { type: 'json' }
import { generationRoutes } from '../routes/generations.ts'
import { indexRoutes } from '../routes/indexes.ts'
import { longOperationRoutes } from '../routes/long-operations.ts'
import { maintenanceRoutes } from '../routes/maintenance.ts'
import { operationRoutes, type OperationsApi } from '../routes/operations.ts'
import { pointRoutes } from '../routes/points.ts'
import { searchRoutes } from '../routes/search.ts'
import { storageRoutes } from '../routes/storage.ts'
import type { BucketLocation } from './buckets/bucket-location.ts'
import { BucketRegistry } from './buckets/bucket-registry.ts'
import type { ConfiguredSource } from './buckets/credentials.ts'
import type { Config } from './config/schema.ts'
import { coreJson, coreGauges, memoryGauges, residenceOf } from './core-report.ts'
import { Builders } from './dataplane/builders.ts'
import { Dataplane } from './dataplane/dataplane.ts'
import { engineBuild } from './engines/hnsw/engine-build.ts'
import { parseApiKeys } from './http/auth.ts'
import { buildHttp } from './http/build-http.ts'
import { HTTP_LIMITS, type HttpLimits } from './http/limits.ts'
import { Metrics } from './http/metrics.ts'
import { CheckpointSchedule } from './indexes/checkpoint-schedule.ts'
import { GraphCache } from './indexes/graph-cache.ts'
import { IndexRegistry } from './indexes/index-registry.ts'
import { memoryBound, MemoryQuota } from './indexes/memory-quota.ts'
import { makeRunner } from './indexes/open-index.ts'
import { VectordError } from './lib/errors.ts'
import { Periodic } from './lib/periodic.ts'
import { FolderLocks } from './log/folder-locks.ts'
import { Operations } from './services/operations.ts'
import { Rebuilds } from './services/rebuilds.ts'

export interface AppOptions {
  readonly config: Config
  readonly log: Logger
  readonly nowMs: () => number
}

export interface App {
  readonly http: FastifyInstance
  /** Finds the indexes and puts them into service; requests may come before. */
  start(): void
  /** Refuses new work, finishes what is under way, makes last checkpoints, closes everything. */
  close(): Promise<void>
}

/** How often the buckets are looked at for what other servers did. */
const REFRESH_MS = 5000
/** How often the memory of the processes is looked at; cores tell theirs four times a second. */
const MEMORY_MS = 100
const RATE_WINDOW_MS = 60_000

export async function buildApp(options: AppOptions): Promise<App> {
  const { config, log, nowMs } = options
  const parts = await assemble(options)
  const { buckets, indexes, dataplane, memory, schedule, locks } = parts
  const metrics = new Metrics()
  coreGauges(metrics, dataplane, indexes)
  memoryGauges(metrics, memory)
  const { rateLimitPerMinute, shedEventLoopDelayMs } = config.server
  const http = await buildHttp({
    ...{ log, metrics },
    version: manifest.version,
    keys: parseApiKeys(config.auth.keys),
    limits: httpLimits(config),
    rateLimit:
      rateLimitPerMinute > 0 ? { requestsMax: rateLimitPerMinute, windowMs: RATE_WINDOW_MS } : null,
    eventLoopDelayMaxMs: shedEventLoopDelayMs > 0 ? shedEventLoopDelayMs : null,
  })
  let isClosing = false
  // A connection that outlives its answer would keep `http.close` waiting for the client.
  http.addHook('onSend', (_request, reply, payload, done) => {
    if (isClosing) reply.header('connection', 'close')
    done(null, payload)
  })
  const indexOptions = { indexes, metrics, nowMs, limits: httpLimits(config) }
  await http.register(indexRoutes, indexOptions)
  await http.register(pointRoutes, indexOptions)
  await http.register(searchRoutes, { ...indexOptions, observe: () => undefined })
  const operations = new Operations({ nowMs, onTrouble: troubleLog(log) })
  await http.register(maintenanceRoutes, { ...indexOptions, operations })
  const rebuilds = new Rebuilds({
    ...{ operations, builders: parts.builders, cache: parts.graphs },
    flatRowsMax: config.search.flatThreshold,
    served: (index) => indexes.get(index),
    promotedGraph: () => null,
  })
  await http.register(generationRoutes, { ...indexOptions, rebuilds })
  await http.register(longOperationRoutes, { operations })
  await http.register(storageRoutes, { buckets, errors: buckets.errors })
  await http.register(operationRoutes, { operations: operationsOf(parts), indexes, metrics })

  const timers = periodicWork(parts, log)
  return {
    http,
    start: () => {
      timers.refresh.start(REFRESH_MS)
      timers.health.start(config.buckets.healthIntervalMs)
      timers.memory.start(MEMORY_MS)
      schedule.start()
    },
    close: async () => {
      isClosing = true
      // Together: requests that wait for an operation are answered when it has stopped.
      await Promise.all([http.close(), operations.close()])
      await Promise.all([timers.refresh.close(), timers.health.close(), schedule.close()])
      await parts.builders.close()
      await timers.memory.close()
      await indexes.close()
      await dataplane.close()
      await buckets.close()
      await locks.release()
    },
  }
}

interface Parts {
  readonly buckets: BucketRegistry
  readonly indexes: IndexRegistry
  readonly dataplane: Dataplane
  readonly builders: Builders
  readonly graphs: GraphCache
  readonly memory: MemoryQuota
  readonly schedule: CheckpointSchedule
  readonly locks: FolderLocks
}

async function assemble(options: AppOptions): Promise<Parts> {
  const { config, log, nowMs } = options
  const onTrouble = troubleLog(log)
  const buckets = await openBuckets(options, (bucket) => indexes.namesIn(bucket))
  const serverId = await readServerId(config.storage.root)
  const locks = new FolderLocks(config.storage.root)
  const dataplane = new Dataplane({
    cores: config.dataplane.cores || Math.max(1, availableParallelism() - 1),
    queueMax: config.dataplane.queueMax,
    pace: { turnRequests: config.dataplane.turnRequests, sliceMs: config.dataplane.sliceMs },
    watchdog: {
      failuresMax: config.dataplane.degradeFailures,
      windowMs: config.dataplane.degradeWindowMs,
      cooldownMs: config.dataplane.degradeCooldownMs,
    },
    log: (level, fields, message) => {
      log[level](fields, message)
    },
  })
  const builders = new Builders({
    ...config.builders,
    log: (level, fields, message) => {
      log[level](fields, message)
    },
  })
  const memory = new MemoryQuota(
    memoryBound(config.dataplane.memoryBytesMax, {
      machineBytes: totalmem(),
      groupBytes: process.constrainedMemory(),
    }),
  )
  const open = {
    ...{ dataplane, memory, serverId, nowMs, onTrouble },
    promoted: () => Promise.resolve(null),
    generationsKept: config.generations.keep,
    bucket: (name: string) => ({ store: buckets.get(name), spec: buckets.spec(name) }),
    lockFolder: (root: string) => locks.lock(root),
    scratch: join(config.storage.root, 'scratch'),
    deltaPointsMax: config.dataplane.deltaPointsMax,
    flatRowsMax: config.search.flatThreshold,
    checkpointsKept: config.checkpoint.keep,
    segmentBytesMax: config.log.segmentBytes,
    groupBytesMax: config.log.groupBytesMax,
  }
  const indexes = new IndexRegistry({
    buckets: {
      names: () => buckets.list().flatMap(({ name, role }) => (role === 'rescue' ? [] : [name])),
      store: (name) => buckets.get(name),
    },
    indexesMax: config.limits.indexesMax,
    makeRunner: (meta, revision) => makeRunner(open, meta, revision),
    ...{ nowMs, onTrouble },
  })
  const schedule = new CheckpointSchedule({
    indexes: () => indexes.list(),
    intervalMs: config.checkpoint.intervalMs,
    logBytes: config.checkpoint.logBytes,
    ...{ nowMs, onTrouble },
  })
  const graphs = new GraphCache(
    (index) => buckets.get(indexes.get(index).info.bucket),
    config.generations.cacheBytes,
  )
  return { buckets, indexes, dataplane, builders, graphs, memory, schedule, locks }
}

function operationsOf({ indexes, dataplane }: Parts): OperationsApi {
  return {
    get started() {
      return indexes.unreadBuckets.length === 0
    },
    engine: {
      name: 'hnswlib-node',
      version: manifest.dependencies['hnswlib-node'],
      instructionSet: engineBuild().instructionSet,
    },
    version: manifest.version,
    cores: () => dataplane.cores().map(coreJson),
  }
}

function periodicWork(
  { buckets, indexes, dataplane, memory }: Parts,
  log: Logger,
): Readonly<Record<'refresh' | 'health' | 'memory', Periodic>> {
  const trouble = troubleLog(log)
  const onTrouble = (error: unknown): void => {
    trouble(error, 'look for changes in the buckets')
  }
  const refresh = async (): Promise<void> => {
    await buckets.refresh().catch(onTrouble)
    await indexes.refresh()
  }
  const observe = async (): Promise<void> => {
    memory.observe(residenceOf(dataplane))
  }
  return {
    refresh: new Periodic(refresh, onTrouble),
    health: new Periodic(() => buckets.health(), onTrouble),
    memory: new Periodic(observe, onTrouble),
  }
}

function openBuckets(
  { config, nowMs }: AppOptions,
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

function httpLimits(config: Config): HttpLimits {
  return {
    ...HTTP_LIMITS,
    bodyBytesMax: config.server.bodyBytesMax,
    rowsMax: config.limits.rowsPerRequest,
    idBytesMax: config.limits.idBytesMax,
    kMax: config.limits.kMax,
    dimensionMax: config.limits.dimensionMax,
    metadataBytesMax: config.limits.metadataBytesMax,
    searchDeadlineMs: config.search.deadlineMs,
    requestDeadlineMs: config.server.requestTimeoutMs,
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

function troubleLog(log: Logger): (error: unknown, what: string) => void {
  return (error, what) => {
    if (!(error instanceof VectordError)) {
      log.error({ err: error, what }, 'background work failed')
      return
    }
    const { code, message, details } = error
    log.warn({ code, details, what }, message)
  }
}
