/**
 * Shards under test: open, fed with encoded batches, beside the plainest model of what they hold.
 */

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { MemoryStore } from '../../src/buckets/memory-store.ts'
import type { ObjectStore } from '../../src/buckets/object-store.ts'
import { encodeBatch } from '../../src/codecs/batch-codec.ts'
import type { CheckpointContent } from '../../src/domain/checkpoint.ts'
import { HNSW_DEFAULTS } from '../../src/domain/hnsw-config.ts'
import type { Metric } from '../../src/domain/metric.ts'
import { CLIENT_TAG } from '../../src/domain/pending-text.ts'
import type { Include, ShardAnswer, ShardQuery } from '../../src/domain/search.ts'
import type { ShardSpec } from '../../src/domain/shard-spec.ts'
import { textHash } from '../../src/domain/text-hash.ts'
import { upsertOf } from '../../src/domain/write-batch.ts'
import { openShard } from '../../src/shard/open-shard.ts'
import type { Shard } from '../../src/shard/shard.ts'
import { vectorAt, type VectorSet } from '../support/vectors.ts'

export const NOTHING: Include = { metadata: false, vector: false, text: false }
export const EVERYTHING: Include = { metadata: true, vector: true, text: true }

export interface ModelPoint {
  readonly id: string
  /** Null while a text waits for it. */
  readonly vector: Float32Array | null
  readonly text: string | null
  readonly metadata: string | null
}

/** A vector that an embedder made, and what it was made from. */
export interface ModelVector {
  readonly id: string
  readonly version: number
  readonly text: string
  readonly vector: Float32Array
}

export interface LivePoint extends ModelPoint {
  /** Of its row: that of its vector, where an embedder made it. */
  readonly lsn: number
  readonly row: number
  readonly version: number
  /** Of the embedder that made the vector. */
  readonly tag: string
}

interface HarnessOptions {
  readonly dimension: number
  readonly metric?: Metric
  /** Up to this many points no graph is begun. */
  readonly flatRowsMax?: number
  readonly spec?: Partial<ShardSpec>
  readonly store?: ObjectStore
}

interface SetRange {
  readonly from?: number
  /** Exclusive. */
  readonly to?: number
  readonly prefix?: string
}

/** One shard over restarts; `live` is what it should hold. */
export class Harness {
  readonly spec: ShardSpec
  readonly store: ObjectStore
  readonly live = new Map<string, LivePoint>()
  readonly #flatRowsMax: number
  #shard: Shard | null = null
  lsn = 0

  constructor(t: TestContext, options: HarnessOptions) {
    const scratch = mkdtempSync(join(tmpdir(), 'vectord-shard-'))
    t.after(async () => {
      await this.#shard?.close()
      rmSync(scratch, { recursive: true, force: true })
    })
    this.#flatRowsMax = options.flatRowsMax ?? 50
    this.store = options.store ?? new MemoryStore()
    this.spec = {
      index: 'words',
      incarnation: 'one',
      shard: 0,
      shards: 1,
      dimension: options.dimension,
      metric: options.metric ?? 'cosine',
      hnsw: HNSW_DEFAULTS,
      bucket: { backend: 'local', root: 'unused' },
      scratch,
      checkpoint: null,
      ...options.spec,
    }
  }

