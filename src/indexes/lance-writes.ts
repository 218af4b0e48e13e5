/**
 * The order of the writes of one Lance table: one commit at a time, and what waits meanwhile together.
 *
 *     upsert a ─▶ commit a
 *     upsert b ─┐  (waits)
 *     upsert c ─┴────────▶ commit b + c      of equal ids the later one holds, as it would alone
 *     delete d ──────────────────────▶ commit d
 *
 * A commit costs a table of any size the same few milliseconds and leaves a fragment: writers that
 * come together share both. Rows that are refused fail those who brought them: then each goes alone.
 */

import type { LanceRows } from '../domain/lance-table.ts'
import { hasCode, VectordError } from '../lib/errors.ts'

/** Rows of several writes in one commit; one write always goes whole. */
const GROUP_ROWS_MAX = 10_000
/** Numbers of their vectors, which are copied in one step: 8 MiB take about 3 ms. */
const GROUP_NUMBERS_MAX = 2 * 1024 * 1024
/** Characters of their ids, texts and metadata: one message to the Lance core holds 256 MiB. */
const GROUP_CHARS_MAX = 16 * 1024 * 1024
/** Bytes that may wait: a bucket that answers slowly must not fill the memory with writes. */
const WAITING_BYTES_MAX = 128 * 1024 * 1024
/** Writes that may wait, however small. */
const WAITING_MAX = 4096

/** Rows, or ids alone. */
type HeldRows = Pick<LanceRows, 'ids'> & Partial<LanceRows>

interface Size {
  readonly rows: number
  readonly numbers: number
  readonly chars: number
}

interface Waiting {
  /** Null for work that shares its turn with nothing. */
  readonly rows: LanceRows | null
  readonly size: Size
  readonly commit: () => Promise<unknown>
  readonly resolve: (answer: unknown) => void
  readonly reject: (error: unknown) => void
}

export class LanceWrites {
  readonly #upsert: (rows: LanceRows) => Promise<unknown>
  readonly #waiting: Waiting[] = []
  #waitingBytes = 0
  #draining: Promise<void> | null = null
  #isClosed = false

  /** @param upsert makes one commit of rows with distinct ids. */
  constructor(upsert: (rows: LanceRows) => Promise<{ readonly version: number }>) {
    this.#upsert = upsert
  }

  /**
   * Resolves when the rows are committed, with the version of that commit.
   *
   * @throws {VectordError} `core_suspended` where too much waits; `shutting_down` once it is closed.
   */
  upsert(rows: LanceRows): Promise<{ readonly version: number }> {
    const commit = (): Promise<unknown> => this.#upsert(rows)
    const entered = this.#enter({ rows, size: sizeOf(rows), commit })
    return entered as Promise<{ readonly version: number }>
  }

  /**
   * Runs `work` when all that came before is done, and nothing beside it. @throws as `upsert`.
   *
   * @param held what it keeps in memory while it waits.
   */
  apart<T>(work: () => Promise<T>, held: HeldRows = { ids: [] }): Promise<T> {
    return this.#enter({ rows: null, size: sizeOf(held), commit: work }) as Promise<T>
  }

  /** Refuses what waits and what comes; resolves when the commit under way is done. Idempotent. */
  async close(): Promise<void> {
    this.#isClosed = true
    for (const { reject } of this.#taken(this.#waiting.length)) reject(closed())
    await this.#draining
  }

  async #enter(entering: Omit<Waiting, 'resolve' | 'reject'>): Promise<unknown> {
    this.#checkRoom()
    return new Promise((resolve, reject) => {
      this.#waiting.push({ ...entering, resolve, reject })
      this.#waitingBytes += bytesOf(entering.size)
      this.#draining ??= this.#drain().finally(() => {
        this.#draining = null
      })
    })
  }

  #checkRoom(): void {
    if (this.#isClosed) throw closed()
    const isFull = this.#waiting.length >= WAITING_MAX || this.#waitingBytes >= WAITING_BYTES_MAX
    if (!isFull) return
    const text = 'Too many writes wait for the Lance table.'
    throw new VectordError('core_suspended', text, { retryAfterS: 1 })
  }

  async #drain(): Promise<void> {
    // What comes in the same turn of the event loop is there when the first commit is put together.
    await Promise.resolve()
    while (this.#waiting.length > 0) await this.#settle(this.#take())
  }

  async #settle(group: readonly Waiting[]): Promise<void> {
    try {
      const answer = await commitOf(group, this.#upsert)
      for (const { resolve } of group) resolve(answer)
    } catch (error) {
      if (group.length === 1 || !hasCode(error, ...OF_ROWS)) {
        for (const { reject } of group) reject(error)
        return
      }
      for (const one of group) await this.#settle([one])
    }
  }

  /** The first one that waits, and those right behind it that may go with it. */
  #take(): Waiting[] {
    const [first, ...others] = this.#waiting
    if (first === undefined || first.rows === null) return this.#taken(1)
    let { rows, numbers, chars } = first.size
    let count = 1
    for (const { rows: shared, size } of others) {
      rows += size.rows
      numbers += size.numbers
      chars += size.chars
      const isFull = rows > GROUP_ROWS_MAX || numbers > GROUP_NUMBERS_MAX || chars > GROUP_CHARS_MAX
      if (shared === null || isFull) break
      count += 1
    }
    return this.#taken(count)
  }

  #taken(count: number): Waiting[] {
    const taken = this.#waiting.splice(0, count)
    for (const { size } of taken) this.#waitingBytes -= bytesOf(size)
    return taken
  }
}

/** Refusals that say something about the rows of a group, or of some of them. */
const OF_ROWS = ['invalid_points', 'invalid_vector', 'limit_exceeded'] as const

function sizeOf({ ids, vectors, texts, metadata }: HeldRows): Size {
  let chars = 0
  for (const [i, id] of ids.entries()) {
    chars += id.length + (texts?.[i]?.length ?? 0) + (metadata?.[i]?.length ?? 0)
  }
  return { rows: ids.length, numbers: vectors?.length ?? 0, chars }
}

/** As they lie in memory, about. */
function bytesOf({ numbers, chars }: Size): number {
  return numbers * Float32Array.BYTES_PER_ELEMENT + 2 * chars
}

function closed(): VectordError {
  const text = 'This server takes no more writes of the Lance table.'
  return new VectordError('shutting_down', text, { retryAfterS: 1 })
}

function commitOf(
  group: readonly Waiting[],
  upsert: (rows: LanceRows) => Promise<unknown>,
): Promise<unknown> {
  const [only] = group
  if (group.length === 1 && only !== undefined) return only.commit()
  return upsert(joined(group.flatMap(({ rows }) => rows ?? [])))
}

/** The rows of several writes, of equal ids the last one. */
export function joined(writes: readonly LanceRows[]): LanceRows {
  const last = new Map<string, { readonly of: LanceRows; readonly row: number }>()
  for (const of of writes) {
    for (const [row, id] of of.ids.entries()) last.set(id, { of, row })
  }
  const [first] = writes
  const dimension = first === undefined ? 0 : first.vectors.length / first.ids.length
  const vectors = new Float32Array(last.size * dimension)
  const texts: (string | null)[] = []
  const metadata: (string | null)[] = []
  for (const { of, row } of last.values()) {
    vectors.set(
      of.vectors.subarray(row * dimension, (row + 1) * dimension),
      texts.length * dimension,
    )
    texts.push(of.texts[row] ?? null)
    metadata.push(of.metadata[row] ?? null)
  }
  return { ids: [...last.keys()], vectors, texts, metadata }
}
