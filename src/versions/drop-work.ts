/**
 * One drop as its handler sees it: what may go, when the next deletion may be made, and whom to tell.
 *
 *     handler: versions that are there ─▶ work.doomed ─▶ for each: work.turn ─▶ delete ─▶ work.deleted
 */

import { VectordError } from '../lib/errors.ts'
import type { DropKind } from './drop-request.ts'
import { droppedBefore, droppedVersions, type DropRule } from './drop-rules.ts'

/** Drops the old versions of one kind of thing; made where it is known what those are. */
export interface DropHandler {
  /**
   * Deletes what `work` lets go of `work.key`, and what a crash left of earlier drops. Where there is
   * nothing of that key, or it is another server's, it does nothing.
   *
   * @throws what the bucket fails with: it is called again later.
   */
  drop(work: DropWork): Promise<void>
}

export interface DropWorkOptions {
  readonly kind: DropKind
  readonly key: string
  readonly rules: readonly DropRule[]
  /** What readers have open now. */
  readonly pinned: () => readonly number[]
  /** Resolves when the next deletion may be made. */
  readonly turn: () => Promise<void>
  readonly onDeleted: (bytes: number) => void
}

export class DropWork {
  readonly kind: DropKind
  readonly key: string
  readonly #options: DropWorkOptions
  #isHeld = false

  constructor(options: DropWorkOptions) {
    this.kind = options.kind
    this.key = options.key
    this.#options = options
  }

  /** True once something was spared because a reader has it open. */
  get isHeld(): boolean {
    return this.#isHeld
  }

  /** Those of the versions that are there which go, ascending. Ask right before deleting. */
  doomed(versions: readonly number[]): number[] {
    const { rules, pinned } = this.#options
    const old = new Set(rules.flatMap((rule) => droppedVersions(versions, rule)))
    const open = new Set(pinned())
    const doomed = [...old].filter((version) => !open.has(version))
    if (doomed.length < old.size) this.#isHeld = true
    return doomed.sort((a, b) => a - b)
  }

  /** Of things of which only the start can go: everything before this may. */
  before(): number {
    const { rules, pinned } = this.#options
    const wanted = Math.max(0, ...rules.map(droppedBefore))
    const [lowest = Infinity] = pinned()
    if (lowest < wanted) this.#isHeld = true
    return Math.min(wanted, lowest)
  }

  /** To be awaited before each deletion. @throws {VectordError} `shutting_down`. */
  turn(): Promise<void> {
    return this.#options.turn()
  }

  /** To be called after each deletion that was done. */
  deleted(bytes: number): void {
    this.#options.onDeleted(bytes)
  }
}

/** Paces deletions: so many in a slice, then a pause, for all drops together. */
export class Slices {
  readonly #deletes: number
  readonly #tickMs: number
  #left: number
  #pause: { readonly promise: Promise<null>; readonly end: () => void } | null = null
  #isClosed = false

  constructor({ deletes, tickMs }: { readonly deletes: number; readonly tickMs: number }) {
    this.#deletes = deletes
    this.#tickMs = tickMs
    this.#left = deletes
  }

  /** @throws {VectordError} `shutting_down`. */
  async turn(): Promise<void> {
    while (this.#left === 0 && !this.#isClosed) await this.#paused()
    if (this.#isClosed) throw new VectordError('shutting_down', 'Drops go on at the next start.')
    this.#left -= 1
  }

  close(): void {
    this.#isClosed = true
    this.#pause?.end()
  }

  #paused(): Promise<null> {
    if (this.#pause === null) {
      const { promise, resolve } = Promise.withResolvers<null>()
      const timer = setTimeout(() => {
        this.#left = this.#deletes
        this.#pause = null
        resolve(null)
      }, this.#tickMs)
      const end = (): void => {
        clearTimeout(timer)
        resolve(null)
      }
      this.#pause = { promise, end }
    }
    return this.#pause.promise
  }
}
