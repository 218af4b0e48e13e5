/**
 * Reads the body of a frame that `FrameWriter` wrote, part by part in the same order.
 *
 * Reading past the end is a bug of the two codecs and throws; it never answers less than was
 * written.
 */

import { invariant } from '../lib/invariant.ts'

export class BodyReader {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  u8(): number {
    return this.#bytes.readUInt8(this.#claim(1))
  }

  u32(): number {
    return this.#bytes.readUInt32LE(this.#claim(4))
  }

  f64(): number {
    return this.#bytes.readDoubleLE(this.#claim(8))
  }

  text(): string {
    const length = this.u32()
    const at = this.#claim(length)
    return this.#bytes.toString('utf8', at, at + length)
  }

  /** A copy: components may lie anywhere in a frame, and a Float32Array needs them aligned. */
  vector(): Float32Array {
    const bytes = new Uint8Array(this.u32() * Float32Array.BYTES_PER_ELEMENT)
    const at = this.#claim(bytes.length)
    bytes.set(this.#bytes.subarray(at, at + bytes.length))
    return new Float32Array(bytes.buffer)
  }

  /** A view of what is left. */
  rest(): Buffer {
    return this.#bytes.subarray(this.#claim(this.#bytes.length - this.#at))
  }

  #claim(bytes: number): number {
    const at = this.#at
    invariant(at + bytes <= this.#bytes.length, 'a body holds what its codec wrote')
    this.#at = at + bytes
    return at
  }
}
