/**
 * What each point was before: its upserts, the deletes that ended one, and what of it is still kept.
 *
 *     lsn        2   4   7   9         keep 2: the newest two events of an id are kept, and the
 *     a          u   u   x   u         version that a kept delete ended is not, where it is older
 *
 * Events beyond the newest `keep` are given up when the id is written or when less is to be kept; what
 * was given up does not come back. As of an lsn at or after the horizon nothing is missing.
 */

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
