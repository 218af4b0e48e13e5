/**
 * The points of one index that a stream took and could not write, each with the reason.
 *
 *     {bucket}/_indexes/{index}/dead/{ms}-{nonce}.json        in the order of time
 *
 * A point is here before its request is answered, and stays until it is deleted or logged by a
 * requeue. The list is bounded: a full one refuses the next point, nothing in it is dropped. After a
 * lost answer of the bucket a point may be in the list twice.
 */

import { randomBytes } from 'node:crypto'
import type { ObjectStore } from '../buckets/object-store.ts'
import { hasCode, VectordError } from '../lib/errors.ts'
import { KeyedMutex } from '../lib/keyed-mutex.ts'
import { decodeLetter, encodeLetter, type DeadLetter, type DeadPoint } from './dead-letter-codec.ts'

const LETTERS_MAX = 10_000
const ID = /^\d{13}-[0-9a-f]{8}$/
/** Letters that are read at a time. */
const READS_AT_ONCE = 16

export interface DeadLettersOptions {
  /** The home bucket of the index, as it is now. */
  readonly store: () => ObjectStore
  readonly index: string
  readonly nowMs: () => number
  readonly lettersMax?: number
}

export class DeadLetters {
  readonly #options: DeadLettersOptions
  readonly #prefix: string
  readonly #turns = new KeyedMutex()
  /** How many there are; null before they were counted. */
  #count: number | null = null
  #lastMs = 0

  constructor(options: DeadLettersOptions) {
    this.#options = options
    this.#prefix = `_indexes/${options.index}/dead/`
  }

  /** @throws {VectordError} `dead_letters_full`, and what the bucket throws. */
  add(point: DeadPoint, reason: unknown): Promise<void> {
    return this.#turns.run('count', async () => {
      const { index, nowMs, store, lettersMax = LETTERS_MAX } = this.#options
      if (this.#count === null || this.#count >= lettersMax) this.#count = await this.#counted()
      if (this.#count >= lettersMax) throw full(index, lettersMax)
      const atMs = nowMs()
      const id = this.#newId(atMs)
      const letter: DeadLetter = { id, index, atMs, reason: reasonOf(reason), point }
      try {
        await store().putIfAbsent(this.#keyOf(id), encodeLetter(letter))
      } catch (error) {
        // A retry inside the store met its own put: nobody else has the nonce.
        if (!hasCode(error, 'object_exists')) throw error
      }
      this.#count += 1
    })
  }

  /** @throws {VectordError} what the bucket throws. */
  count(): Promise<number> {
    return this.#turns.run('count', async () => (this.#count ??= await this.#counted()))
  }

  /** Letters after the one with the id `after`, oldest first; `next` is null at the end. */
  async list(page: {
    readonly after: string | null
    readonly limit: number
  }): Promise<{ readonly letters: readonly DeadLetter[]; readonly next: string | null }> {
    const { after, limit } = page
    const ids = await this.#ids(after === null ? null : checkedId(after), limit + 1)
    const shown = ids.slice(0, limit)
    const next = ids.length > limit ? (shown.at(-1) ?? null) : null
    return { letters: await this.#read(shown), next }
  }

  /** @throws {VectordError} `dead_letter_not_found`, naming the first that is not there. */
  async get(ids: readonly string[]): Promise<readonly DeadLetter[]> {
    const letters = await this.#read(ids.filter((id) => ID.test(id)))
    const found = new Set(letters.map(({ id }) => id))
    const missing = ids.find((id) => !found.has(id))
    if (missing !== undefined) throw notFound(this.#options.index, missing)
    return letters
  }

  /** @throws {VectordError} `dead_letter_not_found`. */
  async delete(id: string): Promise<void> {
    const store = this.#options.store()
    try {
      if (!ID.test(id)) throw notFound(this.#options.index, id)
      await store.head(this.#keyOf(id))
    } catch (error) {
      if (!hasCode(error, 'object_not_found')) throw error
      throw notFound(this.#options.index, id)
    }
    await store.delete(this.#keyOf(id))
    if (this.#count !== null) this.#count = Math.max(0, this.#count - 1)
  }

  /** Those that are gone meanwhile are left out. */
  async #read(ids: readonly string[]): Promise<readonly DeadLetter[]> {
    const letters: DeadLetter[] = []
    for (let from = 0; from < ids.length; from += READS_AT_ONCE) {
      const some = ids.slice(from, from + READS_AT_ONCE)
      for (const letter of await Promise.all(some.map((id) => this.#readOne(id)))) {
        if (letter !== null) letters.push(letter)
      }
    }
    return letters
  }

  async #readOne(id: string): Promise<DeadLetter | null> {
    const key = this.#keyOf(id)
    try {
      return decodeLetter(key, await this.#options.store().get(key))
    } catch (error) {
      if (hasCode(error, 'object_not_found')) return null
      throw error
    }
  }

  async #ids(after: string | null, limit: number): Promise<readonly string[]> {
    const options = after === null ? {} : { startAfter: this.#keyOf(after) }
    const ids: string[] = []
    for await (const { key } of this.#options.store().list(this.#prefix, options)) {
      const id = key.slice(this.#prefix.length, -'.json'.length)
      if (!ID.test(id) || key !== this.#keyOf(id)) continue
      ids.push(id)
      if (ids.length === limit) break
    }
    return ids
  }

  async #counted(): Promise<number> {
    return (await this.#ids(null, Infinity)).length
  }

  /** Later ones sort behind earlier ones, also within a millisecond. */
  #newId(atMs: number): string {
    this.#lastMs = Math.max(atMs, this.#lastMs + 1)
    return `${String(this.#lastMs).padStart(13, '0')}-${randomBytes(4).toString('hex')}`
  }

  #keyOf(id: string): string {
    return `${this.#prefix}${id}.json`
  }
}

function checkedId(cursor: string): string {
  if (ID.test(cursor)) return cursor
  throw new VectordError('invalid_cursor', 'The cursor is not one of ours: start from none.')
}

function reasonOf(reason: unknown): DeadLetter['reason'] {
  if (reason instanceof VectordError) return { code: reason.code, message: reason.message }
  return { code: 'internal', message: 'vectord failed to write it; its log has the reason.' }
}

function notFound(index: string, id: string): VectordError {
  return new VectordError('dead_letter_not_found', 'There is no dead letter with this id.', {
    details: { index, id },
  })
}

function full(index: string, lettersMax: number): VectordError {
  const message = `Index "${index}" has ${lettersMax} dead letters; no further one is kept.`
  return new VectordError('dead_letters_full', message, {
    details: { index, bound: lettersMax },
    retryAfterS: 60,
  })
}
