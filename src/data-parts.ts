/**
 * What brings data in: datasets, ingests from databases and files, watched prefixes. Built once, over the
 * parts that serve and those that tune.
 */

import { join } from 'node:path'
import type { Logger } from 'pino'
import type { Config } from './config/schema.ts'
import { DatasetStores } from './datasets/dataset-stores.ts'
import type { Metrics } from './http/metrics.ts'
import { formatFor } from './ingest/file-format.ts'
import type { IngestRequest } from './ingest/ingest-request.ts'
import type { Watch } from './ingest/watch.ts'
import { WatchStore } from './ingest/watch-store.ts'
import { identityOf } from './ingest/watched-files.ts'
import { VectordError } from './lib/errors.ts'
import { Periodic } from './lib/periodic.ts'
import { troubleLog, type Parts } from './parts.ts'
import { Ingests } from './services/ingests.ts'
import type { Operations } from './services/operations.ts'
import { Watches } from './services/watches.ts'
import type { IngestFile } from './services/watch-runner.ts'

const PRIMARY = 'primary'
/** How often parts that no dataset names are looked for. */
const SWEEPS_MS = 3600 * 1000
/** Rows that are read of a watched file at a time. */
const BATCH_ROWS = 4096

export interface DataPartsOptions {
  readonly config: Config
  readonly log: Logger
  readonly nowMs: () => number
  readonly parts: Pick<Parts, 'buckets' | 'indexes' | 'homes'>
  readonly operations: Operations
  /** Hears when points came into an index, so that it may be tuned anew. */
  readonly onFilled: (index: string) => Promise<void>
}

export class DataParts {
  readonly datasets: DatasetStores
  readonly ingests: Ingests
  readonly watches: Watches
  readonly #sweeps: Periodic

  constructor(options: DataPartsOptions) {
    const { config, log, nowMs, parts, operations } = options
    const onTrouble = troubleLog(log)
    const { ingest, limits } = config
    this.datasets = new DatasetStores({ buckets: parts.buckets, nowMs, onTrouble })
    this.#sweeps = new Periodic(
      () => this.datasets.sweep(),
      (error) => {
        onTrouble(error, 'sweep the datasets')
      },
    )
    this.ingests = new Ingests({
      ...{ operations, nowMs, onTrouble, indexes: parts.indexes.all },
      bucket: (name) => parts.buckets.get(name),
      datasets: (bucket) => this.datasets.writable(bucket),
      scratch: join(config.storage.root, 'scratch', 'ingest'),
      ...{ workersMax: ingest.workersMax, queueMax: ingest.queueMax },
      bounds: {
        niceness: ingest.niceness,
        memoryBytesMax: ingest.workerMemoryBytesMax,
        silenceMsMax: ingest.silenceMs,
      },
      limits: {
        rowsMax: limits.rowsPerRequest,
        idBytesMax: limits.idBytesMax,
        metadataBytesMax: limits.metadataBytesMax,
        fileBytesMax: ingest.fileBytesMax,
      },
      onFilled: (index) => {
        options.onFilled(index).catch((error: unknown) => {
          onTrouble(error, `tell the agent that index "${index}" was filled`)
        })
      },
    })
    this.watches = new Watches({
      store: new WatchStore({ store: () => parts.homes.shared(PRIMARY), nowMs }),
      bucket: (name) => parts.buckets.get(name),
      ingest: (watch, file, signal) => this.#ingestFile(watch, file, signal),
      filesMax: ingest.watchFilesMax,
      ...{ nowMs, onTrouble },
    })
  }

  start(): void {
    this.watches.start()
    this.#sweeps.start(SWEEPS_MS)
  }

  /** Before the operations end: nothing starts a new one then. */
  async close(): Promise<void> {
    await this.watches.close()
    await this.#sweeps.close()
  }

  gauges(metrics: Metrics): void {
    const { ingests } = this
    const one = (name: string, help: string, value: () => number): void => {
      metrics.gauge({ name, help, read: () => [{ labels: {}, value: value() }] })
    }
    one('ingest_running', 'Ingests that run.', () => ingests.running)
    one('ingest_waiting', 'Ingests that wait for a process.', () => ingests.waiting)
    one('ingest_rows_total', 'Rows that ingests have read.', () => ingests.totals.rows)
    one('ingest_points_total', 'Points that ingests have written.', () => ingests.totals.points)
    one('ingest_refused_rows_total', 'Rows that were no points.', () => ingests.totals.refused)
    metrics.gauge({
      name: 'ingests_total',
      help: 'Ingests that have ended, by how.',
      labels: ['state'],
      read: () => {
        const { succeeded, failed, cancelled } = ingests.totals
        const states = { succeeded, failed, cancelled }
        return Object.entries(states).map(([state, value]) => ({ labels: { state }, value }))
      },
    })
  }

  readonly #ingestFile: IngestFile = async (watch, file, signal) => {
    const operation = this.ingests.start(requestOf(watch, file))
    const stop = (): void => {
      operation.cancel(reasonOf(signal))
    }
    signal.addEventListener('abort', stop, { once: true })
    if (signal.aborted) stop()
    try {
      return await operation.result()
    } finally {
      signal.removeEventListener('abort', stop)
    }
  }
}

function requestOf(watch: Watch, file: Parameters<IngestFile>[1]): IngestRequest {
  const { bucket, dataset, index, format } = watch
  const { key } = file
  return {
    source: {
      ...{ kind: 'object', bucket, key },
      format: formatFor(key, format),
      identity: identityOf(file),
    },
    ...{ bucket, index },
    dataset: dataset === null ? null : { name: dataset, mode: 'append', resume: false },
    batchRows: BATCH_ROWS,
  }
}

function reasonOf(signal: AbortSignal): VectordError {
  const reason: unknown = signal.reason
  if (reason instanceof VectordError) return reason
  return new VectordError('operation_cancelled', 'The watch was stopped.', { cause: reason })
}
