/**
 * Programs of Debian for tests, without root: their packages are unpacked once into the user's cache.
 *
 *     const root = await debianPackages({ name: 'ceph', packages: ['radosgw'], program: 'usr/bin/radosgw' })
 *
 * They may need a newer C library than the machine has: theirs is unpacked too, with its loader.
 */

import { execFile } from 'node:child_process'
import { access, mkdir, rm } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'

const run = promisify(execFile)

const FETCH_SCRIPT = join(import.meta.dirname, 'fetch-debian.sh')
const FETCH_TIMEOUT_MS = 600_000

export interface DebianProgram {
  /** Of the folder in the cache. */
  readonly name: string
  readonly packages: readonly string[]
  /** A file that is there when they are: `usr/bin/radosgw`. */
  readonly program: string
}

/** The folder in which the packages lie as if it were `/`. @throws where they cannot be had. */
export async function debianPackages(wanted: DebianProgram): Promise<string> {
  const cache = process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache')
  const folder = join(cache, 'vectord-test', wanted.name)
  if (!(await exists(join(folder, 'root', wanted.program)))) {
    await mkdir(folder, { recursive: true })
    await fetchOnce(folder, wanted)
  }
  return join(folder, 'root')
}

/** Test processes that run at the same time take turns: the folder of the lock is the lock. */
async function fetchOnce(folder: string, { packages, program }: DebianProgram): Promise<void> {
  const lock = join(folder, 'lock')
  const deadline = Date.now() + FETCH_TIMEOUT_MS
  while (!(await mkdir(lock).then(isDone, isTaken))) {
    if (Date.now() > deadline) throw new Error(`another process holds ${lock}`)
    await sleep(500)
  }
  try {
    if (await exists(join(folder, 'root', program))) return
    await run('bash', [FETCH_SCRIPT, folder, ...packages], { timeout: FETCH_TIMEOUT_MS })
  } finally {
    await rm(lock, { recursive: true, force: true })
  }
}

function exists(path: string): Promise<boolean> {
  return access(path).then(isDone, () => false)
}

function isDone(): boolean {
  return true
}

function isTaken(error: unknown): boolean {
  if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false
  throw error
}
