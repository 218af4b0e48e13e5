/**
 * When indexes are checkpointed: at an interval where they were written to, and at once where their
 * log has grown by a bound. One index at a time, so that checkpoints never compete.
 */

import type { IndexInfo, ManagedIndex } from './index-api.ts'

const LOOK_MS = 1000
/** After a failed checkpoint the index is left alone this long. */
const FAILURE_PAUSE_MS = 30_000

export interface CheckpointScheduleOptions {
  readonly indexes: () => readonly ManagedIndex[]
  readonly intervalMs: number
  /** Growth of the log since the last checkpoint. */
  readonly logBytes: number
  readonly nowMs: () => number
  readonly onTrouble: (error: unknown, what: string) => void
}

interface Last {
  readonly atMs: number
  /** Bytes of the log right after it. */
  readonly logBytes: number
}

export class CheckpointSchedule {
  readonly #options: CheckpointScheduleOptions
  readonly #last = new Map<string, Last>()
  #timer: NodeJS.Timeout | null = null
  #round: Promise<void> | null = null

  constructor(options: CheckpointScheduleOptions) {
    this.#options = options
  }

  start(): void {
    this.#timer = setInterval(() => {
      this.#round ??= this.runDue().finally(() => {
        this.#round = null
      })
    }, LOOK_MS)
    this.#timer.unref()
  }

  /** Checkpoints every index that is due. Never rejects. */
  async runDue(): Promise<void> {
    for (const index of this.#options.indexes()) {
      const { info } = index
      if (info.state === 'ready' && info.role === 'owner' && this.#isDue(info))
        await this.#run(index)
    }
  }

  /** Starts no other checkpoint, and waits for the one that runs. */
  async close(): Promise<void> {
    if (this.#timer !== null) clearInterval(this.#timer)
    await this.#round
  }

  #isDue(info: IndexInfo): boolean {
    if (info.lsn === info.checkpointLsn) return false
    const { intervalMs, logBytes, nowMs } = this.#options
    const last = this.#last.get(info.name)
    if (last === undefined) {
      // Its age is not known: the interval starts when it is first seen.
      this.#last.set(info.name, { atMs: nowMs(), logBytes: 0 })
      return info.logBytes >= logBytes
    }
    // What the checkpoint made old is dropped after it: the log may have become shorter since.
    const shortest = Math.min(last.logBytes, info.logBytes)
    if (shortest < last.logBytes && last.logBytes !== Infinity) {
      this.#last.set(info.name, { ...last, logBytes: shortest })
    }
    return nowMs() - last.atMs >= intervalMs || info.logBytes - shortest >= logBytes
  }

  async #run(index: ManagedIndex): Promise<void> {
    const { nowMs, intervalMs, onTrouble } = this.#options
    const { name } = index.info
    try {
      await index.checkpoint()
      this.#last.set(name, { atMs: nowMs(), logBytes: index.info.logBytes })
    } catch (error) {
      const pauseMs = Math.min(intervalMs, FAILURE_PAUSE_MS)
      this.#last.set(name, { atMs: nowMs() - intervalMs + pauseMs, logBytes: Infinity })
      onTrouble(error, `checkpoint index "${name}"`)
    }
  }
}
