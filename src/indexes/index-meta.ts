/**
 * What an index is: identity, home bucket and settings, as the document that its bucket keeps.
 *
 * The document is revisioned (`_indexes/{index}/meta/{revision}.json`). `state: deleting` is the
 * first step of a deletion: whoever finds it later finishes the work. While an index moves there is a
 * document in each of two buckets:
 *
 *     from   active ─▶ active, move ──────────────▶ moved ─▶ removed      `moved` is the switch
 *     to                  arriving ───────────────────▶ active
 *                            ╰──▶ abandoned ─▶ removed                    the move was called off
 *
 * An index is served from an `active` document alone, so never from two places. One that is restored
 * begins as `restoring`, see `index-arrivals.ts`.
 */

import type { ObjectStore } from '../buckets/object-store.ts'
import type { JsonObject } from '../buckets/revision-codec.ts'
import { RevisionedDocument, type Revision } from '../buckets/revisioned-document.ts'
import { configToJson, HNSW_BOUNDS, type HnswConfig } from '../domain/hnsw-config.ts'
import { lanceFromJson, lanceToJson, type LanceSettings } from '../domain/lance-settings.ts'
import { METRICS, type Metric } from '../domain/metric.ts'
import type { EmbedderStamp } from '../domain/pending-text.ts'
import {
  changedStream,
  STREAM_BOUNDS,
  streamToJson,
  type StreamSettings,
} from '../domain/stream-settings.ts'
import { VectordError } from '../lib/errors.ts'
import {
  INDEX_BACKENDS,
  type IndexBackend,
  type IndexChange,
  type IndexSettings,
} from './index-api.ts'

export interface IndexMeta extends IndexSettings {
  /** Told apart from an earlier index of the same name by this. */
  readonly incarnation: string
  readonly createdMs: number
  readonly state: 'active' | 'deleting' | 'arriving' | 'abandoned' | 'moved' | 'restoring'
  /** The move under way, or that which brought it into this state. */
  readonly move?: IndexMove
  /** Id of the server that restores it, while it does. */
  readonly restoredBy?: string
}

export interface IndexMove {
  /** Tells a move from every other. */
  readonly id: string
  /** Names of buckets, as the server that moves the index knows them. */
  readonly from: string
  readonly to: string
  /** Id of the server that moves it. */
  readonly by: string
}

/** The document without its move. */
export function withoutMove(meta: IndexMeta): IndexMeta {
  const { move: _, ...rest } = meta
  return rest
}

const STATES = ['active', 'deleting', 'arriving', 'abandoned', 'moved', 'restoring'] as const

/** Revisions kept: settings change rarely, and each is half a kilobyte. */
const REVISIONS_KEPT = 100

/** The meta document of `index` in the bucket `store`, whether it exists or not. */
export function metaDocument(store: ObjectStore, index: string): RevisionedDocument<IndexMeta> {
  return new RevisionedDocument({
    store,
    prefix: `_indexes/${index}/meta/`,
    name: `index "${index}"`,
    codec: { toJson: metaToJson, fromJson: (json) => metaFromJson(index, json) },
    keep: REVISIONS_KEPT,
  })
}

/**
 * Ends the move that `meta` names before its switch, which fails from now on. Whoever opens an index to write it calls
 * off what an earlier opening began.
 *
 * @returns what is there now: `moved` where the switch came first.
 */
export async function callOffMove(
  store: ObjectStore,
  { name, move }: Pick<IndexMeta, 'name' | 'move'>,
): Promise<Revision<IndexMeta> | null> {
  if (move === undefined) return null
  return metaDocument(store, name).modify((current) =>
    current?.document.state === 'active' && current.document.move?.id === move.id
      ? { document: withoutMove(current.document), author: 'vectord', reason: 'call off a move' }
      : null,
  )
}

export function metaToJson(meta: IndexMeta): JsonObject {
  return {
    name: meta.name,
    incarnation: meta.incarnation,
    created_at: new Date(meta.createdMs).toISOString(),
    state: meta.state,
    dimension: meta.dimension,
    metric: meta.metric,
    bucket: meta.bucket,
    backend: meta.backend,
    hnsw: configToJson(meta.hnsw),
    ...(meta.lance !== undefined && { lance: lanceToJson(meta.lance) }),
    shards: meta.shards,
    retention: { keep_last_versions: meta.keepLastVersions },
    ...(meta.move !== undefined && { move: { ...meta.move } }),
    ...(meta.restoredBy !== undefined && { restored_by: meta.restoredBy }),
    ...(meta.stream !== undefined && { stream: streamToJson(meta.stream) }),
    ...(meta.embedder !== undefined && { embedder: { ...meta.embedder } }),
  }
}

