/**
 * What readers have open: it is not dropped now, and is looked at again when they are done.
 *
 * A pin is of one version of one thing and lives in the memory of its process: what a reader of
 * another server uses may go under it, and that reader starts again on what is newer.
 */

import type { DropKind } from './drop-request.ts'

export interface Pin {
  readonly kind: DropKind
  readonly key: string
  readonly version: number
}

export interface HeldPin extends Pin {
  readonly readers: number
}

/** The cached graphs of an index are dropped and pinned as one thing. */
export const CACHE_VERSION = 0

interface Thing {
  readonly kind: DropKind
  readonly key: string
  /** How many readers each version has. */
  readonly readers: Map<number, number>
}

export class Pins {
  readonly #things = new Map<string, Thing>()
  #onRelease: (kind: DropKind, key: string) => void = () => undefined

  /** Called when the last reader of a version has let it go. One listener. */
  onRelease(listener: (kind: DropKind, key: string) => void): void {
    this.#onRelease = listener
  }

  /** @returns lets it go again; further calls do nothing. */
  pin({ kind, key, version }: Pin): () => void {
    const name = nameOf(kind, key)
    const thing = this.#things.get(name) ?? { kind, key, readers: new Map<number, number>() }
    this.#things.set(name, thing)
    thing.readers.set(version, (thing.readers.get(version) ?? 0) + 1)
    let isHeld = true
    return () => {
      if (!isHeld) return
      isHeld = false
      this.#letGo(thing, version)
    }
  }

  /** Pins a checkpoint of an index for whoever reads it, and the graphs that trials built of it. */
  pinReader(index: string, checkpointLsn: number): () => void {
    const checkpoint = this.pin({ kind: 'checkpoints', key: index, version: checkpointLsn })
    const graphs = this.pin({ kind: 'generations', key: index, version: CACHE_VERSION })
    return () => {
      checkpoint()
      graphs()
    }
  }

  /** The pinned versions of a thing, ascending. */
  of(kind: DropKind, key: string): readonly number[] {
    const thing = this.#things.get(nameOf(kind, key))
    return thing === undefined ? [] : [...thing.readers.keys()].sort((a, b) => a - b)
  }

  list(): HeldPin[] {
    return [...this.#things.values()].flatMap(({ kind, key, readers }) =>
      [...readers].map(([version, count]) => ({ kind, key, version, readers: count })),
    )
  }

  #letGo({ kind, key, readers }: Thing, version: number): void {
    const left = (readers.get(version) ?? 1) - 1
    if (left > 0) {
      readers.set(version, left)
      return
    }
    readers.delete(version)
    if (readers.size === 0) this.#things.delete(nameOf(kind, key))
    this.#onRelease(kind, key)
  }
}

function nameOf(kind: DropKind, key: string): string {
  return `${kind} ${key}`
}
