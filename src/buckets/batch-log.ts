/**
 * An append-only log in a bucket, in batches: for what is written now and then and read as a whole.
 *
 *     append ─▶ waiting, in memory, read at once ─▶ flush: one new object ─▶ compact: one for many
 *                                                {prefix}batch_{µs}.jsonl
 *
 * - Objects are never changed: a flush and a compaction each put one new object where none is.
 * - What a compaction merged is not read any more and is deleted, by this log or by whoever takes that
 *   over (`onReplaced`). What a crash leaves of it is merged again.
 * - Each entry has an id. A flush whose answer was lost, and a crash between the writing of a merged
 *   object and the deletion of its sources, leave entries twice; they are read once.
 * - Ids grow with time, and entries are read in their order, wherever they lie.
 * - What cannot be read is reported, and neither merged nor deleted.
 * - A failed flush keeps what waits. What may wait is bounded; so are the cache and a compaction.
 */

import { randomBytes } from 'node:crypto'
import { setImmediate } from 'node:timers/promises'
import { hasCode, VectordError } from '../lib/errors.ts'
import { KeyedMutex } from '../lib/keyed-mutex.ts'
import {
  type Batch,
  type BatchCodec,
  type BatchEntry,
  type BatchProblem,
  corrupt,
  decodeBatch,
  encodeBatch,
} from './batch-line.ts'
import type { BatchCache } from './batch-cache.ts'
import { checkPrefix } from './object-key.ts'
import type { ObjectInfo, ObjectStore } from './object-store.ts'

/** Entries that wait before a flush starts by itself. */
export const FLUSH_AT = 32

/** A batch is at most this large; what is larger is none of ours and is not read. */
const OBJECT_BYTES_MAX = 64 * 2 ** 20

/** Parsing about as much takes a step, see `steps.ts`. */
const TURN_BYTES = 2 ** 18

/** A compaction reads at most so much and writes no more; larger objects stay as they are. */
const MERGE_BYTES_MAX = 32 * 2 ** 20

/** An object that goes while the log is read was merged: the log is read again. */
const READ_TRIES = 10

/** How many names in a row may be taken by other writers. */
const NAME_TRIES = 100

/** Names further in the future than this are none of ours, and no clock to follow. */
const CLOCK_SKEW_US_MAX = 24 * 3600 * 1e6

const NAME = /^batch_(\d{16})(-[0-9a-f]{8})?\.jsonl$/

export interface BatchLogOptions<T> {
  /** Asked at each turn: an index may move to another bucket. */
  readonly store: () => ObjectStore
  /** Where the batches lie, such as `_hnsw_trials/x/`; nothing else lies there. */
  readonly prefix: string
  readonly codec: BatchCodec<T>
  readonly nowMs: () => number
  /** Hears of a flush that nobody waits for and that failed. */
  readonly onTrouble: (error: unknown) => void
  /** Entries that may wait. */
  readonly waitingMax: number
  /** What then happens to a new one: it is refused, or the oldest is dropped and counted. */
  readonly whenFull: 'refuse' | 'drop_oldest'
  /** Starts a flush at every so many entries that wait. Default: never by itself. */
  readonly flushAt?: number
  /** What a compaction keeps, of entries in the order of their ids. Default: all. */
  readonly kept?: (entries: readonly BatchEntry<T>[]) => readonly BatchEntry<T>[]
  /** Deletes what a compaction has merged. Default: the compaction does. */
  readonly onReplaced?: (objects: readonly ObjectInfo[]) => Promise<void>
  /** Keeps what was read. Default: it is read again. */
  readonly cache?: BatchCache<T>
  /** True takes lines without a checksum, as an older layout wrote them. Default false. */
  readonly takesUnsealed?: boolean
}

export class BatchLog<T> {
  readonly #options: BatchLogOptions<T>
  readonly #turns = new KeyedMutex()
  /** By key: what is being read, once for all who ask. */
  readonly #reading = new Map<string, Promise<Batch<T>>>()
  /** Merged and not deleted yet: keys, and the bucket that they are in. */
  #replaced: { readonly store: ObjectStore; readonly keys: Set<string> } | null = null
  /** By id, in order. */
  readonly #waiting = new Map<string, BatchEntry<T>>()
  #dropped = 0
  #lastStampUs = 0
  #objects = 0
  #knowsNames = false
  #isClosed = false

  constructor(options: BatchLogOptions<T>) {
    checkPrefix(options.prefix)
    this.#options = options
  }

