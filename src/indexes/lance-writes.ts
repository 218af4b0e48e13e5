/**
 * The order of the writes of one Lance table: one commit at a time, and what waits meanwhile together.
 *
 *     upsert a ─▶ commit a
 *     upsert b ─┐  (waits)
 *     upsert c ─┴────────▶ commit b + c      of equal ids the later one holds, as it would alone
 *     delete d ──────────────────────▶ commit d
 *
 * A commit costs a table of any size the same few milliseconds and leaves a fragment: writers that
 * come together share both.
 */

import type { LanceRows } from '../domain/lance-table.ts'

/** Rows of several writes in one commit; one write always goes whole. */
const GROUP_ROWS_MAX = 10_000
/** Numbers of their vectors, which are copied in one step: 8 MiB take about 3 ms. */
const GROUP_NUMBERS_MAX = 2 * 1024 * 1024

interface Waiting {
  /** Null for work that shares its turn with nothing. */
  readonly rows: LanceRows | null
  readonly commit: () => Promise<unknown>
  readonly resolve: (answer: unknown) => void
  readonly reject: (error: unknown) => void
}

export class LanceWrites {
  readonly #upsert: (rows: LanceRows) => Promise<unknown>
  readonly #waiting: Waiting[] = []
  #draining: Promise<void> | null = null

  /** @param upsert makes one commit of rows with distinct ids. */
  constructor(upsert: (rows: LanceRows) => Promise<{ readonly version: number }>) {
    this.#upsert = upsert
  }

  /** Resolves when the rows are committed, with the version of that commit. */
  upsert(rows: LanceRows): Promise<{ readonly version: number }> {
    return this.#enter(rows, () => this.#upsert(rows)) as Promise<{ readonly version: number }>
  }

  /** Runs `work` when all that came before is done, and nothing beside it. */
  apart<T>(work: () => Promise<T>): Promise<T> {
    return this.#enter(null, work) as Promise<T>
  }

  #enter(rows: LanceRows | null, commit: () => Promise<unknown>): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ rows, commit, resolve, reject })
      this.#draining ??= this.#drain().finally(() => {
        this.#draining = null
      })
    })
  }

  async #drain(): Promise<void> {
    // What comes in the same turn of the event loop is there when the first commit is put together.
    await Promise.resolve()
    while (this.#waiting.length > 0) {
      const group = this.#take()
      try {
        const answer = await commitOf(group, this.#upsert)
        for (const { resolve } of group) resolve(answer)
      } catch (error) {
        for (const { reject } of group) reject(error)
      }
    }
  }

  /** The first one that waits, and those right behind it that may go with it. */
  #take(): Waiting[] {
    let taken = 0
    let [rows, numbers] = [0, 0]
    for (const waiting of this.#waiting) {
      const size = sizeOf(waiting)
      rows += size.rows
      numbers += size.numbers
      if (taken > 0 && (rows > GROUP_ROWS_MAX || numbers > GROUP_NUMBERS_MAX)) break
      taken += 1
    }
    return this.#waiting.splice(0, taken)
  }
}

/** What shares its turn with nothing is larger than any bound. */
function sizeOf({ rows }: Waiting): { readonly rows: number; readonly numbers: number } {
  if (rows === null) return { rows: Infinity, numbers: Infinity }
  return { rows: rows.ids.length, numbers: rows.vectors.length }
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
