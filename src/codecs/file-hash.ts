/**
 * How a stored file is told from a damaged one: its length and SHA-256.
 */

import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'

export interface FileHash {
  readonly bytes: number
  /** In hex. */
  readonly sha256: string
}

export async function hashFile(path: string): Promise<FileHash> {
  const hash = createHash('sha256')
  let bytes = 0
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) {
    hash.update(chunk as Buffer)
    bytes += (chunk as Buffer).length
  }
  return { bytes, sha256: hash.digest('hex') }
}
