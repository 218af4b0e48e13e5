/**
 * The order in which the shards of one core are loaded into it.
 *
 * A few at a time, so that one slow bucket does not hold up the rest. Suspects, whose loading ended
 * the core before, come last and alone: should it end again, it is clear through whom.
 */

/** Loads at the same time, of shards that are not suspects. */
export const LOADS_MAX = 4

/** What the queue needs of a shard. */
export interface Loadable {
  readonly isSuspect: boolean
  /** Never rejects. */
  load(): Promise<void>
}

export class LoadQueue {
  #waiting: Loadable[] = []
  /** With the load that is under way: one of before a `clear` is another. */
  readonly #loading = new Map<Loadable, Promise<void>>()

  add(shard: Loadable): void {
    if (this.#waiting.includes(shard) || this.#loading.has(shard)) return
    this.#waiting.push(shard)
    this.#next()
  }

  /** Nothing is loaded any more: the core died. */
  clear(): void {
    this.#waiting = []
    this.#loading.clear()
  }

  #next(): void {
    const shard = this.#pick()
    if (shard === undefined) return
    this.#waiting = this.#waiting.filter((other) => other !== shard)
    const load = shard.load().then(() => {
      if (this.#loading.get(shard) !== load) return
      this.#loading.delete(shard)
      this.#next()
    })
    this.#loading.set(shard, load)
    this.#next()
  }

  #pick(): Loadable | undefined {
    if ([...this.#loading.keys()].some((shard) => shard.isSuspect)) return undefined
    const innocent = this.#waiting.find((shard) => !shard.isSuspect)
    if (innocent !== undefined) return this.#loading.size < LOADS_MAX ? innocent : undefined
    return this.#loading.size === 0 ? this.#waiting[0] : undefined
  }
}
