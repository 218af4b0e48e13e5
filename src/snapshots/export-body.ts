/**
 * The file that an export process sends, as a stream for one client.
 *
 * It holds a few bytes and asks for more when they are taken. Destroying it ends the process at once;
 * what goes wrong there destroys it, so that it ends well only where the whole file came.
 */

import { Readable } from 'node:stream'
import { VectordError } from '../lib/errors.ts'
import type { Received } from './export-wire.ts'

/** Bytes of a file that the front holds for a client. */
const BUFFER_BYTES = 256 * 1024

export interface ExportBodyOptions {
  /** What came first. */
  readonly first: Received
  readonly rest: AsyncIterator<Received, undefined>
  /** Milliseconds after which a client that takes nothing is let go. */
  readonly stallMs: number
  /** Called once, when nobody wants more or nothing more comes. */
  readonly onEnd: () => void
}

export class ExportBody extends Readable {
  readonly #options: ExportBodyOptions
  #next: Promise<Received | undefined>
  #stall: NodeJS.Timeout | undefined

  constructor(options: ExportBodyOptions) {
    super({ highWaterMark: BUFFER_BYTES })
    this.#options = options
    this.#next = Promise.resolve(options.first)
  }

  override _read(): void {
    clearTimeout(this.#stall)
    void this.#pull()
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    clearTimeout(this.#stall)
    this.#options.onEnd()
    done(error)
  }

  async #pull(): Promise<void> {
    const { rest, stallMs } = this.#options
    try {
      const received = await this.#next
      if (received?.kind === 'data') {
        this.#next = rest.next().then(({ value }) => value)
        // Its failure is that of the next turn, if that comes.
        this.#next.catch(() => undefined)
        if (this.push(received.bytes)) return
      } else this.push(null)
      this.#stall = setTimeout(() => this.destroy(stalled(stallMs)), stallMs)
    } catch (error) {
      this.destroy(error instanceof Error ? error : new Error(String(error)))
    }
  }
}

function stalled(afterMs: number): VectordError {
  const message = `The client took nothing of its export for ${afterMs} ms.`
  return new VectordError('deadline_exceeded', message)
}