  get shard(): Shard {
    if (this.#shard === null) throw new Error('the harness is not open')
    return this.#shard
  }

  async open(
    checkpoint: CheckpointContent | null = null,
    change: Partial<ShardSpec> = {},
    onProgress: (fraction: number) => void = () => undefined,
  ): Promise<Shard> {
    await this.#shard?.close()
    this.#shard = null
    const spec = { ...this.spec, ...change, checkpoint, flatRowsMax: this.#flatRowsMax }
    this.#shard = await openShard(spec, this.store, onProgress)
    return this.#shard
  }

  upsert(points: readonly ModelPoint[]): Uint8Array {
    this.lsn += 1
    for (const [row, point] of points.entries()) {
      this.live.delete(point.id)
      this.live.set(point.id, { ...point, lsn: this.lsn, version: this.lsn, row, tag: CLIENT_TAG })
    }
    const payload = encodeBatch(upsertOf(this.spec.dimension, points))
    this.shard.apply(this.lsn, payload)
    return payload
  }

  /** Rows `from` to `to` (exclusive) of a set, as points `prefix0`, `prefix1` and so on. */
  upsertSet(
    set: VectorSet,
    { from = 0, to = set.count, prefix = 'p' }: SetRange,
    metadata: (row: number) => object | null = () => null,
  ): void {
    for (let start = from; start < to; start += 500) {
      const points: ModelPoint[] = []
      for (let row = start; row < Math.min(to, start + 500); row += 1) {
        const json = metadata(row)
        points.push({
          id: `${prefix}${row}`,
          vector: vectorAt(set, row),
          text: null,
          metadata: json === null ? null : JSON.stringify(json),
        })
      }
      this.upsert(points)
    }
  }

  /** Vectors for texts: the model has them where the point is what they were made from. */
  project(vectors: readonly ModelVector[], tag: string): Uint8Array {
    this.lsn += 1
    const { dimension } = this.spec
    const all = new Float32Array(vectors.length * dimension)
    for (const [row, { id, version, text, vector }] of vectors.entries()) {
      all.set(vector, row * dimension)
      const point = this.live.get(id)
      const isOurs = point?.version === version && point.text === text && point.tag !== tag
      if (!isOurs || (point.vector !== null && point.tag === CLIENT_TAG)) continue
      this.live.set(id, { ...point, vector, lsn: this.lsn, row, tag })
    }
    const payload = encodeBatch({
      kind: 'project',
      dimension,
      ids: vectors.map(({ id }) => id),
      vectors: all,
      versions: Float64Array.from(vectors, ({ version }) => version),
      textHashes: vectors.map(({ id, text }) => textHash(id, text)),
      embedders: vectors.map(() => tag),
    })
    this.shard.apply(this.lsn, payload)
    return payload
  }

  delete(ids: readonly string[]): Uint8Array {
    this.lsn += 1
    for (const id of ids) this.live.delete(id)
    const payload = encodeBatch({ kind: 'delete', ids })
    this.shard.apply(this.lsn, payload)
    return payload
  }

  indexAll(): void {
    while (this.shard.indexSlice(1000)) continue
  }

  search(vector: Float32Array, query: Partial<ShardQuery> = {}): ShardAnswer {
    return this.shard.search({
      target: { vector },
      k: 10,
      ef: null,
      exact: false,
      filter: null,
      include: NOTHING,
      ...query,
    })
  }

  /** Distances of the live points of the model, ascending. */
  trueDistances(
    query: Float32Array,
    matches: (point: ModelPoint) => boolean = () => true,
  ): { readonly id: string; readonly distance: number }[] {
    return [...this.live.values()]
      .filter(matches)
      .flatMap(({ id, vector }) =>
        vector === null ? [] : [{ id, distance: distance(this.spec.metric, query, vector) }],
      )
      .sort((a, b) => a.distance - b.distance)
  }
}

export function distance(metric: Metric, a: Float32Array, b: Float32Array): number {
  let product = 0
  let difference = 0
  let normA = 0
  let normB = 0
  for (const [i, x] of a.entries()) {
    const y = b[i] ?? NaN
    product += x * y
    difference += (x - y) ** 2
    normA += x * x
    normB += y * y
  }
  if (metric === 'l2') return difference
  return metric === 'ip' ? 1 - product : 1 - product / Math.sqrt(normA * normB)
}

/** Share of the true hits that an answer has, by id. */
export function recallOf(answer: ShardAnswer, truth: ShardAnswer): number {
  if (truth.hits.length === 0) return 1
  const ids = new Set(answer.hits.map(({ id }) => id))
  return truth.hits.filter(({ id }) => ids.has(id)).length / truth.hits.length
}

export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}
