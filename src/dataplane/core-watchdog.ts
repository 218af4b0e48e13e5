/**
 * Decides when a core stops taking requests because it keeps failing.
 *
 *     healthy ──(3 failures, or 3 deaths, within 60 s)──▶ degraded ──(30 s pass)──▶ healthy
 *
 * The window slides, and successes do not shorten it: a poison request among good ones must trip
 * it too. Whoever comes back from degraded has nothing remembered.
 *
 * Pure: time is an argument, in milliseconds of a clock that never runs backwards.
 */

const FAILURES_MAX = 3
export const FAILURE_WINDOW_MS = 60_000
export const COOLDOWN_MS = 30_000

export class CoreWatchdog {
  #failuresMs: number[] = []
  #deathsMs: number[] = []
  #degradedSinceMs: number | null = null

  /** Milliseconds until requests are taken again; 0 where they are. */
  cooldownMs(nowMs: number): number {
    if (this.#degradedSinceMs === null) return 0
    const left = this.#degradedSinceMs + COOLDOWN_MS - nowMs
    if (left > 0) return left
    this.#degradedSinceMs = null
    return 0
  }

  /** A request failed for a reason that is not its caller's. @returns true where that degrades. */
  recordFailure(nowMs: number): boolean {
    if (this.cooldownMs(nowMs) > 0) return false
    this.#failuresMs = remember(this.#failuresMs, nowMs)
    return this.#degradeAfter(this.#failuresMs, nowMs)
  }

  /** The process ended unasked. @returns true where that degrades the core. */
  recordDeath(nowMs: number): boolean {
    if (this.cooldownMs(nowMs) > 0) return false
    this.#deathsMs = remember(this.#deathsMs, nowMs)
    return this.#degradeAfter(this.#deathsMs, nowMs)
  }

  #degradeAfter(timesMs: readonly number[], nowMs: number): boolean {
    if (timesMs.length < FAILURES_MAX) return false
    this.#degradedSinceMs = nowMs
    this.#failuresMs = []
    this.#deathsMs = []
    return true
  }
}

/** At most `FAILURES_MAX` times are ever kept: that many degrade, and then none is. */
function remember(timesMs: readonly number[], nowMs: number): number[] {
  return [...timesMs.filter((timeMs) => nowMs - timeMs < FAILURE_WINDOW_MS), nowMs]
}
