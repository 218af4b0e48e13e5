/**
 * The manifest of a checkpoint as JSON: `docs/formats/checkpoint.md` names every field.
 *
 * The `sha256` field is that of the rest of the document, so that a flipped byte anywhere in it is
 * found before anything it says is believed.
 */

import { createHash } from 'node:crypto'
import type {
  CheckpointContent,
  GraphRef,
  PartRef,
  ShardRetention,
  StoredFile,
} from '../domain/checkpoint.ts'
import { configToJson, HNSW_BOUNDS, type HnswConfig } from '../domain/hnsw-config.ts'
import { VectordError } from '../lib/errors.ts'

const MANIFEST_FORMAT = 1

export interface Manifest {
  readonly index: string
  /** Of the index that it belongs to: one of an earlier index of this name is refused. */
  readonly incarnation: string
  readonly createdMs: number
  readonly content: CheckpointContent
}

export function encodeManifest(manifest: Manifest): Uint8Array {
  const { index, incarnation, createdMs, content } = manifest
  const body = {
    format: MANIFEST_FORMAT,
    index,
    incarnation,
    created_at: new Date(createdMs).toISOString(),
    ...contentToJson(content),
  }
  return Buffer.from(`${JSON.stringify({ ...body, sha256: digest(body) }, null, 1)}\n`)
}

/**
 * @param key only names the object in messages.
 * @throws {VectordError} `object_corrupt`, `format_too_new`.
 */
export function decodeManifest(key: string, bytes: Uint8Array): Manifest {
  const json = parse(key, bytes)
  const read = new Reader(key, json)
  const format = read.integer('format')
  if (format > MANIFEST_FORMAT) {
    throw new VectordError(
      'format_too_new',
      `The manifest "${key}" has format ${format}; this version reads up to ${MANIFEST_FORMAT}.`,
      { details: { key, format, supported: MANIFEST_FORMAT } },
    )
  }
  const { sha256, ...body } = json
  if (sha256 !== digest(body)) throw corrupt(key, 'sha256')
  return {
    index: read.text('index'),
    incarnation: read.text('incarnation'),
    createdMs: Date.parse(read.text('created_at')),
    content: contentFrom(read),
  }
}

/** The fields that say what a checkpoint consists of. */
export function contentToJson(content: CheckpointContent): Record<string, unknown> {
  return {
    lsn: content.lsn,
    parts: content.parts.map(partToJson),
    graphs: content.graphs.map(graphToJson),
    retention: content.retention.map(retentionToJson),
  }
}

/**
 * As `contentToJson` wrote it into another object than a manifest.
 *
 * @throws {VectordError} `object_corrupt` with the key.
 */
export function contentFromJson(key: string, json: unknown): CheckpointContent {
  if (!isObject(json)) throw corrupt(key, 'checkpoint')
  return contentFrom(new Reader(key, json))
}

function contentFrom(read: Reader): CheckpointContent {
  return {
    lsn: read.integer('lsn'),
    parts: read.list('parts').map(partFromJson),
    graphs: read.list('graphs').map(graphFromJson),
    // An older version did not write the field.
    retention: read.has('retention') ? read.list('retention').map(retentionFromJson) : [],
  }
}

function retentionToJson(retention: ShardRetention): Record<string, unknown> {
  return {
    shard: retention.shard,
    keep_last_versions: retention.keepLastVersions,
    horizon_lsn: retention.horizonLsn,
  }
}

function retentionFromJson(read: Reader): ShardRetention {
  return {
    shard: read.integer('shard'),
    keepLastVersions: Math.max(1, read.integer('keep_last_versions')),
    horizonLsn: read.integer('horizon_lsn'),
  }
}

function fileToJson(file: StoredFile): Record<string, unknown> {
  return { key: file.key, bytes: file.bytes, sha256: file.sha256 }
}

function fileFromJson(read: Reader): StoredFile {
  return { key: read.text('key'), bytes: read.integer('bytes'), sha256: read.text('sha256') }
}

function partToJson(part: PartRef): Record<string, unknown> {
  return {
    kind: part.kind,
    shard: part.shard,
    ...fileToJson(part),
    rows: part.rows,
    dead_rows: part.deadRows,
    first_lsn: part.firstLsn,
    last_lsn: part.lastLsn,
  }
}

