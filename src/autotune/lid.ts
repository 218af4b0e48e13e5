/**
 * Local intrinsic dimension: how fast the number of neighbours grows with the distance.
 *
 * The maximum likelihood estimate of Levina and Bickel, with the mean of inverses over queries
 * (MacKay and Ghahramani), from the distances that the truth of an eval set holds anyway.
 */

export interface LidOptions {
  /** True for squared Euclidean distances, as the metric `l2` gives them. */
  readonly squared: boolean
}

/** Below this many distances of a query its estimate is noise. */
const DISTANCES_MIN = 3

/**
 * `distances` holds the ascending k-NN distances of each query. Distances that are not above 0 (the
 * query itself, duplicates) and queries with too few others are left out; null where none is left.
 */
export function localIntrinsicDimension(
  distances: readonly (readonly number[])[],
  { squared }: LidOptions,
): number | null {
  const inverses = distances.flatMap((all) => {
    const kept = all.filter((distance) => Number.isFinite(distance) && distance > 0)
    const farthest = Math.max(...kept)
    if (kept.length < DISTANCES_MIN) return []
    const logs = kept.reduce((sum, distance) => sum + Math.log(farthest / distance), 0)
    return [logs / (kept.length - 1)]
  })
  const mean = inverses.reduce((sum, inverse) => sum + inverse, 0) / inverses.length
  // A log of squares is twice the log, so their dimension is half.
  return mean > 0 ? (squared ? 2 : 1) / mean : null
}
