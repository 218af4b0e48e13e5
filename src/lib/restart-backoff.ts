/**
 * How long a core that died waits before it is started again: twice as long each time, and from the
 * start again once it has lived for `STABLE_MS`.
 *
 * Pure: time is an argument, in milliseconds of a clock that never runs backwards.
 */

export const STABLE_MS = 60_000

export class RestartBackoff {
  readonly #minMs: number
  readonly #maxMs: number
  #deaths = 0
  #upSinceMs: number | null = null

  constructor(minMs: number, maxMs: number) {
    this.#minMs = minMs
    this.#maxMs = maxMs
  }

  up(nowMs: number): void {
    this.#upSinceMs = nowMs
  }

  /** @returns the milliseconds to wait. */
  died(nowMs: number): number {
    if (this.#upSinceMs !== null && nowMs - this.#upSinceMs >= STABLE_MS) this.#deaths = 0
    this.#upSinceMs = null
    this.#deaths += 1
    return Math.min(this.#maxMs, this.#minMs * 2 ** (this.#deaths - 1))
  }
}
