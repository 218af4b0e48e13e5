/**
 * Long work in short steps: between two of them the process answers others.
 */

import { setImmediate } from 'node:timers/promises'

/** Leaves room for one search within the 10 ms that a search may wait. */
const STEP_MS = 5

/** Runs `work` for each number from 0 to `count` (exclusive), giving way every few milliseconds. */
export async function inSteps(count: number, work: (n: number) => void): Promise<void> {
  let n = 0
  if (count === 0) return
  await whileTrue(() => {
    work(n)
    n += 1
    return n < count
  })
}

/** Runs `work` as long as it answers true, giving way every few milliseconds. */
export async function whileTrue(work: () => boolean): Promise<void> {
  let started = performance.now()
  while (work()) {
    if (performance.now() - started < STEP_MS) continue
    await setImmediate()
    started = performance.now()
  }
}
