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

export const FAILURE_WINDOW_MS = 60_000
export const COOLDOWN_MS = 30_000

export interface WatchdogLimits {
  /** So many failures, or deaths, within the window degrade. */
  readonly failuresMax: number
  readonly windowMs: number
  readonly cooldownMs: number
}

export const WATCHDOG_LIMITS: WatchdogLimits = {
  failuresMax: 3,
  windowMs: FAILURE_WINDOW_MS,
  cooldownMs: COOLDOWN_MS,
}

export class CoreWatchdog {
  readonly #limits: WatchdogLimits
  #failuresMs: number[] = []
  #deathsMs: number[] = []
  #degradedSinceMs: number | null = null

  constructor(limits: WatchdogLimits = WATCHDOG_LIMITS) {
    this.#limits = limits
  }

  /** Milliseconds until requests are taken again; 0 where they are. */
  cooldownMs(nowMs: number): number {
    if (this.#degradedSinceMs === null) return 0
    const left = this.#degradedSinceMs + this.#limits.cooldownMs - nowMs
    if (left > 0) return left
    this.#degradedSinceMs = null
    return 0
  }

  /** A request failed for a reason that is not its caller's. @returns true where that degrades. */
  recordFailure(nowMs: number): boolean {
    if (this.cooldownMs(nowMs) > 0) return false
    this.#failuresMs = this.#remember(this.#failuresMs, nowMs)
    return this.#degradeAfter(this.#failuresMs, nowMs)
  }

  /** The process ended unasked. @returns true where that degrades the core. */
  recordDeath(nowMs: number): boolean {
    if (this.cooldownMs(nowMs) > 0) return false
    this.#deathsMs = this.#remember(this.#deathsMs, nowMs)
    return this.#degradeAfter(this.#deathsMs, nowMs)
  }

  #degradeAfter(timesMs: readonly number[], nowMs: number): boolean {
    if (timesMs.length < this.#limits.failuresMax) return false
    this.#degradedSinceMs = nowMs
    this.#failuresMs = []
    this.#deathsMs = []
    return true
  }

  /** At most `failuresMax` times are ever kept: that many degrade, and then none is. */
  #remember(timesMs: readonly number[], nowMs: number): number[] {
    return [...timesMs.filter((timeMs) => nowMs - timeMs < this.#limits.windowMs), nowMs]
  }
}
