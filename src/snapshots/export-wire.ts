/**
 * What an export process sends over its channel: frames of a kind, a length and so many bytes.
 *
 *     0 data   bytes of the file, as they come
 *     1 done   the end of it, a JSON value
 *     2 failed an error, as JSON
 *
 * Without `done` what came is not whole, whatever else happened.
 */

import type { Socket } from 'node:net'
import { fromWireError, toWireError, type WireError } from '../dataplane/error-codec.ts'
import { VectordError } from '../lib/errors.ts'

const DATA = 0
const DONE = 1
const FAILED = 2
const HEAD_BYTES = 5

/** More than this at the end, or as an error, is a fault of the other end. */
const END_BYTES_MAX = 1024 * 1024

/** The sending end; each call resolves when there is room for more. */
export class ExportSender {
  readonly #socket: Socket

  constructor(socket: Socket) {
    this.#socket = socket
  }

  data(bytes: Uint8Array): Promise<void> {
    return this.#send(DATA, bytes)
  }

  done(result: unknown): Promise<void> {
    return this.#send(DONE, Buffer.from(JSON.stringify(result)))
  }

  failed(error: unknown): Promise<void> {
    return this.#send(FAILED, Buffer.from(JSON.stringify(toWireError(error, 'export'))))
  }

  async #send(kind: number, body: Uint8Array): Promise<void> {
    const head = Buffer.alloc(HEAD_BYTES)
    head.writeUInt8(kind)
    head.writeUInt32LE(body.byteLength, 1)
    this.#socket.write(head)
    if (this.#socket.write(body)) return
    await new Promise<void>((resolve) => this.#socket.once('drain', resolve))
  }
}

export type Received =
  | { readonly kind: 'data'; readonly bytes: Uint8Array }
  | { readonly kind: 'done'; readonly result: unknown }

/**
 * What the other end sends, until it is done. Reads no faster than it is asked.
 *
 * @throws {VectordError} what the other end failed with; `builder_failed` where it ended before.
 */
export async function* receiveExport(
  chunks: AsyncIterable<Buffer>,
): AsyncGenerator<Received, undefined> {
  const frames = new FrameCutter()
  for await (const chunk of chunksOf(chunks)) {
    for (const received of frames.cut(chunk)) {
      yield received
      if (received.kind === 'done') return
    }
  }
  throw broken('it ended')
}

/** A connection that breaks is one that ends. */
async function* chunksOf(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer, undefined> {
  try {
    yield* chunks
  } catch (error) {
    throw broken(error instanceof Error ? error.message : String(error))
  }
}

/** Cuts what comes in any pieces into frames; data is given on without being copied. */
class FrameCutter {
  #head: Buffer = Buffer.alloc(0)
  #kind = DATA
  /** Bytes that the frame still lacks; 0 where the next head comes. */
  #left = 0
  readonly #end: Buffer[] = []

  cut(chunk: Buffer): Received[] {
    const received: Received[] = []
    let rest = chunk
    while (rest.byteLength > 0) {
      const taken = rest.subarray(0, this.#left || HEAD_BYTES - this.#head.byteLength)
      rest = rest.subarray(taken.byteLength)
      if (this.#left === 0) this.#begin(taken)
      else received.push(...this.#take(taken))
    }
    return received
  }

  #begin(piece: Buffer): void {
    this.#head = Buffer.concat([this.#head, piece])
    if (this.#head.byteLength < HEAD_BYTES) return
    this.#kind = this.#head.readUInt8()
    this.#left = this.#head.readUInt32LE(1)
    this.#head = Buffer.alloc(0)
    if (this.#kind > FAILED || this.#left === 0) throw broken('it sent no message')
    if (this.#kind !== DATA && this.#left > END_BYTES_MAX) throw broken('it sent too much')
  }

  #take(piece: Buffer): Received[] {
    this.#left -= piece.byteLength
    if (this.#kind === DATA) return [{ kind: 'data', bytes: piece }]
    this.#end.push(piece)
    return this.#left > 0 ? [] : [{ kind: 'done', result: parseEnd(this.#kind, this.#end) }]
  }
}

/** @throws what the other end failed with. */
function parseEnd(kind: number, pieces: readonly Buffer[]): unknown {
  const value: unknown = JSON.parse(Buffer.concat(pieces).toString())
  if (kind === FAILED) throw fromWireError(value as WireError)
  return value
}

function broken(how: string): VectordError {
  const text = 'The export process ended before its work was done.'
  return new VectordError('builder_failed', text, { details: { how }, retryAfterS: 1 })
}
