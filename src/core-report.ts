/**
 * What operators are told of cores, indexes, buckets, long work and recall: JSON for `GET /cores`, gauges for Prometheus.
 */

import { SAMPLES_MIN } from './autotune/live-recall.ts'
import type { BucketRegistry } from './buckets/bucket-registry.ts'
import { STORAGE_FAULTS } from './buckets/observed-store.ts'
import type { CoreStatus } from './dataplane/core-status.ts'
import type { LanceCore } from './dataplane/lance-core.ts'
import type { Dataplane } from './dataplane/dataplane.ts'
import type { Embedders } from './embedders/embedders.ts'
import type { GaugeSample, Metrics } from './http/metrics.ts'
import type { IndexInfo, Indexes } from './indexes/index-api.ts'
import type { MemoryQuota, Residence } from './indexes/memory-quota.ts'
import type { CompactionCounts } from './services/compaction-cycle.ts'
import type { Streams } from './ingest/streams.ts'
import type { LiveRecallWatch } from './services/live-recall-watch.ts'
import type { Operations, OperationTotals } from './services/operations.ts'
import type { RecallSummary } from './services/recall-report.ts'
import type { OtlpTracer } from './tracing/otlp-tracer.ts'

export function coreJson(core: CoreStatus): Readonly<Record<string, unknown>> {
  return {
    core: core.core,
    pid: core.pid,
    state: core.state,
    pressure: core.pressure,
    queue: core.queue,
    queue_max: core.queueMax,
    cooldown_ms: core.cooldownMs,
    deaths: core.deaths,
    failures: core.failures,
    rss_bytes: core.rssBytes,
    cpu_s: core.cpuS,
    shards: core.shards,
  }
}

export function coreGauges(metrics: Metrics, dataplane: Dataplane, indexes: Indexes): void {
  const ofCores = (name: string, help: string, value: (core: CoreStatus) => number): void => {
    metrics.gauge({
      name,
      help,
      labels: ['core'],
      read: () =>
        dataplane.cores().map((core) => ({
          labels: { core: String(core.core) },
          value: value(core),
        })),
    })
  }
  ofCores('core_queue_requests', 'Requests that wait in a core.', (core) => core.queue)
  ofCores('core_deaths_total', 'Times that a core ended unasked.', (core) => core.deaths)
  ofCores('core_failures_total', 'Requests that failed in a core.', (core) => core.failures)
  ofCores('core_rss_bytes', 'Resident memory of a core.', (core) => core.rssBytes)
  ofCores('core_cpu_seconds', 'CPU time of a core.', (core) => core.cpuS)
  ofCores('core_up', '1 while a core runs and is not degraded.', (core) =>
    core.state === 'running' ? 1 : 0,
  )
  const ofIndexes = (name: string, help: string, value: (info: IndexInfo) => number): void => {
    const sum = (): number => indexes.list().reduce((total, { info }) => total + value(info), 0)
    metrics.gauge({ name, help, read: () => [{ labels: {}, value: sum() }] })
  }
  ofIndexes('indexes', 'Indexes of this server.', () => 1)
  ofIndexes('indexes_ready', 'Indexes that serve.', ({ state }) => (state === 'ready' ? 1 : 0))
  ofIndexes('live_points', 'Points that are there.', ({ stats }) => stats?.livePoints ?? 0)
  ofIndexes(
    'pending_texts',
    'Points whose text waits for its vector.',
    ({ stats }) => stats?.pendingTexts ?? 0,
  )
  ofIndexes('delta_points', 'Points outside the graphs.', ({ stats }) => stats?.deltaPoints ?? 0)
  ofIndexes('dead_rows', 'Rows in memory that are dead.', ({ stats }) => stats?.deadRows ?? 0)
  ofIndexes(
    'tombstones',
    'Elements of graphs that are dead.',
    ({ stats }) => stats?.tombstones ?? 0,
  )
  ofIndexes('log_bytes', 'Bytes of write-ahead logs.', ({ logBytes }) => logBytes)
}

