/**
 * What a local bucket asks of the file system, and what the file system's faults mean.
 *
 * The functions come in as a value, so that tests can fail or cut the Nth of them.
 */

import type * as fs from 'node:fs/promises'
import { dirname } from 'node:path'
import { hasErrno } from './errno.ts'
import { VectordError } from '../lib/errors.ts'

export type FileSystem = Pick<
  typeof fs,
  | 'open'
  | 'link'
  | 'rename'
  | 'unlink'
  | 'rmdir'
  | 'mkdir'
  | 'readdir'
  | 'lstat'
  | 'stat'
  | 'realpath'
  | 'copyFile'
>

/** Makes the entries of `folder` durable; answers what tells this folder from a later one. */
export async function syncFolder(files: FileSystem, folder: string): Promise<string> {
  const handle = await files.open(folder, 'r')
  try {
    const { dev, ino, birthtimeMs } = await handle.stat()
    await handle.sync()
    return `${dev}:${ino}:${birthtimeMs}`
  } finally {
    await handle.close()
  }
}

/** Makes `folder` and every missing folder above it, each durable in its parent. */
export async function makeFolders(files: FileSystem, folder: string): Promise<void> {
  const first = await files.mkdir(folder, { recursive: true })
  if (first === undefined) return
  for (let made = folder; made.length >= first.length; made = dirname(made)) {
    await syncFolder(files, dirname(made))
  }
}

/** Writes a new file and makes its bytes durable, not its name. On failure it is gone again. */
export async function writeDurable(
  files: FileSystem,
  path: string,
  body: Uint8Array,
): Promise<void> {
  const handle = await files.open(path, 'wx')
  try {
    try {
      await handle.writeFile(body)
      await handle.sync()
    } finally {
      await handle.close()
    }
  } catch (error) {
    await removeQuietly(files, path)
    throw error
  }
}

/** Copies a file and makes the bytes durable. On failure there is no `to`. */
export async function copyDurable(files: FileSystem, from: string, to: string): Promise<void> {
  try {
    await files.copyFile(from, to)
    const handle = await files.open(to, 'r')
    try {
      await handle.sync()
    } finally {
      await handle.close()
    }
  } catch (error) {
    await removeQuietly(files, to)
    throw error
  }
}

/** Removes a temporary file where the failure before it is the one worth reporting. */
export async function removeQuietly(files: FileSystem, path: string): Promise<void> {
  await files.unlink(path).catch(() => {
    // It was never made, or the sweep at the next open takes it.
  })
}

/** True where a process has this id; one that belongs to another user answers EPERM. */
export function runs(pid: number): boolean {
  if (!Number.isSafeInteger(pid) || pid <= 0) return false
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return hasErrno(error, 'EPERM')
  }
}

/** The `VectordError` of a fault of the file system; those of ours pass unchanged. */
export function localFault(error: unknown, doing: string, key: string): VectordError {
  if (error instanceof VectordError) return error
  const errno = errnoOf(error)
  const details = { key, errno }
  const message = `The local bucket could not ${doing} "${key}": ${errno}.`
  if (hasErrno(error, 'ENOSPC', 'EDQUOT')) {
    return new VectordError('storage_full', message, { details, cause: error })
  }
  if (hasErrno(error, 'ESTALE', 'ETIMEDOUT', 'EHOSTDOWN', 'ENOTCONN')) {
    return new VectordError('bucket_unreachable', message, { details, cause: error })
  }
  return new VectordError('storage_error', message, { details, cause: error })
}

function errnoOf(error: unknown): string {
  if (error instanceof Error && 'code' in error) return String(error.code)
  return error instanceof Error ? error.name : 'unknown'
}
