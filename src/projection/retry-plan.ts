/**
 * What becomes of a batch of texts that the embedder failed.
 *
 *     1st, 2nd, 3rd failure ─▶ whole again after 1, 4, 16 s
 *     every later one       ─▶ its halves, at once ─▶ … ─▶ a text that fails alone has failed
 *
 * Waiting comes first, since most failures pass; halving would answer them with many calls. A half
 * inherits the failures of its batch, so it does not wait again.
 *
 * Pure.
 */

const BACKOFF_MS = [1000, 4000, 16_000] as const

const REST_MS_MIN = 1000
const REST_MS_MAX = 30_000

export type AfterFailure =
  | { readonly kind: 'wait'; readonly ms: number }
  | { readonly kind: 'halves' }
  | { readonly kind: 'failed' }

/** @param failures of the batch so far, this one included. */
export function afterFailure({ size, failures }: { size: number; failures: number }): AfterFailure {
  const ms = BACKOFF_MS[failures - 1]
  if (ms !== undefined) return { kind: 'wait', ms }
  return size > 1 ? { kind: 'halves' } : { kind: 'failed' }
}

/** Pause after the n-th failure in a row that is no fault of a text: 1, 2, 4 … 30 s. */
export function restMs(failures: number): number {
  return Math.min(REST_MS_MAX, REST_MS_MIN * 2 ** Math.max(0, failures - 1))
}

/**
 * Texts of the next call after `failures` calls in a row that the embedder did not answer: half as
 * many each time, so that one that is only too slow for a full batch gets on.
 */
export function sizeAfter(failures: number, size: number): number {
  return Math.max(1, Math.floor(size / 2 ** failures))
}
