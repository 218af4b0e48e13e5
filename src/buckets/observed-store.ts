/**
 * An `ObjectStore` that tells of each failure of the storage and of traced requests, and changes nothing
 * else.
 *
 * What a caller did wrong and what is merely absent are no failures of the storage.
 */

import { hasCode, type VectordError } from '../lib/errors.ts'
import { traced } from '../tracing/tracer.ts'
import type { ListOptions, ObjectInfo, ObjectStore } from './object-store.ts'

/** The codes of what is told. */
export const STORAGE_FAULTS = [
  'bucket_unreachable',
  'storage_full',
  'storage_error',
  'object_corrupt',
] as const

export type ReportFailure = (failure: {
  readonly operation: keyof ObjectStore
  readonly key: string
  readonly error: VectordError
}) => void

export class ObservedStore implements ObjectStore {
  readonly #inner: ObjectStore
  readonly #report: ReportFailure

  constructor(inner: ObjectStore, report: ReportFailure) {
    this.#inner = inner
    this.#report = report
  }

  get(key: string): Promise<Uint8Array> {
    return this.#watch('get', key, () => this.#inner.get(key))
  }

  head(key: string): Promise<ObjectInfo> {
    return this.#watch('head', key, () => this.#inner.head(key))
  }

  put(key: string, body: Uint8Array): Promise<void> {
    return this.#watch('put', key, () => this.#inner.put(key, body))
  }

  putIfAbsent(key: string, body: Uint8Array): Promise<void> {
    return this.#watch('putIfAbsent', key, () => this.#inner.putIfAbsent(key, body))
  }

  putFile(key: string, path: string): Promise<void> {
    return this.#watch('putFile', key, () => this.#inner.putFile(key, path))
  }

  getFile(key: string, path: string): Promise<void> {
    return this.#watch('getFile', key, () => this.#inner.getFile(key, path))
  }

  delete(key: string): Promise<void> {
    return this.#watch('delete', key, () => this.#inner.delete(key))
  }

  async *list(prefix: string, options: ListOptions = {}): AsyncGenerator<ObjectInfo> {
    try {
      yield* this.#inner.list(prefix, options)
    } catch (error) {
      this.#tell('list', prefix, error)
      throw error
    }
  }

  close(): Promise<void> {
    return this.#inner.close()
  }

  async #watch<T>(operation: keyof ObjectStore, key: string, work: () => Promise<T>): Promise<T> {
    try {
      return await traced({ name: `bucket ${operation}`, kind: 'client' }, work)
    } catch (error) {
      this.#tell(operation, key, error)
      throw error
    }
  }

  #tell(operation: keyof ObjectStore, key: string, error: unknown): void {
    if (hasCode(error, ...STORAGE_FAULTS)) {
      this.#report({ operation, key, error })
    }
  }
}
