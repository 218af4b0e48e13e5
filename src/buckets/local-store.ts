/**
 * A bucket in a local folder: the object `a/b` is the file `{root}/a/b`.
 *
 *     put:  {root}/.vectord-tmp/{pid}-{nonce}-{n}  write, fsync ─▶ rename to {root}/a/b ─▶ fsync {root}/a
 *
 * Files are never changed in place, so a reader sees an old object or a new one, and a hard link
 * (`getFile`) keeps what it saw. A put-if-absent links instead of renaming: of racing writers, in
 * any process, one wins. Symbolic links within the root are refused, so nothing leads out of it; a
 * root that was unmounted or replaced is `bucket_unreachable`, never an empty bucket.
 */

import { randomUUID } from 'node:crypto'
import { constants } from 'node:fs'
import * as nodeFiles from 'node:fs/promises'
import { dirname, isAbsolute, join } from 'node:path'
import { VectordError } from '../lib/errors.ts'
import { hasErrno } from './errno.ts'
import {
  copyDurable,
  type FileSystem,
  localFault,
  makeFolders,
  removeQuietly,
  runs,
  syncFolder,
  writeDurable,
} from './local-files.ts'
import { checkKey, checkPrefix, compareKeys, isKey, TEMPORARY_FOLDER } from './object-key.ts'
import type { ListOptions, ObjectInfo, ObjectStore } from './object-store.ts'

/** A put that races with the removal of its emptied folder makes the folder again this often. */
const FOLDER_TRIES = 8

/** Folders known to be durable; past this the memory is cleared, which costs only some fsyncs. */
const SETTLED_MAX = 10_000

/** Temporary files of a process that still runs, or whose id was given away, go after a day. */
const TEMPORARY_MS_MAX = 24 * 3600 * 1000

/** Tells our temporary files from those of an earlier process with our id. */
const PROCESS_NONCE = randomUUID().slice(0, 8)

const READ_FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK

let temporaryFiles = 0

interface KeyRange {
  readonly prefix: string
  /** Only keys after this one; empty means all. */
  readonly after: string
}

export class LocalStore implements ObjectStore {
  readonly #files: FileSystem
  readonly #root: string
  /** Device and number of the root folder: another one there is not our bucket. */
  readonly #rootIdentity: string
  /** Folders whose whole chain up to the root was made durable, with their identity then. */
  readonly #settled = new Map<string, string>()
  #closed = false

  private constructor(files: FileSystem, root: string, rootIdentity: string) {
    this.#files = files
    this.#root = root
    this.#rootIdentity = rootIdentity
  }

  /** Opens the bucket in the absolute folder `root`, which is made where it is missing. */
  static async open(root: string, files: FileSystem = nodeFiles): Promise<LocalStore> {
    if (!isAbsolute(root)) {
      throw new VectordError('bad_request', 'The root of a local bucket must be absolute.')
    }
    try {
      await makeFolders(files, join(root, TEMPORARY_FOLDER))
      const real = await files.realpath(root)
      const store = new LocalStore(files, real, await identityOf(files, real))
      await store.#sweep()
      return store
    } catch (error) {
      throw localFault(error, 'open', root)
    }
  }

