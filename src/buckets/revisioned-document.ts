/**
 * A document that several servers may change and nobody loses: the one mechanism of control state.
 *
 *     {prefix}0000000001.json  ◀─parent─  {prefix}0000000002.json  ◀─parent─  {prefix}0000000003.json
 *
 * Each revision is an object of its own with the whole document. The newest number is the document.
 * A change is a put-if-absent on the next number: of two writers one wins, the other one is told.
 * That is the one compare-and-swap that holds on every S3 server.
 *
 * - A lost answer is settled by reading back: the nonce tells whether the object is ours.
 * - A writer that was asleep while its number was written and trimmed would put into a hole. So after
 *   its put it looks for what follows: the next revision must name ours as its parent.
 * - Only an empty list and `object_not_found` mean absent; every other failure is thrown.
 */

import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { hasCode, VectordError } from '../lib/errors.ts'
import { KeyedMutex } from '../lib/keyed-mutex.ts'
import { checkPrefix } from './object-key.ts'
import type { ObjectStore } from './object-store.ts'
import {
  decodeRevision,
  encodeRevision,
  type JsonObject,
  type StoredRevision,
} from './revision-codec.ts'

/** Digits of a revision in its key: byte order of the keys is the order of the numbers. */
const DIGITS = 10

/** A revision that goes while it is read was trimmed: there is a newer one. */
const READ_TRIES = 10

/** How often a change is made anew on top of what another writer did. */
const CONFLICT_TRIES = 100
const CONFLICT_WAIT_MS_MAX = 20

/** Old revisions stay this long, by the clock of the bucket, so that slow readers find them. */
const TRIM_AGE_MS = 10 * 60 * 1000

export interface Revision<T> {
  /** From 1; grows by 1 with each change. */
  readonly revision: number
  readonly document: T
  readonly author: string
  readonly reason: string
  readonly writtenMs: number
}

export interface Change<T> {
  readonly document: T
  /** Who did it: the name of an API key, or of a part of vectord. */
  readonly author: string
  readonly reason: string
  /** For a document that had revisions elsewhere: the number of this one is greater than that. */
  readonly after?: number
}

/** A revision of the past: a document, a removal, or one that cannot be read any more. */
export type PastRevision<T> =
  | ({ readonly kind: 'document' } & Revision<T>)
  | ({ readonly kind: 'removed' } & Omit<Revision<T>, 'document'>)
  | { readonly kind: 'unreadable'; readonly revision: number; readonly fault: VectordError }

/** How a document is told as JSON. `fromJson` throws `object_corrupt` for what it cannot take. */
export interface DocumentCodec<T> {
  toJson(document: T): JsonObject
  fromJson(json: JsonObject, key: string): T
}

export interface RevisionedDocumentOptions<T> {
  readonly store: ObjectStore
  /** Where the revisions lie, such as `_indexes/x/meta/`; nothing else lies directly there. */
  readonly prefix: string
  /** For messages, such as `index "x"`. */
  readonly name: string
  readonly codec: DocumentCodec<T>
  /** Keeps at least this many revisions, and those of the last minutes. Default: all. At least 2. */
  readonly keep?: number
  /** A copy of the newest revision at a plain key, for people and curl; best effort. */
  readonly copyKey?: string
  readonly nowMs?: () => number
  /** Only for tests: age from which old revisions are trimmed. */
  readonly trimAgeMs?: number
}

interface Newest {
  /** Number of the newest revision; 0 where there is none. */
  readonly number: number
  readonly stored: StoredRevision | null
}

export class RevisionedDocument<T> {
  readonly #options: RevisionedDocumentOptions<T>
  readonly #turns = new KeyedMutex()
  /** The highest number seen: where a list may begin. */
  #seen = 0
  #housekeepingFault: unknown = null

  constructor(options: RevisionedDocumentOptions<T>) {
    checkPrefix(options.prefix)
    this.#options = options
  }

  /** Why the last copy or trim failed, or null. The revision itself is safe then. */
  get housekeepingFault(): unknown {
    return this.#housekeepingFault
  }

  /**
   * The newest revision, or null where there is none or it was removed.
   *
   * @throws {VectordError} `object_corrupt`, `format_too_new`, and every error of the store.
   */
  async read(): Promise<Revision<T> | null> {
    return this.#toRevision((await this.#newest()).stored)
  }

