/**
 * Compressed buffers of Arrow record batches: each begins with its inflated length as an int64, which
 * is -1 where the buffer was left as it is.
 */

import { zstdDecompressSync } from 'node:zlib'
import { ArrowFault } from './arrow-schema.ts'
import { inflateLz4Frame } from './lz4-frame.ts'

const LZ4_FRAME = 0
const ZSTD = 1

/** Inflated bytes of one record batch: what is more is no table but a bomb. */
const INFLATED_BYTES_MAX = 2 ** 31 - 1

export class BufferInflater {
  readonly #codec: number
  #inflated = 0

  /** @throws {ArrowFault} where the codec is not known. */
  constructor(codec: number) {
    if (codec !== LZ4_FRAME && codec !== ZSTD) throw new ArrowFault('a compression is not known')
    this.#codec = codec
  }

  /** @throws {ArrowFault} where the bytes do not inflate to as many as they say. */
  inflate(bytes: Uint8Array): Uint8Array {
    if (bytes.length === 0) return bytes
    if (bytes.length < 8) throw new ArrowFault('a compressed buffer is too short')
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    const length = Number(view.getBigInt64(0, true))
    const content = bytes.subarray(8)
    // Plain, but no longer aligned: a copy of it is.
    if (length === -1) return content.slice()
    this.#inflated += length
    if (length < 0 || this.#inflated > INFLATED_BYTES_MAX) {
      throw new ArrowFault('a record batch inflates to more than 2 GiB')
    }
    const inflated =
      this.#codec === ZSTD ? inflateZstd(content, length) : inflateLz4Frame(content, length)
    if (inflated.length === length) return inflated
    throw new ArrowFault(`a buffer inflates to ${inflated.length} bytes instead of ${length}`)
  }
}

function inflateZstd(content: Uint8Array, length: number): Uint8Array {
  try {
    const { buffer, byteOffset, byteLength } = zstdDecompressSync(content, {
      maxOutputLength: Math.max(1, length),
    })
    return new Uint8Array(buffer, byteOffset, byteLength)
  } catch (cause) {
    throw new ArrowFault('a buffer does not inflate', { cause })
  }
}
