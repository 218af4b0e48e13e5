/**
 * Programs of Debian for tests, without root: their packages are unpacked once into the user's cache.
 *
 *     const root = await debianPackages({ name: 'ceph', packages: ['radosgw'], program: 'usr/bin/radosgw' })
 *
 * They are of sid, and may need a newer C library than the machine has: theirs is unpacked too, with
 * its loader. A program that starts others of its own cannot be started by a loader: it is taken from
 * the machine's own suite, and runs with the machine's C library and `LD_LIBRARY_PATH`.
 */

import { execFile } from 'node:child_process'
import { glob, mkdir, readFile, rm } from 'node:fs/promises'
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
  /** A file that is there when they are: `usr/bin/radosgw`. It may have stars. */
  readonly program: string
  /** Of the machine's own suite, for its C library; left out: of sid. */
  readonly ownSuite?: boolean
  /** Packages that they depend on and do not need here, an expression: `libllvm[0-9]*|libz3-4`. */
  readonly without?: string
}

/** The folder in which the packages lie as if it were `/`. @throws where they cannot be had. */
export async function debianPackages(wanted: DebianProgram): Promise<string> {
  const cache = process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache')
  const suite = wanted.ownSuite === true ? await ownSuite() : null
  const folder = join(
    cache,
    'vectord-test',
    suite === null ? wanted.name : `${wanted.name}-${suite}`,
  )
  if ((await find(join(folder, 'root'), wanted.program)) === null) {
    await mkdir(folder, { recursive: true })
    await fetchOnce(folder, suite, wanted)
  }
  return join(folder, 'root')
}

/** Test processes that run at the same time take turns: the folder of the lock is the lock. */
async function fetchOnce(
  folder: string,
  suite: string | null,
  wanted: DebianProgram,
): Promise<void> {
  const lock = join(folder, 'lock')
  const deadline = Date.now() + FETCH_TIMEOUT_MS
  while (!(await mkdir(lock).then(isDone, isTaken))) {
    if (Date.now() > deadline) throw new Error(`another process holds ${lock}`)
    await sleep(500)
  }
  try {
    if ((await find(join(folder, 'root'), wanted.program)) !== null) return
    const own = suite === null ? [] : ['--own-suite', suite]
    const without = wanted.without === undefined ? [] : ['--without', wanted.without]
    const args = [FETCH_SCRIPT, ...own, ...without, folder, ...wanted.packages]
    await run('bash', args, { timeout: FETCH_TIMEOUT_MS })
  } finally {
    await rm(lock, { recursive: true, force: true })
  }
}

async function ownSuite(): Promise<string> {
  const suite = /^VERSION_CODENAME=(\w+)$/m.exec(await readFile('/etc/os-release', 'utf8'))?.[1]
  if (suite === undefined) throw new Error('/etc/os-release names no suite of Debian')
  return suite
}

/** Where packages under `root` keep the shared libraries of this CPU: `usr/lib/x86_64-linux-gnu`. */
export function debianLibraries(root: string): string {
  const cpu = { x64: 'x86_64', arm64: 'aarch64' }[process.arch as string] ?? process.arch
  return join(root, 'usr/lib', `${cpu}-linux-gnu`)
}

/** The file under `root` that `pattern` names, or null. */
export async function find(root: string, pattern: string): Promise<string | null> {
  for await (const path of glob(pattern, { cwd: root })) return join(root, path)
  return null
}

function isDone(): boolean {
  return true
}

function isTaken(error: unknown): boolean {
  if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false
  throw error
}
