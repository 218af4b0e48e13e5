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
import type { Include, ShardAnswer, ShardQuery } from '../../src/domain/search.ts'
import type { ShardSpec } from '../../src/domain/shard-spec.ts'
import { openShard } from '../../src/shard/open-shard.ts'
import type { Shard } from '../../src/shard/shard.ts'
import { vectorAt, type VectorSet } from '../support/vectors.ts'

export const NOTHING: Include = { metadata: false, vector: false, text: false }
export const EVERYTHING: Include = { metadata: true, vector: true, text: true }

export interface ModelPoint {
  readonly id: string
  readonly vector: Float32Array
  readonly text: string | null
  readonly metadata: string | null
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
  readonly live = new Map<string, ModelPoint & { readonly lsn: number; readonly row: number }>()
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
    const { dimension } = this.spec
    const vectors = new Float32Array(points.length * dimension)
    for (const [row, point] of points.entries()) {
      vectors.set(point.vector, row * dimension)
      this.live.delete(point.id)
      this.live.set(point.id, { ...point, lsn: this.lsn, row })
    }
    const payload = encodeBatch({
      kind: 'upsert',
      dimension,
      ids: points.map(({ id }) => id),
      vectors,
      texts: points.map(({ text }) => text),
      metadata: points.map(({ metadata }) => metadata),
    })
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
      .map(({ id, vector }) => ({ id, distance: distance(this.spec.metric, query, vector) }))
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
