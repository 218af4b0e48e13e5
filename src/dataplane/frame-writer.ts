/**
 * Writes frames one after the other into one piece of memory, so that all frames of a tick leave
 * in one write and none needs a buffer of its own.
 *
 *     begin(header)  u32(…) text(…) …  end()      a frame; `rollback()` instead of `end()` undoes it
 *     take()                                      every ended frame, in order, as chunks
 *     recycle()                                   the chunks have left: their memory may be reused
 */

import { VectordError } from '../lib/errors.ts'
import { invariant } from '../lib/invariant.ts'
import { FRAME_BYTES_MAX, FRAME_HEADER_BYTES, type FrameHeader } from './frame.ts'

/** Memory kept between ticks; what a tick needs beyond that is given back. */
const SLAB_BYTES = 128 * 1024

/** Bytes from which a payload goes out as a chunk of its own: copying it would cost more. */
const CHUNK_BYTES = 64 * 1024

/** UTF-8 needs at most three bytes for a UTF-16 unit. */
const UTF8_PER_UNIT = 3

export class FrameWriter {
  readonly #bytesMax: number
  #slab: Buffer = Buffer.allocUnsafeSlow(SLAB_BYTES)
  #end = 0
  /** What of the slab is in `#chunks` already. */
  #taken = 0
  #chunks: Uint8Array[] = []
  #frame = -1
  /** Bytes of the open frame that lie in `#chunks`, not in the slab. */
  #apart = 0
  #apartChunk: Uint8Array | null = null
  #pendingBytes = 0

  constructor(bytesMax: number = FRAME_BYTES_MAX) {
    this.#bytesMax = bytesMax
  }

  /** Bytes of ended frames that `take` would hand out. */
  get pendingBytes(): number {
    return this.#pendingBytes
  }

  begin(header: FrameHeader): void {
    invariant(this.#frame === -1, 'one frame is written at a time')
    const at = this.#room(FRAME_HEADER_BYTES)
    this.#frame = at
    const slab = this.#slab
    slab.writeUInt32LE(header.id, at + 4)
    slab[at + 8] = header.type
    slab[at + 9] = header.flags
    slab.writeUInt16LE(header.shard, at + 10)
    slab.writeDoubleLE(header.deadlineMs, at + 12)
  }

  /** @throws {VectordError} `limit_exceeded` where the frame is too long; it is rolled back. */
  end(): void {
    const start = this.#frame
    invariant(start !== -1, 'a frame was begun')
    const length = this.#end - start + this.#apart
    if (length > this.#bytesMax) {
      this.rollback()
      throw new VectordError('limit_exceeded', 'The message is too long; ask for less at once.', {
        details: { bytes: length, bytes_max: this.#bytesMax },
      })
    }
    this.#slab.writeUInt32LE(length, start)
    this.#frame = -1
    this.#pendingBytes += length
    if (this.#apartChunk !== null) {
      this.#chunks.push(this.#slab.subarray(this.#taken, this.#end), this.#apartChunk)
      this.#taken = this.#end
      this.#apartChunk = null
      this.#apart = 0
    }
  }

  /** Forgets the frame that was begun, if one was. */
  rollback(): void {
    if (this.#frame === -1) return
    this.#end = this.#frame
    this.#frame = -1
    this.#apartChunk = null
    this.#apart = 0
  }

  /** The body written since `begin`: a view that is valid until the next call. */
  body(): Buffer {
    return this.#slab.subarray(this.#frame + FRAME_HEADER_BYTES, this.#end)
  }

  u8(value: number): void {
    const at = this.#room(1)
    this.#slab[at] = value
  }

  u32(value: number): void {
    const at = this.#room(4)
    this.#slab.writeUInt32LE(value, at)
  }

  f64(value: number): void {
    const at = this.#room(8)
    this.#slab.writeDoubleLE(value, at)
  }

  /** UTF-8 after its length in bytes. */
  text(value: string): void {
    const at = this.#room(4 + value.length * UTF8_PER_UNIT)
    const written = this.#slab.write(value, at + 4, 'utf8')
    this.#slab.writeUInt32LE(written, at)
    this.#end = at + 4 + written
  }

  /** Components as they lie in memory, after their count. */
  vector(value: Float32Array): void {
    const bytes = value.byteLength
    const at = this.#room(4 + bytes)
    this.#slab.writeUInt32LE(value.length, at)
    this.#slab.set(new Uint8Array(value.buffer, value.byteOffset, bytes), at + 4)
  }

  /** The last part of a body, without a length. Long ones are not copied: leave them unchanged. */
  rest(value: Uint8Array): void {
    if (value.byteLength >= CHUNK_BYTES) {
      this.#apartChunk = value
      this.#apart = value.byteLength
      return
    }
    const at = this.#room(value.byteLength)
    this.#slab.set(value, at)
  }

  /** Every ended frame that was not taken yet. */
  take(): readonly Uint8Array[] {
    invariant(this.#frame === -1, 'frames are taken between frames')
    const chunks = this.#chunks
    if (this.#end > this.#taken) chunks.push(this.#slab.subarray(this.#taken, this.#end))
    this.#chunks = []
    this.#taken = this.#end
    this.#pendingBytes = 0
    return chunks
  }

  /**
   * Starts again at the head of the slab, or of a new one where `gone` is false: then somebody
   * still reads the chunks that were taken.
   */
  recycle(gone: boolean): void {
    invariant(this.#frame === -1 && this.#pendingBytes === 0, 'all frames were taken')
    if (!gone || this.#slab.length > SLAB_BYTES) this.#slab = Buffer.allocUnsafeSlow(SLAB_BYTES)
    this.#end = 0
    this.#taken = 0
  }

  /** Claims the next bytes of the slab and answers where they start. */
  #room(bytes: number): number {
    const at = this.#end
    if (at + bytes > this.#slab.length) return this.#grow(bytes)
    this.#end = at + bytes
    return at
  }

  /** Moves to a larger slab; what was taken from the old one stays readable. */
  #grow(bytes: number): number {
    const kept = this.#end - this.#taken
    const slab = Buffer.allocUnsafeSlow(Math.max(2 * this.#slab.length, 2 * (kept + bytes)))
    this.#slab.copy(slab, 0, this.#taken, this.#end)
    if (this.#frame !== -1) this.#frame -= this.#taken
    this.#slab = slab
    this.#taken = 0
    this.#end = kept + bytes
    return kept
  }
}
