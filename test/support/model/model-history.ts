/**
 * What each point was before: its upserts, the deletes that ended one, and what of it is still kept.
 *
 *     lsn        2   4   7   9         keep 2: the newest two events of an id are kept, and the
 *     a          u   u   x   u         version that a kept delete ended is not, where it is older
 *
 * Events beyond the newest `keep` are given up when the id is written or when less is to be kept. What
 * was given up does not come back, but for one case: where more was to be kept since, a start may read
 * it from the log again. As of an lsn at or after the horizon nothing is missing.
 */

import assert from 'node:assert/strict'
import type { ModelPoint } from './model-point.ts'

interface Event {
  readonly lsn: number
  /** Null for a delete. */
  readonly point: ModelPoint | null
  isKept: boolean
}

/** A version as it can be read. */
export interface ModelVersion {
  readonly version: number
  /** Null for a delete. */
  readonly point: ModelPoint | null
  /** The lsn of the next event of the id. */
  readonly endedAt: number | null
}

export class ModelHistory {
  /** The last end of a version that was given up. */
  horizonLsn = 0
  /** Whether a start may bring back what was given up. */
  mayRevive = false
  #keep: number
  /** Oldest first. */
  readonly #events = new Map<string, Event[]>()

  constructor(keep: number) {
    this.#keep = keep
  }

  get ids(): readonly string[] {
    return [...this.#events.keys()]
  }

  upserted(point: ModelPoint): void {
    this.#add(point.id, { lsn: point.version, point, isKept: true })
  }

  /** To be called only where the point was there. */
  deleted(lsn: number, id: string): void {
    this.#add(id, { lsn, point: null, isKept: true })
  }

  retain(keep: number): void {
    if (keep > this.#keep) this.mayRevive = true
    this.#keep = keep
    for (const events of this.#events.values()) this.#trim(events)
  }

  /** Newest first; a delete is told where the version that it ended is kept. */
  versions(id: string): readonly ModelVersion[] {
    const events = this.#events.get(id) ?? []
    return events
      .map(({ lsn, point, isKept }, i) => ({
        ...{ version: lsn, point, endedAt: events[i + 1]?.lsn ?? null },
        isTold: point === null ? events[i - 1]?.isKept === true : isKept,
      }))
      .filter(({ isTold }) => isTold)
      .map(({ version, point, endedAt }) => ({ version, point, endedAt }))
      .toReversed()
  }

  /**
   * Takes over which versions of an id are there: true ones, and all that should be.
   *
   * @param found their lsn, without deletes.
   * @throws {AssertionError} where one was never written, or one is missing.
   */
  revive(id: string, found: ReadonlySet<number>): void {
    const upserts = (this.#events.get(id) ?? []).filter(({ point }) => point !== null)
    const written = new Set(upserts.map(({ lsn }) => lsn))
    assert.deepEqual(
      [...found].filter((lsn) => !written.has(lsn)),
      [],
      `versions of ${id}`,
    )
    for (const event of upserts) {
      assert.ok(found.has(event.lsn) || !event.isKept, `version ${event.lsn} of ${id} is gone`)
      event.isKept = found.has(event.lsn)
    }
  }

  /** Takes over the horizon. @throws {AssertionError} where it says too much or too little. */
  reviveHorizon(lsn: number): void {
    let missing = 0
    for (const events of this.#events.values()) {
      for (const [i, { point, isKept }] of events.entries()) {
        if (point !== null && !isKept) missing = Math.max(missing, events[i + 1]?.lsn ?? 0)
      }
    }
    assert.ok(missing <= lsn && lsn <= this.horizonLsn, `${missing}, ${lsn}, ${this.horizonLsn}`)
    this.horizonLsn = lsn
  }

  /** The points that held right after the write of `lsn`, as far as they are kept. */
  asOf(lsn: number): readonly ModelPoint[] {
    return this.ids.flatMap((id) => {
      const found = this.versions(id).find(
        ({ version, endedAt }) => version <= lsn && (endedAt === null || lsn < endedAt),
      )
      return found?.point ?? []
    })
  }

  #add(id: string, event: Event): void {
    const events = this.#events.get(id) ?? []
    events.push(event)
    this.#events.set(id, events)
    this.#trim(events)
  }

  #trim(events: readonly Event[]): void {
    for (const [i, event] of events.entries()) {
      if (i >= events.length - this.#keep) return
      if (event.isKept && event.point !== null) {
        this.horizonLsn = Math.max(this.horizonLsn, events[i + 1]?.lsn ?? 0)
      }
      event.isKept = false
    }
  }
}
