/**
 * Which shards of a core have work that waits (points to move into their graph), taken in turn.
 *
 * A shard whose slice throws is left out for `PAUSE_MS`: it must not spin, and the others go on.
 */

const PAUSE_MS = 1000

export interface MaintenanceWork {
  /** @returns true where more work waits. */
  slice(shard: number, budgetMs: number): boolean
  onError(shard: number, error: unknown): void
}

export class MaintenanceRota {
  /** Whose turn it is comes first. */
  readonly #waiting = new Set<number>()
  readonly #pausedUntilMs = new Map<number, number>()

  get hasWork(): boolean {
    return this.#waiting.size > 0
  }

  /** Notes that `shard` may have work; one that is paused stays so. */
  add(shard: number): void {
    if (!this.#pausedUntilMs.has(shard)) this.#waiting.add(shard)
  }

  delete(shard: number): void {
    this.#waiting.delete(shard)
    this.#pausedUntilMs.delete(shard)
  }

  /** Takes paused shards back in whose time has passed. */
  forgive(nowMs: number): void {
    for (const [shard, untilMs] of this.#pausedUntilMs) {
      if (nowMs < untilMs) continue
      this.#pausedUntilMs.delete(shard)
      this.#waiting.add(shard)
    }
  }

  /** Works for about `budgetMs`: each shard at most once, the next turn starts with the next. */
  run(budgetMs: number, work: MaintenanceWork): void {
    const startMs = performance.now()
    for (const shard of [...this.#waiting]) {
      const leftMs = budgetMs - (performance.now() - startMs)
      if (leftMs <= 0) return
      this.#waiting.delete(shard)
      try {
        if (work.slice(shard, leftMs)) this.#waiting.add(shard)
      } catch (error) {
        this.#pausedUntilMs.set(shard, performance.now() + PAUSE_MS)
        work.onError(shard, error)
      }
    }
  }
}