  /** Entries that wait for a flush, and those that were dropped because too many did. */
  get counts(): { readonly waiting: number; readonly dropped: number } {
    return { waiting: this.#waiting.size, dropped: this.#dropped }
  }

  /** Objects that the log lies in, as far as was seen: when it is time to compact. */
  get objects(): number {
    return this.#objects
  }

  /**
   * Takes a record in: it is read at once and durable after the next flush.
   *
   * @returns its id.
   * @throws {VectordError} `journal_full` where too many wait for a bucket, `shutting_down`.
   */
  append(record: T): string {
    const { waitingMax, whenFull, flushAt = Infinity } = this.#options
    if (this.#isClosed) throw new VectordError('shutting_down', 'The journal is closed.')
    if (this.#waiting.size >= waitingMax) {
      if (whenFull === 'refuse') throw full(waitingMax)
      for (const oldest of this.#waiting.keys()) {
        this.#waiting.delete(oldest)
        break
      }
      this.#dropped += 1
    }
    const id = `${this.#nextStamp()}-${randomBytes(4).toString('hex')}`
    this.#waiting.set(id, { id, record })
    if (this.#waiting.size % flushAt === 0) this.flush().catch(this.#options.onTrouble)
    return id
  }

  /** Takes an entry back that still waits; one that was flushed stays. */
  withdraw(id: string): void {
    this.#waiting.delete(id)
  }

  /**
   * Everything that was appended, in the order of ids, with what cannot be read.
   *
   * @param limit stops reading older objects once there are so many entries.
   */
  async read(limit = Infinity): Promise<Batch<T>> {
    for (let tries = 1; ; tries += 1) {
      try {
        return await this.#readOnce(limit)
      } catch (error) {
        if (!hasCode(error, 'object_not_found')) throw error
        if (tries === READ_TRIES) throw restless(this.#options.prefix, error)
      }
    }
  }

  /** Writes what waits as one object. @returns how many entries; on failure they go on waiting. */
  flush(): Promise<number> {
    return this.#turns.run('', () => this.#flush())
  }

  /** Merges the objects that can be read whole into a new one. @returns how many there were. */
  async compact(): Promise<number> {
    const merged = await this.#turns.run('', () => this.#merge())
    // Outside the turn: whoever takes them over may have to wait.
    if (merged.length > 1) await this.#options.onReplaced?.(merged)
    return merged.length
  }

  /** @returns what was merged; a single object is left as it is. */
  async #merge(): Promise<readonly ObjectInfo[]> {
    const { codec, kept } = this.#options
    const { merged, found } = await this.#mergeable()
    if (merged.length < 2) return merged
    const entries = inOrder(found)
    await this.#put(await encodeBatch(kept === undefined ? entries : kept(entries), codec))
    await this.#giveUp(merged)
    return merged
  }

  async #mergeable(): Promise<{
    readonly merged: readonly ObjectInfo[]
    readonly found: ReadonlyMap<string, BatchEntry<T>>
  }> {
    const merged: ObjectInfo[] = []
    const found = new Map<string, BatchEntry<T>>()
    let bytes = 0
    for (const object of await this.#list()) {
      if (object.bytes > MERGE_BYTES_MAX / 2 || bytes + object.bytes > MERGE_BYTES_MAX) continue
      const { entries, problems } = await this.#loadIfThere(object)
      if (problems.length > 0 || entries.length === 0) continue
      bytes += object.bytes
      merged.push(object)
      for (const entry of entries) found.set(entry.id, entry)
    }
    return { merged, found }
  }

  /** Deletes every batch, and forgets what waits. */
  drop(): Promise<void> {
    return this.#turns.run('', async () => {
      this.#waiting.clear()
      this.#replaced = null
      const store = this.#options.store()
      for (const { key } of await this.#list()) {
        if (NAME.test(this.#nameOf(key))) await store.delete(key)
      }
      this.#options.cache?.keepOnly(this.#options.prefix, new Set())
    })
  }

  /** Takes nothing more in and flushes. On failure what waits goes on waiting; call it again. */
  async close(): Promise<void> {
    this.#isClosed = true
    await this.flush()
  }

  async #flush(): Promise<number> {
    const batch = [...this.#waiting.values()]
    if (batch.length === 0) return 0
    if (!this.#knowsNames) await this.#list()
    await this.#put(await encodeBatch(batch, this.#options.codec))
    // Only now: until the object is there, readers find the entries here.
    for (const { id } of batch) this.#waiting.delete(id)
    return batch.length
  }

  async #put(body: Uint8Array): Promise<void> {
    for (let tries = 1; ; tries += 1) {
      try {
        const key = `${this.#options.prefix}batch_${this.#nextStamp()}.jsonl`
        await this.#options.store().putIfAbsent(key, body)
        this.#objects += 1
        return
      } catch (error) {
        // Perhaps our own write, whose answer was lost: then the entries are there twice, read once.
        if (!hasCode(error, 'object_exists') || tries === NAME_TRIES) throw error
      }
    }
  }

  /** Deletes what was merged, or reads it no more while somebody else does. */
  async #giveUp(merged: readonly ObjectInfo[]): Promise<void> {
    const store = this.#options.store()
    if (this.#options.onReplaced === undefined) {
      for (const { key } of merged) await store.delete(key)
      return
    }
    const before = this.#replaced?.store === store ? this.#replaced.keys : []
    this.#replaced = { store, keys: new Set([...before, ...merged.map(({ key }) => key)]) }
  }

  async #readOnce(limit: number): Promise<Batch<T>> {
    // Before the list: what a flush takes meanwhile is found in one of the two.
    const found = new Map(this.#waiting)
    const problems: BatchProblem[] = []
    const objects = await this.#list()
    this.#options.cache?.keepOnly(this.#options.prefix, new Set(objects.map(({ key }) => key)))
    for (const object of objects.toReversed()) {
      if (found.size >= limit) break
      const batch = await this.#load(object)
      for (const entry of batch.entries) found.set(entry.id, entry)
      problems.push(...batch.problems)
    }
    return { entries: inOrder(found), problems }
  }

  async #list(): Promise<readonly ObjectInfo[]> {
    const objects: ObjectInfo[] = []
    const store = this.#options.store()
    // In another bucket, where the index moved to, nobody deletes them.
    const replaced = this.#replaced?.store === store ? this.#replaced.keys : new Set<string>()
    const gone = new Set(replaced)
    for await (const object of store.list(this.#options.prefix)) {
      this.#learnStamp(this.#nameOf(object.key))
      if (!gone.delete(object.key)) objects.push(object)
    }
    for (const key of gone) replaced.delete(key)
    this.#knowsNames = true
    this.#objects = objects.length
    return objects
  }

  /** Names grow strictly, also where the clock was set back since the last start. */
  #learnStamp(name: string): void {
    const stampUs = Number(NAME.exec(name)?.[1] ?? 0)
    if (stampUs > this.#options.nowMs() * 1000 + CLOCK_SKEW_US_MAX) return
    this.#lastStampUs = Math.max(this.#lastStampUs, stampUs)
  }

  #nextStamp(): string {
    this.#lastStampUs = Math.max(Math.round(this.#options.nowMs() * 1000), this.#lastStampUs + 1)
    return String(this.#lastStampUs).padStart(16, '0')
  }

  async #loadIfThere(object: ObjectInfo): Promise<Batch<T>> {
    try {
      return await this.#load(object)
    } catch (error) {
      if (!hasCode(error, 'object_not_found')) throw error
      return { entries: [], problems: [] }
    }
  }