  /** The newest revision where it is not `revision`, else null: one request where nothing changed. */
  async readIfNewer(revision: number): Promise<Revision<T> | null> {
    if (revision > 0 && (await this.#load(revision + 1)) === null) return null
    const newest = await this.read()
    return newest?.revision === revision ? null : newest
  }

  /** True where nothing came after `revision`, which is at least 1: one request. */
  async isNewest(revision: number): Promise<boolean> {
    return (await this.#load(revision + 1)) === null
  }

  /**
   * Writes the next revision, where the newest is `expected`; null means there is no document.
   * Durable once resolved.
   *
   * @throws {VectordError} `revision_mismatch` where another change came first: nothing was written.
   *   `bucket_unreachable` where it is not known whether the change is there.
   */
  update(expected: number | null, change: Change<T>): Promise<Revision<T>> {
    return this.#turns.run('', () => this.#update(expected, change))
  }

  /**
   * Applies `change` to the newest document, again on top of it where another writer came first.
   * Where it answers null nothing is written, and what is there is the answer.
   *
   * @param change pure: it may run several times.
   */
  modify(change: (current: Revision<T> | null) => Change<T>): Promise<Revision<T>>
  modify(change: (current: Revision<T> | null) => Change<T> | null): Promise<Revision<T> | null>
  modify(change: (current: Revision<T> | null) => Change<T> | null): Promise<Revision<T> | null> {
    return this.#turns.run('', async () => {
      for (let tries = 1; ; tries += 1) {
        const current = await this.read()
        const wanted = change(current)
        if (wanted === null) return current
        try {
          return await this.#update(current?.revision ?? null, wanted)
        } catch (error) {
          if (!hasCode(error, 'revision_mismatch') || tries === CONFLICT_TRIES) throw error
          await sleep(Math.random() * Math.min(tries, CONFLICT_WAIT_MS_MAX))
        }
      }
    })
  }

  /**
   * Removes the document by one more revision, so that a late writer cannot bring it back; a new
   * document at the same place goes on with the numbers. @throws as `update`.
   */
  remove(expected: number, by: Omit<Change<T>, 'document' | 'after'>): Promise<void> {
    return this.#turns.run('', async () => {
      await this.#write(expected, { ...by, document: null })
      await this.#housekeep(() => this.#deleteCopy())
    })
  }

  /** Past revisions, newest first, those before `before` where it is given. Each is read on its own. */
  async *history(before = Infinity): AsyncGenerator<PastRevision<T>> {
    const numbers = await this.#numbers(0)
    for (const number of numbers.reverse()) {
      if (number >= before) continue
      const past = await this.#past(number)
      if (past !== null) yield past
    }
  }

  async #update(expected: number | null, change: Change<T>): Promise<Revision<T>> {
    const document = this.#options.codec.toJson(change.document)
    const { stored, body } = await this.#write(expected, { ...change, document })
    await this.#housekeep(async () => {
      await this.#copy(stored.revision, body)
      await this.#trim()
    })
    const { revision, writtenMs, author, reason } = stored
    return { revision, document: change.document, author, reason, writtenMs }
  }

  async #write(
    expected: number | null,
    change: Change<JsonObject | null>,
  ): Promise<{ readonly stored: StoredRevision; readonly body: Uint8Array }> {
    const newest = await this.#newest()
    const isThere = (newest.stored?.document ?? null) !== null
    const current = isThere ? newest.number : null
    if (current !== expected) throw this.#mismatch(expected, current)
    const stored: StoredRevision = {
      ...numbered(change, newest.number),
      parent: newest.stored?.nonce ?? null,
      writtenMs: (this.#options.nowMs ?? Date.now)(),
      nonce: randomUUID(),
    }
    const body = encodeRevision(stored)
    const isOurs = (await this.#putNext(stored, body)) && (await this.#isInChain(stored))
    if (!isOurs) throw this.#mismatch(expected, stored.revision)
    this.#seen = Math.max(this.#seen, stored.revision)
    return { stored, body }
  }

  /** False where the number belongs to another writer. */
  async #putNext(stored: StoredRevision, body: Uint8Array): Promise<boolean> {
    try {
      await this.#options.store.putIfAbsent(this.#keyOf(stored.revision), body)
      return true
    } catch (error) {
      if (!hasCode(error, 'object_exists', 'bucket_unreachable')) throw error
      const there = await this.#load(stored.revision)
      if (there === null && hasCode(error, 'bucket_unreachable')) throw error
      return there?.nonce === stored.nonce
    }
  }

  /** False where our object fell into a hole below the newest revisions; then it is taken back. */
  async #isInChain(stored: StoredRevision): Promise<boolean> {
    const [next] = await this.#numbers(stored.revision)
    if (next === undefined) return true
    const follower = next === stored.revision + 1 ? await this.#load(next) : null
    if (follower?.parent === stored.nonce) return true
    await this.#options.store.delete(this.#keyOf(stored.revision))
    return false
  }

  async #newest(): Promise<Newest> {
    for (let tries = 1; ; tries += 1) {
      const number = (await this.#numbers(Math.max(0, this.#seen - 1))).at(-1) ?? 0
      const found = await this.#follow(number)
      if (found !== null) {
        this.#seen = found.number
        return found
      }
      if (tries === READ_TRIES) {
        const message = `The revisions of ${this.#options.name} went while they were read.`
        throw new VectordError('storage_error', message, { details: { number } })
      }
      this.#seen = 0
    }
  }

  /** Reads on from the number that a list ended with: lists may lag behind, gets do not. */
  async #follow(listed: number): Promise<Newest | null> {
    let stored = listed === 0 ? null : await this.#load(listed)
    if (listed > 0 && stored === null) return null
    if (listed === 0 && this.#seen > 0) return null
    for (let number = listed; ; number += 1) {
      const next = await this.#load(number + 1)
      if (next === null) return { number, stored }
      stored = next
    }
  }

  /** The numbers after `after` that a list shows, ascending. */
  async #numbers(after: number): Promise<number[]> {
    const { store, prefix } = this.#options
    const numbers: number[] = []
    const from = after === 0 ? {} : { startAfter: this.#keyOf(after) }
    for await (const object of store.list(prefix, from)) {
      const number = this.#numberOf(object.key)
      if (number !== null) numbers.push(number)
    }
    return numbers
  }

  async #load(number: number): Promise<StoredRevision | null> {
    const key = this.#keyOf(number)
    let body: Uint8Array
    try {
      body = await this.#options.store.get(key)
    } catch (error) {
      if (hasCode(error, 'object_not_found')) return null
      throw error
    }
    const stored = decodeRevision(key, body)
    if (stored.revision === number) return stored
    const message = `The object "${key}" holds revision ${stored.revision}.`
    throw new VectordError('object_corrupt', message, { details: { key } })
  }

  async #past(number: number): Promise<PastRevision<T> | null> {
    try {
      const stored = await this.#load(number)
      if (stored === null) return null // Trimmed meanwhile.
      const revision = this.#toRevision(stored)
      if (revision !== null) return { kind: 'document', ...revision }
      const { author, reason, writtenMs } = stored
      return { kind: 'removed', revision: number, author, reason, writtenMs }
    } catch (error) {
      if (!hasCode(error, 'object_corrupt', 'format_too_new')) throw error
      return { kind: 'unreadable', revision: number, fault: error }
    }
  }

  #toRevision(stored: StoredRevision | null): Revision<T> | null {
    if (stored === null || stored.document === null) return null
    const { revision, author, reason, writtenMs } = stored
    const document = this.#options.codec.fromJson(stored.document, this.#keyOf(revision))
    return { revision, document, author, reason, writtenMs }
  }

  /** Copies and trims are no part of a change: what fails is kept to be shown, and made up for later. */
  async #housekeep(work: () => Promise<void>): Promise<void> {
    try {
      await work()
      this.#housekeepingFault = null
    } catch (error) {
      this.#housekeepingFault = error
    }
  }

  /** Two servers may copy in the wrong order, so each looks again and copies what is newest. */
  async #copy(number: number, body: Uint8Array): Promise<void> {
    const { store, copyKey } = this.#options
    if (copyKey === undefined) return
    await store.put(copyKey, body)
    for (let copied = number; ;) {
      const newer = (await this.#numbers(copied)).at(-1)
      if (newer === undefined) return
      await store.put(copyKey, await store.get(this.#keyOf(newer)))
      copied = newer
    }
  }

  async #deleteCopy(): Promise<void> {
    const { store, copyKey } = this.#options
    if (copyKey !== undefined) await store.delete(copyKey)
  }

  async #trim(): Promise<void> {
    const { store, prefix, keep = Infinity, trimAgeMs = TRIM_AGE_MS } = this.#options
    if (keep === Infinity) return
    const revisions = []
    for await (const object of store.list(prefix)) {
      if (this.#numberOf(object.key) !== null) revisions.push(object)
    }
    const newestMs = revisions.at(-1)?.modifiedMs ?? 0
    for (const object of revisions.slice(0, -Math.max(2, keep))) {
      if (newestMs - object.modifiedMs < trimAgeMs) return
      await store.delete(object.key)
    }
  }

  #keyOf(number: number): string {
    return `${this.#options.prefix}${String(number).padStart(DIGITS, '0')}.json`
  }

  #numberOf(key: string): number | null {
    const name = key.slice(this.#options.prefix.length)
    return /^\d{10}\.json$/.test(name) ? Number(name.slice(0, DIGITS)) : null
  }

  #mismatch(expected: number | null, found: number | null): VectordError {
    const message = `Another change of ${this.#options.name} came first; read it and try again.`
    return new VectordError('revision_mismatch', message, { details: { expected, found } })
  }
}

function numbered(
  { after = 0, ...rest }: Change<JsonObject | null>,
  newest: number,
): Omit<Change<JsonObject | null>, 'after'> & { readonly revision: number } {
  return { ...rest, revision: Math.max(newest, after) + 1 }
}
