/**
 * The bucket registry of tests of routes: names and objects in maps.
 */

import type {
  BucketHealth,
  BucketView,
  BucketsApi,
  NewBucket,
  StorageErrorsApi,
  StorageFailure,
} from '../../routes/storage.ts'
import { VectordError } from '../../src/lib/errors.ts'

export class MemoryBuckets implements BucketsApi {
  readonly #objects = new Map<string, Map<string, Uint8Array>>([
    ['primary', new Map()],
    ['rescue', new Map()],
  ])
  /** True answers reads as if the home bucket had failed. */
  rescueUsed = false
  lastAdded: NewBucket | null = null

  list(): readonly BucketView[] {
    return [...this.#objects.keys()].map((name) => ({
      name,
      backend: 'local',
      uri: `file:${name}`,
      role: name === 'primary' ? 'primary' : name === 'rescue' ? 'rescue' : 'extra',
      isProtected: name === 'primary' || name === 'rescue',
      health: 'ok',
      conditionalWrites: 'verified',
    }))
  }

  async add(bucket: NewBucket): Promise<BucketView> {
    if (this.#objects.has(bucket.name)) {
      throw new VectordError('bucket_exists', 'There is such a bucket already.')
    }
    this.lastAdded = bucket
    this.#objects.set(bucket.name, new Map())
    const added = this.list().find((known) => known.name === bucket.name)
    if (added === undefined) throw new Error('it was just added')
    return added
  }

  async remove(name: string): Promise<void> {
    this.#bucket(name)
    if (name === 'primary' || name === 'rescue') {
      throw new VectordError('bucket_protected', 'This bucket cannot be removed.')
    }
    this.#objects.delete(name)
  }

  async health(): Promise<readonly BucketHealth[]> {
    return [...this.#objects.keys()].map((name) => ({
      ...{ name, reachable: true, latencyMs: 0.5, error: null, checkedMs: 0 },
    }))
  }

  async readObject(
    bucket: string,
    key: string,
  ): Promise<{ readonly body: Uint8Array; readonly rescueUsed: boolean }> {
    const body = this.#bucket(bucket).get(key)
    if (body === undefined) throw new VectordError('object_not_found', 'There is no such object.')
    return { body, rescueUsed: this.rescueUsed }
  }

  async writeObject(bucket: string, key: string, body: Uint8Array): Promise<void> {
    this.#bucket(bucket).set(key, body)
  }

  async deleteObject(bucket: string, key: string): Promise<void> {
    this.#bucket(bucket).delete(key)
  }

  async listObjects(
    bucket: string,
    options: {
      readonly prefix: string
      readonly startAfter: string | null
      readonly limit: number
    },
  ): ReturnType<BucketsApi['listObjects']> {
    const { prefix, startAfter, limit } = options
    const keys = [...this.#bucket(bucket)]
      .filter(([key]) => key.startsWith(prefix) && (startAfter === null || key > startAfter))
      .sort(([a], [b]) => (a < b ? -1 : 1))
    const objects = keys
      .slice(0, limit)
      .map(([key, body]) => ({ key, bytes: body.length, modifiedMs: 0 }))
    return { objects, rescueUsed: this.rescueUsed }
  }

  #bucket(name: string): Map<string, Uint8Array> {
    const objects = this.#objects.get(name)
    if (objects !== undefined) return objects
    throw new VectordError('bucket_not_found', `There is no bucket "${name}".`, {
      details: { buckets: [...this.#objects.keys()] },
    })
  }
}

export class MemoryStorageErrors implements StorageErrorsApi {
  readonly entries: StorageFailure[] = [
    {
      ...{ atMs: 0, bucket: 'primary', operation: 'get', key: 'a' },
      ...{ code: 'bucket_unreachable', message: 'It did not answer.' },
    },
  ]

  async list(limit: number): Promise<readonly StorageFailure[]> {
    return this.entries.slice(0, limit)
  }

  async flush(): Promise<number> {
    return this.entries.length
  }

  async compact(): Promise<number> {
    return 1
  }
}
