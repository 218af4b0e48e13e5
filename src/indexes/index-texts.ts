/**
 * What an index tells of its texts that wait for vectors, and takes for them.
 */

import type { AppliedVector, EmbedderStamp, PendingText } from '../domain/pending-text.ts'

/** Where a page of pending texts goes on: of each shard, after the row `(lsn, row)`. */
export interface PendingCursor {
  readonly shards: readonly { readonly lsn: number; readonly row: number }[]
}

export interface PendingPage {
  readonly items: readonly PendingText[]
  /** Null at the end. */
  readonly next: PendingCursor | null
}

export interface IndexTexts {
  /** Null where the index takes no texts without vectors. */
  readonly embedder: EmbedderStamp | null

  /** Live points whose vector is missing or of another embedder; oldest first. */
  pending(after: PendingCursor | null, limit: number): Promise<PendingPage>

  count(): Promise<{ readonly writes: number; readonly backfill: number }>

  /**
   * Logged and applied like a write, but only where the point is still of that version; else it is
   * counted as stale and changes nothing.
   */
  apply(
    vectors: readonly AppliedVector[],
    deadlineMs: number,
  ): Promise<{ readonly applied: number; readonly stale: readonly string[]; readonly lsn: number }>

  /** Calls `listener` when a write brought texts without vectors. @returns what ends that. */
  onTexts(listener: () => void): () => void
}
