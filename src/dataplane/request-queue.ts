/**
 * The frames that wait in a core, and which of them may run next.
 *
 *     reads        search, fetch, …           in their order, before all changes that they may pass
 *     changes      apply, checkpoint, …       in their order; a core runs one at least in each turn
 *     background   reads that may take long   when nothing else waits, and one in each turn
 *
 * A read passes applies that were sent before it: a write is acknowledged when its apply has run (or
 * the front makes the read wait), so a read sees every write that was acknowledged before it was
 * sent, in whatever order the two run. It passes a checkpoint, a check and the gathering of words too,
 * which change nothing that a reader sees. It passes nothing else, and nothing else passes it: a shard that is closed
 * answers first what was sent before. The ids that a delete is to take (`matchingIds`) are read in
 * the order of the changes, so that the delete takes what is there when it is logged.
 */

import { FLAG_BACKGROUND, FRAME, type Frame, type FrameType } from './frame.ts'

/** Reads that pass what is in `PASSED`. */
const PASSING: ReadonlySet<FrameType> = new Set([
  FRAME.search,
  FRAME.fetch,
  FRAME.versions,
  FRAME.scroll,
  FRAME.count,
  FRAME.texts,
  FRAME.keywordStatistics,
])

/** What such reads pass, and what passes them. All that is in neither set keeps its place. */
const PASSED: ReadonlySet<FrameType> = new Set([
  FRAME.apply,
  FRAME.matchingIds,
  FRAME.checkpoint,
  FRAME.verify,
  FRAME.prepareKeywords,
])

/** From this many taken entries on, the memory of a queue is closed up. */
const COMPACT_AFTER = 1024

export function isRead(type: FrameType): boolean {
  return PASSING.has(type) || type === FRAME.matchingIds
}

interface Waiting {
  readonly frame: Frame
  /** Grows from frame to frame. */
  readonly place: number
}

export class RequestQueue {
  readonly #reads = new Fifo<Waiting>()
  readonly #changes = new Fifo<Waiting>()
  readonly #background = new Fifo<Waiting>()
  /** Places of the changes that keep theirs. */
  readonly #fixed = new Fifo<number>()
  #places = 0

  get length(): number {
    return this.#reads.length + this.#changes.length + this.#background.length
  }

  push(frame: Frame): void {
    this.#places += 1
    const waiting = { frame, place: this.#places }
    if (!PASSING.has(frame.type)) {
      this.#changes.push(waiting)
      if (!PASSED.has(frame.type)) this.#fixed.push(waiting.place)
    } else if ((frame.flags & FLAG_BACKGROUND) === 0) this.#reads.push(waiting)
    else this.#background.push(waiting)
  }

  /** The next interactive read; undefined where none may run yet. */
  shiftRead(): Frame | undefined {
    return this.#shiftUnfixed(this.#reads)
  }

  /** The next background read, although others may wait. */
  shiftBackground(): Frame | undefined {
    return this.#shiftUnfixed(this.#background)
  }

  /** The next change; undefined where none may run before the reads that wait. */
  shiftChange(): Frame | undefined {
    const next = this.#changes.first
    if (next === undefined) return undefined
    if (next.place === this.#fixed.first) {
      if ((this.#reads.first?.place ?? Infinity) < next.place) return undefined
      this.#fixed.shift()
    }
    return this.#changes.shift()?.frame
  }

  /** A background read where nothing else waits. */
  shiftIdle(): Frame | undefined {
    const idle = this.#reads.length === 0 && this.#changes.length === 0
    return idle ? this.#background.shift()?.frame : undefined
  }

  /** Removes the reads, which nobody waits for any more. */
  forgetReads(): void {
    this.#reads.clear()
    this.#background.clear()
    this.#changes.keep(({ frame }) => !isRead(frame.type))
  }

  #shiftUnfixed(reads: Fifo<Waiting>): Frame | undefined {
    const next = reads.first
    if (next === undefined || next.place > (this.#fixed.first ?? Infinity)) return undefined
    return reads.shift()?.frame
  }
}

class Fifo<Entry> {
  #entries: Entry[] = []
  #head = 0

  get length(): number {
    return this.#entries.length - this.#head
  }

  get first(): Entry | undefined {
    return this.#entries[this.#head]
  }

  push(entry: Entry): void {
    this.#entries.push(entry)
  }

  shift(): Entry | undefined {
    const entry = this.#entries[this.#head]
    if (entry === undefined) return undefined
    this.#head += 1
    if (this.#head === this.#entries.length) this.clear()
    else if (this.#head === COMPACT_AFTER) {
      this.#entries = this.#entries.slice(COMPACT_AFTER)
      this.#head = 0
    }
    return entry
  }

  keep(wanted: (entry: Entry) => boolean): void {
    this.#entries = this.#entries.slice(this.#head).filter(wanted)
    this.#head = 0
  }

  clear(): void {
    this.#entries = []
    this.#head = 0
  }
}
