/**
 * Long work in short steps: between two of them the core answers searches.
 */

import { setImmediate } from 'node:timers/promises'

/** Leaves room for one search within the 10 ms that a search may wait. */
const STEP_MS = 5

/** Runs `work` for each number from 0 to `count` (exclusive), giving way every few milliseconds. */
export async function inSteps(count: number, work: (n: number) => void): Promise<void> {
  let started = performance.now()
  for (let n = 0; n < count; n += 1) {
    work(n)
    if (performance.now() - started < STEP_MS) continue
    await setImmediate()
    started = performance.now()
  }
}
