/**
 * Files with secrets: small, and closed to everybody but their owner.
 */

import { constants } from 'node:fs'
import { open } from 'node:fs/promises'

/** Larger files are no secrets. */
const FILE_BYTES_MAX = 64 * 1024

/** Why a file is not read as a secret: a sentence without its full stop. */
export class SecretFileFault extends Error {
  override readonly name = 'SecretFileFault'
}

/**
 * Reads a small file that only its owner may read; the check is of the file that was opened.
 *
 * @param what the file, in words, for messages. @throws {SecretFileFault}
 */
export async function readSecretFile(path: string, what: string): Promise<string> {
  try {
    const handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW)
    try {
      const stats = await handle.stat()
      if (!stats.isFile() || stats.size > FILE_BYTES_MAX) {
        throw new SecretFileFault(`${path} is no ${what}`)
      }
      if ((stats.mode & 0o177) !== 0) {
        throw new SecretFileFault(`The ${what} ${path} must have mode 0600: others may read it`)
      }
      return await handle.readFile('utf8')
    } finally {
      await handle.close()
    }
  } catch (cause) {
    if (cause instanceof SecretFileFault) throw cause
    throw new SecretFileFault(`The ${what} ${path} cannot be read`, { cause })
  }
}