/** What the processes of the service take: this one now, the cores at their last beat. */
export function residenceOf(dataplane: Dataplane, lance: LanceCore): Residence {
  const { pid, rssBytes: lanceBytes } = lance.status
  const cores = dataplane.cores()
  const own = process.memoryUsage.rss() + lanceBytes
  return {
    rssBytes: cores.reduce((sum, { rssBytes }) => sum + rssBytes, own),
    processes: 1 + cores.length + (pid === null ? 0 : 1),
  }
}

export function memoryGauges(metrics: Metrics, memory: MemoryQuota): void {
  const one = (name: string, help: string, value: () => number): void => {
    metrics.gauge({ name, help, read: () => [{ labels: {}, value: value() }] })
  }
  one('memory_used_bytes', 'Memory that points take, or will take.', () => memory.usedBytes)
  one('memory_bound_bytes', 'Memory past which new points are refused.', () => memory.boundBytes)
}

/** Of each bucket; one that was not asked yet is neither up nor down. */
export function bucketGauges(
  metrics: Metrics,
  buckets: Pick<BucketRegistry, 'list' | 'errors'>,
): void {
  metrics.gauge({
    name: 'bucket_up',
    help: '1 where the bucket answered when it was last asked.',
    labels: ['bucket'],
    read: () =>
      buckets.list().flatMap(({ name, health }) => {
        if (health === 'unknown') return []
        return [{ labels: { bucket: name }, value: health === 'ok' ? 1 : 0 }]
      }),
  })
  metrics.gauge({
    name: 'bucket_errors_total',
    help: 'Failures of the storage, by the code that they had.',
    labels: ['bucket', 'code'],
    read: () =>
      buckets.list().flatMap(({ name: bucket }) =>
        STORAGE_FAULTS.map((code) => {
          return { labels: { bucket, code }, value: buckets.errors.countOf(bucket, code) }
        }),
      ),
  })
}

/** Trials, rebuilds and other long work, by its kind. */
export function operationGauges(metrics: Metrics, operations: Pick<Operations, 'totals'>): void {
  const samples = (of: (total: OperationTotals) => number): (() => readonly GaugeSample[]) => {
    return () =>
      [...operations.totals].map(([kind, total]) => ({ labels: { kind }, value: of(total) }))
  }
  metrics.gauge({
    name: 'operations_open',
    help: 'Operations that wait or run.',
    labels: ['kind'],
    read: samples(({ open }) => open),
  })
  metrics.gauge({
    name: 'operations_ended_total',
    help: 'Operations that have ended, by how.',
    labels: ['kind', 'state'],
    read: () =>
      [...operations.totals].flatMap(([kind, { succeeded, failed, cancelled }]) =>
        Object.entries({ succeeded, failed, cancelled }).map(([state, value]) => {
          return { labels: { kind, state }, value }
        }),
      ),
  })
}

export function tracingGauges(metrics: Metrics, tracer: Pick<OtlpTracer, 'counts'>): void {
  metrics.gauge({
    name: 'trace_spans_total',
    help: 'Spans by what became of them.',
    labels: ['outcome'],
    read: () => {
      const { exported, failed, dropped } = tracer.counts
      const outcomes = { exported, failed, dropped }
      return Object.entries(outcomes).map(([outcome, value]) => ({ labels: { outcome }, value }))
    },
  })
}

/** Of those that were started by themselves; what clients asked for is with their operations. */
export function compactionGauges(
  metrics: Metrics,
  compactions: { readonly counts: CompactionCounts },
): void {
  metrics.gauge({
    name: 'compactions_total',
    help: 'Compactions that were due and have ended, by outcome.',
    labels: ['outcome'],
    read: () => {
      const { succeeded, failed } = compactions.counts
      return Object.entries({ succeeded, failed }).map(([outcome, value]) => ({
        labels: { outcome },
        value,
      }))
    },
  })
  metrics.gauge({
    name: 'compaction_dropped_rows_total',
    help: 'Dead rows that they took out of memory.',
    read: () => [{ labels: {}, value: compactions.counts.rowsDropped }],
  })
}

