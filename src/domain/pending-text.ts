/**
 * Texts that wait for their vectors, and the vectors that embedders make of them.
 */

import { VectordError } from '../lib/errors.ts'
import type { ScrollPosition } from './search.ts'

/** Work on a new text goes before work on a text that has a vector of another embedder. */
export const WRITE_PRIORITY = 1000
export const BACKFILL_PRIORITY = 0

export type TextPriority = typeof WRITE_PRIORITY | typeof BACKFILL_PRIORITY

export interface PendingText {
  readonly id: string
  /** The lsn of the write that brought the text. */
  readonly version: number
  readonly text: string
  readonly priority: TextPriority
}

/** The embedder of an index, as it was when the index got it. */
export interface EmbedderStamp {
  /** The configured name. */
  readonly name: string
  readonly model: string
  readonly version: string
  readonly dimension: number
  readonly normalised: boolean
}

export interface AppliedVector {
  readonly id: string
  /** That of the `PendingText` that it was made from, as the hash. */
  readonly version: number
  readonly textHash: string
  readonly vector: Float32Array
  readonly embedder: EmbedderStamp
}

/** Names the space of an embedder's vectors: vectors of one tag can be compared. */
export function embedderTag({ model, version, dimension, normalised }: EmbedderStamp): string {
  return `${model}@${version}/${dimension}/${normalised ? 'unit' : 'raw'}`
}

/** True where the two make the same vectors, whatever their names in the configuration are. */
export function isSameEmbedder(one: EmbedderStamp, other: EmbedderStamp): boolean {
  return embedderTag(one) === embedderTag(other)
}

/** What one shard is asked about its texts; `tag` is that of the index's embedder. */
export type TextsRequest =
  | {
      readonly kind: 'page'
      readonly tag: string
      readonly after: ScrollPosition | null
      readonly limit: number
      /** Texts of one priority alone; null for all. */
      readonly priority: TextPriority | null
    }
  | { readonly kind: 'count'; readonly tag: string }
  | { readonly kind: 'states'; readonly ids: readonly string[] }

/** The tag of a vector that came from the client: no embedder ever replaces it. */
export const CLIENT_TAG = ''

/** What a point has. */
export interface TextState {
  readonly version: number
  /** Of its vector; null where it has none yet. */
  readonly tag: string | null
}

/** Of texts that wait: new ones, and ones whose vector is of another embedder. */
export interface TextCounts {
  readonly writes: number
  readonly backfill: number
}

export interface ShardTexts {
  /** In (lsn, row) order of their rows. */
  readonly items: readonly PendingText[]
  /** `positions[i]` is that of `items[i]`. */
  readonly positions: readonly ScrollPosition[]
  /** True where none comes after the last item. */
  readonly done: boolean
}

/** What a shard answers, each kind where it was asked for. */
export interface TextsReply {
  readonly page?: ShardTexts
  readonly counts?: TextCounts
  /** For each id, in order; null where there is no such point. */
  readonly states?: readonly (TextState | null)[]
}

/** Of a search by the id of a point whose text still waits for its vector. */
export function notEmbedded(): VectordError {
  return new VectordError(
    'point_not_embedded',
    'The point to search by is a text whose vector is not there yet.',
    { retryAfterS: 1 },
  )
}
