/**
 * The eval sets in all buckets: `_hnsw_evals/{name}.json`, in the home bucket of their index.
 *
 * A name may be found in two buckets, after a move of an index that was cut short: the set in the home
 * bucket of its own index wins, of two such the younger. Only a look into every bucket shows absence:
 * where one fails, that is the answer, unless the set was found at its home.
 */

import type { ObjectInfo, ObjectStore } from '../buckets/object-store.ts'
import { checkName } from '../domain/names.ts'
import { hasCode, VectordError } from '../lib/errors.ts'
import { KeyedMutex } from '../lib/keyed-mutex.ts'
import { decodeEvalSet, encodeEvalSet } from './eval-codec.ts'
import type { EvalSet } from './eval-set.ts'

const PREFIX = '_hnsw_evals/'
const KEY = /^_hnsw_evals\/([A-Za-z0-9_-]{1,128})\.json$/

/** Bytes of the objects whose sets are kept in memory. */
const CACHE_BYTES_MAX = 64 * 2 ** 20

export interface EvalStoreOptions {
  readonly buckets: {
    readonly names: () => readonly string[]
    readonly store: (name: string) => ObjectStore
  }
  /** Name of the home bucket of an index; null where there is no such index. */
  readonly homeOf: (index: string) => string | null
  readonly cacheBytesMax?: number
}

/** What could not be read while all buckets were looked through. */
export interface EvalFault {
  readonly bucket: string
  /** Of an eval set; null where it is the whole bucket. */
  readonly key: string | null
  readonly code: string
  readonly message: string
}

/** A set without its queries and truth: a page of whole sets would not fit into memory. */
export type EvalSummary = Omit<EvalSet, 'tune' | 'heldOut'> & {
  readonly tuneQueries: number
  readonly heldOutQueries: number
}

export function summaryOf({ tune, heldOut, ...rest }: EvalSet): EvalSummary {
  return { ...rest, tuneQueries: tune.truth.length, heldOutQueries: heldOut.truth.length }
}

export interface EvalList {
  /** By name. */
  readonly sets: readonly EvalSummary[]
  /** Name after which the next page starts; null at the end. */
  readonly next: string | null
  readonly errors: readonly EvalFault[]
}

interface Cached {
  readonly info: ObjectInfo
  readonly set: EvalSet
}

interface Found {
  readonly bucket: string
  readonly set: EvalSet
}

export class EvalStore {
  readonly #options: EvalStoreOptions
  readonly #turns = new KeyedMutex()
  /** By bucket and key, least lately used first. */
  readonly #cache = new Map<string, Cached>()
  #cacheBytes = 0

  constructor(options: EvalStoreOptions) {
    this.#options = options
  }

  /** @throws {VectordError} `eval_not_found`, `object_corrupt`, and what a bucket throws. */
  async get(name: string): Promise<EvalSet> {
    const found = await this.find(name)
    if (found === null) throw notFound(name)
    return found
  }

  /** The set, or null where no bucket has it. @throws as `get`. */
  async find(name: string): Promise<EvalSet | null> {
    const key = keyOf(name)
    const found: Found[] = []
    const faults: { readonly bucket: string; readonly error: unknown }[] = []
    for (const bucket of this.#options.buckets.names()) {
      try {
        const set = await this.#load(bucket, key)
        if (set !== null) found.push({ bucket, set })
      } catch (error) {
        faults.push({ bucket, error })
      }
    }
    const best = this.#bestOf(found)
    const [fault] = faults
    if (fault === undefined || (best !== null && this.#isHome(best))) return best?.set ?? null
    throw fault.error
  }

  /** Writes the set into the home bucket of its index, in place of any other of its name. */
  put(set: EvalSet): Promise<void> {
    const { name, index } = set
    return this.#turns.run(name, async () => {
      const key = keyOf(name)
      const home = await this.#putHome(index, key, encodeEvalSet(set))
      for (const bucket of this.#options.buckets.names()) {
        if (bucket !== home) await this.#delete(bucket, key)
      }
    })
  }

  /** Keys in a bucket of the sets that are made for an index, as far as they can be read. */
  async keysOf(index: string, bucket: string): Promise<readonly string[]> {
    const keys: string[] = []
    for (const name of await namesIn(this.#options.buckets.store(bucket))) {
      try {
        const set = await this.#load(bucket, keyOf(name))
        if (set?.index === index) keys.push(keyOf(name))
      } catch (error) {
        // Nobody can tell whose it is; `list` shows it where it lies.
        if (!hasCode(error, 'object_corrupt', 'format_too_new')) throw error
      }
    }
    return keys
  }

  /** @throws {VectordError} `eval_not_found`, and what a bucket throws: then it may be half gone. */
  delete(name: string): Promise<void> {
    const key = keyOf(name)
    return this.#turns.run(name, async () => {
      let wasThere = false
      for (const bucket of this.#options.buckets.names()) {
        if (await this.#delete(bucket, key)) wasThere = true
      }
      if (!wasThere) throw notFound(name)
    })
  }