function partFromJson(read: Reader): PartRef {
  const kind = read.text('kind')
  if (kind !== 'points' && kind !== 'deletes') throw corrupt(read.key, 'kind')
  return {
    kind,
    shard: read.integer('shard'),
    ...fileFromJson(read),
    rows: read.integer('rows'),
    deadRows: read.integer('dead_rows'),
    firstLsn: read.integer('first_lsn'),
    lastLsn: read.integer('last_lsn'),
  }
}

export function graphToJson(graph: GraphRef): Record<string, unknown> {
  const { config } = graph
  return {
    shard: graph.shard,
    generation: graph.generation,
    published: graph.published,
    graph_id: graph.graphId,
    config: configToJson(config),
    graph: fileToJson(graph.graph),
    labels: fileToJson(graph.labels),
    indexed_lsn: graph.indexedLsn,
    elements: graph.elements,
  }
}

/**
 * Graphs of another object than a manifest.
 *
 * @throws {VectordError} `object_corrupt` with the key.
 */
export function graphsFromJson(key: string, json: Record<string, unknown>): GraphRef[] {
  return new Reader(key, json).list('graphs').map(graphFromJson)
}

function graphFromJson(read: Reader): GraphRef {
  return {
    shard: read.integer('shard'),
    generation: read.integer('generation'),
    published: read.flag('published', true),
    graphId: read.textOrNull('graph_id'),
    config: configFromJson(read.object('config')),
    graph: fileFromJson(read.object('graph')),
    labels: fileFromJson(read.object('labels')),
    indexedLsn: read.integer('indexed_lsn'),
    elements: read.integer('elements'),
  }
}

function configFromJson(read: Reader): HnswConfig {
  const m = read.integer('m')
  if (m < HNSW_BOUNDS.m[0]) throw corrupt(read.key, 'm')
  return {
    m,
    efConstruction: read.integer('ef_construction'),
    efSearch: read.isNull('ef_search') ? null : read.integer('ef_search'),
    seed: read.integer('seed'),
  }
}

function parse(key: string, bytes: Uint8Array): Record<string, unknown> {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
    const json: unknown = JSON.parse(text)
    if (isObject(json)) return json
  } catch (error) {
    throw corrupt(key, 'json', error)
  }
  throw corrupt(key, 'json')
}

/** Reads fields of one type or throws `object_corrupt`. */
class Reader {
  readonly key: string
  readonly #json: Record<string, unknown>

  constructor(key: string, json: Record<string, unknown>) {
    this.key = key
    this.#json = json
  }

  text(field: string): string {
    const value = this.#json[field]
    if (typeof value === 'string') return value
    throw corrupt(this.key, field)
  }

  integer(field: string): number {
    const value = this.#json[field]
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value
    throw corrupt(this.key, field)
  }

  /** `missing` where an older version did not write the field. */
  flag(field: string, missing: boolean): boolean {
    const value = this.#json[field] ?? missing
    if (typeof value === 'boolean') return value
    throw corrupt(this.key, field)
  }

  /** Null also where an older version did not write the field. */
  textOrNull(field: string): string | null {
    return (this.#json[field] ?? null) === null ? null : this.text(field)
  }

  has(field: string): boolean {
    return this.#json[field] !== undefined
  }

  isNull(field: string): boolean {
    return this.#json[field] === null
  }

  object(field: string): Reader {
    const value = this.#json[field]
    if (isObject(value)) return new Reader(this.key, value)
    throw corrupt(this.key, field)
  }

  list(field: string): Reader[] {
    const value = this.#json[field]
    if (!Array.isArray(value)) throw corrupt(this.key, field)
    return value.map((entry: unknown) => {
      if (!isObject(entry)) throw corrupt(this.key, field)
      return new Reader(this.key, entry)
    })
  }
}

function digest(body: Record<string, unknown>): string {
  return createHash('sha256').update(JSON.stringify(body)).digest('hex')
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function corrupt(key: string, field: string, cause?: unknown): VectordError {
  return new VectordError('object_corrupt', `The object "${key}" is damaged at "${field}".`, {
    details: { key, field },
    cause,
  })
}
