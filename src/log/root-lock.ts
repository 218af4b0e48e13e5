/**
 * One process at a time on a storage root, by a lock that a kill -9 does not leave behind.
 *
 * Node has no flock. SQLite's exclusive transaction takes an fcntl lock on its file, which the kernel
 * releases when the process is gone; the transaction is never committed, so the file stays empty.
 */

import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { VectordError } from '../lib/errors.ts'

/** In the folder that it locks. */
export const LOCK_FILE = '.vectord-lock'

export interface RootLock {
  /** Lets the next process in. Idempotent. */
  release(): Promise<void>
}

/** @throws {VectordError} `root_locked` where another process holds `folder`, naming its pid. */
export async function lockRoot(folder: string): Promise<RootLock> {
  const path = join(folder, LOCK_FILE)
  const holder = `${path}.pid`
  const database = new DatabaseSync(path)
  try {
    database.exec('PRAGMA journal_mode = OFF; BEGIN EXCLUSIVE')
  } catch (cause) {
    database.close()
    const pid = await readFile(holder, 'utf8').catch(() => 'unknown')
    throw new VectordError('root_locked', `"${folder}" is in use by process ${pid.trim()}.`, {
      details: { folder, pid: pid.trim() },
      cause,
    })
  }
  await writeFile(holder, `${process.pid}\n`)
  let held = true
  return {
    release: () => {
      if (held) database.close()
      held = false
      return Promise.resolve()
    },
  }
}