/** Of indexes that were searched since they serve; recall is told once enough was measured. */
export function liveRecallGauges(
  metrics: Metrics,
  watch: Pick<LiveRecallWatch, 'summaries' | 'dropped' | 'workS'>,
): void {
  const ofIndexes = (
    name: string,
    help: string,
    value: (summary: RecallSummary) => number | null,
  ): void => {
    const read = (): readonly GaugeSample[] =>
      watch.summaries().flatMap((summary) => {
        const found = value(summary)
        return found === null ? [] : [{ labels: { index: summary.index }, value: found }]
      })
    metrics.gauge({ name, help, labels: ['index'], read })
  }
  ofIndexes('live_recall', 'Mean recall of sampled searches.', ({ main }) => {
    const stratum = main()
    return stratum === null || stratum.samples < SAMPLES_MIN ? null : stratum.recall
  })
  ofIndexes('live_recall_goal', 'Recall that it is measured against.', ({ goal }) => goal)
  ofIndexes('live_recall_lower_bound', 'Its lower 95 % bound.', ({ main }) => main()?.lcb ?? null)
  ofIndexes('live_recall_samples_total', 'Searches sampled.', ({ samples }) => samples)
  ofIndexes('live_recall_alarm', '1 while recall has fallen under its goal.', ({ isAlarmed }) =>
    isAlarmed ? 1 : 0,
  )
  ofIndexes('live_ef', 'The ef of searches that name none.', ({ ef }) => ef)
  metrics.gauge({
    name: 'live_recall_dropped_total',
    help: 'Searches that were taken as samples and not counted, by reason.',
    labels: ['reason'],
    read: () => [...watch.dropped].map(([reason, value]) => ({ labels: { reason }, value })),
  })
  metrics.gauge({
    name: 'live_recall_work_seconds_total',
    help: 'Time that cores worked on samples.',
    read: () => [{ labels: {}, value: watch.workS }],
  })
}

export function embedderGauges(metrics: Metrics, embedders: Pick<Embedders, 'cacheStats'>): void {
  metrics.gauge({
    name: 'embedder_cache_lookups_total',
    help: 'Texts to embed, by whether their vector was held.',
    labels: ['outcome'],
    read: () => {
      const { hits, misses } = embedders.cacheStats()
      return Object.entries({ hit: hits, miss: misses }).map(([outcome, value]) => {
        return { labels: { outcome }, value }
      })
    },
  })
  metrics.gauge({
    name: 'embedder_cache_bytes',
    help: 'Memory of the vectors that are held.',
    read: () => [{ labels: {}, value: embedders.cacheStats().bytes }],
  })
}

export function streamGauges(metrics: Metrics, streams: Streams): void {
  const one = (name: string, help: string, value: () => number): void => {
    metrics.gauge({ name, help, read: () => [{ labels: {}, value: value() }] })
  }
  one('stream_buffered_points', 'Points that wait for a log.', () => streams.summary.buffered)
  one(
    'stream_unapplied_points',
    'Points of streams in a log that no search sees yet.',
    () => streams.summary.unapplied,
  )
  one('stream_retries_total', 'Batches that were tried again.', () => {
    return streams.summary.totals.retries
  })
  metrics.gauge({
    name: 'stream_points_total',
    help: 'Points of streams by what became of them.',
    labels: ['outcome'],
    read: () => {
      const { logged, deadLettered, refused, failed } = streams.summary.totals
      const outcomes = { logged, dead_lettered: deadLettered, refused, failed }
      return Object.entries(outcomes).map(([outcome, value]) => ({ labels: { outcome }, value }))
    },
  })
  metrics.gauge({
    name: 'stream_flushes_total',
    help: 'Batches that were written, by what they were due to.',
    labels: ['reason'],
    read: () =>
      Object.entries(streams.summary.totals.flushes).map(([reason, value]) => {
        return { labels: { reason }, value }
      }),
  })
}
