/**
 * How many things happened a second, over the last minute.
 *
 * Pure: the time comes in as an argument.
 */

const WINDOW_S = 60

export class RateWindow {
  /** Counts by second; old seconds are dropped as new ones come. */
  readonly #seconds = new Map<number, number>()

  add(count: number, nowMs: number): void {
    const second = Math.floor(nowMs / 1000)
    this.#drop(second)
    this.#seconds.set(second, (this.#seconds.get(second) ?? 0) + count)
  }

  perSecond(nowMs: number): number {
    this.#drop(Math.floor(nowMs / 1000))
    let sum = 0
    for (const count of this.#seconds.values()) sum += count
    return sum / WINDOW_S
  }

  #drop(second: number): void {
    for (const known of this.#seconds.keys()) {
      // The clock may have been set back.
      if (known <= second - WINDOW_S || known > second) this.#seconds.delete(known)
    }
  }
}
