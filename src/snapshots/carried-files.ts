/**
 * Brings files of a snapshot from one bucket to another under other keys, and proves each of them:
 *
 *     source ─▶ a local file: the length and the SHA-256 that are known? ─▶ target ─▶ read back: the same?
 */

import { randomUUID } from 'node:crypto'
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { ObjectStore } from '../buckets/object-store.ts'
import { hashFile } from '../codecs/file-hash.ts'
import type { StoredFile } from '../domain/checkpoint.ts'
import { settled } from '../indexes/bucket-copy.ts'
import { hasCode, VectordError } from '../lib/errors.ts'

/** Files on their way at a time: each is of at most a part or a graph. */
const FILES_MAX = 4

export interface FileControl {
  /** A local folder of its own for temporary files: made here, and removed at the end. */
  readonly scratch: string
  readonly signal: AbortSignal
  readonly onProgress: (doneBytes: number, totalBytes: number) => void
}

export interface CarriedFile {
  /** At the source. */
  readonly file: StoredFile
  readonly toKey: string
  /** It can be made again: where it is damaged or gone it is left out. */
  readonly isDerived: boolean
}

/**
 * @returns keys at the source of derived files that were left out.
 * @throws {VectordError} `object_corrupt` with the `key` of a file that is not what it should be, on
 *   either side; the reason of the signal; errors of both buckets.
 */
export async function carryFiles(
  files: readonly CarriedFile[],
  { from, to }: { readonly from: ObjectStore; readonly to: ObjectStore },
  control: FileControl,
): Promise<ReadonlySet<string>> {
  const left = new Set<string>()
  await eachFile(files, control, async ({ file, toKey, isDerived }, path) => {
    const fault = await fetchProven(from, file, path)
    if (fault === null) await store(to, { ...file, key: toKey }, path)
    else if (isDerived) left.add(file.key)
    else throw corrupt(fault)
  })
  return left
}

export interface FileFault {
  readonly key: string
  readonly problem: string
}

/** Reads every file. @returns what is wrong with them. @throws what keeps one from being read. */
export async function checkFiles(
  files: readonly StoredFile[],
  from: ObjectStore,
  control: FileControl,
): Promise<FileFault[]> {
  const faults: FileFault[] = []
  const all = files.map((file) => ({ file }))
  await eachFile(all, control, async ({ file }, path) => {
    const fault = await fetchProven(from, file, path)
    if (fault !== null) faults.push(fault)
  })
  return faults.sort((a, b) => (a.key < b.key ? -1 : 1))
}

/** Runs `work` for every file with a path of its own, a few at a time. */
async function eachFile<T extends { readonly file: StoredFile }>(
  files: readonly T[],
  { scratch, signal, onProgress }: FileControl,
  work: (file: T, path: string) => Promise<void>,
): Promise<void> {
  const total = files.reduce((sum, { file }) => sum + file.bytes, 0)
  let done = 0
  await mkdir(scratch, { recursive: true })
  try {
    for (let at = 0; at < files.length; at += FILES_MAX) {
      signal.throwIfAborted()
      const some = files.slice(at, at + FILES_MAX)
      await settled(some.map((file) => withPath(scratch, (path) => work(file, path))))
      done += some.reduce((sum, { file }) => sum + file.bytes, 0)
      onProgress(done, total)
    }
  } finally {
    await rm(scratch, { recursive: true, force: true })
  }
}

async function withPath(scratch: string, work: (path: string) => Promise<void>): Promise<void> {
  const path = join(scratch, randomUUID())
  try {
    await work(path)
  } finally {
    await rm(path, { force: true })
  }
}

/** Null where the file at `path` has the bytes that were stored. */
async function fetchProven(
  from: ObjectStore,
  { key, bytes, sha256 }: StoredFile,
  path: string,
): Promise<FileFault | null> {
  try {
    await from.getFile(key, path)
  } catch (error) {
    if (hasCode(error, 'object_not_found')) return { key, problem: 'it is missing' }
    if (hasCode(error, 'object_corrupt')) return { key, problem: 'its checksum differs' }
    throw error
  }
  const found = await hashFile(path)
  if (found.bytes !== bytes) return { key, problem: `it has ${found.bytes} bytes, not ${bytes}` }
  return found.sha256 === sha256 ? null : { key, problem: 'its checksum differs' }
}

async function store(to: ObjectStore, file: StoredFile, path: string): Promise<void> {
  await to.putFile(file.key, path)
  const back = `${path}.back`
  try {
    const fault = await fetchProven(to, file, back)
    if (fault !== null) throw corrupt(fault)
  } finally {
    await rm(back, { force: true })
  }
}

function corrupt({ key, problem }: FileFault): VectordError {
  return new VectordError('object_corrupt', `The object "${key}" is damaged: ${problem}.`, {
    details: { key, problem },
  })
}
