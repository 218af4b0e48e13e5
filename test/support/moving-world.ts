/**
 * A server with two buckets in the test's own process, over one store that counts operations: a crash
 * at any of them strikes both buckets. Indexes open as on S3; shards load without processes.
 */

import assert from 'node:assert/strict'
import { setImmediate as turn } from 'node:timers/promises'
import type { ListOptions, ObjectInfo, ObjectStore } from '../../src/buckets/object-store.ts'
import type { BucketSpec } from '../../src/domain/shard-spec.ts'
import { IndexArrivals } from '../../src/indexes/index-arrivals.ts'
import { IndexMoves } from '../../src/indexes/index-moves.ts'
import { IndexRegistry } from '../../src/indexes/index-registry.ts'
import { metaDocument } from '../../src/indexes/index-meta.ts'
import { HomeStores } from '../../src/indexes/home-stores.ts'
import { MemoryQuota } from '../../src/indexes/memory-quota.ts'
import { beginLog, makeRunner, type OpenIndexOptions } from '../../src/indexes/open-index.ts'
import type { ServedIndex } from '../../src/indexes/served-index.ts'
import { hasCode, VectordError } from '../../src/lib/errors.ts'
import { FaultyStore } from './faulty-store.ts'
import { META } from './index-scenario.ts'
import { inlineShard } from './inline-shard.ts'
import { Pins } from '../../src/versions/pins.ts'

export const HOT = 'hot'
export const COLD = 'cold'
const TURNS_MAX = 1_000_000
/** Writes that are held back are refused so many milliseconds after they came. */
const PATIENCE_MS = 50
export const MOVED_BY = { ifRevision: null, by: 'test' }

/** The part of a store under a prefix, as a store. */
export class PrefixStore implements ObjectStore {
  readonly #inner: ObjectStore
  readonly #prefix: string

  constructor(inner: ObjectStore, prefix: string) {
    this.#inner = inner
    this.#prefix = prefix
  }

  get(key: string): Promise<Uint8Array> {
    return this.#inner.get(this.#prefix + key)
  }

