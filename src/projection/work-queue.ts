/**
 * The texts of one index that are known to wait: a lane for new points, one for backfill, and
 * batches that failed and are to be tried again.
 *
 *     add ─▶ lane ─▶ take ─▶ batch ─┬─▶ settle            embedded, stale or failed for good
 *              ▲                    ├─▶ giveBack          no fault of the texts: to the front again
 *              ╰────────────────────╯─▶ retry ─▶ later, whole or in halves (retry-plan.ts)
 *
 * Only what the index said is in here, never the truth: a text that is forgotten is found again by
 * reading the index. Each version of a point is held once, however often it is found.
 *
 * Pure: the time comes in as an argument.
 */

import { invariant } from '../lib/invariant.ts'
import type { WorkKind } from './next-batch.ts'
import { afterFailure } from './retry-plan.ts'

export interface WorkItem {
  readonly id: string
  readonly version: number
  readonly textHash: string
  readonly kind: WorkKind
  /** When it was first seen. */
  readonly sinceMs: number
}

export interface Batch {
  readonly kind: WorkKind
  readonly items: readonly WorkItem[]
  /** How often it, or the batch it is a part of, has failed. */
  readonly failures: number
}

interface Retry extends Batch {
  readonly dueMs: number
}

/** So many failed batches wait at most; then nothing new is taken until one is due. */
const RETRIES_MAX = 8

export class WorkQueue {
  readonly #lanes: Record<WorkKind, WorkItem[]> = { write: [], backfill: [] }
  #retries: Retry[] = []
  /** Versions by id of everything that waits or is worked on. */
  readonly #held = new Map<string, number>()
  /** Texts that were taken and are not settled. */
  readonly #taken: Record<WorkKind, number> = { write: 0, backfill: 0 }

  /** False where this version is held already. */
  add(item: WorkItem): boolean {
    if (this.#held.get(item.id) === item.version) return false
    this.#held.set(item.id, item.version)
    this.#lanes[item.kind].push(item)
    return true
  }

  /** What `take` would find now. */
  waiting(kind: WorkKind, nowMs: number): number {
    const due = this.#retries.filter((retry) => retry.kind === kind && retry.dueMs <= nowMs)
    const retrying = due.reduce((sum, { items }) => sum + items.length, 0)
    return retrying + (this.#isHeldUp ? 0 : this.#lanes[kind].length)
  }

  /** Everything of a kind, also what is not due or worked on. */
  size(kind: WorkKind): number {
    return this.#retries.reduce(
      (sum, retry) => sum + (retry.kind === kind ? retry.items.length : 0),
      this.#lanes[kind].length + this.#taken[kind],
    )
  }

  get isEmpty(): boolean {
    return this.size('write') + this.size('backfill') === 0
  }

  /** When the oldest was first seen that waits; null where none does. */
  sinceMs(kind: WorkKind): number | null {
    // The front of a lane is its oldest: what is given back goes there.
    const firsts = [
      this.#lanes[kind][0],
      ...this.#retries.flatMap(({ items }) => items.slice(0, 1)),
    ]
    const times = firsts.flatMap((item) => (item?.kind === kind ? [item.sinceMs] : []))
    return times.length === 0 ? null : Math.min(...times)
  }

  /** The oldest texts of a kind, one at least; null where none may be taken now. */
  take(kind: WorkKind, sizeMax: number, nowMs: number): Batch | null {
    const batch = this.#takeRetry(kind, sizeMax, nowMs) ?? this.#takeNew(kind, sizeMax)
    if (batch !== null) this.#taken[kind] += batch.items.length
    return batch
  }

  /** Texts of a batch need no more work. */
  settle(items: readonly WorkItem[]): void {
    for (const { id, version, kind } of items) {
      this.#untake(kind, 1)
      // A newer version of the point may have come in meanwhile.
      if (this.#held.get(id) === version) this.#held.delete(id)
    }
  }

  /** Texts of a batch wait again, in front of all others. */
  giveBack({ kind, items, failures }: Batch, nowMs: number): void {
    if (items.length === 0) return
    this.#untake(kind, items.length)
    if (failures > 0) this.#retries.unshift({ kind, items, failures, dueMs: nowMs })
    else this.#lanes[kind].unshift(...items)
  }

  /** A batch has failed. @returns the text that has failed for good; null where all wait again. */
  retry({ kind, items, failures: before }: Batch, nowMs: number): WorkItem | null {
    const failures = before + 1
    const after = afterFailure({ size: items.length, failures })
    const [first] = items
    if (first === undefined) return null
    if (after.kind === 'failed') {
      this.settle([first])
      return first
    }
    this.#untake(kind, items.length)
    const half = items.length >> 1
    const parts = after.kind === 'wait' ? [items] : [items.slice(0, half), items.slice(half)]
    const dueMs = after.kind === 'wait' ? nowMs + after.ms : nowMs
    this.#retries.unshift(...parts.map((part) => ({ kind, items: part, failures, dueMs })))
    return null
  }

  /** Forgets all that waits; what is taken is settled by who took it. */
  clear(): void {
    this.#lanes.write = []
    this.#lanes.backfill = []
    this.#retries = []
    this.#held.clear()
  }

  get #isHeldUp(): boolean {
    return this.#retries.length >= RETRIES_MAX
  }

  #takeRetry(kind: WorkKind, sizeMax: number, nowMs: number): Batch | null {
    const place = this.#retries.findIndex((retry) => retry.kind === kind && retry.dueMs <= nowMs)
    const retry = this.#retries[place]
    if (retry === undefined) return null
    const items = retry.items.slice(0, sizeMax)
    const rest = retry.items.slice(sizeMax)
    this.#retries.splice(place, 1, ...(rest.length > 0 ? [{ ...retry, items: rest }] : []))
    return { kind, items, failures: retry.failures }
  }

  #takeNew(kind: WorkKind, sizeMax: number): Batch | null {
    const lane = this.#lanes[kind]
    if (lane.length === 0 || this.#isHeldUp) return null
    return { kind, items: lane.splice(0, sizeMax), failures: 0 }
  }

  #untake(kind: WorkKind, count: number): void {
    this.#taken[kind] -= count
    invariant(this.#taken[kind] >= 0, 'only what was taken is settled or given back')
  }
}