  /** A page of the sets of all buckets that `isVisible` lets through. */
  async list(
    isVisible: (set: EvalSet) => boolean,
    { after, limit }: { readonly after: string | null; readonly limit: number },
  ): Promise<EvalList> {
    const errors: EvalFault[] = []
    const names = await this.#names(errors)
    const sets: EvalSummary[] = []
    for (const name of names) {
      if (after !== null && name <= after) continue
      const set = await this.#loadBest(name, errors)
      if (set === null || !isVisible(set)) continue
      if (sets.length === limit) return { sets, next: sets.at(-1)?.name ?? null, errors }
      sets.push(summaryOf(set))
    }
    return { sets, next: null, errors }
  }

  async #names(errors: EvalFault[]): Promise<readonly string[]> {
    const names = new Set<string>()
    for (const bucket of this.#options.buckets.names()) {
      try {
        for (const name of await namesIn(this.#options.buckets.store(bucket))) names.add(name)
      } catch (error) {
        errors.push(faultOf(bucket, null, error))
      }
    }
    return [...names].sort()
  }

  async #loadBest(name: string, errors: EvalFault[]): Promise<EvalSet | null> {
    const found: Found[] = []
    for (const bucket of this.#options.buckets.names()) {
      // A bucket that could not be listed is told of already.
      if (errors.some((error) => error.bucket === bucket && error.key === null)) continue
      try {
        const set = await this.#load(bucket, keyOf(name))
        if (set !== null) found.push({ bucket, set })
      } catch (error) {
        errors.push(faultOf(bucket, keyOf(name), error))
      }
    }
    return this.#bestOf(found)?.set ?? null
  }

  /** @returns the home bucket of the index, which may have moved meanwhile: then it is put there. */
  async #putHome(index: string, key: string, body: Uint8Array): Promise<string> {
    for (;;) {
      const home = this.#options.homeOf(index)
      if (home === null) {
        throw new VectordError('index_not_found', `There is no index "${index}".`, {
          details: { index },
        })
      }
      await this.#options.buckets.store(home).put(key, body)
      this.#forget(home, key)
      if (this.#options.homeOf(index) === home) return home
    }
  }

  #bestOf(found: readonly Found[]): Found | null {
    const ranked = found.toSorted(
      (a, b) =>
        Number(this.#isHome(b)) - Number(this.#isHome(a)) || b.set.createdMs - a.set.createdMs,
    )
    return ranked[0] ?? null
  }

  #isHome({ bucket, set }: Found): boolean {
    return this.#options.homeOf(set.index) === bucket
  }

  /** Null where the bucket has none. */
  async #load(bucket: string, key: string): Promise<EvalSet | null> {
    const store = this.#options.buckets.store(bucket)
    try {
      const info = await store.head(key)
      const cached = this.#cache.get(`${bucket} ${key}`)
      if (cached?.info.bytes === info.bytes && cached.info.modifiedMs === info.modifiedMs) {
        this.#remember(bucket, cached)
        return cached.set
      }
      const set = decodeEvalSet(key, await store.get(key))
      this.#remember(bucket, { info, set })
      return set
    } catch (error) {
      if (hasCode(error, 'object_not_found')) return null
      throw error
    }
  }

  /** @returns whether there was one. */
  async #delete(bucket: string, key: string): Promise<boolean> {
    const store = this.#options.buckets.store(bucket)
    try {
      await store.head(key)
    } catch (error) {
      if (hasCode(error, 'object_not_found')) return false
      throw error
    }
    await store.delete(key)
    this.#forget(bucket, key)
    return true
  }

  #remember(bucket: string, cached: Cached): void {
    const { cacheBytesMax = CACHE_BYTES_MAX } = this.#options
    const { key, bytes } = cached.info
    this.#forget(bucket, key)
    if (bytes > cacheBytesMax) return
    this.#cache.set(`${bucket} ${key}`, cached)
    this.#cacheBytes += bytes
    for (const [oldest, { info }] of this.#cache) {
      if (this.#cacheBytes <= cacheBytesMax) return
      this.#cache.delete(oldest)
      this.#cacheBytes -= info.bytes
    }
  }

  #forget(bucket: string, key: string): void {
    this.#cacheBytes -= this.#cache.get(`${bucket} ${key}`)?.info.bytes ?? 0
    this.#cache.delete(`${bucket} ${key}`)
  }
}

async function namesIn(store: ObjectStore): Promise<readonly string[]> {
  const names: string[] = []
  for await (const { key } of store.list(PREFIX)) {
    const name = KEY.exec(key)?.[1]
    if (name !== undefined) names.push(name)
  }
  return names
}

function keyOf(name: string): string {
  return `${PREFIX}${checkName('eval set', name)}.json`
}

function notFound(name: string): VectordError {
  return new VectordError('eval_not_found', `There is no eval set "${name}".`, {
    details: { name },
  })
}

function faultOf(bucket: string, key: string | null, error: unknown): EvalFault {
  if (!(error instanceof VectordError)) throw error
  return { bucket, key, code: error.code, message: error.message }
}
