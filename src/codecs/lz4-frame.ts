/**
 * Inflates LZ4 frames: what pyarrow and pandas compress Feather files with, and Node has nothing for.
 *
 *     frame     magic 0x184d2204, flags, block size, [content bytes (8)], header checksum (1),
 *               blocks, end mark 0, [checksum (4)]
 *     block     bytes (uint32; the top bit says that it is stored plain), content, [checksum (4)]
 *     content   sequences: token, [more literal bytes], literals, offset (2), [more match bytes]
 *
 * Checksums are not compared: whoever stores the file has his own. Every length is checked.
 */

import { ArrowFault } from './arrow-schema.ts'

const MAGIC = 0x184d2204
const MATCH_BYTES_MIN = 4

/** @param length of the inflated bytes. @throws {ArrowFault} where the frame is not sound. */
export function inflateLz4Frame(bytes: Uint8Array, length: number): Uint8Array {
  try {
    return inflateFrame(bytes, length)
  } catch (error) {
    if (error instanceof RangeError) throw new ArrowFault('an LZ4 frame ends too early')
    throw error
  }
}

function inflateFrame(bytes: Uint8Array, length: number): Uint8Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (view.getUint32(0, true) !== MAGIC) throw new ArrowFault('a buffer is no LZ4 frame')
  const flags = view.getUint8(4)
  if (flags >> 6 !== 1) throw new ArrowFault('the version of an LZ4 frame is not known')
  const hasBlockChecksum = (flags & 0x10) !== 0
  const hasContentBytes = (flags & 0x08) !== 0
  const hasDictionary = (flags & 0x01) !== 0
  const out = new Uint8Array(length)
  let written = 0
  let at = 7 + (hasContentBytes ? 8 : 0) + (hasDictionary ? 4 : 0)
  for (;;) {
    const size = view.getUint32(at, true)
    at += 4
    if (size === 0) return out.subarray(0, written)
    const end = at + (size & 0x7fff_ffff)
    if (end > bytes.length) throw new ArrowFault('an LZ4 frame ends too early')
    const block = bytes.subarray(at, end)
    written = size >>> 31 === 1 ? store(block, out, written) : inflateBlock(block, out, written)
    at = end + (hasBlockChecksum ? 4 : 0)
  }
}

function store(block: Uint8Array, out: Uint8Array, written: number): number {
  if (written + block.length > out.length) throw outOfRange()
  out.set(block, written)
  return written + block.length
}

/** @returns how many bytes of `out` are written then. */
function inflateBlock(block: Uint8Array, out: Uint8Array, start: number): number {
  let at = 0
  let written = start
  while (at < block.length) {
    const token = block[at] ?? 0
    const [literals, literalsAt] = lengthOf(block, at + 1, token >> 4)
    const literalsEnd = literalsAt + literals
    if (literalsEnd > block.length || written + literals > out.length) throw outOfRange()
    out.set(block.subarray(literalsAt, literalsEnd), written)
    written += literals
    if (literalsEnd === block.length) return written // The last sequence has no match.
    if (literalsEnd + 2 > block.length) throw outOfRange()
    const offset = (block[literalsEnd] ?? 0) | ((block[literalsEnd + 1] ?? 0) << 8)
    const [more, end] = lengthOf(block, literalsEnd + 2, token & 15)
    const match = more + MATCH_BYTES_MIN
    copyMatch(out, { written, offset, match })
    written += match
    at = end
  }
  return written
}

/** A length of 15 goes on: bytes are added up until one is not 255. @returns it, and where it ends. */
function lengthOf(block: Uint8Array, start: number, length: number): [number, number] {
  if (length < 15) return [length, start]
  let at = start
  let sum = length
  for (;;) {
    const more = block[at]
    if (more === undefined) throw outOfRange()
    at += 1
    sum += more
    if (more !== 255) return [sum, at]
  }
}

/** Byte by byte where a match overlaps what it makes: that repeats it. */
function copyMatch(
  out: Uint8Array,
  {
    written,
    offset,
    match,
  }: { readonly written: number; readonly offset: number; readonly match: number },
): void {
  const from = written - offset
  if (offset === 0 || from < 0 || written + match > out.length) throw outOfRange()
  if (offset >= match) {
    out.copyWithin(written, from, from + match)
    return
  }
  for (let i = 0; i < match; i += 1) out[written + i] = out[from + i] ?? 0
}

function outOfRange(): ArrowFault {
  return new ArrowFault('a length of an LZ4 block is out of range')
}
