/**
 * The files of a segment log: names, creation, repair, and what the file system's faults mean.
 *
 * A segment is made under a temporary name and renamed once its header is durable, so a segment that
 * is there always has a whole header.
 */

import type { FileHandle } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { hasErrno } from '../buckets/errno.ts'
import { syncFolder, type FileSystem } from '../buckets/local-files.ts'
import { VectordError } from '../lib/errors.ts'
import { decodeSegmentHeader, encodeSegmentHeader, LOG_HEADER_BYTES } from './log-header.ts'
import type { ChainLink } from './log-header.ts'

/** The calls to the file system that a log may make; tests fail or cut the Nth of them. */
export type LogFiles = FileSystem

const LSN_DIGITS = 20
const SEGMENT = /^(\d{20})\.log$/
const TEMPORARY = /^\d{20}\.log\.tmp$/

export function segmentName(firstLsn: number): string {
  return `${String(firstLsn).padStart(LSN_DIGITS, '0')}.log`
}

/** First lsn by name of every segment in the folder, ascending. */
export async function listSegments(files: LogFiles, folder: string): Promise<number[]> {
  const names = await files.readdir(folder)
  return names
    .map((name) => SEGMENT.exec(name)?.[1])
    .filter((digits) => digits !== undefined)
    .map(Number)
    .sort((a, b) => a - b)
}

/** Removes what a crash left of a segment that was never there. */
export async function sweepTemporary(files: LogFiles, folder: string): Promise<void> {
  for (const name of await files.readdir(folder)) {
    if (TEMPORARY.test(name)) await files.unlink(join(folder, name))
  }
}

/**
 * Makes an empty segment, durable once resolved, and leaves it open for writing.
 *
 * Where it fails, the segment may be there or not; it is empty then, and as good as the gap of lsn
 * that the failure leaves.
 */
export async function createSegment(
  files: LogFiles,
  folder: string,
  link: ChainLink,
): Promise<FileHandle> {
  const path = join(folder, segmentName(link.firstLsn))
  const handle = await files.open(`${path}.tmp`, 'w+')
  try {
    await writeAll(handle, encodeSegmentHeader(link), 0)
    await handle.sync()
    await files.rename(`${path}.tmp`, path)
    await syncFolder(files, folder)
    return handle
  } catch (error) {
    await closeQuietly(handle)
    throw error
  }
}

export async function readSegmentHeader(handle: FileHandle, file: string): Promise<ChainLink> {
  const header = Buffer.alloc(LOG_HEADER_BYTES)
  let filled = 0
  while (filled < header.length) {
    const { bytesRead } = await handle.read(header, filled, header.length - filled, filled)
    if (bytesRead === 0) break
    filled += bytesRead
  }
  return decodeSegmentHeader(file, header.subarray(0, filled))
}

/** Cuts a file back to `bytes` and makes that durable. */
export async function cutBack(files: LogFiles, path: string, bytes: number): Promise<void> {
  const handle = await files.open(path, 'r+')
  try {
    await handle.truncate(bytes)
    await handle.sync()
  } finally {
    await closeQuietly(handle)
  }
}

/** One call may write less than it was given. */
export async function writeAll(handle: FileHandle, bytes: Uint8Array, at: number): Promise<void> {
  let written = 0
  while (written < bytes.length) {
    const rest = bytes.length - written
    const { bytesWritten } = await handle.write(bytes, written, rest, at + written)
    written += bytesWritten
  }
}

/** Where a file is closed, what was to be durable has been synced, or has failed and was reported. */
export async function closeQuietly(handle: FileHandle): Promise<void> {
  await handle.close().catch(() => undefined)
}

/** The `VectordError` of a fault of the file system; those of ours pass unchanged. */
export function fileFault(error: unknown, doing: string, folder: string): unknown {
  if (!(error instanceof Error) || !('code' in error) || error instanceof VectordError) return error
  const errno = String(error.code)
  const isFull = hasErrno(error, 'ENOSPC', 'EDQUOT', 'EFBIG')
  // The name of the index is the folder above `log`.
  const log = basename(join(folder, '..'))
  return new VectordError(
    isFull ? 'storage_full' : 'storage_error',
    `The log of "${log}" could not ${doing}: ${errno}.`,
    { details: { log, errno }, cause: error },
  )
}
