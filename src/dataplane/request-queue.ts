/**
 * The frames that wait in a core, in the order in which they are to run.
 *
 * Interactive requests run before background ones. All that changes a shard or depends on its
 * order (`apply`, `checkpoint`, `close`, …) is interactive, whatever its flags say, and keeps its
 * place among interactive reads. So a read sees every write that was sent before it.
 */

import { FLAG_BACKGROUND, FRAME, type Frame, type FrameType } from './frame.ts'

const READS: ReadonlySet<FrameType> = new Set([
  FRAME.search,
  FRAME.fetch,
  FRAME.scroll,
  FRAME.matchingIds,
  FRAME.count,
])

/** From this many taken frames on, the memory of a queue is closed up. */
const COMPACT_AFTER = 1024

export function isRead(type: FrameType): boolean {
  return READS.has(type)
}

export class RequestQueue {
  readonly #interactive = new Fifo()
  readonly #background = new Fifo()
  /** Waiting frames that are not reads: a background read must not overtake them. */
  #changes = 0

  get length(): number {
    return this.#interactive.length + this.#background.length
  }

  push(frame: Frame): void {
    const read = isRead(frame.type)
    if (!read) this.#changes += 1
    if (read && (frame.flags & FLAG_BACKGROUND) !== 0) this.#background.push(frame)
    else this.#interactive.push(frame)
  }

  shift(): Frame | undefined {
    const frame = this.#interactive.shift() ?? this.#background.shift()
    if (frame !== undefined && !isRead(frame.type)) this.#changes -= 1
    return frame
  }

  /** A background request whose turn it may be although others wait: once a turn, none starves. */
  shiftBackground(): Frame | undefined {
    return this.#changes === 0 ? this.#background.shift() : undefined
  }

  /** Removes the reads, which nobody waits for any more. */
  forgetReads(): void {
    this.#background.keep(() => false)
    this.#interactive.keep((frame) => !isRead(frame.type))
  }
}

class Fifo {
  #frames: Frame[] = []
  #head = 0

  get length(): number {
    return this.#frames.length - this.#head
  }

  push(frame: Frame): void {
    this.#frames.push(frame)
  }

  shift(): Frame | undefined {
    const frame = this.#frames[this.#head]
    if (frame === undefined) return undefined
    this.#head += 1
    if (this.#head === this.#frames.length) this.#reset([])
    else if (this.#head === COMPACT_AFTER) this.#reset(this.#frames.slice(COMPACT_AFTER))
    return frame
  }

  keep(wanted: (frame: Frame) => boolean): void {
    this.#reset(this.#frames.slice(this.#head).filter(wanted))
  }

  #reset(frames: Frame[]): void {
    this.#frames = frames
    this.#head = 0
  }
}
