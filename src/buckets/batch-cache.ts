/**
 * What was read of batch logs, so that it is not read and parsed again: objects are never changed.
 *
 * One cache for many logs, bounded by the bytes of their objects together; the least lately read go.
 */

import type { Batch } from './batch-line.ts'

interface Cached<T> {
  readonly bytes: number
  readonly batch: Batch<T>
}

export class BatchCache<T> {
  readonly #bytesMax: number
  /** By key, least lately read first. */
  readonly #objects = new Map<string, Cached<T>>()
  #bytes = 0

  /** @param bytesMax of objects as they lie in the bucket; parsed they take a few times that. */
  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  get(key: string): Batch<T> | undefined {
    const cached = this.#objects.get(key)
    if (cached === undefined) return undefined
    this.#objects.delete(key)
    this.#objects.set(key, cached)
    return cached.batch
  }

  /** What is larger than the whole cache is not kept. */
  set(key: string, cached: Cached<T>): void {
    this.#forget(key)
    if (cached.bytes > this.#bytesMax) return
    this.#objects.set(key, cached)
    this.#bytes += cached.bytes
    for (const oldest of this.#objects.keys()) {
      if (this.#bytes <= this.#bytesMax) return
      this.#forget(oldest)
    }
  }

  /** Forgets what begins with `prefix`, except what `there` has. */
  keepOnly(prefix: string, there: ReadonlySet<string>): void {
    for (const key of this.#objects.keys()) {
      if (key.startsWith(prefix) && !there.has(key)) this.#forget(key)
    }
  }

  #forget(key: string): void {
    this.#bytes -= this.#objects.get(key)?.bytes ?? 0
    this.#objects.delete(key)
  }
}
