/**
 * Log records on their way to a core while a shard loads: as many as keep the core busy, and no
 * more than memory should hold.
 */

const RECORDS_MAX = 256
const BYTES_MAX = 16 * 1024 * 1024

export class ReplayWindow {
  #records = 0
  #bytes = 0
  #error: Error | null = null
  #wake: (() => void) | null = null

  /** Adds a record; `applied` settles when the core has taken it. */
  add(applied: Promise<void>, bytes: number): void {
    this.#records += 1
    this.#bytes += bytes
    const done = (): void => {
      this.#records -= 1
      this.#bytes -= bytes
      this.#wake?.()
    }
    applied.then(done, (error: unknown) => {
      this.#error ??= error instanceof Error ? error : new Error(String(error))
      done()
    })
  }

  /** Waits for room for one more. @throws the first error of a record. */
  async room(): Promise<void> {
    await this.#until(() => this.#records < RECORDS_MAX && this.#bytes < BYTES_MAX)
  }

  /** Waits for all. @throws the first error of a record. */
  async drained(): Promise<void> {
    await this.#until(() => this.#records === 0)
  }

  async #until(reached: () => boolean): Promise<void> {
    while (this.#error === null && !reached()) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
      this.#wake = null
    }
    if (this.#error !== null) throw this.#error
  }
}
