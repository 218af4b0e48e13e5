/**
 * Arrow streams with compressed bodies, which apache-arrow reads no more than it writes them.
 *
 * The header of each record batch is written anew behind the old one, with a field for the codec:
 *
 *     0 vtable · 16 RecordBatch · 40 vtable · 48 BodyCompression · 60 nodes · buffers
 */

import { zstdCompressSync } from 'node:zlib'
import { FlatTable } from '../../src/codecs/flat-table.ts'

export type ArrowCodec = 'lz4' | 'zstd' | 'stored'

/** @param stream a schema and record batches, no dictionaries. */
export function compressed(stream: Uint8Array, codec: ArrowCodec): Buffer {
  const out: Buffer[] = []
  for (let at = 0; at < stream.length;) {
    const view = new DataView(stream.buffer, stream.byteOffset + at)
    const headerBytes = view.getInt32(4, true)
    if (headerBytes === 0) break
    const header = stream.subarray(at + 8, at + 8 + headerBytes)
    const root = FlatTable.root(new DataView(header.buffer, header.byteOffset, headerBytes))
    const bodyAt = at + 8 + headerBytes
    const body = stream.subarray(bodyAt, bodyAt + root.count(3))
    const isBatch = root.uint8(1) === 3
    out.push(isBatch ? batch(header, root, body, codec) : message(header, body))
    at = bodyAt + body.length
  }
  return Buffer.concat([...out, Buffer.from([255, 255, 255, 255, 0, 0, 0, 0])])
}

function message(header: Uint8Array, body: Uint8Array): Buffer {
  const prefix = Buffer.alloc(8)
  prefix.writeUInt32LE(0xffffffff)
  prefix.writeInt32LE(header.length, 4)
  return Buffer.concat([prefix, header, body])
}

function batch(old: Uint8Array, root: FlatTable, body: Uint8Array, codec: ArrowCodec): Buffer {
  const record = root.table(2)
  if (record === null) throw new Error('no record batch')
  const buffers = record.vector(2, 16)
  const nodes = record.vector(1, 16)
  const parts: Buffer[] = []
  const places: { at: number; bytes: number }[] = []
  let written = 0
  for (let i = 0; i < buffers.length; i += 1) {
    const start = Number(record.view.getBigInt64(buffers.at + 16 * i, true))
    const bytes = Number(record.view.getBigInt64(buffers.at + 16 * i + 8, true))
    const content = deflate(body.subarray(start, start + bytes), codec)
    places.push({ at: written, bytes: content.length })
    const padding = Buffer.alloc((8 - (content.length % 8)) % 8)
    parts.push(content, padding)
    written += content.length + padding.length
  }
  const base = Math.ceil(old.length / 8) * 8
  const buffersAt = base + 64 + 16 * nodes.length + 8
  const header = Buffer.alloc(buffersAt + 16 * buffers.length)
  header.set(old)
  const table = base + 16
  for (const [at, value] of [12, 24, 8, 4, 16, 20].entries())
    header.writeUInt16LE(value, base + 2 * at)
  header.writeInt32LE(16, table)
  header.writeUInt32LE(base + 60 - (table + 4), table + 4)
  header.writeBigInt64LE(BigInt(record.count(0)), table + 8)
  header.writeUInt32LE(buffersAt - 4 - (table + 16), table + 16)
  header.writeUInt32LE(base + 48 - (table + 20), table + 20)
  for (const [at, value] of [6, 8, 4].entries()) header.writeUInt16LE(value, base + 40 + 2 * at)
  header.writeInt32LE(8, base + 48)
  header.writeInt8(codec === 'lz4' ? 0 : 1, base + 52)
  header.writeUInt32LE(nodes.length, base + 60)
  header.set(old.subarray(nodes.at, nodes.at + 16 * nodes.length), base + 64)
  header.writeUInt32LE(buffers.length, buffersAt - 4)
  for (const [i, { at, bytes }] of places.entries()) {
    header.writeBigInt64LE(BigInt(at), buffersAt + 16 * i)
    header.writeBigInt64LE(BigInt(bytes), buffersAt + 16 * i + 8)
  }
  const headerAt = root.at(2) ?? 0
  header.writeUInt32LE(table - headerAt, headerAt)
  header.writeBigInt64LE(BigInt(written), root.at(3) ?? 0)
  return message(header, Buffer.concat(parts))
}

function deflate(bytes: Uint8Array, codec: ArrowCodec): Buffer {
  if (bytes.length === 0) return Buffer.alloc(0)
  const length = Buffer.alloc(8)
  length.writeBigInt64LE(BigInt(codec === 'stored' ? -1 : bytes.length))
  if (codec === 'stored') return Buffer.concat([length, bytes])
  return Buffer.concat([length, codec === 'lz4' ? lz4Frame(bytes) : zstdCompressSync(bytes)])
}

/** A frame of blocks of 64 KiB. @param stored leaves them as they are. */
export function lz4Frame(bytes: Uint8Array, stored = false): Buffer {
  const out: Buffer[] = [Buffer.from([0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82])]
  for (let at = 0; at < bytes.length; at += 65_536) {
    const plain = bytes.subarray(at, at + 65_536)
    const block = stored ? Buffer.from(plain) : lz4Block(plain)
    const size = Buffer.alloc(4)
    size.writeUInt32LE((block.length | (stored ? 0x80000000 : 0)) >>> 0)
    out.push(size, block)
  }
  return Buffer.concat([...out, Buffer.alloc(4)])
}

/** The plainest of encoders: the last place of the same four bytes, if near enough, is a match. */
function lz4Block(bytes: Uint8Array): Buffer {
  const out: number[] = []
  const seen = new Map<string, number>()
  let from = 0
  let at = 0
  // The last five bytes are literals, and no match begins in the last twelve.
  while (at < bytes.length - 12) {
    const four = bytes.subarray(at, at + 4).join()
    const before = seen.get(four)
    seen.set(four, at)
    if (before === undefined || at - before > 65_535) {
      at += 1
      continue
    }
    let match = 4
    while (at + match < bytes.length - 5 && bytes[before + match] === bytes[at + match]) match += 1
    sequence(out, bytes.subarray(from, at), { offset: at - before, match })
    at += match
    from = at
  }
  sequence(out, bytes.subarray(from), null)
  return Buffer.from(out)
}

function sequence(
  out: number[],
  literals: Uint8Array,
  copy: { readonly offset: number; readonly match: number } | null,
): void {
  const more = copy === null ? 0 : copy.match - 4
  out.push((Math.min(15, literals.length) << 4) | Math.min(15, more))
  pushLength(out, literals.length)
  out.push(...literals)
  if (copy === null) return
  out.push(copy.offset & 255, copy.offset >> 8)
  pushLength(out, more)
}

function pushLength(out: number[], length: number): void {
  if (length < 15) return
  let left = length - 15
  for (; left >= 255; left -= 255) out.push(255)
  out.push(left)
}
