/**
 * What an index shows of itself over HTTP: the shape of the answers, and the fields that creating and
 * changing one share with them.
 */

import { Type, type Static } from '@fastify/type-provider-typebox'
import { configToJson, HNSW_BOUNDS } from '../src/domain/hnsw-config.ts'
import { LANCE_BOUNDS, lanceToJson } from '../src/domain/lance-settings.ts'
import { LANCE_INDEX_KINDS } from '../src/domain/lance-table.ts'
import { METRICS } from '../src/domain/metric.ts'
import type { ShardStats } from '../src/domain/search.ts'
import { STREAM_BOUNDS, STREAM_DEFAULTS, streamToJson } from '../src/domain/stream-settings.ts'
import { Lsn, Name, Nullable } from '../src/http/schemas.ts'
import { INDEX_BACKENDS, type IndexInfo } from '../src/indexes/index-api.ts'
import { deadShareOf } from '../src/services/compaction-cycle.ts'

const STRICT = { additionalProperties: false } as const
const VERSIONS_MAX = 1000

export const bounds = ([minimum, maximum]: readonly [number, number]): {
  minimum: number
  maximum: number
} => ({ minimum, maximum })

const M = Type.Integer(bounds(HNSW_BOUNDS.m))
const EfConstruction = Type.Integer(bounds(HNSW_BOUNDS.efConstruction))
export const EfSearch = Nullable(Type.Integer(bounds(HNSW_BOUNDS.efSearch)))
const Seed = Type.Integer(bounds(HNSW_BOUNDS.seed))
export const Versions = Type.Integer({ minimum: 1, maximum: VERSIONS_MAX })

const streamSize = (name: 'bufferSize' | 'batchSize' | 'flushIntervalMs', what: string) =>
  Type.Integer({
    ...bounds(STREAM_BOUNDS[name]),
    description: `${what}; ${STREAM_DEFAULTS[name]} where nothing else was said.`,
  })

/** How an index takes a stream, as answers show it. */
export const StreamJson = Type.Object(
  {
    buffer_size: streamSize('bufferSize', 'Points that may wait'),
    batch_size: streamSize('batchSize', 'Points of one write'),
    flush_interval_ms: streamSize('flushIntervalMs', 'Longest wait for a full batch'),
  },
  STRICT,
)

const Count = Type.Integer({ minimum: 0 })
const Share = Type.Number({ minimum: 0, maximum: 1 })

const CompactionJson = Type.Object(
  {
    ratio: Type.Number({
      ...{ minimum: 0, maximum: 1 },
      description: 'Share that is dead of the rows in memory or of the graph: the larger one.',
    }),
    last_at: Nullable(Type.String({ description: 'Since this server serves the index.' })),
  },
  STRICT,
)

const StatsJson = Type.Object(
  {
    live_points: Count,
    pending_texts: Type.Integer({
      minimum: 0,
      description: 'Points whose text still waits for its vector.',
    }),
    rows: Count,
    dead_rows: Count,
    kept_versions: Type.Integer({
      minimum: 0,
      description: 'Older versions of points that can still be read.',
    }),
    kept_bytes: Type.Number({ description: 'Of their vectors and strings.' }),
    delta_points: Count,
    graph_elements: Count,
    tombstones: Count,
    generation: Count,
    applied_lsn: Lsn,
    indexed_lsn: Lsn,
    memory_bytes: Type.Number(),
    raw_bytes: Type.Number(),
    payload_bytes: Type.Number(),
    insert_rate: Type.Number({ description: 'Points a second that went into the graph lately.' }),
  },
  STRICT,
)

const EmbedderJson = Type.Object(
  {
    name: Type.String({ description: 'As configured when the index got it.' }),
    model: Type.String(),
    version: Type.String(),
    dimension: Type.Integer({ minimum: 1 }),
    normalised: Type.Boolean({ description: 'Its vectors have unit length.' }),
  },
  STRICT,
)

const LanceShownJson = Type.Object(
  {
    recall: Share,
    recall_lcb: { ...Share, description: 'One-sided lower 95 % bound.' },
    min_recall: { ...Share, description: 'What was asked for.' },
    k: Type.Integer({ minimum: 1 }),
    queries: Type.Integer({ minimum: 1, description: 'That the settings were not chosen by.' }),
    version: Lsn,
    at: Type.String(),
  },
  STRICT,
)

