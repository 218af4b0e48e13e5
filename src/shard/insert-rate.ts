/**
 * Points a second that went into a graph lately. Time comes in as an argument.
 */

/** What is "lately": long enough to even out slices, short enough to forget an old rate. */
const WINDOW_MS = 10_000

export class InsertRate {
  #windowStartMs = 0
  #points = 0
  #busyMs = 0
  #previous = 0

  /** `points` went in during `busyMs` that ended at `nowMs`. */
  add(points: number, busyMs: number, nowMs: number): void {
    this.#roll(nowMs)
    this.#points += points
    this.#busyMs += busyMs
  }

  /** 0 where nothing went in during the last two windows. */
  perSecond(nowMs: number): number {
    this.#roll(nowMs)
    return this.#busyMs > 0 ? this.#current() : this.#previous
  }

  #current(): number {
    return this.#busyMs > 0 ? Math.round((this.#points * 1000) / this.#busyMs) : 0
  }

  #roll(nowMs: number): void {
    const age = nowMs - this.#windowStartMs
    if (age < WINDOW_MS) return
    this.#previous = age < 2 * WINDOW_MS ? this.#current() : 0
    this.#windowStartMs = nowMs
    this.#points = 0
    this.#busyMs = 0
  }
}
