/**
 * From what clients write to the rows of a Lance table: every row has a vector, if need be one that
 * the embedder of the index makes of its text.
 */

import type { LanceRows } from '../domain/lance-table.ts'
import type { EmbedderStamp } from '../domain/pending-text.ts'
import { offsetOf, type UpsertBatch } from '../domain/write-batch.ts'
import { VectordError } from '../lib/errors.ts'
import { takesNoTexts } from './index-refusals.ts'

/** Texts of one call of an embedder: several share its round trip, and none waits for thousands. */
const TEXTS_A_CALL = 64

/**
 * Vectors of texts, in order.
 *
 * @throws {VectordError} as `Embedder.embed`, `embedder_mismatch`; `deadline_exceeded` by then.
 */
export type EmbedTexts = (
  embedder: EmbedderStamp,
  texts: readonly string[],
  deadlineMs: number,
) => Promise<readonly Float32Array[]>

export interface RowsOptions {
  readonly index: string
  /** Null where every point needs a vector. */
  readonly embedder: EmbedderStamp | null
  readonly embed: EmbedTexts
  readonly deadlineMs: number
}

/** @throws {VectordError} `invalid_points` for a row without vector and text, and as `EmbedTexts`. */
export async function lanceRows(batch: UpsertBatch, options: RowsOptions): Promise<LanceRows> {
  const { ids, texts, metadata, dimension } = batch
  if (batch.places === undefined) return { ids, vectors: batch.vectors, texts, metadata }
  const vectors = new Float32Array(ids.length * dimension)
  const bare: number[] = []
  for (const row of ids.keys()) {
    const offset = offsetOf(batch, row)
    if (offset < 0) bare.push(row)
    else vectors.set(batch.vectors.subarray(offset, offset + dimension), row * dimension)
  }
  for (let from = 0; from < bare.length; from += TEXTS_A_CALL) {
    const rows = bare.slice(from, from + TEXTS_A_CALL)
    const made = await embedded(batch, rows, options)
    for (const [i, row] of rows.entries()) vectors.set(made[i] ?? [], row * dimension)
  }
  return { ids, vectors, texts, metadata }
}

function embedded(
  { ids, texts }: UpsertBatch,
  rows: readonly number[],
  { index, embedder, embed, deadlineMs }: RowsOptions,
): Promise<readonly Float32Array[]> {
  if (embedder === null) throw takesNoTexts(index)
  const wanted = rows.map((row) => {
    const text = texts[row] ?? null
    if (text !== null) return text
    const message = `The point "${ids[row] ?? ''}" has neither a vector nor a text.`
    throw new VectordError('invalid_points', message, { details: { index, row } })
  })
  return embed(embedder, wanted, deadlineMs)
}
