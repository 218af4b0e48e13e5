/**
 * A store that can be exchanged for another beneath those who use it.
 *
 * Calls that are under way end on the store that they began on, which is closed after them.
 */

import { VectordError } from '../lib/errors.ts'
import type { ListOptions, ObjectInfo, ObjectStore } from './object-store.ts'

interface Place {
  readonly store: ObjectStore
  /** Calls under way. */
  calls: number
  /** Resolved when it is left and no call is under way. */
  readonly left: PromiseWithResolvers<null>
}

export class MovableStore implements ObjectStore {
  #place: Place
  #isClosed = false

  /** @param store is closed with this one, or when it is left. */
  constructor(store: ObjectStore) {
    this.#place = placeOf(store)
  }

  /** Later calls go to `store`; resolves when the one before is closed. */
  async moveTo(store: ObjectStore): Promise<void> {
    if (this.#isClosed) {
      await store.close()
      throw new VectordError('storage_error', 'The store was closed.')
    }
    const before = this.#place
    this.#place = placeOf(store)
    if (before.calls === 0) before.left.resolve(null)
    await before.left.promise
    await before.store.close()
  }

  get(key: string): Promise<Uint8Array> {
    return this.#call((store) => store.get(key))
  }

  head(key: string): Promise<ObjectInfo> {
    return this.#call((store) => store.head(key))
  }

  put(key: string, body: Uint8Array): Promise<void> {
    return this.#call((store) => store.put(key, body))
  }

  putIfAbsent(key: string, body: Uint8Array): Promise<void> {
    return this.#call((store) => store.putIfAbsent(key, body))
  }

  putFile(key: string, path: string): Promise<void> {
    return this.#call((store) => store.putFile(key, path))
  }

  getFile(key: string, path: string): Promise<void> {
    return this.#call((store) => store.getFile(key, path))
  }

  delete(key: string): Promise<void> {
    return this.#call((store) => store.delete(key))
  }

  async *list(prefix: string, options?: ListOptions): AsyncGenerator<ObjectInfo> {
    const place = this.#enter()
    try {
      yield* place.store.list(prefix, options)
    } finally {
      this.#leave(place)
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true
    await this.#place.store.close()
  }

  async #call<T>(work: (store: ObjectStore) => Promise<T>): Promise<T> {
    const place = this.#enter()
    try {
      return await work(place.store)
    } finally {
      this.#leave(place)
    }
  }

  #enter(): Place {
    const place = this.#place
    place.calls += 1
    return place
  }

  #leave(place: Place): void {
    place.calls -= 1
    if (place.calls === 0 && place !== this.#place) place.left.resolve(null)
  }
}

function placeOf(store: ObjectStore): Place {
  return { store, calls: 0, left: Promise.withResolvers<null>() }
}
