/**
 * Requests that are refused because they failed or ended their core before.
 *
 *     unknown ──failed──▶ 1 strike ──failed──▶ 2 strikes: refused
 *     unknown ──was in flight when the core died──▶ 1 strike
 *     1 strike ──was running, announced, when the core died──▶ 2 strikes: refused
 *
 * A core that dies takes down what waits in it, and nothing tells which request it was: all of
 * them get a first strike. Should one be sent again, the core announces it before it runs it; only
 * the one that was announced and not answered gets the second, so a bystander is never refused.
 *
 * A request is known by its fingerprint. The newest `ENTRIES_MAX` are kept, for `MEMORY_MS` each:
 * what failed for a reason of its time is let in again.
 *
 * Pure: time is an argument, in milliseconds of a clock that never runs backwards.
 */

export const STRIKES_MAX = 2
export const ENTRIES_MAX = 1024
export const MEMORY_MS = 600_000

interface Entry {
  readonly strikes: number
  readonly sinceMs: number
}

export class Quarantine {
  /** Oldest first. */
  readonly #entries = new Map<string, Entry>()

  /** False where no fingerprint need be taken at all. */
  isWatching(nowMs: number): boolean {
    if (this.#entries.size === 0) return false
    this.#forgetOld(nowMs)
    return this.#entries.size > 0
  }

  /** 0: not known. `STRIKES_MAX`: to be refused. Else: to be announced. */
  strikes(fingerprint: string, nowMs: number): number {
    this.#forgetOld(nowMs)
    return this.#entries.get(fingerprint)?.strikes ?? 0
  }

  /** The request failed, or ended its core: that much is known. @returns its strikes now. */
  recordFailure(fingerprint: string, nowMs: number): number {
    return this.#set(fingerprint, this.strikes(fingerprint, nowMs) + 1, nowMs)
  }

  /** The request was in a core that died; perhaps because of another. */
  recordSuspicion(fingerprint: string, nowMs: number): void {
    this.#set(fingerprint, Math.max(1, this.strikes(fingerprint, nowMs)), nowMs)
  }

  #set(fingerprint: string, strikes: number, nowMs: number): number {
    const counted = Math.min(strikes, STRIKES_MAX)
    this.#entries.delete(fingerprint)
    this.#entries.set(fingerprint, { strikes: counted, sinceMs: nowMs })
    for (const oldest of this.#entries.keys()) {
      if (this.#entries.size <= ENTRIES_MAX) break
      this.#entries.delete(oldest)
    }
    return counted
  }

  #forgetOld(nowMs: number): void {
    for (const [fingerprint, entry] of this.#entries) {
      if (nowMs - entry.sinceMs < MEMORY_MS) return
      this.#entries.delete(fingerprint)
    }
  }
}
