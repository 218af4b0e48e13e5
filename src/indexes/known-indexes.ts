/**
 * The indexes of this server by name, and what is not known of them yet.
 */

import { VectordError } from '../lib/errors.ts'
import { indexExists, indexNotFound, LANCE_INSTEAD, notListedYet } from './index-refusals.ts'
import { wrongBackend } from './index-refusals.ts'
import type { IndexRunner } from './index-runner.ts'
import type { LanceIndex } from './lance-index.ts'
import type { LanceRunner } from './lance-runner.ts'
import type { ServedIndex } from './served-index.ts'

export type AnyRunner = IndexRunner | LanceRunner

export class KnownIndexes {
  readonly #indexesMax: number
  readonly #runners = new Map<string, AnyRunner>()
  /** Buckets whose indexes are not known yet, and why. */
  readonly #unread = new Map<string, unknown>()
  /** Names of which it cannot be told yet where they live, and why. */
  readonly #unsettled = new Map<string, { readonly bucket: string; readonly why: VectordError }>()

  constructor(indexesMax: number, buckets: readonly string[]) {
    this.#indexesMax = indexesMax
    for (const bucket of buckets) this.#unread.set(bucket, null)
  }

  /** Buckets that were not listed yet. */
  get unreadBuckets(): readonly string[] {
    return [...this.#unread.keys()]
  }

  get runners(): readonly AnyRunner[] {
    return [...this.#runners.values()]
  }

  /** In the order of their names, as `served`. */
  all(): readonly (ServedIndex | LanceIndex)[] {
    const all = this.runners.map((runner) => runner.index)
    return all.toSorted(byName)
  }

  served(): readonly ServedIndex[] {
    const served = this.runners.flatMap((runner) =>
      runner.backend === 'hnsw' ? [runner.index] : [],
    )
    return served.toSorted(byName)
  }

  lance(): readonly LanceIndex[] {
    return this.runners.flatMap((runner) => (runner.backend === 'lance' ? [runner.index] : []))
  }

  find(name: string): AnyRunner | null {
    return this.#runners.get(name) ?? null
  }

  /** @throws {VectordError} `index_not_found`; `bucket_unreachable` where that cannot be told. */
  get(name: string): AnyRunner {
    const runner = this.#runners.get(name)
    if (runner !== undefined) return runner
    this.#checkAllRead(name)
    throw this.#unsettled.get(name)?.why ?? indexNotFound(name)
  }

  /** @throws {VectordError} also `wrong_backend` for a Lance index. */
  graph(name: string): IndexRunner {
    const runner = this.get(name)
    if (runner.backend === 'hnsw') return runner
    throw wrongBackend({ index: name, backend: 'lance' }, LANCE_INSTEAD)
  }

  /** @throws {VectordError} also `wrong_backend` for another than a Lance index. */
  table(name: string): LanceIndex {
    const runner = this.get(name)
    if (runner.backend === 'lance') return runner.index
    const instead = 'POST /vectors/lance/migrate/{index} makes a Lance index of its points'
    throw wrongBackend({ index: name, backend: 'hnsw' }, instead)
  }

  set(name: string, runner: AnyRunner): void {
    this.#runners.set(name, runner)
  }

  remove(name: string): void {
    this.#runners.delete(name)
  }

  /** @throws {VectordError} `index_exists`, `limit_exceeded`; where the name may be taken, why. */
  checkFree(name: string): void {
    if (this.#runners.has(name)) throw indexExists(name)
    this.#checkAllRead(name)
    const unsettled = this.#unsettled.get(name)
    if (unsettled !== undefined) throw unsettled.why
    if (this.#runners.size < this.#indexesMax) return
    throw new VectordError(
      'limit_exceeded',
      `There are ${this.#runners.size} indexes; the bound is ${this.#indexesMax}.`,
      { details: { limit: 'limits.indexes_max', bound: this.#indexesMax } },
    )
  }

  /** The bucket was listed; or it was not, and why. */
  listed(bucket: string): void {
    this.#unread.delete(bucket)
  }

  notListed(bucket: string, why: unknown): void {
    if (this.#unread.has(bucket)) this.#unread.set(bucket, why)
  }

  unsettled(name: string, bucket: string, why: VectordError): void {
    this.#unsettled.set(name, { bucket, why })
  }

  settled(name: string, bucket: string): void {
    if (this.#unsettled.get(name)?.bucket === bucket) this.#unsettled.delete(name)
  }

  #checkAllRead(name: string): void {
    const [bucket] = this.#unread.keys()
    if (bucket === undefined) return
    throw notListedYet(name, bucket, this.#unread.get(bucket))
  }
}

function byName(one: ServedIndex | LanceIndex, other: ServedIndex | LanceIndex): number {
  return one.meta.name < other.meta.name ? -1 : 1
}
