/**
 * The mean recall with an interval that holds at every moment at once, for display.
 *
 * The empirical-Bernstein confidence sequence with predictable weights (Waudby-Smith and Ramdas,
 * 2024, theorem 2): whoever looks after every sample still sees the true mean outside with a
 * probability of at most 1 - confidence over all time. It is wider than an interval for one look.
 */

const WEIGHT_MAX = 0.75

export interface SequenceInterval {
  readonly mean: number
  readonly lower: number
  readonly upper: number
  readonly samples: number
}

export class RecallSequence {
  readonly #logTerm: number
  #samples = 0
  #sum = 0
  #squares: number
  #weights = 0
  #weightedSum = 0
  #spread = 0
  readonly #prior: number

  /**
   * @param confidence two-sided, in (0, 1).
   * @param prior mean that is expected, in (0, 1): only the width depends on it.
   */
  constructor(confidence: number, prior: number) {
    this.#logTerm = Math.log(2 / (1 - confidence))
    this.#prior = prior
    this.#squares = (prior * (1 - prior)) / 4
  }

  /** @param recall of one query, 0 to 1. */
  add(recall: number): void {
    const meanBefore = (this.#prior + this.#sum) / (this.#samples + 1)
    const varianceBefore = this.#squares / (this.#samples + 1)
    this.#samples += 1
    const count = this.#samples
    const best = (2 * this.#logTerm) / (varianceBefore * count * Math.log(1 + count))
    const weight = Math.min(WEIGHT_MAX, Math.sqrt(best))
    this.#weights += weight
    this.#weightedSum += weight * recall
    this.#spread += (recall - meanBefore) ** 2 * (-Math.log(1 - weight) - weight)
    this.#sum += recall
    this.#squares += (recall - (this.#prior + this.#sum) / (count + 1)) ** 2
  }

  /** Null before the first sample. */
  interval(): SequenceInterval | null {
    if (this.#samples === 0) return null
    const mean = this.#weightedSum / this.#weights
    const width = (this.#logTerm + this.#spread) / this.#weights
    return {
      mean: this.#sum / this.#samples,
      lower: Math.max(0, mean - width),
      upper: Math.min(1, mean + width),
      samples: this.#samples,
    }
  }
}
