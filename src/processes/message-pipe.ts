/**
 * Whole messages over a byte stream to a child or a parent: four bytes of length, then the value as
 * Node's structured clone writes it. Typed arrays travel as their bytes.
 *
 * Both ends are the same version of the same program, so nothing about the form is kept.
 */

import type { Socket } from 'node:net'
import { deserialize, serialize } from 'node:v8'

const LENGTH_BYTES = 4
/** More is a fault of the other end; the pipe is closed. */
const MESSAGE_BYTES_MAX = 256 * 1024 * 1024

export interface MessagePipeEvents {
  onMessage(message: unknown): void
  /** Called once: the other end is gone, or said something that is no message. */
  onClose(): void
}

export class MessagePipe {
  readonly #socket: Socket
  readonly #events: MessagePipeEvents
  #chunks: Buffer[] = []
  #bytes = 0

  constructor(socket: Socket, events: MessagePipeEvents) {
    this.#socket = socket
    this.#events = events
    socket.on('data', (chunk: Buffer) => this.#receive(chunk))
    socket.on('error', () => socket.destroy())
    socket.on('end', () => socket.destroy())
    socket.on('close', () => events.onClose())
  }

  /** Nothing happens where the other end is gone: `onClose` tells. */
  send(message: unknown): void {
    writeMessage(this.#socket, message)
  }

  #receive(chunk: Buffer): void {
    this.#chunks.push(chunk)
    this.#bytes += chunk.byteLength
    while (this.#bytes >= LENGTH_BYTES) {
      const needed = LENGTH_BYTES + this.#nextLength()
      if (needed > MESSAGE_BYTES_MAX) {
        this.#socket.destroy()
        return
      }
      if (this.#bytes < needed) return
      const joined = Buffer.concat(this.#chunks)
      this.#chunks = [joined.subarray(needed)]
      this.#bytes -= needed
      this.#deliver(joined.subarray(LENGTH_BYTES, needed))
    }
  }

  #nextLength(): number {
    const [first] = this.#chunks
    const head = first !== undefined && first.byteLength >= LENGTH_BYTES
    const bytes = head ? first : Buffer.concat(this.#chunks)
    if (!head) this.#chunks = [bytes]
    return bytes.readUInt32LE()
  }

  #deliver(body: Buffer): void {
    let message: unknown
    try {
      message = deserialize(body)
    } catch {
      this.#socket.destroy()
      return
    }
    this.#events.onMessage(message)
  }
}

/** Sends a message where nothing else is read or written by a pipe. As `MessagePipe.send`. */
export function writeMessage(socket: Socket, message: unknown): void {
  if (!socket.writable) return
  const body = serialize(message)
  const length = Buffer.alloc(LENGTH_BYTES)
  length.writeUInt32LE(body.byteLength)
  socket.cork()
  socket.write(length)
  socket.write(body)
  socket.uncork()
}
