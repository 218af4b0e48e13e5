/**
 * Time that a wall clock cannot spoil: it never goes back, and a jump forward counts for little.
 *
 *     elapsed += min(step, max(0, now - last)); last = now
 *
 * A limit of so many trials an hour must not become free because somebody set the clock, nor block
 * for a day because it was set back. Time in which nobody looked (a sleep, a restart) counts as one
 * step: limits err on the slow side. Who waits on it looks again at least once a step.
 *
 * Plain data, so that it survives a restart as JSON.
 */

export interface SteadyTime {
  readonly lastMs: number
  readonly elapsedMs: number
}

export function steadyFrom(nowMs: number): SteadyTime {
  return { lastMs: nowMs, elapsedMs: 0 }
}

export function advance(time: SteadyTime, nowMs: number, stepMaxMs: number): SteadyTime {
  const step = Math.min(stepMaxMs, Math.max(0, nowMs - time.lastMs))
  return { lastMs: nowMs, elapsedMs: time.elapsedMs + step }
}
