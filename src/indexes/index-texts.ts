/**
 * What may be asked of the texts of an index that wait for their vectors.
 */

import type {
  AppliedVector,
  EmbedderStamp,
  PendingText,
  TextCounts,
  TextPriority,
} from '../domain/pending-text.ts'
import type { ScrollPosition } from '../domain/search.ts'

/** Where the next page starts, in each shard: one that is behind the others misses nothing. */
export interface PendingCursor {
  readonly shards: readonly (ScrollPosition | null)[]
}

export interface PendingPage {
  /** Oldest first. */
  readonly items: readonly PendingText[]
  /** Null where none comes after the last item now. */
  readonly next: PendingCursor | null
}

export interface AppliedVectors {
  readonly applied: number
  /** Ids whose point is gone, was written again, or has a vector that this one may not replace. */
  readonly stale: readonly string[]
  /** Of the write that brought the vectors; where none was wanted, the last one that is seen. */
  readonly lsn: number
}

export interface IndexTexts {
  /** Null where points need vectors. */
  readonly embedder: EmbedderStamp | null

  /**
   * Live points whose vector is missing or of another embedder; a page of long texts may be short.
   *
   * @param priority those of one priority alone.
   * @throws what keeps the index from serving, `not_owner`.
   */
  pending(
    after: PendingCursor | null,
    limit: number,
    priority?: TextPriority | null,
  ): Promise<PendingPage>

  /** @param of counts as if this were the embedder. @throws what keeps the index from serving. */
  count(of?: EmbedderStamp): Promise<TextCounts>

  /**
   * Logged and applied like a write, but each vector only where its point is still of that version;
   * where it is not, nothing changes.
   *
   * @param deadlineMs since the Unix epoch.
   * @throws {VectordError} `vector_dimension_mismatch`, `invalid_vector`: then none was applied; and
   *   whatever a write is refused with.
   */
  apply(vectors: readonly AppliedVector[], deadlineMs: number): Promise<AppliedVectors>

  /**
   * Told when a write brought texts without vectors, when the embedder was changed, and when the index
   * serves again; it must not throw.
   */
  onTexts(listener: () => void): () => void
}