  async head(key: string): Promise<ObjectInfo> {
    return { ...(await this.#inner.head(this.#prefix + key)), key }
  }

  put(key: string, body: Uint8Array): Promise<void> {
    return this.#inner.put(this.#prefix + key, body)
  }

  putIfAbsent(key: string, body: Uint8Array): Promise<void> {
    return this.#inner.putIfAbsent(this.#prefix + key, body)
  }

  putFile(key: string, path: string): Promise<void> {
    return this.#inner.putFile(this.#prefix + key, path)
  }

  getFile(key: string, path: string): Promise<void> {
    return this.#inner.getFile(this.#prefix + key, path)
  }

  delete(key: string): Promise<void> {
    return this.#inner.delete(this.#prefix + key)
  }

  async *list(prefix: string, { startAfter }: ListOptions = {}): AsyncGenerator<ObjectInfo> {
    const from = startAfter === undefined ? {} : { startAfter: this.#prefix + startAfter }
    for await (const object of this.#inner.list(this.#prefix + prefix, from)) {
      yield { ...object, key: object.key.slice(this.#prefix.length) }
    }
  }

  /** The store beneath belongs to the test. */
  close(): Promise<void> {
    return Promise.resolve()
  }
}

export interface WorldOptions {
  readonly scratch: string
  readonly server?: string
  /** Buckets that this server knows; both where left out. */
  readonly names?: readonly string[]
}

export class MovingWorld {
  readonly store: FaultyStore
  readonly registry: IndexRegistry
  readonly homes: HomeStores
  readonly troubles: string[] = []
  /** Runs before the rest of a move is copied: what it does comes as late as can be. */
  beforeLog: () => Promise<void> = () => Promise.resolve()
  /** True for buckets whose eval sets are those of the index. */
  evalsOf: (bucket: string) => boolean = () => true
  /** How often a shard was loaded. */
  loads = 0
  /** How much later it is than at the start. */
  laterMs = 0

  constructor(inner: ObjectStore, { scratch, server = 'one', names = [HOT, COLD] }: WorldOptions) {
    this.store = new FaultyStore(inner)
    const nowMs = (): number => 1e9 - PATIENCE_MS + this.laterMs
    const onTrouble = (error: unknown): void => {
      this.troubles.push(error instanceof VectordError ? error.code : String(error))
    }
    const views = new Map(names.map((name) => [name, new PrefixStore(this.store, `${name}/`)]))
    const store = (name: string): ObjectStore => {
      const view = views.get(name)
      if (view !== undefined) return view
      throw new VectordError('bucket_not_found', 'There is no such bucket.')
    }
    const open: OpenIndexOptions = {
      dataplane: {
        attach: async (source) => {
          this.loads += 1
          const of = ({ backend, ...spec }: BucketSpec): ObjectStore =>
            store('bucket' in spec ? spec.bucket : backend)
          return inlineShard(source, of((await source.spec()).bucket), of)
        },
      },
      bucket: (name) => ({ store: store(name), spec: specOf(name) }),
      lockFolder: () => Promise.resolve(),
      ...{ serverId: server, scratch, nowMs, onTrouble },
      ...{ deltaPointsMax: 1e6, flatRowsMax: 0, generationsKept: 2, checkpointsKept: 2 },
      ...{ segmentBytesMax: 1 << 20, groupBytesMax: 1 << 20 },
      memory: new MemoryQuota(Infinity),
      promoted: () => Promise.resolve(null),
      drops: { ofIndex: () => ({ pins: new Pins(), onCheckpoint: () => Promise.resolve() }) },
    }
    const evalKeys = async (_index: string, bucket: string): Promise<string[]> => {
      const keys: string[] = []
      if (!this.evalsOf(bucket)) return keys
      for await (const { key } of store(bucket).list('_hnsw_evals/')) keys.push(key)
      return keys
    }
    this.registry = new IndexRegistry({
      buckets: { names: () => names, store },
      indexesMax: 10,
      makeRunner: (meta, revision) => makeRunner(open, meta, revision),
      arrivals: new IndexArrivals({
        ...{ server, nowMs, onTrouble },
        beginLog: (meta, lsn) => beginLog(open, meta, lsn),
        beginTable: noTables,
      }),
      endTable: noTables,
      moves: new IndexMoves({
        ...{ store, server, scratch, nowMs, onTrouble, evalKeys },
        dropCopy: async (_, { store: left, objects }) => {
          for await (const { key } of objects()) await left.delete(key)
        },
        beginLog: async (meta, lsn) => {
          await this.beforeLog()
          await beginLog(open, meta, lsn)
        },
      }),
      onDelete: () => Promise.resolve(),
      onRetention: () => Promise.resolve(),
      ...{ nowMs, onTrouble },
    })
    this.homes = new HomeStores({
      store,
      served: (name) => (this.registry.has(name) ? this.registry.get(name) : null),
      indexesIn: (bucket) => this.registry.namesIn(bucket),
    })
  }

  get served(): ServedIndex {
    return this.registry.get(META.name)
  }

  /** Puts the index into the hot bucket, with something of each kind that is kept beside it. */
  async create(): Promise<void> {
    const { name, dimension, metric, hnsw, shards, keepLastVersions } = META
    const settings = { name, dimension, metric, hnsw, shards, keepLastVersions }
    await this.registry.refresh()
    await this.registry.create({ ...settings, bucket: HOT, createdBy: 'test' })
    for (const key of SIDE_KEYS) await this.homes.of(name, HOT).put(key, Buffer.from(key))
  }

  move(bucket: string, signal = new AbortController().signal): Promise<unknown> {
    return this.registry.move(META.name, bucket, MOVED_BY, { signal, progress: () => undefined })
  }

  /** Looks into the buckets until the index serves and owns its log. */
  async settled(): Promise<ServedIndex> {
    for (let turns = 0; turns < TURNS_MAX; turns += 1) {
      if (turns % 50 === 0) await this.registry.refresh()
      if (this.registry.has(META.name)) {
        const { state, role } = this.served.info
        if (state === 'ready' && role === 'owner') return this.served
      }
      await turn()
    }
    assert.fail(`the index does not serve: ${this.troubles.join()}`)
  }

  /** Keys in a bucket of what belongs to the index, but the trace of its meta. */
  async keys(bucket: string): Promise<string[]> {
    const keys: string[] = []
    for await (const { key } of this.store.list(`${bucket}/`)) {
      if (!key.startsWith(`${bucket}/_indexes/docs/meta/`)) keys.push(key.slice(bucket.length + 1))
    }
    return keys
  }

  /** What the meta in a bucket says; null where there is none. */
  async stateIn(bucket: string): Promise<string | null> {
    const document = metaDocument(new PrefixStore(this.store, `${bucket}/`), META.name)
    return (await document.read())?.document.state ?? null
  }

  /** The index whole in one bucket, and nothing of it in the other. @returns the bucket. */
  async home(at: string): Promise<string> {
    const states = [await this.stateIn(HOT), await this.stateIn(COLD)]
    const [home, other] = states[0] === 'active' ? [HOT, COLD] : [COLD, HOT]
    assert.deepEqual(states.toSorted(), ['active', null], at)
    assert.deepEqual(await this.keys(other), [], `${at}: left in ${other}`)
    const there = new PrefixStore(this.store, `${home}/`)
    for (const key of SIDE_KEYS) {
      assert.equal(Buffer.from(await there.get(key)).toString(), key, `${at}: ${key}`)
    }
    return home
  }
}

/** Of each kind of object that an index has beside its folder, and one more in it. */
const SIDE_KEYS = [
  '_indexes/docs/live_ef/0000000001.json',
  '_hnsw_promotions/docs/0000000001.json',
  '_hnsw_promotions/docs.json',
  '_hnsw_trials/docs/batch_0000000000000001.jsonl',
  '_hnsw_decisions/docs/batch_0000000000000001.jsonl',
  '_hnsw_agent/docs/0000000001.json',
  '_hnsw_agent_state/docs/0000000001.json',
  '_hnsw_graphs/docs/abc-0.hnsw',
  '_hnsw_evals/mine.json',
]

/** What a write may meet while an index moves, such that it is not logged. */
export function isRefusal(error: unknown): boolean {
  return hasCode(error, 'index_moving', 'not_owner', 'index_loading', 'index_unavailable')
}

function specOf(bucket: string): BucketSpec {
  return { backend: 's3', bucket, prefix: '', region: '', endpoint: null, credentials: null }
}

function noTables(): Promise<never> {
  return Promise.reject(new Error('no index of this world is a table'))
}
