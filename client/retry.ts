/**
 * Whether a call that failed is tried again, and when. Pure: randomness comes in.
 */

import { VectordApiError, VectordConnectionError } from './errors.ts'

export interface RetryRules {
  /** How often a call is tried again, at the most. */
  readonly retriesMax: number
  /** A service that asks for more patience than this gets its error told at once. */
  readonly retryAfterMaxMs: number
}

const BACKOFF_FIRST_MS = 200
const BACKOFF_MAX_MS = 10_000
/** So that clients which were refused together do not come back together. */
const RETRY_AFTER_JITTER = 0.25

/** Of answers that may be others in a moment; 507 is not one: a disk is not emptied by waiting. */
const STATUSES = [429, 502, 503, 504]

/**
 * Milliseconds until the next try; null where there is none.
 *
 * @param tries so far, from 1. @param random from 0 to 1.
 */
export function retryDelayMs(
  error: unknown,
  tries: number,
  random: number,
  rules: RetryRules,
): number | null {
  if (tries > rules.retriesMax || !isPassing(error)) return null
  const askedMs = error instanceof VectordApiError ? (error.retryAfterS ?? 0) * 1000 : 0
  if (askedMs > rules.retryAfterMaxMs) return null
  if (askedMs > 0) return askedMs * (1 + RETRY_AFTER_JITTER * random)
  return Math.min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2 ** (tries - 1)) * (0.5 + random / 2)
}

function isPassing(error: unknown): boolean {
  if (error instanceof VectordConnectionError) return true
  if (!(error instanceof VectordApiError)) return false
  return STATUSES.includes(error.status) || (error.status === 500 && error.retryable)
}

/** Seconds that a `Retry-After` asks for, as a number or as a date; null where it says nothing. */
export function retryAfterSeconds(header: string | null, nowMs: number): number | null {
  if (header === null) return null
  if (/^\d{1,9}$/.test(header.trim())) return Number(header)
  const atMs = Date.parse(header)
  return Number.isNaN(atMs) ? null : Math.max(0, (atMs - nowMs) / 1000)
}
