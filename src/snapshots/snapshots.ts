/**
 * Snapshots of indexes: made, listed, checked, copied to other buckets, restored, removed.
 *
 *     make      checkpoint of everything written so far, held ─▶ its files copied ─▶ document
 *     restore   document ─▶ files copied into a new index, which then exists whole: `index-arrivals.ts`
 *     copy      files, then the document, which is the same byte for byte
 *
 * Every file is compared with its checksum on its way, at both ends. A graph is derived: one that is
 * damaged is left out, and the index builds it again; a damaged part ends the work.
 */

import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import type { ObjectStore } from '../buckets/object-store.ts'
import type { CheckpointContent } from '../domain/checkpoint.ts'
import type { ManagedIndex } from '../indexes/index-api.ts'
import type { BringIndex } from '../indexes/index-arrivals.ts'
import type { IndexMeta } from '../indexes/index-meta.ts'
import type { ServedIndex } from '../indexes/served-index.ts'
import { VectordError } from '../lib/errors.ts'
import { newTimeId } from '../lib/time-id.ts'
import type { PromotionEntry } from '../promotions/promotion-document.ts'
import { toldLivePoints } from '../shard/live-points.ts'
import { carryFiles, checkFiles, type CarriedFile, type FileFault } from './carried-files.ts'
import { promoteAgain, settingsOf, type RestoreWish } from './restored-index.ts'
import { filesOf, withKeys, type Snapshot } from './snapshot.ts'
import { bytesOf } from './snapshot-codec.ts'
import { carried, keysInIndex, numbered } from './snapshot-keys.ts'
import { notFound, SnapshotShelf, type ShelfList, type ShelfPage } from './snapshot-shelf.ts'

/** Read where a home bucket fails; what it holds is put there by other means. */
const RESCUE = 'rescue'

export interface SnapshotsOptions {
  /** @throws {VectordError} `bucket_not_found`, `bucket_unreachable`. */
  readonly store: (bucket: string) => ObjectStore
  /** @throws {VectordError} `index_not_found`. */
  readonly served: (index: string) => ServedIndex
  readonly restore: (bring: BringIndex) => Promise<ManagedIndex>
  /** What is in force for an index; null where nothing was promoted. */
  readonly promoted: (index: string) => Promise<PromotionEntry | null>
  /** Counts the live points of a checkpoint that does not tell them. */
  readonly count: (job: CountJob, signal: AbortSignal) => Promise<number>
  /** A local folder for temporary files. */
  readonly scratch: string
  readonly nowMs: () => number
  readonly onTrouble: (error: unknown, what: string) => void
}

export interface CountJob {
  readonly bucket: string
  readonly content: CheckpointContent
}

/** Whoever waits sees how far it is, and may give up. */
export interface SnapshotControl {
  readonly signal: AbortSignal
  readonly progress: (
    stage: string,
    count?: { readonly done: number; readonly total: number },
  ) => void
}

/** Where a snapshot is. */
export interface SnapshotPlace {
  readonly index: string
  readonly id: string
  readonly bucket: string
}

export interface Restored {
  readonly index: ManagedIndex
  readonly snapshot: Snapshot
  /** Keys of derived files that were damaged: their graphs are built again. */
  readonly leftOut: readonly string[]
}

export interface SnapshotReport {
  readonly files: number
  readonly bytes: number
  readonly faults: readonly FileFault[]
}

export class Snapshots {
  readonly #options: SnapshotsOptions
  /** Folders that this process is writing. */
  readonly #writing = new Set<string>()
  /** How many read each snapshot now, by bucket and folder. */
  readonly #reading = new Map<string, number>()

  constructor(options: SnapshotsOptions) {
    this.#options = options
  }

