/**
 * The texts of one index that could not be embedded, each with the reason.
 *
 * In memory alone: after a start each is tried once more, since its point still waits for a vector.
 * The list is bounded; the oldest are forgotten, and tried again with the next look at the index.
 */

import type { WorkItem } from './work-queue.ts'

export interface FailedText {
  readonly item: WorkItem
  readonly reason: { readonly code: string; readonly message: string }
  /** How often it was given to the embedder, with others or alone. */
  readonly attempts: number
  readonly atMs: number
}

export interface FailedPage {
  readonly failed: readonly FailedText[]
  /** What the next page is asked for with; null at the end. */
  readonly next: number | null
}

interface Numbered extends FailedText {
  readonly number: number
}

export class FailedTexts {
  readonly #max: number
  /** By id, in the order of their numbers. */
  readonly #texts = new Map<string, Numbered>()
  #next = 1

  constructor(max: number) {
    this.#max = max
  }

  get size(): number {
    return this.#texts.size
  }

  add(failed: FailedText): void {
    const { id } = failed.item
    this.#texts.delete(id)
    this.#texts.set(id, { ...failed, number: this.#next })
    this.#next += 1
    if (this.#texts.size <= this.#max) return
    const [oldest] = this.#texts.keys()
    if (oldest !== undefined) this.#texts.delete(oldest)
  }

  /** True where this version of a point has failed; the failure of another one is over. */
  isFailed({ id, version }: { readonly id: string; readonly version: number }): boolean {
    const known = this.#texts.get(id)
    if (known === undefined) return false
    if (known.item.version === version) return true
    this.#texts.delete(id)
    return false
  }

  /** Oldest first. @param after the `next` of the page before. */
  page(after: number | null, limit: number): FailedPage {
    const failed: Numbered[] = []
    for (const text of this.#texts.values()) {
      if (after !== null && text.number <= after) continue
      if (failed.length === limit) return { failed, next: failed.at(-1)?.number ?? null }
      failed.push(text)
    }
    return { failed, next: null }
  }

  /** Takes out what is to be tried again; of `ids` those that are here, or all. */
  take(ids: readonly string[] | null): readonly WorkItem[] {
    return [...(ids ?? this.#texts.keys())].flatMap((id) => {
      const item = this.#texts.get(id)?.item
      this.#texts.delete(id)
      return item === undefined ? [] : [item]
    })
  }

  /** A failure is over where its point is gone or of another version. */
  forget(items: readonly WorkItem[]): void {
    for (const { id, version } of items) {
      if (this.#texts.get(id)?.item.version === version) this.#texts.delete(id)
    }
  }

  clear(): void {
    this.#texts.clear()
  }
}
