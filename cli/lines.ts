/**
 * Bytes as lines of UTF-8, one at a time: what is longer than a line may be is refused before it
 * fills the memory.
 */

import { UsageError } from './exit-codes.ts'

/** As large as a point can be with all its text and metadata, and more. */
const LINE_BYTES_MAX = 64 * 2 ** 20

const NEWLINE = 0x0a

export interface Line {
  /** From 1. */
  readonly number: number
  /** Without its end, also without that of Windows. */
  readonly text: string
  /** Bytes of the source up to the end of the line. */
  readonly end: number
}

/** @throws {UsageError} for bytes that are no UTF-8, and for a line that is too long. */
export async function* readLines(source: AsyncIterable<Uint8Array>): AsyncGenerator<Line> {
  let number = 0
  let end = 0
  let pieces: Uint8Array[] = []
  let waiting = 0
  const take = (last: Uint8Array): Line => {
    number += 1
    end += waiting + last.length
    const bytes = Buffer.concat([...pieces, last])
    pieces = []
    waiting = 0
    return { number, text: decode(bytes, number), end }
  }
  for await (const chunk of source) {
    let from = 0
    for (let at = chunk.indexOf(NEWLINE); at >= 0; at = chunk.indexOf(NEWLINE, from)) {
      yield take(chunk.subarray(from, at))
      end += 1
      from = at + 1
    }
    pieces.push(chunk.subarray(from))
    waiting += chunk.length - from
    if (waiting > LINE_BYTES_MAX) {
      throw new UsageError(`Line ${number + 1} is longer than ${LINE_BYTES_MAX} bytes.`)
    }
  }
  if (waiting > 0) yield take(new Uint8Array())
}

function decode(bytes: Uint8Array, number: number): string {
  try {
    // The decoder drops a byte order mark, which can only stand in the first line.
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: number > 1 }).decode(bytes)
    return text.endsWith('\r') ? text.slice(0, -1) : text
  } catch {
    throw new UsageError(`Line ${number} is not UTF-8.`)
  }
}
