/**
 * Kolmogorov and Smirnov's test: do two samples come from one distribution?
 *
 * It tells whether queries have drifted: the distances of the queries of now against those of the
 * time when the configuration was tuned. The p value is the asymptotic one with Stephens' (1970)
 * correction, good from some ten values a sample on; equal values are stepped over together, which
 * makes it say "same" rather too often than too seldom.
 */

import { invariant } from '../lib/invariant.ts'

export interface KsResult {
  /** Largest distance of the two distribution functions, 0 to 1. */
  readonly distance: number
  readonly p: number
}

/** Null where a sample is empty. */
export function ksTest(first: ArrayLike<number>, second: ArrayLike<number>): KsResult | null {
  if (first.length === 0 || second.length === 0) return null
  const a = Float64Array.from(first).sort()
  const b = Float64Array.from(second).sort()
  invariant(!Number.isNaN(a.at(-1)) && !Number.isNaN(b.at(-1)), 'samples hold numbers')
  const distance = largestGap(a, b)
  const size = Math.sqrt((a.length * b.length) / (a.length + b.length))
  return { distance, p: kolmogorovTail((size + 0.12 + 0.11 / size) * distance) }
}

function largestGap(a: Float64Array, b: Float64Array): number {
  let gap = 0
  let i = 0
  let j = 0
  while (i < a.length && j < b.length) {
    const value = Math.min(a[i] ?? Infinity, b[j] ?? Infinity)
    while (i < a.length && a[i] === value) i += 1
    while (j < b.length && b[j] === value) j += 1
    gap = Math.max(gap, Math.abs(i / a.length - j / b.length))
  }
  return gap
}

/** P(K > x) of Kolmogorov's distribution. */
export function kolmogorovTail(x: number): number {
  // Below it the alternating series needs many terms and the tail is 1 to ten digits.
  if (x < 0.18) return 1
  let tail = 0
  for (let term = 1; term <= 100; term += 1) {
    tail += (term % 2 === 1 ? 2 : -2) * Math.exp(-2 * term * term * x * x)
  }
  return Math.min(1, Math.max(0, tail))
}
