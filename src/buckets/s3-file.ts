/**
 * Local files on their way to and from an S3 object: measured before they go, filled as it arrives.
 */

import { createReadStream } from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'
import { crc32 } from 'node:zlib'
import { localFault } from './local-files.ts'

const CHUNK_BYTES = 1024 * 1024

export interface Measured {
  readonly bytes: number
  /** CRC32. */
  readonly checksum: number
}

export async function measure(path: string): Promise<Measured> {
  let bytes = 0
  let checksum = 0
  for await (const chunk of createReadStream(path, { highWaterMark: CHUNK_BYTES })) {
    checksum = crc32(chunk as Uint8Array, checksum)
    bytes += (chunk as Uint8Array).byteLength
  }
  return { bytes, checksum }
}

/** @throws {VectordError} also where the file is there already. */
export async function openNew(path: string, key: string): Promise<FileHandle> {
  try {
    return await open(path, 'wx')
  } catch (error) {
    throw localFault(error, 'copy', key)
  }
}

/** Makes the chunks the content of the file, whatever it held before. */
export async function fill(
  file: FileHandle,
  chunks: AsyncIterable<Uint8Array>,
  key: string,
): Promise<void> {
  try {
    await file.truncate(0)
    let at = 0
    for await (const chunk of chunks) {
      for (let done = 0; done < chunk.length;) {
        const { bytesWritten } = await file.write(chunk, done, chunk.length - done, at + done)
        done += bytesWritten
      }
      at += chunk.length
    }
  } catch (error) {
    throw localFault(error, 'copy', key)
  }
}
