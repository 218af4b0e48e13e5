/**
 * One end of the socket between front and core: frames in, frames out, one write a tick.
 *
 * `onClose` is called once, also where the stream was corrupt; nothing is sent or received then.
 */

import type { Socket } from 'node:net'
import { FrameParser, type Frame } from './frame.ts'
import { FrameWriter } from './frame-writer.ts'

export interface ChannelHandlers {
  onFrame(frame: Frame): void
  /** @param error why the stream ended, where the other end did not just close it. */
  onClose(error: Error | null): void
}

export class FrameChannel {
  readonly writer = new FrameWriter()
  readonly #socket: Socket
  #open = true
  #scheduled: NodeJS.Immediate | null = null

  constructor(socket: Socket, handlers: ChannelHandlers) {
    this.#socket = socket
    const parser = new FrameParser()
    let failure: Error | null = null
    socket.on('error', (error) => {
      failure ??= error
    })
    socket.on('data', (chunk: Buffer) => {
      try {
        parser.push(chunk, (frame) => {
          if (this.#open) handlers.onFrame(frame)
        })
      } catch (error) {
        failure ??= error instanceof Error ? error : new Error(String(error))
        this.destroy()
      }
    })
    socket.on('close', () => {
      this.#open = false
      handlers.onClose(failure)
    })
  }

  get isOpen(): boolean {
    return this.#open
  }

  /** Bytes that the other end has not read yet. */
  get waitingBytes(): number {
    return this.#socket.writableLength
  }

  /** Sends what was written when this tick ends. */
  flushSoon(): void {
    this.#scheduled ??= setImmediate(() => {
      this.#scheduled = null
      this.flush()
    })
  }

  /** Sends what was written now. */
  flush(): void {
    const chunks = this.writer.take()
    if (chunks.length === 0) return
    if (this.#open) this.#write(chunks)
    this.writer.recycle(this.#socket.writableLength === 0)
  }

  /** Ends the connection at once; `onClose` follows. */
  destroy(): void {
    this.#open = false
    this.#socket.destroy()
  }

  #write(chunks: readonly Uint8Array[]): void {
    if (chunks.length > 1) this.#socket.cork()
    for (const chunk of chunks) this.#socket.write(chunk)
    if (chunks.length > 1) this.#socket.uncork()
  }
}
