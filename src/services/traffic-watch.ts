/**
 * Windows of real searches on one index: how many, how many failed, how slow the slowest were.
 *
 *     search ─▶ all
 *            ─▶ challenger | champion      while a rollout is on: told apart by the canary's own hash
 *
 * A ring of the latest times of a window bounds the memory; p99 is the nearest rank of those.
 */

import type { WindowStats } from '../autotune/traffic-window.ts'

/** Times that a window keeps, the latest. */
const TIMES_MAX = 2048

class Window {
  readonly #timesMs = new Float64Array(TIMES_MAX)
  #measured = 0
  requests = 0
  errors = 0

  add(tookMs: number, failed: boolean): void {
    this.requests += 1
    if (failed) {
      this.errors += 1
      return
    }
    this.#timesMs[this.#measured % TIMES_MAX] = tookMs
    this.#measured += 1
  }

  get stats(): WindowStats {
    const times = this.#timesMs.slice(0, Math.min(this.#measured, TIMES_MAX)).sort()
    const p99Ms = times[Math.ceil(times.length * 0.99) - 1] ?? null
    return { requests: this.requests, errors: this.errors, p99Ms }
  }
}

export interface TrafficSides {
  readonly challenger: WindowStats
  /** Null where the champion before answers nothing any more. */
  readonly champion: WindowStats | null
}

export class TrafficWatch {
  #all = new Window()
  #challenger = new Window()
  #champion = new Window()
  #isOfChallenger: ((requestId: string) => boolean) | null = null

  /** From now on, whose searches are whose. Null: nothing is on trial. Begins new windows. */
  split(isOfChallenger: ((requestId: string) => boolean) | null): void {
    this.#isOfChallenger = isOfChallenger
    this.takeSides()
  }

  saw(requestId: string, tookMs: number, failed: boolean): void {
    this.#all.add(tookMs, failed)
    if (this.#isOfChallenger === null) return
    const side = this.#isOfChallenger(requestId) ? this.#challenger : this.#champion
    side.add(tookMs, failed)
  }

  /** True where its window says something: enough requests, or enough failures to act on. */
  challengerShows(least: { readonly requests: number; readonly errors: number }): boolean {
    const { requests, errors } = this.#challenger
    return requests >= least.requests || errors >= least.errors
  }

  /** Ends the window of all searches and begins a new one. */
  takeAll(): WindowStats {
    const { stats } = this.#all
    this.#all = new Window()
    return stats
  }

  /** Ends the windows of both sides and begins new ones. */
  takeSides(): TrafficSides {
    const challenger = this.#challenger.stats
    const champion = this.#champion.stats
    this.#challenger = new Window()
    this.#champion = new Window()
    return { challenger, champion: champion.requests === 0 ? null : champion }
  }
}
