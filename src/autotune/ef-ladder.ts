/**
 * The efs at which a sampled query is run: the served one and those around it.
 *
 *     0.5  0.71  1  1.41  2  2.83  times the served ef
 *
 * Steps of √2, so that the ladder of a neighbouring rung has nearly the same rungs: samples from
 * before a change go on counting after it.
 */

const STEPS = [-2, -1, 0, 1, 2, 3] as const

export interface EfBounds {
  /** At least the k of the queries. */
  readonly efMin: number
  readonly efMax: number
}

/** Ascending, without repetition; `ef` itself is always among them. */
export function ladderOf(ef: number, { efMin, efMax }: EfBounds): readonly number[] {
  const rungs = STEPS.map((step) => {
    const rung = Math.round(ef * 2 ** (step / 2))
    return step === 0 ? ef : Math.min(efMax, Math.max(efMin, rung))
  })
  return [...new Set(rungs)].sort((a, b) => a - b)
}
