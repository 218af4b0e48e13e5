/**
 * The composition root: builds every component once and mounts every route.
 *
 * This is the one file that imports both components and routes. Routes are listed by hand, so that
 * a search for a path always ends here.
 */

import type { FastifyInstance } from 'fastify'
import type { Logger } from 'pino'
import manifest from '../package.json' with { type: 'json' }
import { adminRoutes } from '../routes/admin.ts'
import { agentRoutes } from '../routes/agent.ts'
import { datasetRoutes } from '../routes/datasets.ts'
import { documentRoutes } from '../routes/documents.ts'
import { dropRoutes } from '../routes/drops.ts'
import { evalRoutes } from '../routes/evals.ts'
import { exportRoutes } from '../routes/export.ts'
import { generationRoutes } from '../routes/generations.ts'
import { indexRoutes } from '../routes/indexes.ts'
import { longOperationRoutes } from '../routes/long-operations.ts'
import { maintenanceRoutes } from '../routes/maintenance.ts'
import { operationRoutes, type OperationsApi } from '../routes/operations.ts'
import { pointRoutes } from '../routes/points.ts'
import { profileRoutes } from '../routes/profiles.ts'
import { projectionRoutes } from '../routes/projection.ts'
import { promotionRoutes } from '../routes/promotions.ts'
import { recallRoutes } from '../routes/recall.ts'
import { searchGroupRoutes } from '../routes/search-groups.ts'
import { searchRoutes } from '../routes/search.ts'
import { snapshotRoutes } from '../routes/snapshots.ts'
import { storageRoutes } from '../routes/storage.ts'
import { streamRoutes } from '../routes/streams.ts'
import { trialRoutes } from '../routes/trials.ts'
import { tuningRoutes } from '../routes/tuning.ts'
import { versionRoutes } from '../routes/versions.ts'
import type { Config } from './config/schema.ts'
import {
  compactionGauges,
  coreJson,
  coreGauges,
  embedderGauges,
  liveRecallGauges,
  memoryGauges,
  residenceOf,
  streamGauges,
} from './core-report.ts'
import { DatasetStores } from './datasets/dataset-stores.ts'
import { dropGauges } from './drop-parts.ts'
import { engineBuild } from './engines/hnsw/engine-build.ts'
import { parseApiKeys } from './http/auth.ts'
import { buildHttp } from './http/build-http.ts'
import { HTTP_LIMITS, type HttpLimits } from './http/limits.ts'
import { Metrics } from './http/metrics.ts'
import { Streams } from './ingest/streams.ts'
import { Periodic } from './lib/periodic.ts'
import { assemble, troubleLog, type Parts } from './parts.ts'
import { listGpus } from './profiles/gpus.ts'
import { projectionGauges } from './projection/projection-gauges.ts'
import { agentGauges } from './services/agent-gauges.ts'
import { Moves } from './services/moves.ts'
import { Operations } from './services/operations.ts'
import { snapshotParts, type SnapshotParts } from './snapshot-parts.ts'
import { TextParts } from './text-parts.ts'
import { TuningParts } from './tuning-parts.ts'

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
/** How often journals are written out and merged. */
const JOURNALS_MS = 10_000
/** How often it is looked whether a rollout is to be ended. */
const ALARMS_MS = 5000
const RATE_WINDOW_MS = 60_000
/** How often it is looked whether an index came into service, which may have something to sweep. */
const SWEEPS_MS = 1000
/** How often parts of datasets that nobody reads any more are deleted. */
const DATASET_SWEEPS_MS = 3600 * 1000

