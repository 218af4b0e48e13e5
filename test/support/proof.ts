/**
 * The form of every proof: many seeded steps, counted, bounded in time, each one replayable alone.
 *
 *     npm run proof:<name> -- --seed 1 --<size> 1000 --minutes 10
 *
 * The first step runs with the given seed and the next one with the seed after the units that it
 * did, so that a failure names the seed from which it comes back, and a proof that was stopped goes
 * on from the seed that it printed last. The last line is `N passed, N failed`.
 */

import { inspect, parseArgs } from 'node:util'

/** A proof that is broken at its root would print for hours. */
const FAILURES_MAX = 10
const REPORT_EVERY_MS = 10_000

export interface ProofSpec {
  /** What is counted, and the name of the flag: `kills`. */
  readonly unit: string
  readonly count: number
  /** Units that one step does; a step that stands for less is told so. */
  readonly stepUnits?: number
  readonly step: (seed: number, units: number) => Promise<void>
  /** What to print beside the units, such as how often something was refused. */
  readonly counts?: () => object
}

/** Runs a proof from the command line. Sets the exit code. */
export async function prove(spec: ProofSpec): Promise<void> {
  const { seed, count, endMs } = options(spec)
  const print = (line: string): boolean => process.stdout.write(`${line}\n`)
  print(`seed ${seed}, ${count} ${spec.unit}`)
  let passed = 0
  let failed = 0
  let reportedMs = Date.now()
  const isGoingOn = (): boolean =>
    passed + failed < count && failed < FAILURES_MAX && Date.now() < endMs
  while (isGoingOn()) {
    const at = seed + passed + failed
    const units = Math.min(spec.stepUnits ?? 1, count - passed - failed)
    try {
      await spec.step(at, units)
      passed += units
    } catch (error) {
      print(`FAILED, again with: --seed ${at} --${spec.unit} ${units}\n${inspect(error)}`)
      failed += 1
    }
    if (Date.now() - reportedMs < REPORT_EVERY_MS) continue
    reportedMs = Date.now()
    print(`${passed} passed; next seed ${seed + passed + failed}${countsOf(spec)}`)
  }
  if (passed + failed < count) {
    print(`stopped early; go on with: --seed ${seed + passed + failed}`)
  }
  print(`${spec.unit}${countsOf(spec)}`)
  if (failed > 0 || passed === 0) process.exitCode = 1
  print(`${passed} passed, ${failed} failed`)
}

function options(spec: ProofSpec): { seed: number; count: number; endMs: number } {
  const { values } = parseArgs({
    options: {
      seed: { type: 'string', default: String(Date.now() % 2 ** 31) },
      minutes: { type: 'string', default: 'Infinity' },
      [spec.unit]: { type: 'string', default: String(spec.count) },
    },
  })
  const count = Number(values[spec.unit])
  const endMs = Date.now() + Number(values.minutes) * 60_000
  const seed = Number(values.seed)
  if (!(count > 0) || !Number.isSafeInteger(seed) || Number.isNaN(endMs)) {
    throw new Error(`--seed, --minutes and --${spec.unit} are numbers`)
  }
  return { seed, count, endMs }
}

function countsOf({ counts }: ProofSpec): string {
  return counts === undefined ? '' : ` ${JSON.stringify(counts())}`
}
