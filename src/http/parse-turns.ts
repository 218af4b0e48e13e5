/**
 * Lets large bodies be parsed one behind the other with the event loop between them, so that a
 * search waits for one of them and not for those of all writers.
 *
 *     bodies ─▶ waiting ─▶ turn: one, and more until TURN_MS have passed ─▶ sockets ─▶ next turn
 *
 * Bodies take their turns in the order in which they came.
 */

import { VectordError } from '../lib/errors.ts'
import { traced } from '../tracing/tracer.ts'

/** Small bodies share a turn up to this: one for each would cost more than parsing them. */
const TURN_MS = 2
/** Bytes of bodies that may wait: eight of the largest. */
const WAITING_BYTES_MAX = 256 * 1024 * 1024

export interface ParseTurnsOptions {
  readonly waitingBytesMax?: number
  /** Milliseconds of a clock that never runs backwards. */
  readonly nowMs?: () => number
}

interface Waiting {
  readonly bytes: number
  /** Parses the body and settles its promise; never throws. */
  run(): void
}

export class ParseTurns {
  readonly #waitingBytesMax: number
  readonly #nowMs: () => number
  #waiting: Waiting[] = []
  #waitingBytes = 0

  constructor(options: ParseTurnsOptions = {}) {
    this.#waitingBytesMax = options.waitingBytesMax ?? WAITING_BYTES_MAX
    this.#nowMs = options.nowMs ?? (() => performance.now())
  }

  /**
   * Runs `parse`, which reads a body of `bytes`, when its turn comes; rejects with what it throws.
   *
   * @throws {VectordError} `overloaded` where too much waits already; `parse` is then not run.
   */
  run<T>(bytes: number, parse: () => T): Promise<T> {
    return traced({ name: 'parse body', attributes: { 'vectord.bytes': bytes } }, () =>
      this.#run(bytes, parse),
    )
  }

  #run<T>(bytes: number, parse: () => T): Promise<T> {
    return new Promise<T>((resolve) => {
      if (this.#waiting.length > 0 && this.#waitingBytes + bytes > this.#waitingBytesMax) {
        throw this.#overloaded()
      }
      if (this.#waiting.length === 0) this.#schedule()
      this.#waitingBytes += bytes
      this.#waiting.push({
        bytes,
        run: () => resolve(settled(parse)),
      })
    })
  }

  #schedule(): void {
    setImmediate(() => {
      const startMs = this.#nowMs()
      let taken = 0
      do {
        const next = this.#waiting[taken]
        if (next === undefined) break
        this.#waitingBytes -= next.bytes
        next.run()
        taken += 1
      } while (this.#nowMs() - startMs < TURN_MS)
      this.#waiting = this.#waiting.slice(taken)
      if (this.#waiting.length > 0) this.#schedule()
    })
  }

  #overloaded(): VectordError {
    return new VectordError('overloaded', 'Too many bodies wait to be parsed.', {
      details: { waiting_bytes: this.#waitingBytes, bound: this.#waitingBytesMax },
      retryAfterS: 1,
    })
  }
}

/** What `parse` gives or throws, as a promise; it runs at once. */
async function settled<T>(parse: () => T): Promise<T> {
  return parse()
}
