/**
 * The plainest model of versions: every write of every id, and what of it is still kept.
 *
 * Events of an id are its upserts and the deletes that ended one. The newest `keep` are kept when the
 * id is written and when less is to be kept; what was given up never comes back.
 */

import { CLIENT_TAG } from '../../src/domain/pending-text.ts'
import type { ModelPoint, ModelVector } from './harness.ts'

export interface ModelEvent {
  readonly lsn: number
  /** Null for a delete. */
  point: ModelPoint | null
  /** Of what made its vector. */
  tag: string
  isGone: boolean
}

export interface ModelVersion {
  readonly lsn: number
  readonly endedAt: number | null
  readonly point: ModelPoint | null
}

export class VersionsModel {
  /** Oldest first. */
  readonly #events = new Map<string, ModelEvent[]>()
  keep: number
  horizonLsn = 0

  constructor(keep: number) {
    this.keep = keep
  }

  clone(): VersionsModel {
    const copy = new VersionsModel(this.keep)
    copy.horizonLsn = this.horizonLsn
    for (const [id, events] of this.#events) {
      const copies = events.map((event) => ({ ...event }))
      copy.#events.set(id, copies)
    }
    return copy
  }

  upsert(lsn: number, points: readonly ModelPoint[]): void {
    for (const point of points) {
      this.#of(point.id).push({ lsn, point, tag: CLIENT_TAG, isGone: false })
      this.#giveUp(point.id)
    }
  }

  /** Each vector is that of the version whose text it was made from, while that is the newest. */
  project(vectors: readonly ModelVector[], tag: string): void {
    for (const { id, version, text, vector } of vectors) {
      const event = this.#of(id).at(-1)
      if (event?.lsn !== version || event.point?.text !== text) continue
      const isClients = event.point.vector !== null && event.tag === CLIENT_TAG
      if (isClients || event.tag === tag) continue
      event.point = { ...event.point, vector }
      event.tag = tag
    }
  }

  /** Live texts: with a vector of another embedder than `tag`, or without one. */
  pending(tag: string): { readonly writes: number; readonly backfill: number } {
    const live = this.ids.flatMap((id) => this.#of(id).at(-1) ?? [])
    const missing = live.filter(({ point }) => point?.vector === null)
    const others = live.filter((one) => ![CLIENT_TAG, tag].includes(one.tag))
    return { writes: missing.length, backfill: others.length }
  }

  delete(lsn: number, ids: readonly string[]): void {
    for (const id of ids) {
      if ((this.#of(id).at(-1)?.point ?? null) === null) continue
      this.#of(id).push({ lsn, point: null, tag: CLIENT_TAG, isGone: false })
      this.#giveUp(id)
    }
  }

  retain(keep: number): void {
    this.keep = keep
    for (const id of this.#events.keys()) this.#giveUp(id)
  }

  get ids(): readonly string[] {
    return [...this.#events.keys()]
  }

  /** What can be read of an id, newest first: a delete only with the version that it ended. */
  versions(id: string): ModelVersion[] {
    const events = this.#of(id)
    const told: ModelVersion[] = []
    for (const [i, { lsn, point, isGone }] of events.entries()) {
      const isTold = point === null ? events[i - 1]?.isGone === false : !isGone
      if (isTold) told.unshift({ lsn, point, endedAt: events[i + 1]?.lsn ?? null })
    }
    return told
  }

  visibleAt(lsn: number): ModelPoint[] {
    return this.ids.flatMap((id) => {
      const found = this.versions(id).find(
        (version) => version.lsn <= lsn && lsn < (version.endedAt ?? Infinity),
      )
      return found?.point ?? []
    })
  }

  /** As if nothing had ever been given up. */
  trulyAt(lsn: number): ModelPoint[] {
    return this.ids.flatMap((id) => {
      const event = this.#of(id).findLast((one) => one.lsn <= lsn)
      return event?.point ?? []
    })
  }

  get keptVersions(): number {
    return this.ids.reduce((sum, id) => {
      return sum + this.versions(id).filter((one) => one.point && one.endedAt !== null).length
    }, 0)
  }

  #giveUp(id: string): void {
    const events = this.#of(id)
    for (const [i, event] of events.slice(0, -this.keep).entries()) {
      if (event.isGone) continue
      event.isGone = true
      if (event.point === null) continue
      this.horizonLsn = Math.max(this.horizonLsn, events[i + 1]?.lsn ?? 0)
    }
  }

  #of(id: string): ModelEvent[] {
    let events = this.#events.get(id)
    if (events === undefined) {
      events = []
      this.#events.set(id, events)
    }
    return events
  }
}
