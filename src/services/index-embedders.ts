/**
 * The embedder that an index is to have: what the service has of that name, and what it costs.
 */

import { isSameEmbedder, type EmbedderStamp, type TextCounts } from '../domain/pending-text.ts'
import { VectordError } from '../lib/errors.ts'

/** @throws {VectordError} `not_configured`, `embedder_unavailable`. */
export type IdentityOf = (name: string) => Promise<EmbedderStamp>

/** The index whose embedder is to change. */
export interface EmbeddedIndex {
  readonly name: string
  readonly dimension: number
  readonly embedder?: EmbedderStamp
}

export interface EmbedderWish {
  /** As configured. */
  readonly name: string
  /** Whoever asks knows that all texts are embedded again. */
  readonly isAcknowledged: boolean
}

/**
 * The embedder for an index that has `index.embedder` now; that one itself where they are the same.
 *
 * @param count how many texts would wait for their vectors.
 * @throws {VectordError} `acknowledgement_needed` with that number, `bad_request` where its vectors
 *   have another dimension, and as `IdentityOf`.
 */
export async function embedderFor(
  index: EmbeddedIndex,
  wish: EmbedderWish,
  {
    identityOf,
    count,
  }: { identityOf: IdentityOf; count: (of: EmbedderStamp) => Promise<TextCounts> },
): Promise<EmbedderStamp> {
  const stamp = await identityOf(wish.name)
  if (stamp.dimension !== index.dimension) throw otherDimension(index, stamp)
  const before = index.embedder
  if (before === undefined) return stamp
  if (isSameEmbedder(before, stamp)) return before.name === stamp.name ? before : stamp
  if (!wish.isAcknowledged) throw needed(index.name, before, stamp, await count(stamp))
  return stamp
}

function otherDimension({ name, dimension }: EmbeddedIndex, stamp: EmbedderStamp): VectordError {
  return new VectordError(
    'bad_request',
    `The embedder "${stamp.name}" makes vectors of ${stamp.dimension} numbers; index "${name}" has ` +
      `${dimension}. Create a new index for it and write the points there.`,
    {
      details: {
        ...{ part: 'body', field: 'embedder', problem: 'has another dimension' },
        ...{ expected: dimension, actual: stamp.dimension },
      },
    },
  )
}

function needed(
  index: string,
  before: EmbedderStamp,
  after: EmbedderStamp,
  { writes, backfill }: TextCounts,
): VectordError {
  const texts = writes + backfill
  return new VectordError(
    'acknowledgement_needed',
    `With another embedder ${texts} texts of index "${index}" are embedded again; their old vectors ` +
      `serve meanwhile. Send "acknowledge_rebuild": true to have it so.`,
    { details: { index, texts, before: describe(before), after: describe(after) } },
  )
}

function describe({ name, model, version }: EmbedderStamp): {
  readonly name: string
  readonly model: string
  readonly version: string
} {
  return { name, model, version }
}