/** @throws {VectordError} `object_corrupt` naming the field; the checksum has held before. */
export function metaFromJson(index: string, json: unknown): IndexMeta {
  const field = reader(index, json)
  const hnsw = reader(index, field('hnsw', isObject))
  const retention = reader(index, field('retention', isObject))
  const metric = field('metric', isMetric)
  const config: HnswConfig = {
    m: hnsw('m', isIntegerIn(...HNSW_BOUNDS.m)),
    efConstruction: hnsw('ef_construction', isIntegerIn(...HNSW_BOUNDS.efConstruction)),
    efSearch: hnsw('ef_search', orNull(isIntegerIn(...HNSW_BOUNDS.efSearch))),
    seed: hnsw('seed', isIntegerIn(...HNSW_BOUNDS.seed)),
  }
  return {
    name: field('name', (value): value is string => value === index),
    incarnation: field('incarnation', isString),
    createdMs: Date.parse(field('created_at', isTime)),
    state: field('state', isState),
    dimension: field('dimension', isIntegerIn(1, 65_536)),
    metric,
    // Metadata of a single-bucket layout names none: it lives in the primary.
    bucket: isObject(json) && json['bucket'] === undefined ? 'primary' : field('bucket', isString),
    backend: field('backend', isBackend),
    hnsw: config,
    ...lanceOf(index, json),
    shards: field('shards', isIntegerIn(1, 1024)),
    keepLastVersions: retention('keep_last_versions', isIntegerIn(1, 1_000_000)),
    ...moveOf(index, json),
    ...(isObject(json) &&
      json['restored_by'] !== undefined && { restoredBy: field('restored_by', isString) }),
    // Older metadata has no embedder, and neither has an index whose points all need vectors.
    ...(isObject(json) &&
      json['embedder'] !== undefined && { embedder: embedderFrom(index, json) }),
    // Older metadata has none, and neither has an index that takes no stream.
    ...(isObject(json) && json['stream'] !== undefined && { stream: streamFrom(index, json) }),
  }
}

/** An index of this backend has settings of it, and no other has. */
function lanceOf(index: string, json: unknown): { readonly lance?: LanceSettings } {
  const field = reader(index, json)
  if (field('backend', isBackend) !== 'lance') return {}
  const lance = lanceFromJson(field('lance', isObject))
  if (lance === null) throw badField(index, 'lance')
  return { lance }
}

function moveOf(index: string, json: unknown): { readonly move?: IndexMove } {
  if (!isObject(json) || json['move'] === undefined) return {}
  const field = reader(index, json['move'])
  const text = (name: string): string => field(name, isString)
  return { move: { id: text('id'), from: text('from'), to: text('to'), by: text('by') } }
}

function embedderFrom(index: string, json: Record<string, unknown>): EmbedderStamp {
  const embedder = reader(index, reader(index, json)('embedder', isObject))
  return {
    name: embedder('name', isString),
    model: embedder('model', isString),
    version: embedder('version', isString),
    dimension: embedder('dimension', isIntegerIn(1, Number.MAX_SAFE_INTEGER)),
    normalised: embedder('normalised', (value) => typeof value === 'boolean'),
  }
}

function streamFrom(index: string, json: Record<string, unknown>): StreamSettings {
  const stream = reader(index, reader(index, json)('stream', isObject))
  return {
    bufferSize: stream('buffer_size', isIntegerIn(...STREAM_BOUNDS.bufferSize)),
    batchSize: stream('batch_size', isIntegerIn(...STREAM_BOUNDS.batchSize)),
    flushIntervalMs: stream('flush_interval_ms', isIntegerIn(...STREAM_BOUNDS.flushIntervalMs)),
  }
}

/** The meta with its stream changed. @throws {VectordError} as `changedStream`. */
export function withStream(meta: IndexMeta, change: IndexChange['stream']): IndexMeta {
  if (change === undefined) return meta
  const { stream: before, ...rest } = meta
  return change === null ? rest : { ...rest, stream: changedStream(before ?? null, change) }
}

type Guard<T> = (value: unknown) => value is T

function reader(index: string, json: unknown): <T>(name: string, guard: Guard<T>) => T {
  return (name, guard) => {
    const value = isObject(json) ? json[name] : undefined
    if (guard(value)) return value
    throw badField(index, name)
  }
}

function badField(index: string, field: string): VectordError {
  const message = `The meta of index "${index}" has a bad "${field}".`
  return new VectordError('object_corrupt', message, { details: { index, field } })
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isString(value: unknown): value is string {
  return typeof value === 'string' && value !== ''
}

function isTime(value: unknown): value is string {
  return typeof value === 'string' && Number.isFinite(Date.parse(value))
}

function isMetric(value: unknown): value is Metric {
  return METRICS.some((metric) => metric === value)
}

function isBackend(value: unknown): value is IndexBackend {
  return INDEX_BACKENDS.some((backend) => backend === value)
}

function isState(value: unknown): value is IndexMeta['state'] {
  return STATES.some((state) => state === value)
}

function isIntegerIn(low: number, high: number): Guard<number> {
  return (value): value is number =>
    typeof value === 'number' && Number.isInteger(value) && value >= low && value <= high
}

function orNull<T>(guard: Guard<T>): Guard<T | null> {
  return (value): value is T | null => value === null || guard(value)
}
