/**
 * How many points are logged and not applied on the cores yet, and how fast points drain.
 *
 *     waiting ──log──▶ logged ──cores──▶ applied: what drained
 *
 * The rate counts only time in which a whole batch waited: a stream that is not behind says nothing
 * of what it can do. Older time counts half after `HALF_LIFE_MS`.
 *
 * Pure: what the cores have applied and the time come in as arguments.
 */

const HALF_LIFE_MS = 5000
/** Assumed before anything was measured: a slow core at a large dimension. */
const RATE_GUESS = 1000
/** Time that must have been measured before the rate is believed. */
const MEASURED_MS_MIN = 20

const RETRY_AFTER_S_MAX = 60

export class DrainGauge {
  /** What was logged, oldest first. */
  readonly #logged: { readonly lsn: number; readonly points: number }[] = []
  #unapplied = 0
  #drained = 0
  #measuredMs = 0
  #lookedMs = 0
  /** True where a whole batch waited at the last look. */
  #isBehind = false

  logged(lsn: number, points: number): void {
    this.#unapplied += points
    this.#logged.push({ lsn, points })
  }

  /**
   * Takes note of what was applied since the last look.
   *
   * @returns points that are logged and not applied.
   */
  look(now: {
    readonly appliedLsn: number
    /** Points that wait for the log. */
    readonly queued: number
    readonly batchSize: number
    readonly nowMs: number
  }): number {
    const found = this.#logged.findIndex(({ lsn }) => lsn > now.appliedLsn)
    const gone = this.#logged.splice(0, found === -1 ? this.#logged.length : found)
    const applied = gone.reduce((sum, { points }) => sum + points, 0)
    this.#unapplied -= applied
    if (this.#isBehind) {
      const elapsedMs = Math.max(0, now.nowMs - this.#lookedMs)
      const kept = 0.5 ** (elapsedMs / HALF_LIFE_MS)
      this.#drained = this.#drained * kept + applied
      this.#measuredMs = this.#measuredMs * kept + elapsedMs
    }
    this.#lookedMs = now.nowMs
    this.#isBehind = now.queued + this.#unapplied >= now.batchSize
    return this.#unapplied
  }

  /** Points a second; null before it was measured. */
  get rate(): number | null {
    return this.#measuredMs < MEASURED_MS_MIN ? null : (1000 * this.#drained) / this.#measuredMs
  }

  /** Whole seconds, 1 to 60, until `points`, one or more, have drained at the present rate. */
  retryAfterS(points: number): number {
    const seconds = Math.ceil(points / (this.rate ?? RATE_GUESS))
    return Math.min(RETRY_AFTER_S_MAX, Math.max(1, seconds))
  }
}
