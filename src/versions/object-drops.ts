/**
 * Handlers for plain objects: what something newer took the place of, and what was left elsewhere.
 *
 *     replaced  single objects, each named when its replacement is durable (journal batches)
 *     left      the copy of an index in a bucket that is not its home: where it moved from, or was to go
 *
 * Both are remembered in memory alone: whoever names them must find them again after a restart.
 */

import type { ObjectStore } from '../buckets/object-store.ts'
import { VectordError } from '../lib/errors.ts'
import type { DropHandler, DropWork } from './drop-work.ts'

export interface ReplacedObject {
  readonly key: string
  readonly bytes: number
}

interface Replaced extends ReplacedObject {
  readonly store: ObjectStore
  /** In the order in which they were named. */
  readonly version: number
}

export class ReplacedObjects implements DropHandler {
  readonly #replaced = new Map<string, Map<string, Replaced>>()
  #version = 0

  /** @returns the `commitVersion` to request the drop of `key` with. */
  add(key: string, store: ObjectStore, objects: readonly ReplacedObject[]): number {
    const known = this.#replaced.get(key) ?? new Map<string, Replaced>()
    this.#replaced.set(key, known)
    for (const object of objects) {
      this.#version += 1
      known.set(object.key, { ...object, store, version: this.#version })
    }
    return this.#version
  }

  /** They are gone by other means. */
  forget(key: string): void {
    this.#replaced.delete(key)
  }

  async drop(work: DropWork): Promise<void> {
    const known = this.#replaced.get(work.key)
    if (known === undefined) return
    const all = [...known.values()]
    const doomed = new Set(work.doomed(all.map(({ version }) => version)))
    for (const { key, bytes, store, version } of all) {
      if (!doomed.has(version)) continue
      await work.turn()
      await store.delete(key)
      known.delete(key)
      work.deleted(bytes)
    }
    if (known.size === 0) this.#replaced.delete(work.key)
  }
}

/** What an index that moved, or did not come through, left in a bucket. */
export interface LeftCopy {
  readonly store: ObjectStore
  /** Read when the drop runs, in the order in which they go. */
  readonly objects: () => AsyncIterable<ReplacedObject>
}

/** Version of every copy: whoever reads one pins it. */
export const COPY_VERSION = 0

interface Left extends LeftCopy {
  readonly gone: PromiseWithResolvers<null>
}

export class MovedCopies implements DropHandler {
  readonly #left = new Map<string, Left[]>()
  #isClosed = false

  /**
   * To be called before the drop of `key` is requested, with `COPY_VERSION` as its commit.
   *
   * @returns resolves when all of it is gone. Rejects where that fails, and then it is forgotten:
   *   the index may come back to that bucket before anybody tries again.
   */
  add(key: string, copy: LeftCopy): Promise<null> {
    const known = this.#left.get(key) ?? []
    const same = known.find(({ store }) => store === copy.store)
    if (same !== undefined) return same.gone.promise
    const left = { ...copy, gone: Promise.withResolvers<null>() }
    if (this.#isClosed) left.gone.reject(closed())
    else this.#left.set(key, [...known, left])
    return left.gone.promise
  }

  async drop(work: DropWork): Promise<void> {
    for (const left of this.#left.get(work.key) ?? []) {
      if (work.doomed([COPY_VERSION]).length === 0) return
      try {
        for await (const { key, bytes } of left.objects()) {
          await work.turn()
          await left.store.delete(key)
          work.deleted(bytes)
        }
        left.gone.resolve(null)
      } catch (error) {
        left.gone.reject(error)
        throw error
      } finally {
        this.#forget(work.key, left)
      }
    }
  }

  /** Whoever waits is told that it is left to the next start. */
  close(): void {
    this.#isClosed = true
    for (const { gone } of [...this.#left.values()].flat()) gone.reject(closed())
    this.#left.clear()
  }

  #forget(key: string, left: Left): void {
    const rest = (this.#left.get(key) ?? []).filter((one) => one !== left)
    if (rest.length === 0) this.#left.delete(key)
    else this.#left.set(key, rest)
  }
}

function closed(): VectordError {
  return new VectordError(
    'shutting_down',
    'What is left of the copy is dropped after the next start.',
  )
}
