/**
 * The last samples of one stratum, each with its recall at every ef of its ladder: the curve of
 * recall against ef, as it is now.
 *
 *     ring   ef   41   58   82  116      every sample measured all its rungs on one snapshot, so
 *     #0         .9   1.0  1.0  1.0      rungs are compared pair by pair
 *     #1         .8    .9   .9  1.0
 *
 * The ladder moves with the served ef. A sample counts for an ef that lies between two of its rungs,
 * interpolated over log(ef); recall bends down there, so this errs on the low side. It never counts
 * beyond its rungs: nothing is extrapolated.
 *
 * Bounds are one-sided, 95 %, for the mean over queries (Student's t, with at least the spread that
 * recall at the goal would have): for decisions. What is shown to people is `recall-sequence.ts`.
 */

import { invariant } from '../lib/invariant.ts'

export const WINDOW_SAMPLES = 1000
const RUNGS_MAX = 8

const NORMAL_95 = 1.6448536269514722

export interface Rung {
  readonly ef: number
  /** Neighbours of the exact answer that were found at this ef. */
  readonly hits: number
}

/** Mean recall at an ef and its bounds. */
export interface EfEstimate {
  readonly ef: number
  readonly samples: number
  readonly recall: number
  readonly lcb: number
  readonly ucb: number
}

export interface WindowEntry {
  readonly expected: number
  /** Ascending in ef, 1 to `RUNGS_MAX`. */
  readonly rungs: readonly Rung[]
  readonly firstDistance: number
  readonly lastDistance: number
  readonly atMs: number
}

export class RecallWindow {
  readonly #goal: number
  readonly #efs = new Uint16Array(WINDOW_SAMPLES * RUNGS_MAX)
  readonly #recalls = new Float64Array(WINDOW_SAMPLES * RUNGS_MAX)
  readonly #rungCounts = new Uint8Array(WINDOW_SAMPLES)
  readonly #expected = new Uint32Array(WINDOW_SAMPLES)
  readonly #firstDistances = new Float64Array(WINDOW_SAMPLES)
  readonly #lastDistances = new Float64Array(WINDOW_SAMPLES)
  readonly #times = new Float64Array(WINDOW_SAMPLES)
  /** Samples ever taken in; the next one goes to this number modulo the size. */
  #seen = 0
  #kept = 0

  constructor(goal: number) {
    this.#goal = goal
  }

  get seen(): number {
    return this.#seen
  }

  get kept(): number {
    return this.#kept
  }

  /** Time of the newest sample; null without one. */
  get newestMs(): number | null {
    return this.#kept === 0 ? null : (this.#times[this.#slot(0)] ?? null)
  }

  add(entry: WindowEntry): void {
    invariant(
      entry.rungs.length >= 1 && entry.rungs.length <= RUNGS_MAX,
      `a sample has 1 to ${RUNGS_MAX} rungs`,
    )
    const slot = this.#seen % WINDOW_SAMPLES
    this.#rungCounts[slot] = entry.rungs.length
    this.#expected[slot] = entry.expected
    this.#firstDistances[slot] = entry.firstDistance
    this.#lastDistances[slot] = entry.lastDistance
    this.#times[slot] = entry.atMs
    entry.rungs.forEach(({ ef, hits }, rung) => {
      this.#efs[slot * RUNGS_MAX + rung] = ef
      this.#recalls[slot * RUNGS_MAX + rung] = hits / entry.expected
    })
    this.#seen += 1
    this.#kept = Math.min(WINDOW_SAMPLES, this.#kept + 1)
  }

  /** Forgets all but the newest `count` samples. */
  keepNewest(count: number): void {
    this.#kept = Math.min(this.#kept, Math.max(0, count))
  }

  /** Forgets samples from before `sinceMs`. */
  keepSince(sinceMs: number): void {
    while (this.#kept > 0 && (this.#times[this.#slot(this.#kept - 1)] ?? 0) < sinceMs) {
      this.#kept -= 1
    }
  }

  /** Recall of the newest sample at `ef`; null outside its rungs or without a sample. */
  newestRecall(ef: number): number | null {
    return this.#kept === 0 ? null : this.#recallAt(this.#slot(0), ef)
  }

  /** Over the newest `count` samples; null where none of them spans `ef`. */
  estimate(ef: number, count: number = WINDOW_SAMPLES): EfEstimate | null {
    let samples = 0
    let sum = 0
    let squares = 0
    let expected = 0
    for (let age = 0; age < Math.min(count, this.#kept); age += 1) {
      const slot = this.#slot(age)
      const recall = this.#recallAt(slot, ef)
      if (recall === null) continue
      samples += 1
      sum += recall
      squares += recall * recall
      expected += this.#expected[slot] ?? 0
    }
    if (samples === 0) return null
    const recall = sum / samples
    const spread = Math.max(
      squares / samples - recall * recall,
      this.#leastSpread(expected / samples),
    )
    const width = studentQuantile(samples) * Math.sqrt(spread / samples)
    return {
      ef,
      samples,
      recall,
      lcb: Math.max(0, recall - width),
      ucb: Math.min(1, recall + width),
    }
  }

  /** Distances of the first and of the last true neighbour, of the newest `count` samples. */
  distances(count: number): { readonly first: number[]; readonly last: number[] } {
    const ages = Array.from({ length: Math.min(count, this.#kept) }, (_, age) => this.#slot(age))
    return {
      first: ages.map((slot) => this.#firstDistances[slot] ?? 0),
      last: ages.map((slot) => this.#lastDistances[slot] ?? 0),
    }
  }

  #leastSpread(neighbours: number): number {
    return (this.#goal * (1 - this.#goal)) / Math.max(1, neighbours)
  }

  /** Of the sample that is `age` samples older than the newest. */
  #slot(age: number): number {
    return (this.#seen - 1 - age) % WINDOW_SAMPLES
  }

  #recallAt(slot: number, ef: number): number | null {
    const base = slot * RUNGS_MAX
    const end = base + (this.#rungCounts[slot] ?? 0)
    for (let i = base; i < end; i += 1) {
      const rung = this.#efs[i] ?? 0
      if (rung === ef) return this.#recalls[i] ?? null
      if (rung > ef) return i === base ? null : this.#between(i - 1, ef)
    }
    return null
  }

  /** Between the rungs at `i` and after it. */
  #between(i: number, ef: number): number {
    const low = this.#efs[i] ?? 1
    const high = this.#efs[i + 1] ?? low
    const share = Math.log(ef / low) / Math.log(high / low)
    const from = this.#recalls[i] ?? 0
    return from + share * ((this.#recalls[i + 1] ?? from) - from)
  }
}

/** The 95 % quantile of Student's t, by Cornish and Fisher's first term. */
function studentQuantile(samples: number): number {
  return NORMAL_95 + (NORMAL_95 ** 3 + NORMAL_95) / (4 * Math.max(1, samples - 1))
}