  #load(object: ObjectInfo): Promise<Batch<T>> | Batch<T> {
    const cached = this.#options.cache?.get(object.key)
    if (cached !== undefined) return cached
    const reading = this.#reading.get(object.key) ?? this.#begin(object)
    this.#reading.set(object.key, reading)
    return reading
  }

  async #begin({ key, bytes }: ObjectInfo): Promise<Batch<T>> {
    try {
      const batch = await this.#decode(key, bytes)
      // What becomes of so many entries is not for the turn that parsed the last of them.
      if (bytes > TURN_BYTES) await setImmediate()
      // What has a problem is read again: it may be repaired.
      if (batch.problems.length === 0) this.#options.cache?.set(key, { bytes, batch })
      return batch
    } finally {
      this.#reading.delete(key)
    }
  }

  async #decode(key: string, bytes: number): Promise<Batch<T>> {
    const { store, codec, takesUnsealed = false } = this.#options
    if (!NAME.test(this.#nameOf(key))) return unreadable(key, 'it is no batch of this log')
    if (bytes > OBJECT_BYTES_MAX) return unreadable(key, 'it is too large for a batch')
    try {
      return await decodeBatch(key, await store().get(key), { codec, takesUnsealed })
    } catch (error) {
      if (!hasCode(error, 'object_corrupt')) throw error
      return unreadable(key, 'the bucket says that its bytes are not those that were put')
    }
  }

  #nameOf(key: string): string {
    return key.slice(this.#options.prefix.length)
  }
}

function inOrder<T>(found: ReadonlyMap<string, BatchEntry<T>>): BatchEntry<T>[] {
  return [...found.values()].sort((a, b) => (a.id < b.id ? -1 : 1))
}

function unreadable(key: string, fault: string): Batch<never> {
  return { entries: [], problems: [corrupt(key, null, fault)] }
}

function full(max: number): VectordError {
  const message = `${max} entries of the journal wait for its bucket: no more are taken in.`
  return new VectordError('journal_full', message, { details: { max }, retryAfterS: 5 })
}

function restless(prefix: string, cause: unknown): VectordError {
  const message = `The objects at "${prefix}" go while they are read, again and again.`
  return new VectordError('storage_error', message, { details: { prefix }, cause })
}
