/**
 * How long a server takes to be back, beside reading the same bytes from the disk.
 */

import { closeSync, openSync, readdirSync, readSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { BenchServer } from './server.ts'

export interface Restart {
  /** Milliseconds from the start of the process. */
  readonly listeningMs: number
  readonly firstSearchMs: number
  readonly readyMs: number
}

export interface Started extends Restart {
  readonly server: BenchServer
}

/** Starts the server on `root` and asks for a search and for readiness until both answer 200. */
export async function startTimed(
  root: string,
  index: string,
  options: { readonly search: object; readonly profile: string | null },
): Promise<Started> {
  const server = await BenchServer.start(root, { profile: options.profile })
  const [firstSearchMs, readyMs] = await Promise.all([
    server.answersAfterMs('POST', `/vectors/indexes/${index}/search`, options.search),
    server.answersAfterMs('GET', '/readyz'),
  ])
  return { server, listeningMs: server.listeningMs - server.startedMs, firstSearchMs, readyMs }
}

export interface DiskRead {
  readonly bytes: number
  readonly ms: number
}

/** Reads every file below `folder` once, in blocks of 4 MiB; the page cache is left as it is. */
export function readAll(folder: string): DiskRead {
  const block = Buffer.alloc(4 * 2 ** 20)
  const start = performance.now()
  let bytes = 0
  for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
    const path = join(folder, name)
    if (!statSync(path).isFile()) continue
    const fd = openSync(path, 'r')
    for (let read = 1; read > 0;) {
      read = readSync(fd, block)
      bytes += read
    }
    closeSync(fd)
  }
  return { bytes, ms: performance.now() - start }
}
