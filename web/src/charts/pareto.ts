/** Which measured points no other beats, and which row of a trial is at an ef: pure. */

/** Columns of points: see `TrialPoints`. Those of a trial stand together, trials in their order. */
export interface Cloud {
  readonly trial: readonly number[]
  readonly ef: readonly number[]
  readonly recall: readonly number[]
  readonly cpu_us: readonly number[]
}

/** Rows of a cloud fit below it, and costs in tenths of a microsecond above. */
const ROWS_MAX = 2 ** 20

/**
 * Rows that have a higher recall than every cheaper one, cheapest first; at equal costs the best.
 *
 * Sorted as numbers that hold cost and row: with a function to compare, tens of thousands take long.
 */
export function paretoRows({ recall, cpu_us: cost }: Cloud): number[] {
  const keys = Float64Array.from(cost, (us, row) => Math.round(10 * us) * ROWS_MAX + row).sort()
  const front: number[] = []
  let best = -Infinity
  for (const key of keys) {
    const row = key % ROWS_MAX
    const value = recall[row] ?? 0
    if (value <= best) continue
    best = value
    const last = front.at(-1)
    if (last !== undefined && cost[last] === cost[row]) front.pop()
    front.push(row)
  }
  return front
}

/** The row of a trial that is measured at `ef`, else at the nearest ef; null where it has none. */
export function rowAtEf({ trial: of, ef: efs }: Cloud, trial: number, ef: number): number | null {
  let best: number | null = null
  for (let row = of.indexOf(trial); row >= 0 && of[row] === trial; row += 1) {
    const isNearer =
      best === null || Math.abs((efs[row] ?? 0) - ef) < Math.abs((efs[best] ?? 0) - ef)
    if (isNearer) best = row
  }
  return best
}
