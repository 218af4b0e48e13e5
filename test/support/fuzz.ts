/**
 * How often a fuzz target runs, and from which seed: the one place where `npm test` and `proof:fuzz`
 * differ.
 *
 * `VECTORD_TEST_FUZZ_RUNS` sets the runs of every target, `VECTORD_TEST_FUZZ_SEED` their seed;
 * without them each target has its everyday size and fast-check prints the seed of a failure.
 */

interface FuzzParameters {
  readonly numRuns: number
  readonly seed?: number
}

/** What fast-check is to do; `everyday` runs unless the environment says otherwise. */
export function fuzzParameters(everyday: number): FuzzParameters {
  const runs = process.env['VECTORD_TEST_FUZZ_RUNS']
  const seed = process.env['VECTORD_TEST_FUZZ_SEED']
  return {
    numRuns: runs === undefined ? everyday : Number(runs),
    ...(seed !== undefined && { seed: Number(seed) }),
  }
}
