/**
 * The composition root: builds every component once and mounts every route.
 *
 * This is the one file that imports both components and routes. Routes are listed by hand, so that
 * a search for a path always ends here.
 */

import { join } from 'node:path'
import type { FastifyInstance } from 'fastify'
import type { Logger } from 'pino'
import manifest from '../package.json' with { type: 'json' }
import { adminRoutes } from '../routes/admin.ts'
import { agentRoutes } from '../routes/agent.ts'
import { dashboardRoutes } from '../routes/dashboard.ts'
import { datasetRoutes } from '../routes/datasets.ts'
import { documentRoutes } from '../routes/documents.ts'
import { dropRoutes } from '../routes/drops.ts'
import { evalRoutes } from '../routes/evals.ts'
import { exportRoutes } from '../routes/export.ts'
import { generationRoutes } from '../routes/generations.ts'
import { ingestRoutes } from '../routes/ingest.ts'
import { indexRoutes } from '../routes/indexes.ts'
import { lanceRoutes } from '../routes/lance.ts'
import { lanceWorkRoutes } from '../routes/lance-work.ts'
import { longOperationRoutes } from '../routes/long-operations.ts'
import { maintenanceRoutes } from '../routes/maintenance.ts'
import { operationRoutes, type OperationsApi } from '../routes/operations.ts'
import { overviewRoutes } from '../routes/overview.ts'
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
import { trialPointRoutes } from '../routes/trial-points.ts'
import { trialRoutes } from '../routes/trials.ts'
import { tuningRoutes } from '../routes/tuning.ts'
import { versionRoutes } from '../routes/versions.ts'
import { watchRoutes } from '../routes/watches.ts'
import type { Config } from './config/schema.ts'
import {
  bucketGauges,
  compactionGauges,
  coreJson,
  coreGauges,
  embedderGauges,
  liveRecallGauges,
  memoryGauges,
  operationGauges,
  residenceOf,
  streamGauges,
  tracingGauges,
} from './core-report.ts'
import { DataParts } from './data-parts.ts'
import { dropGauges } from './drop-parts.ts'
import { engineBuild } from './engines/hnsw/engine-build.ts'
import { parseApiKeys } from './http/auth.ts'
import { buildHttp } from './http/build-http.ts'
import type { IndexRoutesOptions } from './http/index-access.ts'
import { HTTP_LIMITS, type HttpLimits } from './http/limits.ts'
import { Metrics } from './http/metrics.ts'
import { Streams } from './ingest/streams.ts'
import { LanceParts } from './lance-parts.ts'
import { assemble, troubleLog, type Parts } from './parts.ts'
import { periodicWork, startWork } from './periodic-work.ts'
import { listGpus } from './profiles/gpus.ts'
import { projectionGauges } from './projection/projection-gauges.ts'
import { agentGauges } from './services/agent-gauges.ts'
import { Moves } from './services/moves.ts'
import { Operations } from './services/operations.ts'
import { snapshotParts, type SnapshotParts } from './snapshot-parts.ts'
import type { SearchSeen } from './services/search-observer.ts'
import { SearchRates } from './services/search-rates.ts'
import { TextParts } from './text-parts.ts'
import type { OtlpTracer } from './tracing/otlp-tracer.ts'
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

const ENGINE = `hnswlib-node ${manifest.dependencies['hnswlib-node']}`
const RATE_WINDOW_MS = 60_000
/** At shutdown: how long commits under way may take. */
const LANCE_CLOSE_MS = 10_000
/** Built by `npm ci`. */
const PAGES = join(import.meta.dirname, '../web/dist')

