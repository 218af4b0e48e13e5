/**
 * The bytes of one batch of a batch log: lines of JSON, each sealed by a checksum of its own.
 *
 *     {"format":1,"id":"0001767225600000000-5f3a9c01","left":2, …the record…,"crc":"9ae1c2d4"}\n
 *
 * `left` counts the lines that follow in the object, so that a cut between two lines is seen. `crc` is
 * the CRC-32 of the line without it, as it stands. A newer format keeps both ends of the line, so that
 * it is refused by its name. A line that cannot be read is a problem, and the others are still read.
 */

import { crc32 } from 'node:zlib'
import { hasCode } from '../lib/errors.ts'
import { inSteps, whileTrue } from '../lib/steps.ts'
import type { JsonObject } from './revision-codec.ts'

const LINE_FORMAT = 1

const NEWLINE = 0x0a

const SEAL = /,"crc":"([0-9a-f]{8})"\}$/

export interface BatchEntry<T> {
  /** Unique; grows with the time of writing. */
  readonly id: string
  readonly record: T
}

/** A part of a log that cannot be read; it is left where it is. */
export interface BatchProblem {
  readonly key: string
  /** From 1; null where it is the whole object. */
  readonly line: number | null
  readonly code: 'object_corrupt' | 'format_too_new'
  readonly message: string
}

/** How a record is told as JSON. The names `format`, `id`, `left` and `crc` are taken. */
export interface BatchCodec<T> {
  toJson(record: T): JsonObject
  /** @throws {VectordError} `object_corrupt` for what is no record. */
  fromJson(json: JsonObject): T
}

export interface Batch<T> {
  readonly entries: readonly BatchEntry<T>[]
  readonly problems: readonly BatchProblem[]
}

export interface BatchForm<T> {
  readonly codec: BatchCodec<T>
  /** True takes lines without checksum and count too, as an older layout wrote them. */
  readonly takesUnsealed: boolean
}

/** In short steps: a batch may be megabytes. */
export async function encodeBatch<T>(
  entries: readonly BatchEntry<T>[],
  codec: BatchCodec<T>,
): Promise<Uint8Array> {
  const lines: Uint8Array[] = []
  await inSteps(entries.length, (i) => {
    const entry = entries[i]
    if (entry !== undefined) lines.push(encodeLine(entry, entries.length - 1 - i, codec))
  })
  return Buffer.concat(lines)
}

function encodeLine<T>(
  { id, record }: BatchEntry<T>,
  left: number,
  codec: BatchCodec<T>,
): Uint8Array {
  const text = JSON.stringify({ format: LINE_FORMAT, id, left, ...codec.toJson(record) })
  return Buffer.from(`${text.slice(0, -1)},"crc":"${checksum(text)}"}\n`)
}

/** In short steps: a batch may be megabytes. */
export async function decodeBatch<T>(
  key: string,
  body: Uint8Array,
  form: BatchForm<T>,
): Promise<Batch<T>> {
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength)
  const entries: BatchEntry<T>[] = []
  const problems: BatchProblem[] = []
  if (bytes.length === 0) problems.push(corrupt(key, null, 'it is empty'))
  let line = 0
  let at = 0
  await whileTrue(() => {
    if (at >= bytes.length) return false
    // Every line ends with a newline; one without is torn.
    const newline = bytes.indexOf(NEWLINE, at)
    const end = newline === -1 ? bytes.length : newline
    const read = decodeLine(bytes.toString('utf8', at, end), form)
    line += 1
    at = end + 1
    if (typeof read === 'string') problems.push(corrupt(key, line, read))
    else if ('tooNew' in read) problems.push(tooNew(key, line, read.tooNew))
    else {
      entries.push({ id: read.id, record: read.record })
      const isLast = at >= bytes.length
      if (isLast && read.left > 0) {
        problems.push(corrupt(key, null, `${read.left} lines are missing at its end`))
      }
    }
    return true
  })
  return { entries, problems }
}

export function corrupt(key: string, line: number | null, fault: string): BatchProblem {
  const where = line === null ? '' : `line ${line} of `
  return {
    ...{ key, line, code: 'object_corrupt' },
    message: `In ${where}the object "${key}" something is corrupt: ${fault}.`,
  }
}

function tooNew(key: string, line: number, format: number): BatchProblem {
  return {
    ...{ key, line, code: 'format_too_new' },
    message:
      `Line ${line} of the object "${key}" has format ${format}; ` +
      `this version reads up to ${LINE_FORMAT}.`,
  }
}

type Line<T> =
  { readonly id: string; readonly left: number; readonly record: T } | { readonly tooNew: number }

/** A string says what is wrong with the line. */
function decodeLine<T>(line: string, { codec, takesUnsealed }: BatchForm<T>): Line<T> | string {
  const seal = SEAL.exec(line)
  if (seal === null && !takesUnsealed) return 'the line has no checksum at its end'
  const text = seal === null ? line : `${line.slice(0, -seal[0].length)}}`
  if (seal !== null && seal[1] !== checksum(text)) return 'the line does not match its checksum'
  const fields = parse(text)
  return fields === null ? 'the line is no JSON object' : decodeFields(fields, codec)
}

function decodeFields<T>(fields: Fields, codec: BatchCodec<T>): Line<T> | string {
  const { format, id, left = 0 } = fields
  if (typeof format !== 'number') return 'the line has no format number'
  if (format > LINE_FORMAT) return { tooNew: format }
  if (typeof id !== 'string' || id === '') return 'the line has no id'
  if (typeof left !== 'number') return 'the line does not count those after it'
  try {
    return { id, left, record: codec.fromJson(fields) }
  } catch (error) {
    if (!hasCode(error, 'object_corrupt')) throw error
    return error.message.replace(/\.$/, '')
  }
}

interface Fields extends JsonObject {
  readonly format?: JsonObject[string]
  readonly id?: JsonObject[string]
  readonly left?: JsonObject[string]
}

function parse(text: string): Fields | null {
  try {
    const value = JSON.parse(text) as Fields | null
    return typeof value === 'object' && !Array.isArray(value) ? value : null
  } catch {
    return null
  }
}

function checksum(text: string): string {
  return crc32(text).toString(16).padStart(8, '0')
}
