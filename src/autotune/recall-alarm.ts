/**
 * Raises an alarm when the mean recall has fallen under the goal, however often one looks.
 *
 *     M = max(M, 1) · (1 + λ (goal - x))       alarm at M >= A
 *
 * An e-detector of the CUSUM kind (Shin, Ramdas and Rinaldo, 2022): while the mean recall, given the
 * past, is at least the goal, each factor has a mean of at most 1, and so the mean run to a false
 * alarm is at least A samples, whatever the distribution. λ is set from the past alone, near to what
 * makes M grow fastest: gap / (variance + gap²); up to 0.75 / (1 - goal), where no sample can take
 * more than three quarters of M.
 *
 * The samples since M was last 1 are those that the alarm rests on: the recall changed about then.
 */

/** λ is set for a gap of at least so much of the misses that the goal allows. */
const GAP_MIN_SHARE = 0.3
/** Weight of a new sample in the mean and the variance that λ is set from. */
const MEMORY = 0.01
const LAMBDA_MAX_FACTOR = 0.75
/** The variance is never taken for less than that of so many neighbours at the goal. */
const VARIANCE_NEIGHBOURS_MAX = 50
const VARIANCE_NEIGHBOURS_FIRST = 7

export class RecallAlarm {
  readonly #goal: number
  readonly #threshold: number
  #evidence = 1
  #run = 0
  #mean: number
  #variance: number
  #isRaised = false

  /**
   * @param goal in (0, 1).
   * @param threshold mean samples to a false alarm, at least.
   */
  constructor(goal: number, threshold: number) {
    this.#goal = goal
    this.#threshold = threshold
    this.#mean = goal
    this.#variance = (goal * (1 - goal)) / VARIANCE_NEIGHBOURS_FIRST
  }

  /** Until `restart`, or until so many good samples came that nothing speaks against the goal. */
  get isRaised(): boolean {
    return this.#isRaised
  }

  /** M: 1 says nothing against the goal. */
  get evidence(): number {
    return this.#evidence
  }

  /** Samples that the evidence rests on. */
  get run(): number {
    return this.#run
  }

  /** @param recall of one query, 0 to 1. */
  add(recall: number): void {
    if (this.#evidence <= 1) this.#run = 0
    this.#run += 1
    const factor = 1 + this.#lambda() * (this.#goal - recall)
    this.#evidence = Math.min(this.#threshold, Math.max(this.#evidence, 1) * factor)
    if (this.#evidence >= this.#threshold) this.#isRaised = true
    if (this.#evidence <= 1) this.#isRaised = false
    this.#learn(recall)
  }

  /** To be called when what is served has changed. What was learned of the spread stays. */
  restart(): void {
    this.#evidence = 1
    this.#run = 0
    this.#mean = this.#goal
    this.#isRaised = false
  }

  #lambda(): number {
    const gap = Math.max(this.#goal - this.#mean, GAP_MIN_SHARE * (1 - this.#goal))
    return Math.min(LAMBDA_MAX_FACTOR / (1 - this.#goal), gap / (this.#variance + gap * gap))
  }

  #learn(recall: number): void {
    const least = (this.#goal * (1 - this.#goal)) / VARIANCE_NEIGHBOURS_MAX
    const variance = (1 - MEMORY) * this.#variance + MEMORY * (recall - this.#mean) ** 2
    this.#variance = Math.max(least, variance)
    this.#mean = (1 - MEMORY) * this.#mean + MEMORY * recall
  }
}
