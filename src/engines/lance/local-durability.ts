/**
 * What makes the commits of a Lance table in a local folder durable: LanceDB syncs nothing.
 *
 *     commit ─▶ sync each new file ─▶ sync their folders ─▶ `_synced` says the version ─▶ answer
 *
 * A crash of the machine may leave a commit whose files are there by name only, and LanceDB would
 * take it for the newest version. So whoever opens the table first drops the versions that come
 * after the one in `_synced`: nobody was told that they exist. Where that file is missing or
 * unreadable nothing is dropped: then a damaged version is an error that shows.
 *
 * LanceDB writes a file once and never again, but for the hint of the newest version, which it does
 * without. So a file whose name was seen before needs no sync.
 */

import * as nodeFiles from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { hasErrno } from '../../buckets/errno.ts'
import { localFault, syncFolder, writeDurable, type FileSystem } from '../../buckets/local-files.ts'

const MARKER = '_synced'
/** Within one sector of a disk, so that it is never torn. */
const MARKER_BYTES = 64

const VERSIONS_FOLDER = '_versions'
const HINT = 'latest_version_hint.json'
const INDICES_FOLDER = '_indices'
const FOLDERS = ['data', '_deletions', '_transactions', VERSIONS_FOLDER]

/** LanceDB counts the names of its manifests down from here. */
const MANIFEST_TOP = 2n ** 64n - 1n

export class LocalDurability {
  readonly #files: FileSystem
  readonly #folder: string
  /** Names that were synced, by folder. */
  #known: ReadonlyMap<string, ReadonlySet<string>> = new Map()

  private constructor(files: FileSystem, folder: string) {
    this.#files = files
    this.#folder = folder
  }

  /**
   * Takes on a table that nobody has open, or that is not there yet, and drops the commits that were
   * never acknowledged.
   */
  static async open(folder: string, files: FileSystem = nodeFiles): Promise<LocalDurability> {
    const durability = new LocalDurability(files, folder)
    await guarded(folder, async () => {
      // Without a marker nobody knows what was synced: the next commit syncs all of it.
      if (await dropUnsynced(files, folder)) durability.#known = await durability.#list()
    })
    return durability
  }

  /**
   * Makes every commit up to `version` durable. Calls do not overlap.
   *
   * @param version the newest one, read before this is called.
   */
  async synced(version: number): Promise<void> {
    await guarded(this.#folder, async () => {
      const listed = await this.#list()
      const changed = [...listed].map(([where, names]) => this.#syncFolder(where, names))
      await Promise.all(changed)
      if ([...listed.keys()].some((where) => !this.#known.has(where))) await this.#syncAbove()
      await writeMarker(this.#files, this.#folder, version)
      this.#known = listed
    })
  }

  async #syncFolder(where: string, names: ReadonlySet<string>): Promise<void> {
    const known = this.#known.get(where)
    const added = [...names].filter((name) => known?.has(name) !== true)
    if (added.length === 0) return
    await Promise.all(added.map((name) => syncFile(this.#files, join(where, name))))
    await whereThere(() => syncFolder(this.#files, where))
  }

  /** The table itself may be new, and so may the folder of all tables. */
  async #syncAbove(): Promise<void> {
    const indices = join(this.#folder, INDICES_FOLDER)
    await whereThere(() => syncFolder(this.#files, indices))
    const tables = dirname(this.#folder)
    for (const folder of [this.#folder, tables, dirname(tables)]) {
      await syncFolder(this.#files, folder)
    }
  }

  async #list(): Promise<Map<string, ReadonlySet<string>>> {
    const folders = FOLDERS.map((name) => join(this.#folder, name))
    const indices = join(this.#folder, INDICES_FOLDER)
    for (const name of await namesIn(this.#files, indices)) folders.push(join(indices, name))
    const listed = new Map<string, ReadonlySet<string>>()
    for (const folder of folders) {
      const names = await namesIn(this.#files, folder)
      if (names.length > 0) listed.set(folder, new Set(names.filter(isKept)))
    }
    return listed
  }
}

/** LanceDB writes under names that start with a dot before it renames. */
function isKept(name: string): boolean {
  return name !== HINT && !name.startsWith('.')
}

async function guarded<T>(folder: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw localFault(error, 'sync', folder)
  }
}

/** Names in a folder; none where it is not there. */
async function namesIn(files: FileSystem, folder: string): Promise<string[]> {
  return (await whereThere(() => files.readdir(folder))) ?? []
}

/** Undefined where the file is gone again: LanceDB tidies up after itself. */
async function whereThere<T>(work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work()
  } catch (error) {
    if (hasErrno(error, 'ENOENT', 'ENOTDIR')) return undefined
    throw error
  }
}

async function syncFile(files: FileSystem, path: string): Promise<void> {
  await whereThere(async () => {
    const handle = await files.open(path, 'r')
    try {
      await handle.datasync()
    } finally {
      await handle.close()
    }
  })
}

/** @returns whether all that is left was synced. */
async function dropUnsynced(files: FileSystem, folder: string): Promise<boolean> {
  const synced = await readMarker(files, folder)
  if (synced === null) return false
  const versions = join(folder, VERSIONS_FOLDER)
  const names = await namesIn(files, versions)
  if (!names.includes(manifestOf(synced))) return false
  const unsynced = names.filter((name) => (versionOf(name) ?? 0) > synced)
  if (unsynced.length === 0) return true
  // The newest first, so that a crash in between leaves no gap.
  unsynced.sort((a, b) => (versionOf(b) ?? 0) - (versionOf(a) ?? 0))
  for (const name of unsynced) await files.unlink(join(versions, name))
  await whereThere(() => files.unlink(join(versions, HINT)))
  await syncFolder(files, versions)
  return true
}

function manifestOf(version: number): string {
  return `${MANIFEST_TOP - BigInt(version)}.manifest`
}

function versionOf(name: string): number | null {
  const digits = /^(\d{1,20})\.manifest$/.exec(name)?.[1]
  return digits === undefined ? null : Number(MANIFEST_TOP - BigInt(digits))
}

async function readMarker(files: FileSystem, folder: string): Promise<number | null> {
  const text = await whereThere(async () => {
    const handle = await files.open(join(folder, MARKER), 'r')
    try {
      return await handle.readFile('utf8')
    } finally {
      await handle.close()
    }
  })
  const version = /^vectord 1 (\d+) *\n$/.exec(text ?? '')?.[1]
  return version === undefined ? null : Number(version)
}

async function writeMarker(files: FileSystem, folder: string, version: number): Promise<void> {
  const path = join(folder, MARKER)
  const body = Buffer.from(`${`vectord 1 ${version}`.padEnd(MARKER_BYTES - 1)}\n`)
  const wasThere = await whereThere(async () => {
    const handle = await files.open(path, 'r+')
    try {
      await handle.write(body, 0, body.length, 0)
      // Also of its length, where something else had that name.
      await handle.truncate(body.length)
      await handle.datasync()
      return true
    } finally {
      await handle.close()
    }
  })
  if (wasThere === true) return
  await writeDurable(files, path, body)
  await syncFolder(files, folder)
}
