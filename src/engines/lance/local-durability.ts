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

import { constants } from 'node:fs'
import * as files from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { hasErrno } from '../../buckets/errno.ts'
import { localFault, removeQuietly, syncFolder, writeDurable } from '../../buckets/local-files.ts'

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
  readonly #folder: string
  /** Names that were synced, or were there before, by folder. */
  readonly #known = new Map<string, Set<string>>()

  private constructor(folder: string) {
    this.#folder = folder
  }

  /**
   * Takes on a table that nobody has open, or that is not there yet, and drops the commits that were
   * never acknowledged.
   */
  static async open(folder: string): Promise<LocalDurability> {
    const durability = new LocalDurability(folder)
    await guarded(folder, async () => {
      // Without a marker nobody knows what was synced: the next commit syncs all of it.
      if (!(await dropUnsynced(folder))) return
      for (const [where, names] of await durability.#list()) durability.#known.set(where, names)
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
      await this.#syncNew()
      await writeMarker(this.#folder, version)
    })
  }

  async #syncNew(): Promise<void> {
    const folders = [...(await this.#list())]
    const isNewFolder = folders.some(([where]) => !this.#known.has(where))
    await Promise.all(folders.map(([where, names]) => this.#syncFolder(where, names)))
    if (!isNewFolder) return
    await syncWhereThere(join(this.#folder, INDICES_FOLDER))
    // The table itself may be new, and so may the folder of all tables.
    const above = [this.#folder, dirname(this.#folder), dirname(dirname(this.#folder))]
    for (const folder of above) await syncFolder(files, folder)
  }

  async #syncFolder(where: string, names: Set<string>): Promise<void> {
    const known = this.#known.get(where)
    const added = [...names].filter((name) => known?.has(name) !== true)
    this.#known.set(where, names)
    if (added.length === 0) return
    try {
      await Promise.all(added.map((name) => syncFile(join(where, name))))
      await syncWhereThere(where)
    } catch (error) {
      // They are to be synced again by the next commit.
      this.#known.set(where, known ?? new Set())
      throw error
    }
  }

  async #list(): Promise<Map<string, Set<string>>> {
    const folders = FOLDERS.map((name) => join(this.#folder, name))
    const indices = join(this.#folder, INDICES_FOLDER)
    for (const name of await namesIn(indices)) folders.push(join(indices, name))
    const listed = new Map<string, Set<string>>()
    for (const folder of folders) {
      const names = await namesIn(folder)
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

async function namesIn(folder: string): Promise<string[]> {
  try {
    return await files.readdir(folder)
  } catch (error) {
    if (hasErrno(error, 'ENOENT', 'ENOTDIR')) return []
    throw error
  }
}

/** A file that is gone again was of no commit: LanceDB tidies up after itself. */
async function syncFile(path: string): Promise<void> {
  try {
    const handle = await files.open(path, constants.O_RDONLY)
    try {
      await handle.datasync()
    } finally {
      await handle.close()
    }
  } catch (error) {
    if (!hasErrno(error, 'ENOENT')) throw error
  }
}

async function syncWhereThere(folder: string): Promise<void> {
  try {
    await syncFolder(files, folder)
  } catch (error) {
    if (!hasErrno(error, 'ENOENT')) throw error
  }
}

/** @returns whether all that is left was synced. */
async function dropUnsynced(folder: string): Promise<boolean> {
  const synced = await readMarker(folder)
  if (synced === null) return false
  const versions = join(folder, VERSIONS_FOLDER)
  const names = await namesIn(versions)
  if (!names.includes(manifestOf(synced))) return false
  const unsynced = names.filter((name) => (versionOf(name) ?? 0) > synced)
  if (unsynced.length === 0) return true
  // The newest first, so that a crash in between leaves no gap.
  unsynced.sort((a, b) => (versionOf(b) ?? 0) - (versionOf(a) ?? 0))
  for (const name of unsynced) await files.unlink(join(versions, name))
  await removeQuietly(files, join(versions, HINT))
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

async function readMarker(folder: string): Promise<number | null> {
  let text: string
  try {
    text = await files.readFile(join(folder, MARKER), 'utf8')
  } catch (error) {
    if (hasErrno(error, 'ENOENT')) return null
    throw error
  }
  const version = /^vectord 1 (\d+) *\n$/.exec(text)?.[1]
  return version === undefined ? null : Number(version)
}

async function writeMarker(folder: string, version: number): Promise<void> {
  const path = join(folder, MARKER)
  const body = Buffer.from(`${`vectord 1 ${version}`.padEnd(MARKER_BYTES - 1)}\n`)
  try {
    const handle = await files.open(path, 'r+')
    try {
      await handle.write(body, 0, body.length, 0)
      await handle.datasync()
    } finally {
      await handle.close()
    }
  } catch (error) {
    if (!hasErrno(error, 'ENOENT')) throw error
    await writeDurable(files, path, body)
    await syncFolder(files, folder)
  }
}
