/**
 * What is promoted anywhere: a look into every bucket.
 *
 * An index has its promotions in its home bucket. Files of it elsewhere (a move that broke off, an
 * index that was made anew in another bucket) count only where the home bucket has none, and are
 * marked. Nothing is left out silently: a bucket or an object that cannot be read is an entry of
 * `faults`, and so is what lies among the promotions and is none.
 */

import type { ObjectStore } from '../buckets/object-store.ts'
import { hasCode, VectordError } from '../lib/errors.ts'
import type { PromotionDocument } from './promotion-document.ts'
import { PromotionFile, PROMOTIONS_PREFIX } from './promotion-file.ts'

/** Indexes that are read at the same time. */
const READS_MAX = 16

const KEY = /^([A-Za-z0-9_-]{1,128})(?:\.json|\/(\d{10})\.json)$/

/** The buckets, as far as promotions need them. */
export interface PromotionBuckets {
  /** Every bucket that is written to, `primary` first. */
  names(): readonly string[]
  /** @throws {VectordError} `bucket_not_found`, `bucket_unreachable`. */
  store(bucket: string): ObjectStore
  /** @throws {VectordError} `index_not_found`; `bucket_unreachable` where that cannot be told. */
  homeOf(index: string): string
  /** The home bucket of an index, for changes of its promotions; `store` of it where left out. */
  readonly storeOf?: (index: string) => ObjectStore
}

export interface FoundPromotion {
  readonly bucket: string
  /** False where the index lives elsewhere or not at all: then this is not in force. */
  readonly inHome: boolean
  readonly revision: number
  readonly document: PromotionDocument
}

export interface ScanFault {
  readonly bucket: string
  /** Null where the whole bucket could not be read. */
  readonly indexName: string | null
  readonly error: VectordError
}

export interface ScanResult {
  /** By name of the index, one for each. */
  readonly promotions: readonly FoundPromotion[]
  readonly faults: readonly ScanFault[]
}

export async function scanPromotions(
  buckets: PromotionBuckets,
  nowMs: () => number,
): Promise<ScanResult> {
  const scan = new Scan(buckets, nowMs)
  await Promise.all(buckets.names().map((bucket) => scan.listBucket(bucket)))
  await scan.readAll()
  return scan.result()
}

/**
 * Newest revision by name of index, as a list of the bucket shows it; 0 for a copy without any.
 *
 * @param onAlien called with every key that is none of ours.
 */
export async function newestRevisions(
  store: ObjectStore,
  onAlien: (key: string) => void = () => undefined,
): Promise<Map<string, number>> {
  const newest = new Map<string, number>()
  for await (const { key } of store.list(PROMOTIONS_PREFIX)) {
    const [, index, digits = '0'] = KEY.exec(key.slice(PROMOTIONS_PREFIX.length)) ?? []
    if (index === undefined) onAlien(key)
    else newest.set(index, Math.max(newest.get(index) ?? 0, Number(digits)))
  }
  return newest
}

class Scan {
  readonly #buckets: PromotionBuckets
  readonly #nowMs: () => number
  /** Names of indexes by bucket; a bucket that could not be listed is absent. */
  readonly #listed = new Map<string, ReadonlySet<string>>()
  readonly #found: FoundPromotion[] = []
  readonly #faults: ScanFault[] = []

  constructor(buckets: PromotionBuckets, nowMs: () => number) {
    this.#buckets = buckets
    this.#nowMs = nowMs
  }

  result(): ScanResult {
    return {
      promotions: this.#found.toSorted(byName(({ document }) => document.indexName)),
      faults: this.#faults.toSorted(byName((fault) => `${fault.bucket}/${fault.indexName ?? ''}`)),
    }
  }

  async listBucket(bucket: string): Promise<void> {
    const aliens: string[] = []
    await this.#guard(bucket, null, async () => {
      const newest = await newestRevisions(this.#buckets.store(bucket), (key) => aliens.push(key))
      this.#listed.set(bucket, new Set(newest.keys()))
    })
    const [first] = aliens
    if (first === undefined) return
    const message = `${aliens.length} objects are no promotions, such as "${first}".`
    const error = new VectordError('object_corrupt', message, { details: { key: first } })
    const [indexName = ''] = first.slice(PROMOTIONS_PREFIX.length).split('/')
    this.#faults.push({ bucket, indexName, error })
  }

  async readAll(): Promise<void> {
    const indexes = [...new Set([...this.#listed.values()].flatMap((names) => [...names]))]
    for (let at = 0; at < indexes.length; at += READS_MAX) {
      await Promise.all(indexes.slice(at, at + READS_MAX).map((index) => this.#read(index)))
    }
  }

  async #read(index: string): Promise<void> {
    const candidates = this.#buckets
      .names()
      .filter((bucket) => this.#listed.get(bucket)?.has(index) === true)
    const home = await this.#homeOf(index, candidates[0] ?? '')
    if (home === undefined) return
    // The home bucket was not read, and is among the faults: what lies elsewhere says nothing.
    if (home !== null && !this.#listed.has(home)) return
    const isAtHome = home !== null && candidates.includes(home)
    for (const bucket of isAtHome ? [home] : candidates) {
      if (await this.#readIn(bucket, index, isAtHome)) return
    }
  }

  /** True where this settles what is promoted for the index. */
  async #readIn(bucket: string, index: string, inHome: boolean): Promise<boolean> {
    let isSettled = true
    await this.#guard(bucket, index, async () => {
      const store = this.#buckets.store(bucket)
      const file = new PromotionFile({ store, index, nowMs: this.#nowMs })
      const { revision, document } = await file.load()
      isSettled = document !== null
      if (document !== null) this.#found.push({ bucket, inHome, revision, document })
    })
    return isSettled
  }

  /** Null where there is no such index; undefined where that cannot be told. */
  async #homeOf(index: string, bucket: string): Promise<string | null | undefined> {
    let home: string | null | undefined
    await this.#guard(bucket, index, async () => {
      try {
        home = this.#buckets.homeOf(index)
      } catch (error) {
        if (!hasCode(error, 'index_not_found')) throw error
        home = null
      }
    })
    return home
  }

  async #guard(bucket: string, indexName: string | null, work: () => Promise<void>): Promise<void> {
    try {
      await work()
    } catch (error) {
      if (!(error instanceof VectordError)) throw error
      this.#faults.push({ bucket, indexName, error })
    }
  }
}

function byName<T>(nameOf: (item: T) => string): (a: T, b: T) => number {
  return (a, b) => (nameOf(a) < nameOf(b) ? -1 : 1)
}
