/**
 * Handlers for plain objects: what something newer took the place of, and what was left elsewhere.
 *
 *     replaced  single objects, each named when its replacement is durable (journal batches)
 *     left      everything under some prefixes of a bucket (the old copy of an index that moved)
 *
 * Both are remembered in memory alone: whoever names them must find them again after a restart.
 */

import type { ObjectStore } from '../buckets/object-store.ts'
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

export interface LeftPlace {
  readonly store: ObjectStore
  readonly prefixes: readonly string[]
}

/** Version of every copy: whoever reads or writes one, such as a move into its bucket, pins it. */
export const COPY_VERSION = 0

export class LeftPlaces implements DropHandler {
  readonly #left = new Map<string, LeftPlace[]>()
  readonly #isHome: (key: string, store: ObjectStore) => boolean

  /** @param isHome true where what was left is used again: it moved back. */
  constructor(isHome: (key: string, store: ObjectStore) => boolean) {
    this.#isHome = isHome
  }

  /** To be called before the drop of `key` is requested, with `COPY_VERSION` as its commit. */
  add(key: string, place: LeftPlace): void {
    this.#left.set(key, [...(this.#left.get(key) ?? []), place])
  }

  async drop(work: DropWork): Promise<void> {
    for (const place of this.#left.get(work.key) ?? []) {
      await this.#clear(work, place)
      if (work.isHeld) return
      const rest = (this.#left.get(work.key) ?? []).filter((one) => one !== place)
      if (rest.length === 0) this.#left.delete(work.key)
      else this.#left.set(work.key, rest)
    }
  }

  async #clear(work: DropWork, { store, prefixes }: LeftPlace): Promise<void> {
    for (const prefix of prefixes) {
      for await (const { key, bytes } of store.list(prefix)) {
        await work.turn()
        const isSpared = work.doomed([COPY_VERSION]).length === 0
        if (isSpared || this.#isHome(work.key, store)) return
        await store.delete(key)
        work.deleted(bytes)
      }
    }
  }
}