export async function buildApp(options: AppOptions): Promise<App> {
  const { config, log, nowMs } = options
  const operations = new Operations({ nowMs, onTrouble: troubleLog(log) })
  const parts = await assemble({
    ...{ config, log, nowMs },
    promoted: (index) => tuning.promoted(index),
    onDelete: (index, bucket) => tuning.forget(index, bucket),
    evalKeys: (index, bucket) => tuning.evals.keysOf(index, bucket),
    embed: (stamp, list, deadlineMs) => texts.embed(stamp, list, deadlineMs),
  })
  const tuning = new TuningParts({ ...{ config, log, nowMs, parts, operations, engine: ENGINE } })
  const streams = openStreams(options, parts)
  const texts = new TextParts({ ...options, parts })
  const onFilled = async (index: string): Promise<void> => {
    if (parts.indexes.has(index)) await tuning.agent.enqueue(index, 'appended')
  }
  const data = new DataParts({ ...{ config, log, nowMs, parts, operations }, onFilled })
  const backups = snapshotParts({ ...options, parts, promotions: tuning.promotions })
  const metrics = new Metrics()
  const lance = new LanceParts({ ...options, parts, operations })
  const serving = { options, parts, tuning, operations, streams, texts, data, backups, lance }
  const mounted = { ...serving, metrics }
  installGauges(mounted)
  const http = await openHttp(options, metrics, parts.tracing.tracer)
  const closing = letConnectionsGo(http)
  await mountRoutes(http, mounted)
  const timers = periodicWork(parts, tuning, log)
  return {
    http,
    start: () => {
      startWork(timers, config)
      parts.schedule.start()
      tuning.start()
      texts.projection.start()
      data.start()
      lance.start()
    },
    close: async () => {
      closing.begin()
      // Together: requests that wait for an operation or in a stream are answered when it has ended.
      const { projection } = texts
      const ending = [http, operations, streams, projection, data, backups.exports]
      await Promise.all(ending.map((part) => part.close()))
      await texts.close()
      const { memory, ...others } = timers
      await Promise.all([...Object.values(others), parts.schedule].map((work) => work.close()))
      await lance.close()
      await tuning.stop()
      await parts.builders.close()
      await tuning.close()
      await memory.close()
      await parts.drops.close()
      await parts.indexes.close()
      await parts.lance.close(LANCE_CLOSE_MS)
      await parts.dataplane.close()
      await parts.buckets.close()
      await parts.locks.release()
      await parts.tracing.close()
    },
  }
}

