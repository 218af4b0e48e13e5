/**
 * How a log record lies in a segment file or a group object; see `docs/formats/log.md`.
 *
 *     0   CRC-32 of bytes 4 to 24     so that a flipped length is told from a file that ends early
 *     4   payload bytes, uint32
 *     8   lsn, uint64
 *     16  CRC-32 of the payload and its padding
 *     20  0
 *     24  payload, then zeros up to a multiple of 8, so that payloads start aligned
 *
 * Integers are little-endian. The checksum is CRC-32 (zlib's), not CRC-32C.
 */

import { crc32 } from 'node:zlib'

export const RECORD_HEADER_BYTES = 24

/** Twice the largest body that a client may send; a length above it is not believed. */
export const PAYLOAD_BYTES_MAX = 64 * 1024 * 1024

export type Frame =
  | {
      readonly kind: 'record'
      readonly lsn: number
      readonly payload: Buffer
      readonly end: number
    }
  /** The bytes end before the record does; `needs` bytes from its start would tell more. */
  | { readonly kind: 'short'; readonly needs: number }
  /** The header is all zeros, as where a file grew and its bytes were never written. */
  | { readonly kind: 'zeros' }
  | { readonly kind: 'damaged'; readonly problem: string }

export function frameBytes(payloadBytes: number): number {
  return RECORD_HEADER_BYTES + padded(payloadBytes)
}

/** The payloads as consecutive records, the first with `firstLsn`. */
export function encodeFrames(firstLsn: number, payloads: readonly Uint8Array[]): Buffer {
  const bytes = payloads.reduce((sum, payload) => sum + frameBytes(payload.length), 0)
  const out = Buffer.allocUnsafeSlow(bytes)
  let at = 0
  for (const [i, payload] of payloads.entries()) at = writeFrame(out, at, firstLsn + i, payload)
  return out
}

/** Reads the record that starts at `at`. The payload is a view of `bytes`. */
export function readFrame(bytes: Buffer, at: number): Frame {
  if (at + RECORD_HEADER_BYTES > bytes.length) return { kind: 'short', needs: RECORD_HEADER_BYTES }
  const header = bytes.subarray(at, at + RECORD_HEADER_BYTES)
  if (crc32(header.subarray(4)) !== header.readUInt32LE(0)) {
    if (isZero(header)) return { kind: 'zeros' }
    return { kind: 'damaged', problem: 'the header of a record does not match its checksum' }
  }
  const payloadBytes = header.readUInt32LE(4)
  if (payloadBytes > PAYLOAD_BYTES_MAX) return { kind: 'damaged', problem: 'a record is too long' }
  const needs = frameBytes(payloadBytes)
  if (at + needs > bytes.length) return { kind: 'short', needs }
  const body = bytes.subarray(at + RECORD_HEADER_BYTES, at + needs)
  if (crc32(body) !== header.readUInt32LE(16)) {
    return { kind: 'damaged', problem: 'a record does not match its checksum' }
  }
  const lsn = header.readUInt32LE(8) + header.readUInt32LE(12) * 2 ** 32
  return { kind: 'record', lsn, payload: body.subarray(0, payloadBytes), end: at + needs }
}

export function isZero(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === 0)
}

function writeFrame(out: Buffer, at: number, lsn: number, payload: Uint8Array): number {
  const body = at + RECORD_HEADER_BYTES
  const end = body + padded(payload.length)
  out.set(payload, body)
  out.fill(0, body + payload.length, end)
  out.writeUInt32LE(payload.length, at + 4)
  out.writeUInt32LE(lsn % 2 ** 32, at + 8)
  out.writeUInt32LE(Math.floor(lsn / 2 ** 32), at + 12)
  out.writeUInt32LE(crc32(out.subarray(body, end)), at + 16)
  out.writeUInt32LE(0, at + 20)
  out.writeUInt32LE(crc32(out.subarray(at + 4, body)), at)
  return end
}

function padded(bytes: number): number {
  return (bytes + 7) & ~7
}
