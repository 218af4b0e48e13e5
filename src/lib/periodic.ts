/**
 * A job that runs now and then, never twice at a time; a failure is told and waits for the next round.
 */

export class Periodic {
  readonly #job: () => Promise<unknown>
  readonly #onTrouble: (error: unknown) => void
  #timer: NodeJS.Timeout | null = null
  #round: Promise<void> | null = null

  constructor(job: () => Promise<unknown>, onTrouble: (error: unknown) => void) {
    this.#job = job
    this.#onTrouble = onTrouble
  }

  /** Runs it now, and then every `everyMs` milliseconds. */
  start(everyMs: number): void {
    this.#runOnce()
    this.#timer = setInterval(() => {
      this.#runOnce()
    }, everyMs)
    this.#timer.unref()
  }

  /** Runs it now, unless it runs or was closed. */
  soon(): void {
    if (this.#timer !== null) this.#runOnce()
  }

  /** Starts it no more, and waits for the round under way. */
  async close(): Promise<void> {
    if (this.#timer !== null) clearInterval(this.#timer)
    this.#timer = null
    await this.#round
  }

  #runOnce(): void {
    this.#round ??= this.#run().finally(() => {
      this.#round = null
    })
  }

  async #run(): Promise<void> {
    try {
      await this.#job()
    } catch (error) {
      this.#onTrouble(error)
    }
  }
}