/** A connection that outlives its answer would keep `http.close` waiting for the client. */
function letConnectionsGo(http: FastifyInstance): { readonly begin: () => void } {
  let isClosing = false
  http.addHook('onSend', (_request, reply, payload, done) => {
    if (isClosing) reply.header('connection', 'close')
    done(null, payload)
  })
  return {
    begin: () => {
      isClosing = true
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
  readonly data: DataParts
  readonly backups: SnapshotParts
  readonly lance: LanceParts
  readonly metrics: Metrics
}

function installGauges(mounted: Mounted): void {
  const { parts, tuning, operations, streams, texts, data, lance, metrics } = mounted
  coreGauges(metrics, parts.dataplane, parts.indexes.all)
  memoryGauges(metrics, parts.memory)
  bucketGauges(metrics, parts.buckets)
  operationGauges(metrics, operations)
  if (parts.tracing.tracer !== null) tracingGauges(metrics, parts.tracing.tracer)
  dropGauges(metrics, parts.drops.worker)
  liveRecallGauges(metrics, lance.recallOfAll(tuning.recall))
  lance.gauges(metrics)
  compactionGauges(metrics, tuning.compactions)
  streamGauges(metrics, streams)
  embedderGauges(metrics, texts.embedders)
  data.gauges(metrics)
  for (const gauge of agentGauges(tuning.agent)) metrics.gauge(gauge)
  for (const gauge of projectionGauges(texts.projection)) metrics.gauge(gauge)
}

async function mountRoutes(http: FastifyInstance, mounted: Mounted): Promise<void> {
  const { options, parts, tuning, operations, streams, texts, lance } = mounted
  const { indexes } = parts
  const forIndexes = forIndexRoutes(mounted)
  const forGraphs = { ...forIndexes, indexes }
  const rates = new SearchRates(options.nowMs)
  const recalled = lance.observer((seen) => {
    tuning.observe(seen)
  })
  const forSearches = {
    ...forIndexes,
    observe: (seen: SearchSeen) => {
      rates.observe(seen)
      recalled(seen)
    },
    embedderOf: (index: string) => texts.embedderOf(index),
  }
  const moves = new Moves({ operations, indexes })
  const identityOf = texts.identityOf.bind(texts)
  await http.register(indexRoutes, { ...forIndexes, moves, streams, identityOf })
  await http.register(pointRoutes, forIndexes)
  await http.register(streamRoutes, { ...forIndexes, streams })
  await http.register(versionRoutes, forIndexes)
  await http.register(searchRoutes, forSearches)
  await http.register(searchGroupRoutes, forSearches)
  await http.register(lanceRoutes, { ...forSearches, lanceIndex: lance.index })
  await http.register(documentRoutes, { ...forGraphs, documents: texts.documents })
  await http.register(projectionRoutes, { ...forGraphs, projection: texts.projection })
  const { profiles } = texts
  await http.register(profileRoutes, { ...forSearches, profiles })
  await http.register(adminRoutes, { models: () => profiles.models, gpus: () => listGpus() })
  await http.register(maintenanceRoutes, { ...forIndexes, operations })
  await mountTuning(http, mounted)
  await mountData(http, mounted)
  await mountService(http, mounted, rates)
}

function forIndexRoutes({ options, parts, metrics }: Mounted): IndexRoutesOptions {
  const limits = httpLimits(options.config)
  return { indexes: parts.indexes.all, metrics, limits, nowMs: options.nowMs }
}

/** What is tried, promoted and measured, and by whom. */
async function mountTuning(http: FastifyInstance, mounted: Mounted): Promise<void> {
  const { options, parts, tuning, lance } = mounted
  const { indexes } = parts
  const { promotions, changes, trials, decisions, evals, evalSets, rebuilds } = tuning
  const forGraphs = { ...forIndexRoutes(mounted), indexes }
  await http.register(generationRoutes, { ...forGraphs, rebuilds })
  await http.register(promotionRoutes, { indexes, promotions, changes })
  await http.register(evalRoutes, { ...forGraphs, evals, evalSets })
  await http.register(trialRoutes, { indexes, trials, decisions })
  await http.register(trialPointRoutes, { indexes, trials })
  await http.register(tuningRoutes, { indexes, tuning: tuning.tuning })
  const { agent, proposals } = tuning
  await http.register(agentRoutes, { indexes, agent, proposals, decisions })
  const trialCurve = (index: string) => tuning.promotedCurve(index)
  const recall = lance.recallOfAll(tuning.recall)
  await http.register(recallRoutes, {
    ...{ ...forGraphs, indexes: indexes.all, graphs: indexes, recall, trialCurve },
  })
  const { goal } = options.config.recall
  await http.register(lanceWorkRoutes, {
    ...{ indexes: indexes.all, lanceIndex: lance.index, work: lance.work, goal },
  })
}

/** Data in and out. */
async function mountData(http: FastifyInstance, mounted: Mounted): Promise<void> {
  const { options, parts, operations, data, backups } = mounted
  const { datasets, ingests, watches } = data
  const indexes = parts.indexes.all
  await http.register(datasetRoutes, { datasets })
  await http.register(ingestRoutes, { ingests, fileBytesMax: options.config.ingest.fileBytesMax })
  await http.register(watchRoutes, { watches })
  const { snapshots, exports } = backups
  await http.register(snapshotRoutes, { indexes, operations, snapshots })
  await http.register(exportRoutes, { indexes, exports })
}

/** The service itself: storage, work under way, health, the dashboard. */
async function mountService(
  http: FastifyInstance,
  { options: { nowMs }, parts, tuning, operations, lance, metrics }: Mounted,
  rates: SearchRates,
): Promise<void> {
  const { buckets, memory, drops, reports } = parts
  const indexes = parts.indexes.all
  const api = operationsOf(parts)
  await http.register(dropRoutes, { indexes: parts.indexes, drops: drops.worker, reports })
  await http.register(longOperationRoutes, { operations })
  await http.register(storageRoutes, { buckets, errors: buckets.errors })
  await http.register(operationRoutes, { operations: api, indexes, metrics })
  await http.register(overviewRoutes, {
    ...{ indexes, buckets, rates, recall: lance.recallOfAll(tuning.recall) },
    ...{ operations: api, memory, nowMs, startedMs: nowMs() },
    rssBytes: () => residenceOf(parts.dataplane, parts.lance).rssBytes,
  })
  await http.register(dashboardRoutes, { folder: PAGES })
}

function openStreams({ log, nowMs }: AppOptions, { indexes, homes }: Parts): Streams {
  return new Streams({
    ...{ indexes: indexes.all, nowMs, onTrouble: troubleLog(log) },
    storeOf: (index) => homes.of(index, indexes.homeOf(index)),
  })
}

function openHttp(
  { config, log }: AppOptions,
  metrics: Metrics,
  tracer: OtlpTracer | null,
): Promise<FastifyInstance> {
  const { rateLimitPerMinute, shedEventLoopDelayMs } = config.server
  return buildHttp({
    ...{ log, metrics, ...(tracer !== null && { tracer }) },
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
