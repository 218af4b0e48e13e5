/**
 * Snapshots over the two buckets of a moving world, and indexes beside the plainest model of what they
 * hold after each write.
 */

import assert from 'node:assert/strict'
import { join } from 'node:path'
import type { ObjectStore } from '../../src/buckets/object-store.ts'
import { upsertOf } from '../../src/domain/write-batch.ts'
import type { IndexSettings, ManagedIndex } from '../../src/indexes/index-api.ts'
import { VectordError } from '../../src/lib/errors.ts'
import { countLivePoints } from '../../src/shard/live-points.ts'
import { Snapshots, type SnapshotControl } from '../../src/snapshots/snapshots.ts'
import type { PromotionEntry } from '../../src/promotions/promotion-document.ts'
import { COLD, HOT, MovingWorld, PrefixStore, type WorldOptions } from './moving-world.ts'

export const EMBEDDER = {
  ...{ name: 'words', model: 'model', version: '1', dimension: 4, normalised: false },
}

export const SETTINGS: IndexSettings = {
  ...{ name: 'docs', dimension: 4, metric: 'l2', bucket: HOT, backend: 'hnsw' },
  hnsw: { m: 8, efConstruction: 50, efSearch: null, seed: 1 },
  ...{ shards: 2, keepLastVersions: 1, embedder: EMBEDDER },
}

export const PROMOTED: PromotionEntry = {
  config: { m: 12, efConstruction: 60, efSearch: 40, seed: 2 },
  ...{ trialId: 't-1', promotedMs: 5, promotedBy: 'ann', note: 'good', graphId: 'g-1' },
  ...{ evidence: null, pinned: true },
}

/** By the clock of the moving world. */
export const DEADLINE_MS = 2e9
const BOUNDS = { minLsn: 0, deadlineMs: DEADLINE_MS }
const WHOLE = { metadata: true, vector: true, text: true }

export interface WorldPoint {
  readonly vector: readonly number[] | null
  readonly text: string | null
  readonly metadata: string | null
}

export class SnapshotWorld {
  readonly world: MovingWorld
  readonly snapshots: Snapshots
  /** Milliseconds since the epoch. */
  nowMs = 1e12
  promoted: PromotionEntry | null = null
  /** How often points were counted by reading them. */
  counts = 0
  /** What each index holds after each write, by name and lsn. */
  readonly #states = new Map<string, ReadonlyMap<string, WorldPoint>>()

  constructor(inner: ObjectStore, options: WorldOptions) {
    const { names = [HOT, COLD], scratch } = options
    this.world = new MovingWorld(inner, options)
    const { registry, store: all, troubles } = this.world
    const store = (bucket: string): ObjectStore => {
      if (names.includes(bucket)) return new PrefixStore(all, `${bucket}/`)
      throw new VectordError('bucket_not_found', 'There is no such bucket.')
    }
    this.snapshots = new Snapshots({
      ...{ store, scratch, served: (index) => registry.get(index) },
      restore: (bring) => registry.restore(bring),
      promoted: () => Promise.resolve(this.promoted),
      count: (job, signal) => {
        this.counts += 1
        return countLivePoints(store(job.bucket), job.content, {
          ...{ signal, scratch: join(scratch, `count-${this.counts}`) },
        })
      },
      nowMs: () => this.nowMs,
      onTrouble: (error) => {
        troubles.push(error instanceof VectordError ? error.code : String(error))
      },
    })
  }

  async create(settings: Partial<IndexSettings> = {}): Promise<ManagedIndex> {
    const { backend: _, ...rest } = { ...SETTINGS, ...settings }
    await this.world.registry.refresh()
    return this.world.registry.create({ ...rest, createdBy: 'test' })
  }

  /** @param points by id; null deletes one. All upserts are one write, all deletes another. */
  async write(name: string, points: Readonly<Record<string, WorldPoint | null>>): Promise<void> {
    const index = this.world.registry.get(name)
    const rows = Object.entries(points).flatMap(([id, point]) =>
      point === null
        ? []
        : [{ id, ...point, vector: point.vector && Float32Array.from(point.vector) }],
    )
    const ids = Object.entries(points).flatMap(([id, point]) => (point === null ? [id] : []))
    const options = { ack: 'applied', deadlineMs: DEADLINE_MS } as const
    const before = this.stateAt(name, index.info.lsn)
    const state = new Map(before)
    if (rows.length > 0) {
      for (const { id } of rows) state.set(id, points[id] ?? assert.fail())
      const { lsn } = await index.write(upsertOf(4, rows), options)
      this.#states.set(`${name} ${lsn}`, new Map(state))
    }
    if (ids.length === 0) return
    for (const id of ids) state.delete(id)
    const { lsn } = await index.write({ kind: 'delete', ids }, options)
    this.#states.set(`${name} ${lsn}`, state)
  }

  stateAt(name: string, lsn: number): ReadonlyMap<string, WorldPoint> {
    if (lsn === 0) return new Map()
    return this.#states.get(`${name} ${lsn}`) ?? assert.fail(`nothing is known of lsn ${lsn}`)
  }

  /** What an index holds now, as it answers. */
  async contentOf(name: string): Promise<ReadonlyMap<string, WorldPoint>> {
    const index = this.world.registry.get(name)
    const request = { after: null, limit: 10_000, filter: null, include: WHOLE }
    const { points } = await index.scroll(request, BOUNDS)
    return new Map(
      points.map(({ id, vector, text, metadata }) => [
        id,
        { vector: vector && [...vector], text, metadata },
      ]),
    )
  }

  /** The keys of all objects in a bucket that begin so. */
  async keys(bucket: string, prefix: string): Promise<string[]> {
    const keys: string[] = []
    for await (const { key } of this.world.store.list(`${bucket}/${prefix}`)) keys.push(key)
    return keys
  }

  /** Flips a bit in the middle of an object. */
  async damage(key: string): Promise<void> {
    const bytes = Uint8Array.from(await this.world.store.get(key))
    bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1
    await this.world.store.put(key, bytes)
  }
}

export function control(signal = new AbortController().signal): SnapshotControl {
  return { signal, progress: () => undefined }
}
