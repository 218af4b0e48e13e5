/**
 * What `vectord doctor` is pointed at: a storage root, a bucket in a folder, or one in S3.
 *
 * Until a repair was asked for nothing is written: a local bucket is opened over a file system that
 * cannot.
 */

import * as files from 'node:fs/promises'
import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join, resolve } from 'node:path'
import { hasErrno } from '../../src/buckets/errno.ts'
import { LocalStore } from '../../src/buckets/local-store.ts'
import { TEMPORARY_FOLDER } from '../../src/buckets/object-key.ts'
import type { ObjectStore } from '../../src/buckets/object-store.ts'
import { openStore } from '../../src/buckets/open-store.ts'
import { type FileHash, hashFile } from '../../src/codecs/file-hash.ts'
import { lockRoot } from '../../src/log/root-lock.ts'
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
  // A server that writes here holds this lock; while we hold it, none can begin to.
  const lock = await lockRoot(folder)
  const buckets: TargetBucket[] = []
  for (const root of roots) buckets.push(await localBucket(root))
  return {
    buckets,
    close: async () => {
      await closeAll(buckets)
      await lock.release()
    },
  }
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
  try {
    return (await stat(path)).isDirectory()
  } catch (error) {
    if (hasErrno(error, 'ENOENT', 'ENOTDIR')) return false
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