export async function buildApp(options: AppOptions): Promise<App> {
  const { config, log, nowMs } = options
  const operations = new Operations({ nowMs, onTrouble: troubleLog(log) })
  const parts = await assemble({
    ...{ config, log, nowMs },
    promoted: (index) => tuning.promoted(index),
    onDelete: (index, bucket) => tuning.forget(index, bucket),
    evalKeys: (index, bucket) => tuning.evals.keysOf(index, bucket),
  })
  const engine = `hnswlib-node ${manifest.dependencies['hnswlib-node']}`
  const tuning = new TuningParts({ ...{ config, log, nowMs, parts, operations, engine } })
  const streams = openStreams(options, parts)
  const texts = new TextParts({ ...options, parts })
  const backups = snapshotParts({ ...options, parts, promotions: tuning.promotions })
  const datasets = new DatasetStores({ ...parts, nowMs, onTrouble: troubleLog(log) })
  const metrics = openMetrics({ parts, tuning, streams, texts })
  const http = await openHttp(options, metrics)
  let isClosing = false
  // A connection that outlives its answer would keep `http.close` waiting for the client.
  http.addHook('onSend', (_request, reply, payload, done) => {
    if (isClosing) reply.header('connection', 'close')
    done(null, payload)
  })
  await mountRoutes(http, {
    ...{ options, parts, tuning, operations, streams, texts, datasets, backups, metrics },
  })
  const timers = periodicWork({ parts, tuning, datasets, log })
  return {
    http,
    start: () => {
      for (const { work, everyMs } of timersOf(timers, config)) work.start(everyMs)
      parts.schedule.start()
      tuning.start()
      texts.projection.start()
    },
    close: async () => {
      isClosing = true
      // Together: requests that wait for an operation or in a stream are answered when it has ended.
      const { projection } = texts
      const { exports } = backups
      const ending = [http, operations, streams, projection, exports]
      await Promise.all(ending.map((one) => one.close()))
      await texts.close()
      const { memory, ...others } = timers
      await Promise.all([...Object.values(others), parts.schedule].map((work) => work.close()))
      await tuning.stop()
      await parts.builders.close()
      await tuning.close()
      await memory.close()
      await parts.drops.close()
      await parts.indexes.close()
      await parts.dataplane.close()
      await parts.buckets.close()
      await parts.locks.release()
    },
  }
}

interface Mounted {
  readonly options: AppOptions
  readonly parts: Parts
  readonly tuning: TuningParts
  readonly operations: Operations
  readonly streams: Streams
  readonly texts: TextParts
  readonly backups: SnapshotParts
  readonly datasets: DatasetStores
  readonly metrics: Metrics
}

function openMetrics(of: Pick<Mounted, 'parts' | 'tuning' | 'streams' | 'texts'>): Metrics {
  const { parts, tuning, streams, texts } = of
  const metrics = new Metrics()
  coreGauges(metrics, parts.dataplane, parts.indexes)
  memoryGauges(metrics, parts.memory)
  dropGauges(metrics, parts.drops.worker)
  liveRecallGauges(metrics, tuning.recall)
  compactionGauges(metrics, tuning.compactions)
  streamGauges(metrics, streams)
  embedderGauges(metrics, texts.embedders)
  for (const gauge of agentGauges(tuning.agent)) metrics.gauge(gauge)
  for (const gauge of projectionGauges(texts.projection)) metrics.gauge(gauge)
  return metrics
}

async function mountRoutes(http: FastifyInstance, mounted: Mounted): Promise<void> {
  const { options, parts, tuning, operations, streams, texts, datasets, backups, metrics } = mounted
  const { buckets, indexes } = parts
  const { promotions, changes, trials, decisions, evals, evalSets, rebuilds } = tuning
  const limits = httpLimits(options.config)
  const forIndexes = { indexes, metrics, limits, nowMs: options.nowMs }
  const moves = new Moves({ operations, indexes })
  await http.register(indexRoutes, {
    ...forIndexes,
    moves,
    streams,
    identityOf: texts.identityOf.bind(texts),
  })
  await http.register(pointRoutes, forIndexes)
  await http.register(streamRoutes, { ...forIndexes, streams })
  await http.register(versionRoutes, forIndexes)
  const forSearches = {
    ...forIndexes,
    observe: tuning.observe.bind(tuning),
    embedderOf: (index: string) => texts.embedderOf(index),
  }
  await http.register(searchRoutes, forSearches)
  await http.register(searchGroupRoutes, forSearches)
  await http.register(documentRoutes, { ...forIndexes, documents: texts.documents })
  await http.register(projectionRoutes, { ...forIndexes, projection: texts.projection })
  const { profiles } = texts
  await http.register(profileRoutes, { ...forSearches, profiles })
  await http.register(adminRoutes, { models: () => profiles.models, gpus: () => listGpus() })
  await http.register(maintenanceRoutes, { ...forIndexes, operations })
  const { drops, reports } = parts
  await http.register(dropRoutes, { indexes, drops: drops.worker, reports })
  await http.register(generationRoutes, { ...forIndexes, rebuilds })
  await http.register(promotionRoutes, { indexes, promotions, changes })
  await http.register(evalRoutes, { ...forIndexes, evals, evalSets })
  await http.register(trialRoutes, { indexes, trials, decisions })
  await http.register(tuningRoutes, { indexes, tuning: tuning.tuning })
  const { agent, proposals, recall } = tuning
  await http.register(agentRoutes, { indexes, agent, proposals, decisions })
  const trialCurve = (index: string) => tuning.promotedCurve(index)
  await http.register(recallRoutes, { ...forIndexes, recall, trialCurve })
  const { snapshots, exports } = backups
  await http.register(snapshotRoutes, { indexes, operations, snapshots })
  await http.register(exportRoutes, { indexes, exports })
  await http.register(longOperationRoutes, { operations })
  await http.register(datasetRoutes, { datasets })
  await http.register(storageRoutes, { buckets, errors: buckets.errors })
  await http.register(operationRoutes, { operations: operationsOf(parts), indexes, metrics })
}

