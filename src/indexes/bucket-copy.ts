/**
 * Copies objects from one bucket to another under the same keys, and proves each copy.
 *
 *     source ─▶ a local file, hashed ─▶ target ─▶ read back, hashed: the same? ─▶ counted as copied
 *
 * May run several times: what has been copied and not changed since is left alone, so that the last
 * run, for which everything stands still, is short.
 */

import { randomUUID } from 'node:crypto'
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { ObjectInfo, ObjectStore } from '../buckets/object-store.ts'
import { hashFile } from '../codecs/file-hash.ts'
import { hasCode, VectordError } from '../lib/errors.ts'

/** Objects on their way at a time: each is a file of at most a part or a graph. */
const COPIES_MAX = 4

/** Keys whose object never changes: they are named by number, by time, or at random. */
const IMMUTABLE = /\/(\d{10}\.json|batch_\d{16}(-[0-9a-f]{8})?\.jsonl)$|\.(parquet|hnsw|labels)$/

export interface BucketCopyOptions {
  readonly from: ObjectStore
  readonly to: ObjectStore
  /** A folder of its own for temporary files; made and removed here. */
  readonly scratch: string
}

export interface CopyRun {
  readonly signal: AbortSignal
  /** True where the source may change meanwhile: what is gone is left out. */
  readonly isMoving: boolean
  /** SHA-256 in hex of objects whose content is known. */
  readonly expected: ReadonlyMap<string, string>
  readonly onProgress: (doneBytes: number, totalBytes: number) => void
}

export class BucketCopy {
  readonly #options: BucketCopyOptions
  /** What stands at the target, as the source had it. */
  readonly #copied = new Map<string, ObjectInfo>()

  constructor(options: BucketCopyOptions) {
    this.#options = options
  }

  /**
   * Makes the target hold `objects`, and no other that was copied before. @returns bytes copied.
   *
   * @throws {VectordError} `object_corrupt` where an object is not what it should be on either side;
   *   `object_not_found` where it is gone and nothing moves; errors of both buckets.
   */
  async run(objects: readonly ObjectInfo[], run: CopyRun): Promise<number> {
    const wanted = new Set(objects.map(({ key }) => key))
    const due = objects.filter((object) => !this.#isCopied(object))
    const total = due.reduce((sum, { bytes }) => sum + bytes, 0)
    let done = 0
    await mkdir(this.#options.scratch, { recursive: true })
    for (let at = 0; at < due.length; at += COPIES_MAX) {
      run.signal.throwIfAborted()
      const some = due.slice(at, at + COPIES_MAX)
      await settled(some.map((object) => this.#copy(object, run)))
      done += some.reduce((sum, { bytes }) => sum + bytes, 0)
      run.onProgress(done, total)
    }
    for (const key of [...this.#copied.keys()]) {
      if (wanted.has(key)) continue
      await this.#options.to.delete(key)
      this.#copied.delete(key)
    }
    return total
  }

  /** Removes the temporary files. */
  async close(): Promise<void> {
    await rm(this.#options.scratch, { recursive: true, force: true })
  }

  #isCopied({ key, bytes, modifiedMs }: ObjectInfo): boolean {
    const copied = this.#copied.get(key)
    if (copied === undefined || !IMMUTABLE.test(key)) return false
    return copied.bytes === bytes && copied.modifiedMs === modifiedMs
  }

  async #copy(object: ObjectInfo, { isMoving, expected }: CopyRun): Promise<void> {
    const { from, to, scratch } = this.#options
    const { key } = object
    const path = join(scratch, randomUUID())
    try {
      if (!(await fetched(from.getFile(key, path), isMoving))) return
      const { sha256 } = await hashFile(path)
      if ((expected.get(key) ?? sha256) !== sha256) throw damaged(key)
      await to.putFile(key, path)
      await to.getFile(key, `${path}.back`)
      if ((await hashFile(`${path}.back`)).sha256 !== sha256) throw damaged(key)
      this.#copied.set(key, object)
    } finally {
      await rm(path, { force: true })
      await rm(`${path}.back`, { force: true })
    }
  }
}

/** False where the object is gone and may be. */
async function fetched(getting: Promise<void>, mayBeGone: boolean): Promise<boolean> {
  try {
    await getting
    return true
  } catch (error) {
    if (mayBeGone && hasCode(error, 'object_not_found')) return false
    throw error
  }
}

/** Waits for all, so that nothing of it goes on after a failure. @throws the first failure. */
export async function settled(work: readonly Promise<void>[]): Promise<void> {
  const outcomes = await Promise.allSettled(work)
  for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason
}

function damaged(key: string): VectordError {
  return new VectordError(
    'object_corrupt',
    `The object "${key}" did not arrive as it was written.`,
    {
      details: { key },
    },
  )
}