/** How a Lance index is searched, as answers show it. */
export const LanceJson = Type.Object(
  {
    index_kind: Nullable(
      Type.Enum([...LANCE_INDEX_KINDS], { description: 'null: every row is compared.' }),
    ),
    nprobes: Nullable(Type.Integer(bounds(LANCE_BOUNDS.nprobes))),
    refine_factor: Nullable(Type.Integer(bounds(LANCE_BOUNDS.refineFactor))),
    ef: Nullable(Type.Integer({ ...bounds(LANCE_BOUNDS.ef), description: 'Of ivf_hnsw_sq.' })),
    shown: Nullable(LanceShownJson),
  },
  STRICT,
)

export const IndexJson = Type.Object(
  {
    name: Name,
    dimension: Type.Integer(),
    metric: Type.Enum([...METRICS]),
    bucket: Name,
    backend: Type.Enum([...INDEX_BACKENDS]),
    hnsw: Type.Object(
      { m: M, ef_construction: EfConstruction, ef_search: EfSearch, seed: Seed },
      STRICT,
    ),
    lance: Nullable(LanceJson),
    shards: Type.Integer(),
    embedder: Nullable(EmbedderJson),
    retention: Type.Object({ keep_last_versions: Versions }, STRICT),
    stream: Nullable(StreamJson),
    revision: Count,
    created_at: Type.String(),
    state: Type.Enum(['loading', 'ready', 'degraded', 'unavailable', 'deleting']),
    reason: Nullable(Type.String()),
    progress: Type.Number({ minimum: 0, maximum: 1 }),
    role: Nullable(
      Type.Enum(['owner', 'follower'], {
        description: 'Of this server: the owner writes the index, followers serve reads only.',
      }),
    ),
    owner: Nullable(Type.String({ description: 'Id of the server that writes the index.' })),
    lsn: Lsn,
    checkpoint_lsn: Lsn,
    log_bytes: Type.Number(),
    points: Nullable(Count),
    compaction: CompactionJson,
    stats: Nullable(StatsJson),
  },
  STRICT,
)

export type IndexAnswer = Static<typeof IndexJson>

export function indexJson(info: IndexInfo): IndexAnswer {
  const { name, dimension, metric, bucket, backend, hnsw, shards, stats } = info
  const { revision, state, reason, progress, role, owner, lsn } = info
  return {
    ...{ name, dimension, metric, bucket, backend },
    hnsw: configToJson(hnsw),
    lance: info.lance === undefined ? null : lanceToJson(info.lance),
    shards,
    embedder: info.embedder === undefined ? null : { ...info.embedder },
    retention: { keep_last_versions: info.keepLastVersions },
    stream: info.stream === undefined ? null : streamToJson(info.stream),
    revision,
    created_at: new Date(info.createdMs).toISOString(),
    ...{ state, reason, progress, role, owner, lsn },
    checkpoint_lsn: info.checkpointLsn,
    log_bytes: info.logBytes,
    points: stats?.livePoints ?? null,
    compaction: {
      ratio: deadShareOf(stats),
      last_at: info.compactedMs === null ? null : new Date(info.compactedMs).toISOString(),
    },
    stats: stats === null ? null : statsJson(stats),
  }
}

function statsJson(stats: ShardStats): Static<typeof StatsJson> {
  return {
    live_points: stats.livePoints,
    pending_texts: stats.pendingTexts,
    rows: stats.rows,
    dead_rows: stats.deadRows,
    kept_versions: stats.keptVersions,
    kept_bytes: stats.keptBytes,
    delta_points: stats.deltaPoints,
    graph_elements: stats.graphElements,
    tombstones: stats.tombstones,
    generation: stats.generation,
    applied_lsn: stats.appliedLsn,
    indexed_lsn: stats.indexedLsn,
    memory_bytes: stats.memoryBytes,
    raw_bytes: stats.rawBytes,
    payload_bytes: stats.payloadBytes,
    insert_rate: stats.insertRate,
  }
}
