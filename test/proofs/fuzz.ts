/**
 * The fuzz targets at any size (T11): `npm run proof:fuzz -- --execs 10000000 --seed 1`.
 *
 * Runs the test files that hold them, in rounds; `--execs` counts the runs of each target.
 */

import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { prove } from '../support/proof.ts'

const ROUND_EXECS = 20_000
const OUTPUT_BYTES_MAX = 64 * 2 ** 20

/** Every file that takes its runs from `test/support/fuzz.ts`. */
const FILES = [
  'test/codecs/arrow-body-refusals.test.ts',
  'test/codecs/batch-codec.test.ts',
  'test/config/load.test.ts',
  'test/http/fuzz.test.ts',
  'test/log/record.test.ts',
  'test/routes/points-arrow.test.ts',
]

const run = promisify(execFile)

await prove({
  unit: 'execs',
  count: 10_000_000,
  stepUnits: ROUND_EXECS,
  counts: () => ({ files: FILES.length }),
  step: async (seed, units) => {
    const env = {
      PATH: process.env['PATH'],
      VECTORD_TEST_FUZZ_RUNS: String(units),
      VECTORD_TEST_FUZZ_SEED: String(seed % 2 ** 31),
    }
    const args = ['--test', '--test-concurrency=1', '--test-reporter=tap', ...FILES]
    try {
      await run(process.execPath, args, { env, maxBuffer: OUTPUT_BYTES_MAX })
    } catch (error) {
      const { stdout = '' } = error as { stdout?: string }
      throw new Error(failuresIn(stdout), { cause: error })
    }
  },
})

/** The reports of the cases that failed, without those that passed. */
function failuresIn(tap: string): string {
  return tap
    .split(/^(?=\s*(?:not )?ok )/m)
    .filter((part) => /^\s*not ok /.test(part))
    .join('')
}
