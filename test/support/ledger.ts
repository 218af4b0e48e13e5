/**
 * What a client of one index may expect: the model that kill tests compare the service with.
 *
 * Each point carries its version in the metadata and in its vector, so that a stale, lost or
 * invented point shows. A write without an answer may have happened or not: both are allowed until
 * a read settles it.
 */

/** A point's version; 0 means deleted or never written. */
export type Version = number

export class Ledger {
  /** Acknowledged state by id. */
  readonly #settled = new Map<string, Version>()
  /** Versions of writes that were sent after it and not answered. */
  readonly #open = new Map<string, Set<Version>>()

  get ids(): readonly string[] {
    return [...new Set([...this.#settled.keys(), ...this.#open.keys()])]
  }

  /** A write is on its way. */
  sent(id: string, version: Version): void {
    const open = this.#open.get(id) ?? new Set<Version>()
    open.add(version)
    this.#open.set(id, open)
  }

  /** It was acknowledged: every earlier state of the id is gone. One writer for each id. */
  acknowledged(id: string, version: Version): void {
    this.#settled.set(id, version)
    this.#open.delete(id)
  }

  /** It was refused without being logged. */
  refused(id: string, version: Version): void {
    this.#open.get(id)?.delete(version)
  }

  /** What a reader may see of `id`. */
  allowed(id: string): ReadonlySet<Version> {
    return new Set([this.#settled.get(id) ?? 0, ...(this.#open.get(id) ?? [])])
  }

  /** A read saw `version`: from now on only that may be seen. */
  settle(id: string, version: Version): void {
    this.#settled.set(id, version)
    this.#open.delete(id)
  }

  /** Ids that must be there, whatever became of unanswered writes. */
  get certain(): readonly string[] {
    return [...this.#settled]
      .filter(([id, version]) => version > 0 && (this.#open.get(id)?.size ?? 0) === 0)
      .map(([id]) => id)
  }
}
