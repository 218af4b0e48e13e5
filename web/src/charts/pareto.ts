/** Which measured points no other beats, and which of many is near a place: pure. */

/** Columns of points: see `TrialPoints`. */
export interface Cloud {
  readonly trial: readonly number[]
  readonly ef: readonly number[]
  readonly recall: readonly number[]
  readonly cpu_us: readonly number[]
}

/** Rows in the order of their cost. */
export function byCost({ cpu_us: cost }: Cloud): number[] {
  return Array.from(cost, (_, row) => row).sort((a, b) => (cost[a] ?? 0) - (cost[b] ?? 0))
}

/** Rows that have a higher recall than every cheaper one, cheapest first. */
export function paretoRows({ recall }: Cloud, order: readonly number[]): number[] {
  let best = -Infinity
  return order.filter((row) => {
    const value = recall[row] ?? 0
    if (value <= best) return false
    best = value
    return true
  })
}

/**
 * The row of a trial that is measured at `ef`, else at the nearest ef; null where it has no points.
 */
export function rowAtEf(cloud: Cloud, trial: number, ef: number | null): number | null {
  let best: number | null = null
  const distance = (row: number): number => Math.abs((cloud.ef[row] ?? 0) - (ef ?? 0))
  for (const [row, of] of cloud.trial.entries()) {
    if (of === trial && (best === null || distance(row) < distance(best))) best = row
  }
  return best
}
