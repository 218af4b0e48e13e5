/**
 * Reads the pending texts of an index of one kind, page by page, and goes on behind its end when
 * new ones came.
 *
 *     ├── read ──┼── read ──┼── last page ──┤ again() ─▶ the last page once more, and what follows it
 *                           ╰─ the place is kept: an end has no cursor of its own
 */

import {
  BACKFILL_PRIORITY,
  WRITE_PRIORITY,
  type PendingText,
  type TextPriority,
} from '../domain/pending-text.ts'
import type { IndexTexts } from '../indexes/index-texts.ts'
import type { WorkKind } from './next-batch.ts'

/** Texts come with their pages, so a page is not larger than a few batches. */
const PAGE = 256

type Cursor = Parameters<IndexTexts['pending']>[0]

export class PendingScan {
  readonly #priority: TextPriority
  #after: Cursor = null
  #isAtEnd = false
  /** How often `again` was called: a page that was asked for before may have missed something. */
  #calls = 0

  constructor(kind: WorkKind) {
    this.#priority = kind === 'write' ? WRITE_PRIORITY : BACKFILL_PRIORITY
  }

  get isAtEnd(): boolean {
    return this.#isAtEnd
  }

  /** There may be more behind the end. */
  again(): void {
    this.#calls += 1
    this.#isAtEnd = false
  }

  /** @returns the texts of the next page, which may all be known. */
  async read(texts: Pick<IndexTexts, 'pending'>): Promise<readonly PendingText[]> {
    const calls = this.#calls
    const { items, next } = await texts.pending(this.#after, PAGE, this.#priority)
    if (next !== null) this.#after = next
    else if (calls === this.#calls) this.#isAtEnd = true
    return items
  }
}
