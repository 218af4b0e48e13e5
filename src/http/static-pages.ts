/**
 * Built pages, held in memory: a few files that never change while the process runs.
 *
 * Requests choose among the names that were found at the start, so no path of a request ever reaches
 * the file system. Each file has its ETag and a compressed form.
 */

import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { extname, join, relative, sep } from 'node:path'
import { gzipSync } from 'node:zlib'

export interface StaticPage {
  readonly type: string
  readonly etag: string
  readonly bytes: Buffer
  /** Null where it is no smaller. */
  readonly gzip: Buffer | null
}

const TYPES: Readonly<Record<string, string>> = {
  '.css': 'text/css; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
}

/** By path below `folder`, with slashes; empty where there is no such folder. */
export function readPages(folder: string): ReadonlyMap<string, StaticPage> {
  if (!existsSync(folder)) return new Map()
  const files = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
  return new Map(
    files.map((file) => [relative(folder, file).split(sep).join('/'), pageOf(file)] as const),
  )
}

function pageOf(file: string): StaticPage {
  const bytes = readFileSync(file)
  const gzip = gzipSync(bytes, { level: 9 })
  return {
    type: TYPES[extname(file)] ?? 'application/octet-stream',
    etag: `"${createHash('sha256').update(bytes).digest('base64url').slice(0, 22)}"`,
    bytes,
    gzip: gzip.length < bytes.length ? gzip : null,
  }
}
