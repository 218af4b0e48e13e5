/**
 * What `vectord doctor` is pointed at: a storage root, a bucket in a folder, or one in S3.
 *
 * Until a repair was asked for nothing is written: a local bucket is opened over a file system that
 * cannot.
 */

import type { Stats } from 'node:fs'
import * as files from 'node:fs/promises'
import { mkdtemp, realpath, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, dirname, join, resolve } from 'node:path'
import { hasErrno } from '../../src/buckets/errno.ts'
import { LocalStore } from '../../src/buckets/local-store.ts'
import { TEMPORARY_FOLDER } from '../../src/buckets/object-key.ts'
import type { ObjectStore } from '../../src/buckets/object-store.ts'
import { openStore } from '../../src/buckets/open-store.ts'
import { type FileHash, hashFile } from '../../src/codecs/file-hash.ts'
import { LOCK_FILE, lockRoot, type RootLock } from '../../src/log/root-lock.ts'
import { UsageError } from '../exit-codes.ts'

export interface S3Options {
  readonly region: string
  /** Null means AWS. */
  readonly endpoint: string | null
}

/** A bucket that is looked at. */
export interface TargetBucket {
  readonly uri: string
  readonly store: ObjectStore
  /** The folder of a local one; null in S3. */
  readonly folder: string | null
  /** Length and SHA-256 of an object. @throws {VectordError} `object_not_found`. */
  hash(key: string): Promise<FileHash>
  /** The same bucket, able to write. */
  openForRepair(): Promise<ObjectStore>
}

export interface Target {
  readonly buckets: readonly TargetBucket[]
  close(): Promise<void>
}

/** @throws {UsageError} for what is no bucket, {VectordError} `root_locked` where a server runs. */
export async function openTarget(place: string, s3: S3Options): Promise<Target> {
  return place.startsWith('s3://') ? openS3(place, s3) : openLocal(resolve(place))
}

async function openLocal(folder: string): Promise<Target> {
  const roots = (await isFolder(join(folder, 'buckets')))
    ? (await files.readdir(join(folder, 'buckets')))
        .sort()
        .map((name) => join(folder, 'buckets', name))
    : [folder]
  const known = await Promise.all(roots.map(isBucket))
  if (!known.includes(true)) {
    throw new UsageError(`${folder} is neither a storage root nor a bucket of vectord.`)
  }
  const locks = await lockAll(await realpath(folder))
  const buckets: TargetBucket[] = []
  for (const root of roots) buckets.push(await localBucket(root))
  return {
    buckets,
    close: async () => {
      await closeAll(buckets)
      await releaseAll(locks)
    },
  }
}

/**
 * A server that writes in `folder` holds its lock, or that of a folder above it, where `folder` is one
 * bucket of a storage root. While we hold them, none can begin to.
 *
 * @throws {VectordError} `root_locked`.
 */
async function lockAll(folder: string): Promise<readonly RootLock[]> {
  const locks: RootLock[] = []
  try {
    for (const root of [folder, ...foldersAbove(folder)]) {
      if (root !== folder && !(await exists(join(root, LOCK_FILE)))) continue
      locks.push(await lockRoot(root))
    }
    return locks
  } catch (error) {
    await releaseAll(locks)
    throw error
  }
}

function foldersAbove(folder: string): readonly string[] {
  const parent = dirname(folder)
  return parent === folder ? [] : [parent, ...foldersAbove(parent)]
}

async function releaseAll(locks: readonly RootLock[]): Promise<void> {
  for (const lock of locks) await lock.release()
}

async function localBucket(folder: string): Promise<TargetBucket> {
  const store = await LocalStore.open(folder, READ_ONLY)
  return {
    ...{ uri: folder, store, folder },
    hash: async (key) => {
      await store.head(key)
      return hashFile(join(folder, key))
    },
    openForRepair: () => LocalStore.open(folder),
  }
}

async function openS3(place: string, { region, endpoint }: S3Options): Promise<Target> {
  const [, bucket = '', rest = ''] = /^s3:\/\/([^/]+)\/?(.*)$/.exec(place) ?? []
  const prefix = rest === '' || rest.endsWith('/') ? rest : `${rest}/`
  const spec = { backend: 's3', bucket, prefix, region, endpoint, credentials: null } as const
  const store = await openStore(spec)
  const scratch = await mkdtemp(join(tmpdir(), 'vectord-doctor-'))
  let downloads = 0
  const hash = async (key: string): Promise<FileHash> => {
    const path = join(scratch, String(++downloads))
    await store.getFile(key, path)
    try {
      return await hashFile(path)
    } finally {
      await rm(path, { force: true })
    }
  }
  const openForRepair = (): Promise<ObjectStore> => openStore(spec)
  const buckets = [{ uri: place, store, folder: null, hash, openForRepair }]
  return {
    buckets,
    close: async () => {
      await closeAll(buckets)
      await rm(scratch, { recursive: true, force: true })
    },
  }
}

async function closeAll(buckets: readonly TargetBucket[]): Promise<void> {
  for (const { store } of buckets) await store.close()
}

async function isBucket(folder: string): Promise<boolean> {
  return (
    (await isFolder(join(folder, TEMPORARY_FOLDER))) || (await isFolder(join(folder, '_indexes')))
  )
}

async function isFolder(path: string): Promise<boolean> {
  return (await statOf(path))?.isDirectory() === true
}

async function exists(path: string): Promise<boolean> {
  return (await statOf(path)) !== null
}

async function statOf(path: string): Promise<Stats | null> {
  try {
    return await stat(path)
  } catch (error) {
    if (hasErrno(error, 'ENOENT', 'ENOTDIR')) return null
    throw new UsageError(`${path} cannot be looked at.`, { cause: error })
  }
}

const nothing = (): Promise<void> => Promise.resolve()

/** What opening a bucket would make or sweep is left as it is. */
const READ_ONLY: typeof files = {
  ...files,
  mkdir: () => Promise.resolve(undefined),
  unlink: nothing,
  rmdir: nothing,
  rename: nothing,
  link: nothing,
  copyFile: nothing,
  // A bucket that was copied by hand may lack the folder of temporary files.
  readdir: ((path: string, ...rest: []) =>
    files.readdir(path, ...rest).catch((error: unknown) => {
      if (basename(path) === TEMPORARY_FOLDER && hasErrno(error, 'ENOENT')) return []
      throw error
    })) as typeof files.readdir,
}
