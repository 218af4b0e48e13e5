/**
 * The snapshots of one index in one bucket.
 *
 *     _snapshots/{index}/{id}/parts/…  graphs/…   files that only this snapshot has
 *     _snapshots/{index}/{id}/snapshot.json       its document, written last and removed first
 *
 * A snapshot exists when its document does. What lies in a folder without one is being written, or a
 * crash left it: then it goes when it is old.
 */

import type { ObjectStore } from '../buckets/object-store.ts'
import { infoOf } from '../indexes/index-objects.ts'
import { hasCode, VectordError } from '../lib/errors.ts'
import { TIME_ID_PATTERN } from '../lib/time-id.ts'
import { decodeSnapshot, encodeSnapshot } from './snapshot-codec.ts'
import type { Snapshot } from './snapshot.ts'

const ID = new RegExp(TIME_ID_PATTERN)
const DOCUMENT = 'snapshot.json'

/** Milliseconds without a new object after which an unfinished snapshot counts as given up. */
const LEFT_AGE_MS = 24 * 3600 * 1000

export interface ShelfList {
  /** Newest first. */
  readonly snapshots: readonly Snapshot[]
  /** Documents that are damaged, or of a newer version. */
  readonly faults: readonly { readonly id: string; readonly fault: VectordError }[]
  /** The id after which the next page starts; null at the end. */
  readonly next: string | null
}

export interface ShelfPage {
  /** Only older ones than this; null starts with the newest. */
  readonly before: string | null
  readonly limit: number
}

export class SnapshotShelf {
  readonly store: ObjectStore
  readonly index: string

  constructor(store: ObjectStore, index: string) {
    this.store = store
    this.index = index
  }

  /** What the keys of all objects of a snapshot begin with. */
  folder(id: string): string {
    return `_snapshots/${this.index}/${id}/`
  }

  /** @throws {VectordError} `snapshot_not_found`, `object_corrupt`, `format_too_new`. */
  async read(id: string): Promise<Snapshot> {
    const key = this.folder(id) + DOCUMENT
    try {
      const body = await this.store.get(key)
      return decodeSnapshot(key, body, { index: this.index, id })
    } catch (error) {
      if (!hasCode(error, 'object_not_found')) throw error
      throw notFound(this.index, id)
    }
  }

  async list({ before, limit }: ShelfPage): Promise<ShelfList> {
    const snapshots: Snapshot[] = []
    const faults: { id: string; fault: VectordError }[] = []
    const older = (await this.#folders())
      .filter(({ id, isWhole }) => isWhole && (before === null || id < before))
      .reverse()
    const page = older.slice(0, limit)
    for (const { id } of page) {
      try {
        snapshots.push(await this.read(id))
      } catch (error) {
        // Removed between the list and the read.
        if (hasCode(error, 'snapshot_not_found')) continue
        if (!hasCode(error, 'object_corrupt', 'format_too_new')) throw error
        faults.push({ id, fault: error })
      }
    }
    const next = older.length > limit ? (page.at(-1)?.id ?? null) : null
    return { snapshots, faults, next }
  }

  /** Makes the snapshot exist; its files are there. Durable once resolved. */
  async put(snapshot: Snapshot): Promise<void> {
    await this.store.put(this.folder(snapshot.id) + DOCUMENT, encodeSnapshot(snapshot))
  }

  async has(id: string): Promise<boolean> {
    return (await infoOf(this.store, this.folder(id) + DOCUMENT)) !== null
  }

  /** Removes everything of a snapshot; from its first step on it does not exist any more. */
  async remove(id: string): Promise<void> {
    await this.store.delete(this.folder(id) + DOCUMENT)
    for await (const { key } of this.store.list(this.folder(id))) await this.store.delete(key)
  }

  /**
   * Removes what was left unfinished long ago.
   *
   * @param isAlive true for one that this process is writing.
   */
  async sweep(nowMs: number, isAlive: (id: string) => boolean): Promise<void> {
    for (const { id, isWhole, newestMs } of await this.#folders()) {
      if (!isWhole && nowMs - newestMs > LEFT_AGE_MS && !isAlive(id)) await this.remove(id)
    }
  }

  /** Ascending by id. */
  async #folders(): Promise<{ id: string; isWhole: boolean; newestMs: number }[]> {
    const folders = new Map<string, { id: string; isWhole: boolean; newestMs: number }>()
    const prefix = `_snapshots/${this.index}/`
    for await (const { key, modifiedMs } of this.store.list(prefix)) {
      const [id = '', ...path] = key.slice(prefix.length).split('/')
      if (!ID.test(id)) continue
      const folder = folders.get(id) ?? { id, isWhole: false, newestMs: 0 }
      folder.isWhole ||= path.join('/') === DOCUMENT
      folder.newestMs = Math.max(folder.newestMs, modifiedMs)
      folders.set(id, folder)
    }
    return [...folders.values()]
  }
}

export function notFound(index: string, id: string): VectordError {
  const message = `That bucket has no snapshot "${id}" of index "${index}".`
  return new VectordError('snapshot_not_found', message, { details: { index, snapshot: id } })
}