  /**
   * Makes one of everything that was acknowledged before. It exists once this resolves.
   *
   * @throws {VectordError} `index_not_found`, what keeps the index from being checkpointed,
   *   `object_corrupt` where a part of it is damaged; errors of the buckets, the reason of the signal.
   */
  async make(
    index: string,
    wish: { readonly bucket: string; readonly note: string | null; readonly by: string },
    control: SnapshotControl,
  ): Promise<Snapshot> {
    const served = this.#options.served(index)
    const shelf = this.#shelf(index, wish.bucket)
    await this.#sweep(shelf)
    control.progress('writing a checkpoint')
    const { content, release } = await served.checkpoints.hold('always')
    const { meta } = served
    try {
      const createdMs = this.#options.nowMs()
      const id = newTimeId(createdMs)
      const author = { id, createdMs, createdBy: wish.by, note: wish.note }
      return await this.#written(shelf, id, async () => {
        const points = await this.#count(meta.bucket, content, control)
        const promoted = await this.#options.promoted(index)
        const from = this.#options.store(meta.bucket)
        const copied = content && (await this.#take(content, { shelf, id, from }, control))
        const lsn = content?.lsn ?? 0
        return { ...author, meta, lsn, points, promoted, content: copied }
      })
    } finally {
      release()
    }
  }

  /** Those of an index in a bucket, also where the index is gone. Clears away what crashes left. */
  async list(index: string, bucket: string, page: ShelfPage): Promise<ShelfList> {
    const shelf = this.#shelf(index, bucket)
    const found = await shelf.list(page)
    await this.#sweep(shelf)
    return found
  }

  /** For a refusal before anything is begun. @throws {VectordError} `wrong_backend`, as `checkTarget`. */
  checkMake(index: string, bucket: string): void {
    this.#options.served(index)
    this.checkTarget(bucket)
  }

  /** The same. @throws {VectordError} `bucket_protected`, `bucket_not_found`, … */
  checkTarget(bucket: string): void {
    if (bucket === RESCUE) {
      throw new VectordError('bucket_protected', 'Nothing is written to the rescue bucket.')
    }
    this.#options.store(bucket)
  }

  /** @throws {VectordError} `snapshot_not_found`, `object_corrupt`, `format_too_new`. */
  async get({ index, id, bucket }: SnapshotPlace): Promise<Snapshot> {
    return this.#shelf(index, bucket).read(id)
  }

  /**
   * Makes a new index of a snapshot. Where it throws there is none.
   *
   * @throws {VectordError} as `get` and `IndexArrivals.bring`; `object_corrupt` with the `key` of a
   *   part that is damaged; errors of the buckets, the reason of the signal.
   */
  restore(place: SnapshotPlace, wish: RestoreWish, control: SnapshotControl): Promise<Restored> {
    return this.#read(place, async (snapshot, shelf) => {
      let leftOut: readonly string[] = []
      const index = await this.#options.restore({
        settings: settingsOf(snapshot.meta, wish),
        by: wish.by,
        reason: `restore snapshot "${place.id}" of "${place.index}"`,
        fill: async (meta) => {
          const to = this.#options.store(wish.bucket)
          const given = await this.#give(snapshot, { shelf, to, meta }, control)
          leftOut = given.leftOut
          await promoteAgain(to, { snapshot, wish, nowMs: this.#options.nowMs })
          return given.content
        },
      })
      return { index, snapshot, leftOut }
    })
  }

  /**
   * Copies a snapshot to another bucket under the same id. Where the same is there already, nothing
   * is done.
   *
   * @throws {VectordError} as `restore`; `object_exists` where another snapshot has that place.
   */
  copy(place: SnapshotPlace, bucket: string, control: SnapshotControl): Promise<Snapshot> {
    return this.#read(place, async (snapshot, shelf) => {
      const { index, id } = place
      const target = this.#shelf(index, bucket)
      if (await target.has(id)) return sameOf(snapshot, await target.read(id), bucket)
      await this.#sweep(target)
      return this.#written(target, id, async () => {
        const files = filesOf(snapshot).map((file) => ({
          file: { ...file, key: shelf.folder(id) + file.key },
          ...{ toKey: target.folder(id) + file.key, isDerived: false },
        }))
        await this.#carry(files, { from: shelf.store, to: target.store }, control)
        return snapshot
      })
    })
  }

  /** Reads every file. @throws as `get`, errors of the bucket, the reason of the signal. */
  verify(place: SnapshotPlace, control: SnapshotControl): Promise<SnapshotReport> {
    return this.#read(place, async (snapshot, shelf) => {
      const folder = shelf.folder(place.id)
      const files = filesOf(snapshot).map((file) => ({ ...file, key: folder + file.key }))
      const faults = await checkFiles(files, shelf.store, this.#fileControl('checking', control))
      return { files: files.length, bytes: bytesOf(snapshot), faults }
    })
  }

  /** @throws {VectordError} `snapshot_not_found`; `snapshot_in_use` while it is read here. */
  async remove({ index, id, bucket }: SnapshotPlace): Promise<void> {
    const shelf = this.#shelf(index, bucket)
    if (!(await shelf.has(id))) throw notFound(index, id)
    if (this.#reading.has(nameOf({ index, id, bucket }))) {
      const message = `Snapshot "${id}" is being restored, copied or checked.`
      throw new VectordError('snapshot_in_use', message, { details: { index, snapshot: id } })
    }
    await shelf.remove(id)
  }

  #shelf(index: string, bucket: string): SnapshotShelf {
    return new SnapshotShelf(this.#options.store(bucket), index)
  }

  async #sweep(shelf: SnapshotShelf): Promise<void> {
    const { nowMs, onTrouble } = this.#options
    try {
      await shelf.sweep(nowMs(), (id) => this.#writing.has(id))
    } catch (error) {
      if (!(error instanceof VectordError)) throw error
      onTrouble(error, `clear away unfinished snapshots of index "${shelf.index}"`)
    }
  }

  /** Runs `fill`, which brings the files of a snapshot, and makes it exist. */
  async #written(
    shelf: SnapshotShelf,
    id: string,
    fill: () => Promise<Snapshot>,
  ): Promise<Snapshot> {
    this.#writing.add(id)
    try {
      const snapshot = await fill()
      await shelf.put(snapshot)
      return snapshot
    } catch (error) {
      if (error instanceof VectordError) await this.#discard(shelf, id)
      throw error
    } finally {
      this.#writing.delete(id)
    }
  }

  async #discard(shelf: SnapshotShelf, id: string): Promise<void> {
    try {
      await shelf.remove(id)
    } catch (error) {
      // It is swept when it is old.
      this.#options.onTrouble(error, `remove the unfinished snapshot "${id}"`)
    }
  }

  async #read<T>(
    place: SnapshotPlace,
    work: (snapshot: Snapshot, shelf: SnapshotShelf) => Promise<T>,
  ): Promise<T> {
    const name = nameOf(place)
    this.#reading.set(name, (this.#reading.get(name) ?? 0) + 1)
    try {
      const shelf = this.#shelf(place.index, place.bucket)
      return await work(await shelf.read(place.id), shelf)
    } finally {
      const left = (this.#reading.get(name) ?? 1) - 1
      if (left > 0) this.#reading.set(name, left)
      else this.#reading.delete(name)
    }
  }

  async #count(
    bucket: string,
    content: CheckpointContent | null,
    { progress, signal }: SnapshotControl,
  ): Promise<number> {
    const told = toldLivePoints(content)
    if (told !== null || content === null) return told ?? 0
    progress('counting')
    return this.#options.count({ bucket, content }, signal)
  }

  /** Copies the files of a checkpoint into a snapshot. @returns the content under its keys there. */
  async #take(
    { graphs, ...rest }: CheckpointContent,
    place: { readonly shelf: SnapshotShelf; readonly id: string; readonly from: ObjectStore },
    control: SnapshotControl,
  ): Promise<CheckpointContent> {
    const { shelf, id, from } = place
    // Older generations wait for a rollback, which is not part of a snapshot.
    const content = { ...rest, graphs: graphs.filter(({ published }) => published) }
    const names = numbered(content)
    const nameOfKey = (key: string): string => names.get(key) ?? key
    const files = carried(content, (key) => shelf.folder(id) + nameOfKey(key))
    const left = await this.#carry(files, { from, to: shelf.store }, control)
    return withKeys(content, nameOfKey, left)
  }

  /** Copies the files of a snapshot into an index. @returns the content under its keys there. */
  async #give(
    { id, content }: Snapshot,
    place: { readonly shelf: SnapshotShelf; readonly to: ObjectStore; readonly meta: IndexMeta },
    control: SnapshotControl,
  ): Promise<{ readonly content: CheckpointContent | null; readonly leftOut: readonly string[] }> {
    if (content === null) return { content, leftOut: [] }
    const { shelf, to, meta } = place
    const there = withKeys(content, (key) => shelf.folder(id) + key)
    const keys = keysInIndex(there, meta)
    const keyOf = (key: string): string => keys.get(key) ?? key
    const left = await this.#carry(carried(there, keyOf), { from: shelf.store, to }, control)
    return { content: withKeys(there, keyOf, left), leftOut: [...left].sort() }
  }

  #carry(
    files: readonly CarriedFile[],
    stores: { readonly from: ObjectStore; readonly to: ObjectStore },
    control: SnapshotControl,
  ): Promise<ReadonlySet<string>> {
    return carryFiles(files, stores, this.#fileControl('copying', control))
  }

  #fileControl(stage: string, { signal, progress }: SnapshotControl) {
    return {
      scratch: join(this.#options.scratch, 'snapshots', randomUUID()),
      signal,
      onProgress: (done: number, total: number): void => {
        progress(stage, { done, total })
      },
    }
  }
}

function nameOf({ index, id, bucket }: SnapshotPlace): string {
  return `${bucket}/${index}/${id}`
}

function sameOf(snapshot: Snapshot, there: Snapshot, bucket: string): Snapshot {
  const isSame = filesOf(snapshot).every(({ sha256 }, i) => filesOf(there)[i]?.sha256 === sha256)
  if (isSame && there.createdMs === snapshot.createdMs) return there
  throw new VectordError('object_exists', `The bucket "${bucket}" has another "${snapshot.id}".`, {
    details: { bucket, snapshot: snapshot.id },
  })
}
