/**
 * Decides when an index takes no more points because too many wait outside the graph.
 *
 *     waiting = delta as the cores last told it + rows sent since + rows admitted but not sent yet
 *
 * The delta is searched exactly, so its length is latency: past the bound writers get `delta_full`
 * with the time that the cores need, at their present rate, to bring it down to a half. One request
 * may overshoot the bound, never two.
 *
 * Pure: what the cores told comes in as an argument.
 */

import { VectordError } from '../lib/errors.ts'

export interface DeltaReport {
  readonly deltaPoints: number
  readonly appliedLsn: number
  /** Points a second that went into the graph lately; 0 where unknown. */
  readonly insertRate: number
}

/** Assumed where the cores have not inserted lately: a slow core at a large dimension. */
const INSERT_RATE_GUESS = 1000
const RETRY_AFTER_MAX_S = 60

export class DeltaGauge {
  readonly #pointsMax: number
  /** Rows that were sent to the cores, by lsn, oldest first. */
  readonly #sent: { readonly lsn: number; readonly rows: number }[] = []
  #sentRows = 0
  #admittedRows = 0

  constructor(pointsMax: number) {
    this.#pointsMax = pointsMax
  }

  /**
   * Reserves room for `rows`; the caller ends the reservation with `sent` or `abandoned`.
   *
   * @throws {VectordError} as `check`.
   */
  admit(rows: number, report: DeltaReport): void {
    this.check(report)
    this.#admittedRows += rows
  }

  /** @throws {VectordError} `delta_full` with `retryAfterS`. */
  check(report: DeltaReport): void {
    const waiting = this.waiting(report)
    if (waiting >= this.#pointsMax) {
      const rate = report.insertRate > 0 ? report.insertRate : INSERT_RATE_GUESS
      const seconds = (waiting - this.#pointsMax / 2) / rate
      throw new VectordError(
        'delta_full',
        `${waiting} points wait to enter the graph; the bound is ${this.#pointsMax}.`,
        {
          details: { waiting, bound: this.#pointsMax },
          retryAfterS: Math.min(RETRY_AFTER_MAX_S, Math.max(1, seconds)),
        },
      )
    }
  }

  hasRoom(report: DeltaReport): boolean {
    return this.waiting(report) < this.#pointsMax
  }

  sent(lsn: number, rows: number): void {
    this.#admittedRows -= rows
    this.#sentRows += rows
    this.#sent.push({ lsn, rows })
  }

  abandoned(rows: number): void {
    this.#admittedRows -= rows
  }

  waiting(report: DeltaReport): number {
    const seen = this.#sent.findIndex((entry) => entry.lsn > report.appliedLsn)
    const gone = this.#sent.splice(0, seen === -1 ? this.#sent.length : seen)
    for (const entry of gone) this.#sentRows -= entry.rows
    return report.deltaPoints + this.#sentRows + this.#admittedRows
  }
}
