/**
 * The datasets of every bucket.
 */

import type { ObjectStore } from '../buckets/object-store.ts'
import { VectordError } from '../lib/errors.ts'
import { DatasetStore } from './dataset-store.ts'

/** As much of the registry of buckets as datasets need. */
export interface DatasetBuckets {
  /** @throws {VectordError} `bucket_not_found`, `bucket_unreachable`. */
  get(bucket: string): ObjectStore
  list(): readonly { readonly name: string; readonly role: string }[]
}

export interface DatasetStoresOptions {
  readonly buckets: DatasetBuckets
  readonly nowMs: () => number
  /** Told what keeps a sweep from a bucket; the others are swept. */
  readonly onTrouble: (error: unknown, doing: string) => void
}

const RESCUE = 'rescue'

export class DatasetStores {
  readonly #options: DatasetStoresOptions

  constructor(options: DatasetStoresOptions) {
    this.#options = options
  }

  /** @throws {VectordError} `bucket_not_found`, `bucket_unreachable`. */
  of(bucket: string): DatasetStore {
    const { buckets, nowMs } = this.#options
    return new DatasetStore({ store: buckets.get(bucket), nowMs })
  }

  /** Of a bucket that takes writes. @throws {VectordError} `bucket_protected` too. */
  writable(bucket: string): DatasetStore {
    if (bucket === RESCUE) {
      throw new VectordError('bucket_protected', 'No dataset is written to the rescue bucket.')
    }
    return this.of(bucket)
  }

  /** Deletes parts that nobody reads any more, in every bucket that takes writes. */
  async sweep(): Promise<void> {
    const { buckets, onTrouble } = this.#options
    for (const { name, role } of buckets.list()) {
      if (role === RESCUE) continue
      try {
        const store = this.of(name)
        for await (const dataset of store.names()) await store.sweep(dataset)
      } catch (error) {
        onTrouble(error, `sweep the datasets of bucket "${name}"`)
      }
    }
  }
}
