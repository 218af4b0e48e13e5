/**
 * Lines of a file in constant memory, each with its number. A line is as long as its bound at most.
 */

import { isUtf8 } from 'node:buffer'
import { createReadStream } from 'node:fs'
import { corruptFile } from './table-fault.ts'

/** Of a row of a text format: a vector of 65,536 numbers takes 1.5 MB. */
export const LINE_BYTES_MAX = 16 * 1024 * 1024

const CHUNK_BYTES = 256 * 1024
const LINE_FEED = 10
const BYTE_ORDER_MARK = '\ufeff'

export interface TextLine {
  /** From 1. */
  readonly number: number
  /** Without its end, and the first without a byte order mark. */
  readonly text: string
}

/** Lines that are not empty, in groups as they come. @throws {VectordError} `file_corrupt`. */
export async function* textLines(path: string): AsyncGenerator<readonly TextLine[], undefined> {
  let rest: Buffer[] = []
  let restBytes = 0
  let number = 0
  for await (const chunk of createReadStream(path, { highWaterMark: CHUNK_BYTES })) {
    const bytes = chunk as Buffer
    const lines: TextLine[] = []
    let start = 0
    for (let end = bytes.indexOf(LINE_FEED); end >= 0; end = bytes.indexOf(LINE_FEED, start)) {
      const line = bytes.subarray(start, end)
      const whole = restBytes === 0 ? line : Buffer.concat([...rest, line])
      rest = []
      restBytes = 0
      number += 1
      addLine(lines, path, number, whole)
      start = end + 1
    }
    if (start < bytes.length) {
      rest.push(bytes.subarray(start))
      restBytes += bytes.length - start
      if (restBytes > LINE_BYTES_MAX) throw tooLong(path, number + 1)
    }
    yield lines
  }
  const last: TextLine[] = []
  addLine(last, path, number + 1, Buffer.concat(rest))
  yield last
}

function addLine(lines: TextLine[], path: string, number: number, bytes: Buffer): void {
  if (bytes.length > LINE_BYTES_MAX) throw tooLong(path, number)
  if (!isUtf8(bytes)) throw corruptFile(path, { line: number }, 'it is no UTF-8')
  let text = bytes.toString()
  if (number === 1 && text.startsWith(BYTE_ORDER_MARK)) text = text.slice(1)
  if (text.trim() !== '') lines.push({ number, text })
}

function tooLong(path: string, line: number): Error {
  return corruptFile(path, { line }, `it is longer than ${LINE_BYTES_MAX} bytes`)
}
