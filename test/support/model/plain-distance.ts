/**
 * Distances once more, as the table of metrics defines them: what searches are compared with.
 */

export type PlainMetric = 'cosine' | 'l2' | 'ip'

export function plainDistance(metric: PlainMetric, a: Float32Array, b: Float32Array): number {
  let product = 0
  let squares = 0
  let lengthA = 0
  let lengthB = 0
  for (const [i, x] of a.entries()) {
    const y = b[i] ?? 0
    product += x * y
    squares += (x - y) ** 2
    lengthA += x * x
    lengthB += y * y
  }
  if (metric === 'l2') return squares
  if (metric === 'ip') return 1 - product
  return Math.max(0, 1 - product / Math.sqrt(lengthA * lengthB))
}

/** Larger is closer. */
export function plainScore(metric: PlainMetric, distance: number): number {
  return metric === 'l2' ? 1 / (1 + distance) : 1 - distance
}

/** Whether two distances differ by no more than rounding can explain. */
export function isClose(a: number, b: number): boolean {
  return Math.abs(a - b) <= 1e-6 * Math.max(1, Math.abs(a), Math.abs(b))
}
