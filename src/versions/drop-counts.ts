/**
 * What was deleted since the start of the process: objects and bytes, by kind and by key.
 */

import { ofEachKind, type DropKind } from './drop-request.ts'

export interface DropTotal {
  readonly objects: number
  readonly bytes: number
}

export type DropTotals = Readonly<Record<DropKind, DropTotal>>

const NOTHING: DropTotal = { objects: 0, bytes: 0 }

export class DropCounts {
  readonly #all = new Map<DropKind, DropTotal>()
  /** By key: as many as things that were ever dropped from, and not forgotten. */
  readonly #byKey = new Map<string, Map<DropKind, DropTotal>>()

  add(kind: DropKind, key: string, bytes: number): void {
    const ofKey = this.#byKey.get(key) ?? new Map<DropKind, DropTotal>()
    this.#byKey.set(key, ofKey)
    for (const totals of [this.#all, ofKey]) {
      const { objects, bytes: before } = totals.get(kind) ?? NOTHING
      totals.set(kind, { objects: objects + 1, bytes: before + bytes })
    }
  }

  get all(): DropTotals {
    return ofEachKind((kind) => this.#all.get(kind) ?? NOTHING)
  }

  of(key: string): DropTotals {
    const totals = this.#byKey.get(key)
    return ofEachKind((kind) => totals?.get(kind) ?? NOTHING)
  }

  /** The key is of nothing any more; the totals of all stay. */
  forget(key: string): void {
    this.#byKey.delete(key)
  }
}
