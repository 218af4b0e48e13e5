/**
 * The journal of storage failures: what failed, when, in which bucket.
 *
 *     record ─▶ waiting, in memory ─▶ flush: one new object ─▶ compact: one object for many
 *
 * Objects are never changed. Each entry has an id, so a crash between the writing of a merged object
 * and the deletion of its sources shows nothing twice. While the bucket of the journal is down,
 * entries wait, a bounded number of them, and the newest stay readable from memory.
 */

import { randomUUID } from 'node:crypto'
import { hasCode, VectordError } from '../lib/errors.ts'
import { KeyedMutex } from '../lib/keyed-mutex.ts'
import type { ObjectStore } from './object-store.ts'

const PREFIX = '_storage_errors/'

/** Entries that wait for a flush; past this the oldest are dropped and counted. */
const WAITING_MAX = 10_000

/** Entries of this process that stay readable while the bucket is down. */
const RECENT_MAX = 1_000

/** Entries that a compaction keeps, the newest. */
const KEPT_MAX = 20_000

export interface StorageFailure {
  /** Milliseconds since the Unix epoch. */
  readonly atMs: number
  readonly bucket: string
  readonly operation: string
  readonly key: string | null
  readonly code: string
  readonly message: string
}

interface Entry extends StorageFailure {
  readonly id: string
}

export class StorageErrors {
  readonly #store: ObjectStore
  readonly #nowMs: () => number
  readonly #turns = new KeyedMutex()
  #waiting: Entry[] = []
  readonly #recent: Entry[] = []
  #dropped = 0
  #total = 0
  #lastStampUs = 0

  /** `store` is where the journal lies; its own failures are not recorded, that would not end. */
  constructor(store: ObjectStore, nowMs: () => number = Date.now) {
    this.#store = store
    this.#nowMs = nowMs
  }

  /** Entries since the start, and those lost because the bucket was down for too long. */
  get counts(): { readonly total: number; readonly dropped: number; readonly waiting: number } {
    return { total: this.#total, dropped: this.#dropped, waiting: this.#waiting.length }
  }

  record(failure: Omit<StorageFailure, 'atMs'>): void {
    const entry = { id: randomUUID(), atMs: this.#nowMs(), ...failure }
    this.#total += 1
    this.#recent.push(entry)
    if (this.#recent.length > RECENT_MAX) this.#recent.shift()
    this.#waiting.push(entry)
    this.#dropExcess()
  }

  /** The newest first. While the bucket of the journal is down: those of this process. */
  async list(limit: number): Promise<readonly StorageFailure[]> {
    const found = new Map<string, Entry>()
    for (const entry of this.#waiting) found.set(entry.id, entry)
    try {
      for (const key of (await this.#keys()).reverse()) {
        if (found.size >= limit) break
        for (const entry of await this.#load(key)) found.set(entry.id, entry)
      }
    } catch (error) {
      if (!(error instanceof VectordError)) throw error
      for (const entry of this.#recent) found.set(entry.id, entry)
    }
    return newestFirst([...found.values()])
      .slice(0, limit)
      .map(withoutId)
  }

  /** Writes what waits as one object. @returns how many entries; on failure they go on waiting. */
  flush(): Promise<number> {
    return this.#turns.run('', async () => {
      const batch = this.#waiting
      if (batch.length === 0) return 0
      this.#waiting = []
      try {
        await this.#store.put(this.#nextKey(), encode(batch))
      } catch (error) {
        this.#waiting = [...batch, ...this.#waiting]
        this.#dropExcess()
        throw error
      }
      return batch.length
    })
  }

  /** Merges the objects of the journal that can be read whole. @returns how many there were. */
  compact(): Promise<number> {
    return this.#turns.run('', async () => {
      const keys: string[] = []
      const found = new Map<string, Entry>()
      for (const key of await this.#keys()) {
        const entries = await this.#load(key)
        if (entries.some(({ id }) => id === tornEntry(key).id)) continue
        keys.push(key)
        for (const entry of entries) found.set(entry.id, entry)
      }
      if (keys.length < 2) return keys.length
      const kept = newestFirst([...found.values()])
        .slice(0, KEPT_MAX)
        .reverse()
      await this.#store.put(this.#nextKey(), encode(kept))
      for (const key of keys) await this.#store.delete(key)
      return keys.length
    })
  }

  #dropExcess(): void {
    const excess = this.#waiting.length - WAITING_MAX
    if (excess <= 0) return
    this.#waiting.splice(0, excess)
    this.#dropped += excess
  }

  /** Microseconds, never the same twice, so that byte order is the order of writing. */
  #nextKey(): string {
    this.#lastStampUs = Math.max(this.#nowMs() * 1000, this.#lastStampUs + 1)
    const stamp = String(Math.round(this.#lastStampUs)).padStart(16, '0')
    return `${PREFIX}batch_${stamp}-${randomUUID().slice(0, 8)}.jsonl`
  }

  async #keys(): Promise<string[]> {
    const keys: string[] = []
    for await (const object of this.#store.list(PREFIX)) keys.push(object.key)
    return keys
  }

  async #load(key: string): Promise<readonly Entry[]> {
    try {
      return decode(key, await this.#store.get(key))
    } catch (error) {
      if (hasCode(error, 'object_not_found')) return [] // Compacted by another server meanwhile.
      if (!hasCode(error, 'object_corrupt')) throw error
      return [tornEntry(key)]
    }
  }
}

function newestFirst(entries: readonly Entry[]): Entry[] {
  return entries.toSorted((a, b) => b.atMs - a.atMs)
}

function withoutId({ atMs, bucket, operation, key, code, message }: Entry): StorageFailure {
  return { atMs, bucket, operation, key, code, message }
}

function encode(entries: readonly Entry[]): Uint8Array {
  const lines = entries.map(({ atMs, ...rest }) =>
    JSON.stringify({ format: 1, at: new Date(atMs).toISOString(), ...rest }),
  )
  return Buffer.from(lines.join('\n') + '\n')
}

/** A line that cannot be read becomes an entry that says so, once for the object. */
function decode(key: string, body: Uint8Array): readonly Entry[] {
  const entries = new Map<string, Entry>()
  for (const line of Buffer.from(body).toString().split('\n')) {
    if (line === '') continue
    const entry = decodeLine(line) ?? tornEntry(key)
    entries.set(entry.id, entry)
  }
  return [...entries.values()]
}

function decodeLine(line: string): Entry | null {
  try {
    const value: unknown = JSON.parse(line)
    if (typeof value !== 'object' || value === null) return null
    const fields = new Map<string, unknown>(Object.entries(value))
    const text = (name: string): string => {
      const found = fields.get(name)
      return typeof found === 'string' ? found : ''
    }
    const atMs = Date.parse(text('at'))
    const key = fields.get('key') === null ? null : text('key')
    const [id, bucket, operation] = [text('id'), text('bucket'), text('operation')]
    if (id === '' || !Number.isFinite(atMs)) return null
    return { id, atMs, bucket, operation, key, code: text('code'), message: text('message') }
  } catch {
    return null
  }
}

function tornEntry(key: string): Entry {
  const message = 'A part of the journal of storage failures cannot be read.'
  const failure = { bucket: 'primary', operation: 'read', key, code: 'object_corrupt', message }
  return { id: `torn ${key}`, atMs: 0, ...failure }
}
