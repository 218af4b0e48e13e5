/**
 * The home buckets of indexes, for those who keep something of an index there: journals, settings,
 * promotions, eval sets, graphs.
 *
 * While an index changes its bucket nothing is written to either: writes wait for a moment. A store
 * that was asked for before writes no more to a bucket that is not the home any longer: such a write
 * would be left behind. Whoever gets `index_moving` asks for the store again.
 */

import type { ListOptions, ObjectInfo, ObjectStore } from '../buckets/object-store.ts'
import { indexMoving } from './entry-gate.ts'
import type { ServedIndex } from './served-index.ts'

/** How long a write waits for the end of a switch. */
const WAIT_MS = 10_000

export interface HomeStoresOptions {
  /** @throws {VectordError} `bucket_not_found`, `bucket_unreachable`. */
  readonly store: (bucket: string) => ObjectStore
  /** Null where there is no such index. */
  readonly served: (index: string) => ServedIndex | null
  /** Indexes whose home the bucket is or is about to be. */
  readonly indexesIn: (bucket: string) => readonly string[]
}

type Guard = <T>(write: () => Promise<T>) => Promise<T>

export class HomeStores {
  readonly #options: HomeStoresOptions
  readonly #stores = new Map<string, { readonly inner: ObjectStore; readonly store: ObjectStore }>()

  constructor(options: HomeStoresOptions) {
    this.#options = options
  }

  /** What `index` keeps in `bucket`, its home now. The same store each time while that stays so. */
  of(index: string, bucket: string): ObjectStore {
    const inner = this.#options.store(bucket)
    const known = this.#stores.get(index)
    if (known?.inner === inner) return known.store
    const store = new GuardedStore(inner, (write) => this.#whileHome(index, bucket, write))
    this.#stores.set(index, { inner, store })
    return store
  }

  /** A bucket as a whole: nothing is written to it while an index of it moves. */
  shared(bucket: string): ObjectStore {
    const inner = this.#options.store(bucket)
    return new GuardedStore(inner, (write) => this.#whileStill(bucket, write))
  }

  /** To be called when an index is gone. */
  forget(index: string): void {
    this.#stores.delete(index)
  }

  async #whileHome<T>(index: string, bucket: string, write: () => Promise<T>): Promise<T> {
    const served = this.#options.served(index)
    if (served === null) return write()
    while (served.writes.isClosed) await served.writes.opened(WAIT_MS)
    if (served.meta.bucket !== bucket) throw indexMoving(index)
    return served.writes.run(write)
  }

  async #whileStill<T>(bucket: string, write: () => Promise<T>): Promise<T> {
    const gates = this.#options.indexesIn(bucket).flatMap((index) => {
      return this.#options.served(index)?.writes ?? []
    })
    const closed = gates.find((gate) => gate.isClosed)
    if (closed !== undefined) {
      await closed.opened(WAIT_MS)
      return this.#whileStill(bucket, write)
    }
    const leave = gates.map((gate) => gate.enter())
    try {
      return await write()
    } finally {
      for (const left of leave) left()
    }
  }
}

/** Reads go through; each write is run by `guard`. */
class GuardedStore implements ObjectStore {
  readonly #inner: ObjectStore
  readonly #guard: Guard

  constructor(inner: ObjectStore, guard: Guard) {
    this.#inner = inner
    this.#guard = guard
  }

  get(key: string): Promise<Uint8Array> {
    return this.#inner.get(key)
  }

  head(key: string): Promise<ObjectInfo> {
    return this.#inner.head(key)
  }

  put(key: string, body: Uint8Array): Promise<void> {
    return this.#guard(() => this.#inner.put(key, body))
  }

  putIfAbsent(key: string, body: Uint8Array): Promise<void> {
    return this.#guard(() => this.#inner.putIfAbsent(key, body))
  }

  putFile(key: string, path: string): Promise<void> {
    return this.#guard(() => this.#inner.putFile(key, path))
  }

  getFile(key: string, path: string): Promise<void> {
    return this.#inner.getFile(key, path)
  }

  delete(key: string): Promise<void> {
    return this.#guard(() => this.#inner.delete(key))
  }

  list(prefix: string, options?: ListOptions): AsyncIterable<ObjectInfo> {
    return this.#inner.list(prefix, options)
  }

  /** The bucket stays open: it belongs to the registry of buckets. */
  close(): Promise<void> {
    return Promise.resolve()
  }
}
