/**
 * The order in which the shards of one core are loaded into it.
 *
 * A few at a time, so that one slow bucket does not hold up the rest. Suspects, whose loading ended
 * the core before, come last and alone: should it end again, it is clear through whom.
 */

import type { ShardLife } from './shard-life.ts'

const LOADS_MAX = 4

export class LoadQueue {
  #waiting: ShardLife[] = []
  /** With the load that is under way: one of before a `clear` is another. */
  readonly #loading = new Map<ShardLife, Promise<void>>()

  add(life: ShardLife): void {
    if (this.#waiting.includes(life) || this.#loading.has(life)) return
    this.#waiting.push(life)
    this.#next()
  }

  /** Nothing is loaded any more: the core died. */
  clear(): void {
    this.#waiting = []
    this.#loading.clear()
  }

  #next(): void {
    const life = this.#pick()
    if (life === undefined) return
    this.#waiting = this.#waiting.filter((other) => other !== life)
    const load = life.load().then(() => {
      if (this.#loading.get(life) !== load) return
      this.#loading.delete(life)
      this.#next()
    })
    this.#loading.set(life, load)
    this.#next()
  }

  #pick(): ShardLife | undefined {
    if ([...this.#loading.keys()].some((life) => life.isSuspect)) return undefined
    const innocent = this.#waiting.find((life) => !life.isSuspect)
    if (innocent !== undefined) return this.#loading.size < LOADS_MAX ? innocent : undefined
    return this.#loading.size === 0 ? this.#waiting[0] : undefined
  }
}
