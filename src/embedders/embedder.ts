/**
 * What turns texts into vectors: the contract of every embedder, and what holds for each answer.
 *
 * Vectors of two embedders, or of two versions of one, cannot be compared. So an embedder tells who it
 * is, stays that as long as the process lives, and fails rather than answer as somebody else.
 */

import { VectordError, type ErrorDetails } from '../lib/errors.ts'

/** Who made a vector. Two vectors may be compared where all of it is equal. */
export interface EmbedderIdentity {
  readonly model: string
  /** Changes when the same name stands for other weights. */
  readonly version: string
  readonly dimension: number
  /** True where every vector has length 1. */
  readonly normalised: boolean
}

export interface Embedder {
  /** As the configuration calls it: `local`, `ollama`, `openai`. */
  readonly name: string
  /** Asked of the embedder itself, once. @throws {VectordError} `embedder_unavailable` */
  identity(): Promise<EmbedderIdentity>
  /**
   * One vector for each text, in order: finite, not zero, of the dimension of the identity. All or
   * nothing. The vectors belong to the caller.
   *
   * @throws {VectordError} `embedder_unavailable`: none of the texts is at fault, try again later;
   * `embedder_failed`: one of the texts is, or may be; `embedder_mismatch`: it is another by now.
   * The reason of `signal` where that is aborted first.
   */
  embed(texts: readonly string[], signal?: AbortSignal): Promise<readonly Float32Array[]>
  /** Ends what runs; later calls are answered `embedder_unavailable`. May be called twice. */
  close(): Promise<void>
}

export type EmbedderLog = (
  level: 'info' | 'warn' | 'error',
  fields: Readonly<Record<string, unknown>>,
  message: string,
) => void

/** A vector of length 1 may be off by what float32 and a server's rounding cost. */
const LENGTH_TOLERANCE = 1e-3

export function isNormalised(vectors: readonly Float32Array[]): boolean {
  return vectors.every((vector) => Math.abs(Math.hypot(...vector) - 1) < LENGTH_TOLERANCE)
}

/** Texts that are embedded once, to learn the dimension and whether vectors have length 1. */
export const PROBE_TEXTS: readonly string[] = [
  'A probe.',
  'Vectors of two texts tell their length.',
]

/**
 * Turns what an embedder answered into vectors.
 *
 * @param dimension null where it is learned from this answer: then all are equally long.
 * @throws {VectordError} `embedder_failed`
 */
export function checkedVectors(
  embedder: string,
  rows: readonly unknown[],
  { count, dimension }: { readonly count: number; readonly dimension: number | null },
): Float32Array[] {
  if (rows.length !== count) {
    const details = { expected: count, answered: rows.length }
    throw failed(embedder, 'It answered another number of vectors than texts.', details)
  }
  const [first] = rows
  const length = dimension ?? (isVectorLike(first) ? first.length : 0)
  return rows.map((row, i) => {
    if (!isVectorLike(row)) throw failed(embedder, 'An answer is no vector.', { row: i })
    if (row.length !== length || length === 0) {
      const details = { row: i, expected: length, dimension: row.length }
      throw failed(embedder, 'A vector has another dimension than the embedder.', details)
    }
    const vector = Float32Array.from(row, toNumber)
    // Numbers too large for float32 have become infinite here.
    if (!vector.every(Number.isFinite)) {
      throw failed(embedder, 'A vector holds what is no finite number.', { row: i })
    }
    // It has no direction: nothing can be near it.
    if (!vector.some((value) => value !== 0)) {
      throw failed(embedder, 'A vector is zero.', { row: i })
    }
    return vector
  })
}

type VectorLike = readonly unknown[] | Float32Array

function isVectorLike(value: unknown): value is VectorLike {
  return Array.isArray(value) || value instanceof Float32Array
}

/** Only numbers count: `null` and `"1"` would be turned into some. */
function toNumber(value: unknown): number {
  return typeof value === 'number' ? value : NaN
}

export function failed(
  embedder: string,
  message: string,
  details: ErrorDetails = {},
): VectordError {
  return new VectordError('embedder_failed', message, { details: { embedder, ...details } })
}

interface Outage {
  /** A word for programs: `timeout`, `closed`, `status_500` … */
  readonly reason: string
  readonly message: string
  readonly retryAfterS?: number
  readonly cause?: unknown
}

/** Seconds after which another try is worth it where nobody said when. */
const RETRY_AFTER_S = 1

export function unavailable(embedder: string, outage: Outage): VectordError {
  const { reason, message, retryAfterS = RETRY_AFTER_S, cause } = outage
  const details = { embedder, reason }
  return new VectordError('embedder_unavailable', message, { details, retryAfterS, cause })
}
