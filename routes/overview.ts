/**
 * GET /overview: what a person wants to see of the whole service at once, in one cheap call.
 *
 * A key that is limited to name prefixes sees its indexes; what concerns the whole service (memory,
 * cores, buckets) is null for it.
 */

import {
  Type,
  type FastifyPluginCallbackTypebox,
  type Static,
} from '@fastify/type-provider-typebox'
import type { FastifyRequest } from 'fastify'
import { mayTouch } from '../src/http/auth.ts'
import { Name, NoQuery, Nullable, replies } from '../src/http/schemas.ts'
import type { IndexInfo, Indexes } from '../src/indexes/index-api.ts'
import type { LiveRecallWatch } from '../src/services/live-recall-watch.ts'
import type { RecallReport } from '../src/services/recall-report.ts'
import type { SearchRates } from '../src/services/search-rates.ts'
import { IndexJson } from './index-answers.ts'
import type { OperationsApi } from './operations.ts'
import type { BucketsApi } from './storage.ts'

export interface OverviewRoutesOptions {
  readonly indexes: Pick<Indexes, 'list'>
  readonly rates: SearchRates
  readonly recall: Pick<LiveRecallWatch, 'report'>
  readonly buckets: Pick<BucketsApi, 'list'>
  readonly operations: Pick<OperationsApi, 'cores' | 'version'>
  readonly memory: { readonly usedBytes: number; readonly boundBytes: number }
  /** Resident memory of all processes. */
  readonly rssBytes: () => number
  readonly startedMs: number
  readonly nowMs: () => number
}

const STRICT = { additionalProperties: false } as const
const Amount = Type.Number({ minimum: 0 })
const Share = Type.Number({ minimum: 0, maximum: 1 })
const Count = Type.Integer({ minimum: 0 })

const SearchesJson = Type.Object(
  {
    qps: Amount,
    p99_ms: Nullable(Type.Number({ description: 'At most a fifth too high; null: none.' })),
    failed: Count,
  },
  { ...STRICT, description: 'For neighbours, over the last minute.' },
)

const LiveRecallJson = Type.Object(
  {
    goal: Share,
    status: Type.Enum(['ok', 'at_risk', 'violated', 'unknown']),
    alarm: Type.Boolean(),
    recall: Nullable(Share),
    interval: Nullable(Type.Array(Share, { minItems: 2, maxItems: 2 })),
    samples: Count,
    ef: Nullable(Type.Integer({ minimum: 1 })),
  },
  { ...STRICT, description: 'Of the kind of searches that was sampled most.' },
)

const { name, dimension, metric, bucket, state, reason, progress, role, points } =
  IndexJson.properties

const IndexRowJson = Type.Object(
  {
    ...{ name, dimension, metric, bucket, state, reason, progress, role, points },
    backend: Type.String(),
    config_source: Type.String(),
    memory_bytes: Nullable(Amount),
    delta_points: Nullable(Count),
    pending_texts: Nullable(Count),
    searches: SearchesJson,
    recall: LiveRecallJson,
  },
  STRICT,
)

const OverviewJson = Type.Object(
  {
    version: Type.String(),
    at: Type.String(),
    started_at: Type.String(),
    searches: SearchesJson,
    indexes: Type.Array(IndexRowJson),
    memory: Nullable(
      Type.Object(
        {
          used_bytes: Type.Number({ description: 'What points take, or will take.' }),
          bound_bytes: Nullable(Type.Number({ description: 'Past it points are refused.' })),
          rss_bytes: Type.Number({ description: 'Of all processes.' }),
        },
        STRICT,
      ),
    ),
    cores: Nullable(Type.Array(Type.Object({}, { additionalProperties: true }))),
    buckets: Nullable(
      Type.Array(
        Type.Object(
          {
            name: Name,
            backend: Type.String(),
            role: Type.String(),
            health: Type.Enum(['ok', 'unreachable', 'unknown']),
          },
          STRICT,
        ),
      ),
    ),
  },
  STRICT,
)

const OVERVIEW = {
  config: { role: 'read' },
  schema: {
    tags: ['operations'],
    summary: 'Indexes, live recall, searches, memory, cores and buckets at one glance',
    querystring: NoQuery,
    response: replies({ 200: OverviewJson }),
  },
} as const

export const overviewRoutes: FastifyPluginCallbackTypebox<OverviewRoutesOptions> = (
  app,
  options,
  done,
) => {
  app.get('/overview', OVERVIEW, (request) => overviewJson(options, request))
  done()
}

function overviewJson(
  options: OverviewRoutesOptions,
  { caller }: FastifyRequest,
): Static<typeof OverviewJson> {
  const { rates, recall, operations, startedMs, nowMs } = options
  const infos = options.indexes.list().map((index) => index.info)
  const shown = infos.filter((info) => mayTouch(caller, info.name))
  const names = (list: readonly IndexInfo[]): Set<string> => new Set(list.map((info) => info.name))
  const whole = caller.prefixes === null
  return {
    version: operations.version,
    at: new Date(nowMs()).toISOString(),
    started_at: new Date(startedMs).toISOString(),
    searches: searchesJson(rates.ofAll(names(shown), names(infos))),
    indexes: shown.map((info) => ({
      ...indexRow(info),
      searches: searchesJson(rates.of(info.name)),
      recall: recallJson(recall.report(info.name)),
    })),
    memory: whole ? memoryJson(options) : null,
    cores: whole ? operations.cores().map((core) => ({ ...core })) : null,
    buckets: whole ? options.buckets.list().map(bucketJson) : null,
  }
}

function indexRow(info: IndexInfo): Omit<Static<typeof IndexRowJson>, 'searches' | 'recall'> {
  const { stats } = info
  return {
    ...{ name: info.name, dimension: info.dimension, metric: info.metric, bucket: info.bucket },
    ...{ state: info.state, reason: info.reason, progress: info.progress, role: info.role },
    backend: info.backend,
    config_source: info.config.source,
    points: stats?.livePoints ?? null,
    memory_bytes: stats?.memoryBytes ?? null,
    delta_points: stats?.deltaPoints ?? null,
    pending_texts: stats?.pendingTexts ?? null,
  }
}

function searchesJson({ qps, p99Ms, failed }: ReturnType<SearchRates['of']>) {
  return { qps: rounded(qps), p99_ms: p99Ms === null ? null : rounded(p99Ms), failed }
}

function recallJson({ slo, strata, ef, samples }: RecallReport): Static<typeof LiveRecallJson> {
  const main = strata.toSorted((a, b) => b.samples - a.samples)[0]
  return {
    ...{ goal: slo.goal, status: slo.status, samples, ef },
    alarm: strata.some(({ isAlarmed }) => isAlarmed),
    recall: main?.recall ?? null,
    interval: main === undefined ? null : [...main.interval],
  }
}

function memoryJson({ memory, rssBytes }: OverviewRoutesOptions) {
  const { usedBytes, boundBytes } = memory
  return {
    used_bytes: usedBytes,
    bound_bytes: Number.isFinite(boundBytes) ? boundBytes : null,
    rss_bytes: rssBytes(),
  }
}

function bucketJson(view: ReturnType<BucketsApi['list']>[number]) {
  return { name: view.name, backend: view.backend, role: view.role, health: view.health }
}

function rounded(value: number): number {
  return Math.round(1000 * value) / 1000
}