  async get(key: string): Promise<Uint8Array> {
    return this.#reading('read', key, async (path) => {
      const handle = await this.#files.open(path, READ_FLAGS)
      try {
        if (!(await handle.stat()).isFile()) throw absent(key)
        return await handle.readFile()
      } finally {
        await handle.close()
      }
    })
  }

  async head(key: string): Promise<ObjectInfo> {
    return this.#reading('find', key, async (path) => {
      const info = await this.#info(key, path)
      if (info === null) throw absent(key)
      return info
    })
  }

  async put(key: string, body: Uint8Array): Promise<void> {
    await this.#writing(key, (path) => writeDurable(this.#files, path, body), 'replace')
  }

  async putIfAbsent(key: string, body: Uint8Array): Promise<void> {
    await this.#writing(key, (path) => writeDurable(this.#files, path, body), 'create')
  }

  async putFile(key: string, path: string): Promise<void> {
    await this.#writing(key, (temporary) => copyDurable(this.#files, path, temporary), 'replace')
  }

  async getFile(key: string, path: string): Promise<void> {
    await this.#reading('copy', key, async (source) => {
      if ((await this.#info(key, source)) === null) throw absent(key)
      try {
        await this.#files.link(source, path)
      } catch (error) {
        if (!hasErrno(error, 'EXDEV', 'EPERM', 'EMLINK', 'ENOTSUP')) throw error
        await this.#copyOut(source, path)
      }
    })
  }

  async delete(key: string): Promise<void> {
    this.#checkOpen()
    const path = this.#pathOf(key)
    try {
      await this.#nearest(dirname(path))
      await this.#files.unlink(path).catch((error: unknown) => {
        // What is not there, or is a folder and so no object, is deleted already.
        if (!hasErrno(error, 'ENOENT', 'ENOTDIR', 'EISDIR')) throw error
      })
      await this.#syncNearest(dirname(path))
      await this.#removeEmpty(dirname(path))
    } catch (error) {
      throw localFault(error, 'delete', key)
    }
  }

  async *list(prefix: string, options: ListOptions = {}): AsyncGenerator<ObjectInfo> {
    this.#checkOpen()
    const cut = checkPrefix(prefix).lastIndexOf('/')
    try {
      await this.#nearest(cut === -1 ? this.#root : `${this.#root}/${prefix.slice(0, cut)}`)
      yield* this.#walk(prefix.slice(0, cut + 1), { prefix, after: options.startAfter ?? '' })
    } catch (error) {
      throw localFault(error, 'list', prefix)
    }
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    // What a process that was just ending when this one began has left.
    await this.#sweep().catch(() => undefined)
  }

  async #reading<T>(doing: string, key: string, work: (path: string) => Promise<T>): Promise<T> {
    this.#checkOpen()
    const path = this.#pathOf(key)
    for (let tries = 1; ; tries += 1) {
      try {
        await this.#nearest(dirname(path))
        return await work(path)
      } catch (error) {
        if (!hasErrno(error, 'ENOENT', 'ENOTDIR', 'EISDIR')) throw localFault(error, doing, key)
        // Our object, or the folder of the caller's file?
        if ((await this.#info(key, path)) === null) throw absent(key)
        // Or it came into being between the two looks.
        if (tries === 2) throw localFault(error, doing, key)
      }
    }
  }

  async #writing(
    key: string,
    write: (temporary: string) => Promise<void>,
    mode: 'replace' | 'create',
  ): Promise<void> {
    this.#checkOpen()
    const path = this.#pathOf(key)
    const temporary = this.#newTemporary()
    try {
      await this.#nearest(dirname(path))
      await write(temporary)
      try {
        await this.#name(temporary, path, mode)
      } finally {
        if (mode === 'create') await removeQuietly(this.#files, temporary)
      }
    } catch (error) {
      await removeQuietly(this.#files, temporary)
      throw hasErrno(error, 'EEXIST', 'EISDIR', 'ENOTDIR', 'ENOTEMPTY')
        ? await this.#refusal(key, path, mode)
        : localFault(error, 'write', key)
    }
  }

  /** Gives the finished file its name, durably. */
  async #name(temporary: string, path: string, mode: 'replace' | 'create'): Promise<void> {
    const folder = dirname(path)
    for (let tries = 1; ; tries += 1) {
      await this.#files.mkdir(folder, { recursive: true })
      try {
        await (mode === 'create'
          ? this.#files.link(temporary, path)
          : this.#files.rename(temporary, path))
        await this.#settle(folder)
        return
      } catch (error) {
        // What exists must be durable too: the loser may build on the winner's object.
        if (hasErrno(error, 'EEXIST')) await this.#settle(folder)
        if (!hasErrno(error, 'ENOENT') || tries === FOLDER_TRIES) throw error
      }
    }
  }

  /** Why a file could not get its name: an object is there, or the key crosses a folder. */
  async #refusal(key: string, path: string, mode: 'replace' | 'create'): Promise<VectordError> {
    const details = { key }
    const crosses = await this.#files.lstat(path).then(
      (stats) => stats.isDirectory(),
      (error: unknown) => !hasErrno(error, 'ENOENT'), // It was there, and is deleted by now.
    )
    if (mode === 'create' && !crosses) {
      return new VectordError('object_exists', `The object "${key}" exists already.`, { details })
    }
    const message = `The key "${key}" would lie within another object, or hold others within it.`
    return new VectordError('bad_request', message, { details })
  }

  /** Makes the names in `folder` durable, and once also those of the folders above it. */
  async #settle(folder: string): Promise<void> {
    const identity = await syncFolder(this.#files, folder)
    if (this.#settled.get(folder) === identity) return
    for (let above = folder; above !== this.#root;) {
      above = dirname(above)
      await syncFolder(this.#files, above)
    }
    if (this.#settled.size >= SETTLED_MAX) this.#settled.clear()
    this.#settled.set(folder, identity)
  }

  async #removeEmpty(folder: string): Promise<void> {
    for (let empty = folder; empty !== this.#root; empty = dirname(empty)) {
      try {
        await this.#files.rmdir(empty)
      } catch {
        return // It holds something. A folder too many is no fault, and no object.
      }
      this.#settled.delete(empty)
      await syncFolder(this.#files, dirname(empty))
    }
  }

  async *#walk(folder: string, range: KeyRange): AsyncGenerator<ObjectInfo> {
    for (const name of await this.#names(folder)) {
      const key = folder + name
      if (name.endsWith('/')) {
        if (isKey(`${key}x`) && mayHold(key, range)) yield* this.#walk(key, range)
      } else if (key.startsWith(range.prefix) && compareKeys(key, range.after) > 0) {
        const info = isKey(key) ? await this.#info(key, join(this.#root, key)) : null
        if (info !== null) yield info
      }
    }
  }

  /** Names of files, and of folders with a slash behind, so that both sort as keys do. */
  async #names(folder: string): Promise<readonly string[]> {
    try {
      const entries = await this.#files.readdir(join(this.#root, folder), { withFileTypes: true })
      return entries
        .filter((entry) => entry.isFile() || entry.isDirectory())
        .map((entry) => (entry.isDirectory() ? `${entry.name}/` : entry.name))
        .sort(compareKeys)
    } catch (error) {
      if (hasErrno(error, 'ENOENT')) return [] // Emptied and removed meanwhile.
      throw error
    }
  }

  async #info(key: string, path: string): Promise<ObjectInfo | null> {
    try {
      const stats = await this.#files.lstat(path)
      if (stats.isSymbolicLink()) throw leadsOut(key)
      return stats.isFile() ? { key, bytes: stats.size, modifiedMs: stats.mtimeMs } : null
    } catch (error) {
      if (hasErrno(error, 'ENOENT', 'ENOTDIR')) return null
      throw localFault(error, 'find', key)
    }
  }

  /**
   * The nearest folder from `folder` upwards that is there. It must be the one that its path says,
   * and the root must be the one that was opened.
   */
  async #nearest(folder: string): Promise<string> {
    if ((await identityOf(this.#files, this.#root)) !== this.#rootIdentity) {
      throw new VectordError('bucket_unreachable', 'The root of the local bucket was replaced.')
    }
    for (let nearest = folder; nearest !== this.#root; nearest = dirname(nearest)) {
      try {
        if ((await this.#files.realpath(nearest)) !== nearest) throw leadsOut(nearest)
        return nearest
      } catch (error) {
        if (!hasErrno(error, 'ENOENT', 'ENOTDIR')) throw error
      }
    }
    return this.#root
  }

  async #syncNearest(folder: string): Promise<void> {
    for (let nearest = folder; ; nearest = dirname(nearest)) {
      try {
        await syncFolder(this.#files, nearest)
        return
      } catch (error) {
        const gone = hasErrno(error, 'ENOENT', 'ENOTDIR')
        if (!gone || nearest === this.#root) throw error
      }
    }
  }

  async #copyOut(source: string, path: string): Promise<void> {
    try {
      await this.#files.copyFile(source, path, constants.COPYFILE_EXCL)
    } catch (error) {
      if (!hasErrno(error, 'EEXIST')) await removeQuietly(this.#files, path)
      throw error
    }
  }

  /** Removes temporary files that no running process will finish. */
  async #sweep(): Promise<void> {
    const folder = join(this.#root, TEMPORARY_FOLDER)
    for (const name of await this.#files.readdir(folder)) {
      const path = join(folder, name)
      if (await this.#isLeftBehind(name, path)) await removeQuietly(this.#files, path)
    }
  }

  async #isLeftBehind(name: string, path: string): Promise<boolean> {
    const [pid, nonce] = name.split('-')
    if (Number(pid) === process.pid) return nonce !== PROCESS_NONCE
    if (!runs(Number(pid))) return true
    const stats = await this.#files.lstat(path).catch(() => null)
    return stats !== null && Date.now() - stats.mtimeMs > TEMPORARY_MS_MAX
  }

  #newTemporary(): string {
    temporaryFiles += 1
    return join(this.#root, TEMPORARY_FOLDER, `${process.pid}-${PROCESS_NONCE}-${temporaryFiles}`)
  }

  #pathOf(key: string): string {
    return `${this.#root}/${checkKey(key)}`
  }

  #checkOpen(): void {
    if (this.#closed) throw new VectordError('storage_error', 'The local bucket is closed.')
  }
}

function mayHold(folder: string, range: KeyRange): boolean {
  const inside = folder.startsWith(range.prefix) || range.prefix.startsWith(folder)
  return inside && (range.after.startsWith(folder) || compareKeys(folder, range.after) > 0)
}

/** True where a local bucket was opened in `root` before: no empty place where a disk should be. */
export async function isLocalBucket(root: string): Promise<boolean> {
  return nodeFiles.stat(join(root, TEMPORARY_FOLDER)).then(
    (stats) => stats.isDirectory(),
    () => false,
  )
}

async function identityOf(files: FileSystem, root: string): Promise<string> {
  try {
    const { dev, ino } = await files.stat(root)
    return `${dev}:${ino}`
  } catch (error) {
    if (!hasErrno(error, 'ENOENT', 'ENOTDIR')) throw error
    const message = 'The root of the local bucket is not there.'
    throw new VectordError('bucket_unreachable', message, { cause: error })
  }
}

function absent(key: string): VectordError {
  return new VectordError('object_not_found', `There is no object "${key}".`, { details: { key } })
}

function leadsOut(key: string): VectordError {
  const message = `"${key}" is or crosses a symbolic link, which a local bucket does not follow.`
  return new VectordError('storage_error', message, { details: { key } })
}