function openStreams({ log, nowMs }: AppOptions, { indexes, homes }: Parts): Streams {
  return new Streams({
    ...{ indexes, nowMs, onTrouble: troubleLog(log) },
    storeOf: (index) => homes.of(index, indexes.get(index).meta.bucket),
  })
}

function openHttp({ config, log }: AppOptions, metrics: Metrics): Promise<FastifyInstance> {
  const { rateLimitPerMinute, shedEventLoopDelayMs } = config.server
  return buildHttp({
    ...{ log, metrics },
    version: manifest.version,
    keys: parseApiKeys(config.auth.keys),
    limits: httpLimits(config),
    rateLimit:
      rateLimitPerMinute > 0 ? { requestsMax: rateLimitPerMinute, windowMs: RATE_WINDOW_MS } : null,
    eventLoopDelayMaxMs: shedEventLoopDelayMs > 0 ? shedEventLoopDelayMs : null,
  })
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

type Timers = Readonly<
  Record<
    | 'refresh'
    | 'health'
    | 'memory'
    | 'journals'
    | 'alarms'
    | 'compactions'
    | 'sweeps'
    | 'datasetSweeps',
    Periodic
  >
>

function periodicWork({
  parts,
  tuning,
  datasets,
  log,
}: Pick<Mounted, 'parts' | 'tuning' | 'datasets'> & { readonly log: Logger }): Timers {
  const { buckets, indexes, dataplane, memory } = parts
  const trouble = troubleLog(log)
  const lookTrouble = (error: unknown): void => {
    trouble(error, 'look for changes in the buckets')
  }
  const refresh = async (): Promise<void> => {
    await buckets.refresh().catch(lookTrouble)
    await indexes.refresh()
    await tuning.refresh()
  }
  const observe = async (): Promise<void> => {
    memory.observe(residenceOf(dataplane))
  }
  return {
    refresh: new Periodic(refresh, lookTrouble),
    health: new Periodic(() => buckets.health(), lookTrouble),
    memory: new Periodic(observe, lookTrouble),
    journals: new Periodic(
      () => tuning.upkeep(),
      (error) => {
        trouble(error, 'write the journals')
      },
    ),
    alarms: new Periodic(
      () => tuning.alarms.look(),
      (error) => {
        trouble(error, 'look for alarms of rollouts')
      },
    ),
    compactions: new Periodic(
      () => tuning.compactions.run(),
      (error) => {
        trouble(error, 'compact indexes')
      },
    ),
    sweeps: new Periodic(() => parts.drops.sweep(), lookTrouble),
    datasetSweeps: new Periodic(() => datasets.sweep(), lookTrouble),
  }
}

function timersOf(
  { refresh, health, memory, journals, alarms, compactions, sweeps, datasetSweeps }: Timers,
  config: Config,
): { readonly work: Periodic; readonly everyMs: number }[] {
  return [
    { work: refresh, everyMs: REFRESH_MS },
    { work: health, everyMs: config.buckets.healthIntervalMs },
    { work: memory, everyMs: MEMORY_MS },
    { work: journals, everyMs: JOURNALS_MS },
    { work: alarms, everyMs: ALARMS_MS },
    { work: compactions, everyMs: config.compaction.intervalS * 1000 },
    { work: sweeps, everyMs: SWEEPS_MS },
    { work: datasetSweeps, everyMs: DATASET_SWEEPS_MS },
  ]
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
