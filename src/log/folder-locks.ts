/**
 * The locks that this server holds on local buckets outside its storage root, taken as they are met.
 */

import { join } from 'node:path'
import { lockRoot, type RootLock } from './root-lock.ts'

export class FolderLocks {
  readonly #storageRoot: string
  readonly #locks = new Map<string, Promise<RootLock>>()

  constructor(storageRoot: string) {
    this.#storageRoot = storageRoot
  }

  /**
   * Resolves once the folder is ours; at once where it lies in the storage root, which is locked as
   * a whole. @throws {VectordError} `root_locked`.
   */
  async lock(root: string): Promise<void> {
    if (root.startsWith(join(this.#storageRoot, '/'))) return
    const held = this.#locks.get(root) ?? lockRoot(root)
    this.#locks.set(root, held)
    try {
      await held
    } catch (error) {
      this.#locks.delete(root)
      throw error
    }
  }

  /** Lets other servers in. */
  async release(): Promise<void> {
    for (const lock of this.#locks.values()) await (await lock).release()
  }
}
