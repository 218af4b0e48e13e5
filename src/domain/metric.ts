/**
 * How far apart two vectors are.
 *
 *     metric   distance (smaller is closer)   score (larger is closer)
 *     cosine   1 - cos(a, b)                  cos(a, b)
 *     ip       1 - a·b                        a·b
 *     l2       |a - b|²                       1 / (1 + |a - b|²)
 *
 * The distances are those of hnswlib, so that a graph and an exact scan agree.
 */

export const METRICS = ['cosine', 'l2', 'ip'] as const

export type Metric = (typeof METRICS)[number]

export function scoreOf(metric: Metric, distance: number): number {
  return metric === 'l2' ? 1 / (1 + distance) : 1 - distance
}
