/**
 * The body of an S3 answer, checked while it is read.
 *
 * A body that is shorter or other than what was put must not reach the caller as a value: its last
 * step is the check, and a caller that reads to the end has either the whole object or an error.
 */

import { crc32 } from 'node:zlib'
import { VectordError } from '../lib/errors.ts'
import { s3Failure, s3Fault } from './s3-errors.ts'

/** Name of the metadata that holds the CRC32 of the bytes, in hexadecimal. */
const CHECKSUM = 'vectord-crc32'

export interface S3Answer {
  readonly Body?: unknown
  readonly ContentLength?: number | undefined
  readonly Metadata?: Readonly<Record<string, string>> | undefined
}

export function checksumMetadata(checksum: number): Record<string, string> {
  return { [CHECKSUM]: checksum.toString(16).padStart(8, '0') }
}

/** True where the answer is about an object of this length and checksum. */
export function isSameObject(answer: S3Answer, bytes: number, checksum: number): boolean {
  const told = answer.Metadata?.[CHECKSUM]
  return answer.ContentLength === bytes && told === checksumMetadata(checksum)[CHECKSUM]
}

/**
 * The chunks of a body, in order.
 *
 * @throws {VectordError} `bucket_unreachable` where the body breaks off, `object_corrupt` where it
 *   does not match its checksum.
 */
export async function* checkedBody(key: string, answer: S3Answer): AsyncGenerator<Uint8Array> {
  let bytes = 0
  let checksum = 0
  try {
    for await (const chunk of answer.Body as AsyncIterable<Uint8Array>) {
      bytes += chunk.byteLength
      checksum = crc32(chunk, checksum)
      yield chunk
    }
  } catch (error) {
    if (s3Failure(error).name === 'ChecksumMismatch') throw corrupt(key)
    throw brokenOff(key, bytes, s3Fault(error, 'read', key))
  }
  if (answer.ContentLength !== bytes) throw brokenOff(key, bytes)
  if (answer.Metadata?.[CHECKSUM] !== undefined && !isSameObject(answer, bytes, checksum)) {
    throw corrupt(key)
  }
}

function brokenOff(key: string, bytes: number, cause?: unknown): VectordError {
  const message = `The S3 bucket broke off the body of "${key}" after ${bytes} bytes.`
  return new VectordError('bucket_unreachable', message, { details: { key, bytes }, cause })
}

function corrupt(key: string): VectordError {
  const message = `The bytes of "${key}" do not match their checksum.`
  return new VectordError('object_corrupt', message, { details: { key } })
}
