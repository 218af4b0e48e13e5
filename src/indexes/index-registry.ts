/**
 * Every index of this server, wherever its bucket is: found at start, created, changed, deleted.
 *
 * The truth is the meta document in the home bucket of each index; this is its reading. A bucket
 * that could not be listed yet leaves the question "is there an index of this name?" open, and that
 * is answered `bucket_unreachable`, never "not found".
 *
 * A deletion is durable once the meta says `deleting`; the objects go afterwards, and whoever finds
 * such a meta at a start finishes the work before the name can be taken again. An index that moves
 * has a meta in two buckets: `index-moves.ts` says what each of them means; `index-arrivals.ts` is about
 * those that are brought from elsewhere.
 */

import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ObjectStore } from '../buckets/object-store.ts'
import type { RevisionedDocument, Revision } from '../buckets/revisioned-document.ts'
import { LANCE_DEFAULTS } from '../domain/lance-settings.ts'
import { checkName } from '../domain/names.ts'
import { hasCode, VectordError } from '../lib/errors.ts'
import { KeyedMutex } from '../lib/keyed-mutex.ts'
import { changedSettings } from './changed-settings.ts'
import { indexMoving } from './entry-gate.ts'
import type { ArrivalHands, BringIndex } from './index-arrivals.ts'
import type { IndexChange, Indexes, ManagedIndex, NewIndex, WriteCondition } from './index-api.ts'
import { callOffMove, metaDocument, type IndexMeta } from './index-meta.ts'
import type { MoveControl } from './index-moves.ts'
import { deleteIndexObjects, indexNames } from './index-objects.ts'
import { checkRevision, indexExists, indexNotFound } from './index-refusals.ts'
import type { IndexRegistryOptions } from './index-registry-options.ts'
import { KnownIndexes, type AnyRunner } from './known-indexes.ts'
import type { LanceIndex } from './lance-index.ts'
import type { ServedIndex } from './served-index.ts'

/** How long a creation waits for the new index to serve. */
const SETTLE_MS_MAX = 5000

export class IndexRegistry implements Indexes {
  readonly #options: IndexRegistryOptions
  readonly #known: KnownIndexes
  readonly #changes = new KeyedMutex()
  readonly #moving = new Map<string, { readonly abort: AbortController; ended: Promise<unknown> }>()
  readonly #hands: ArrivalHands = {
    turn: (name, work) => this.#changes.run(name, work),
    checkFree: (name) => {
      this.#checkFree(name)
    },
    homeStore: (bucket) => this.#homeStore(bucket),
    serve: (stored) => this.#serveSoon(stored),
    makeRunner: ({ document, revision }) => this.#options.makeRunner(document, revision),
    adopt: (runner) => {
      this.#known.set(runner.index.meta.name, runner)
    },
    finishDeletion: (store, stored) => this.#finishDeletion(store, stored),
  }
  #closed = false

  constructor(options: IndexRegistryOptions) {
    this.#options = options
    this.#known = new KnownIndexes(options.indexesMax, options.buckets.names())
  }

  /** Buckets whose indexes are not known yet. */
  get unreadBuckets(): readonly string[] {
    return this.#known.unreadBuckets
  }

  /**
   * Reads which indexes the buckets hold and puts new ones into service. Called at start and on a
   * timer: another server may have made some, and a bucket that was down may be back.
   */
  async refresh(): Promise<void> {
    await Promise.all(this.#options.buckets.names().map((bucket) => this.#refreshBucket(bucket)))
  }

  /** Indexes of every backend; this registry itself is that of those with a graph. */
  readonly all: Indexes = {
    create: (settings) => this.create(settings),
    list: () => this.#known.all(),
    has: (name) => this.#known.find(name) !== null,
    get: (name) => this.#known.get(name).index,
    delete: (name, condition) => this.delete(name, condition),
    update: (name, change, condition) => this.update(name, change, condition),
  }

  create(settings: NewIndex): Promise<ManagedIndex> {
    checkName('index', settings.name)
    if (settings.backend === 'lance') return this.#createLance(settings)
    return this.#changes.run(settings.name, async () => {
      this.#checkFree(settings.name)
      const store = this.#homeStore(settings.bucket)
      const { createdBy, ...rest } = settings
      const meta: IndexMeta = {
        ...rest,
        backend: 'hnsw',
        incarnation: randomUUID(),
        createdMs: this.#options.nowMs(),
        state: 'active',
      }
      const document = metaDocument(store, settings.name)
      const stored = await this.#createMeta(document, meta, createdBy)
      return this.#serveSoon(stored)
    })
  }

  /** Creates an index of what `bring` brings: it is there whole, or not at all. */
  restore(bring: BringIndex): Promise<ManagedIndex> {
    return this.#options.arrivals.bring(bring, this.#hands)
  }

  list(): readonly ServedIndex[] {
    return this.#known.served()
  }

  has(name: string): boolean {
    return this.#known.find(name)?.backend === 'hnsw'
  }

  /** @throws {VectordError} also `wrong_backend`, for an index without a graph. */
  get(name: string): ServedIndex {
    return this.#known.graph(name).index
  }

  lanceIndexes(): readonly LanceIndex[] {
    return this.#known.lance()
  }

  /** @throws {VectordError} `index_not_found`, `wrong_backend`. */
  lanceIndex(name: string): LanceIndex {
    return this.#known.table(name)
  }

  async delete(name: string, condition: WriteCondition): Promise<void> {
    const moving = this.#moving.get(name)
    moving?.abort.abort(new VectordError('operation_cancelled', 'The index is being deleted.'))
    await moving?.ended
    return this.#changes.run(name, async () => {
      if (this.#moving.has(name)) throw indexMoving(name)
      const runner = this.#known.get(name)
      runner.index.checkOwned()
      const { bucket } = runner.index.meta
      const stored = await this.#changeMeta(name, condition, 'delete', (meta) => ({
        ...meta,
        state: 'deleting',
      }))
      runner.index.changeMeta(stored.document, stored.revision)
      await runner.close({ checkpoint: false })
      await this.#finishDeletion(this.#options.buckets.store(bucket), stored)
      this.#known.remove(name)
    })
  }

  async update(
    name: string,
    change: IndexChange,
    condition: WriteCondition,
  ): Promise<ManagedIndex> {
    const index = await this.#change(name, change, condition)
    if (change.keepLastVersions !== undefined) await this.#retain(this.get(name))
    return index
  }

  /** A table of its own comes first: a Lance index is there with it, or not at all. */
  #createLance({ createdBy, ...settings }: NewIndex): Promise<ManagedIndex> {
    return this.restore({
      settings: { ...settings, backend: 'lance', lance: settings.lance ?? LANCE_DEFAULTS },
      ...{ by: createdBy, reason: 'create', write: async (index) => index.checkWritable() },
    })
  }

  #change(name: string, change: IndexChange, condition: WriteCondition): Promise<ManagedIndex> {
    return this.#changes.run(name, async () => {
      const { index } = this.#known.get(name)
      const stored = await this.#changeMeta(name, condition, 'change settings', (meta) =>
        changedSettings(meta, change),
      )
      index.changeMeta(stored.document, stored.revision)
      return index
    })
  }

  /**
   * @throws {VectordError} `index_not_found`, `revision_mismatch`, `bucket_protected`, and as
   *   `IndexMoves.check`.
   */
  async checkMove(name: string, bucket: string, condition: WriteCondition): Promise<void> {
    const { index } = this.#known.graph(name)
    checkRevision(name, index.info.revision, condition.ifRevision)
    this.#homeStore(bucket)
    if (bucket !== index.meta.bucket) await this.#options.moves.check(index, bucket)
  }

  /**
   * Moves an index to another bucket; at once where it lives there. @throws as `IndexMoves.run`.
   */
  async move(
    name: string,
    bucket: string,
    condition: WriteCondition,
    control: MoveControl,
  ): Promise<ManagedIndex> {
    const runner = this.#known.graph(name)
    this.#homeStore(bucket)
    if (runner.index.meta.bucket === bucket) return runner.index
    if (this.#moving.has(name)) throw indexMoving(name)
    const abort = new AbortController()
    const signal = AbortSignal.any([control.signal, abort.signal])
    const moved = this.#options.moves.run(
      runner,
      bucket,
      { ...control, signal },
      {
        turn: (work) =>
          this.#changes.run(name, () => {
            if (this.#known.get(name) !== runner) throw indexNotFound(name)
            return work()
          }),
        intend: (move) => this.#changeMeta(name, condition, 'move', (meta) => ({ ...meta, move })),
      },
    )
    this.#moving.set(name, { abort, ended: moved.catch(() => undefined) })
    try {
      await moved
      return runner.index
    } finally {
      this.#moving.delete(name)
    }
  }

  /** The home of an index, also of one that nobody sees yet. @throws as `get`. */
  homeOf(name: string): string {
    return this.#options.arrivals.bucketOf(name) ?? this.#known.get(name).index.meta.bucket
  }

  /** Names of the indexes whose home `bucket` is, or is about to be. */
  namesIn(bucket: string): readonly string[] {
    const metas = this.#known.runners.map((runner) => runner.index.meta)
    const here = metas.filter((meta) => meta.bucket === bucket || meta.move?.to === bucket)
    return [...here.map((meta) => meta.name), ...this.#options.arrivals.namesIn(bucket)]
  }

  /** Checkpoints what changed and takes every index out of service. */
  async close(): Promise<void> {
    this.#closed = true
    await Promise.all(this.#known.runners.map((runner) => runner.close({ checkpoint: true })))
  }

  async #refreshBucket(bucket: string): Promise<void> {
    try {
      const store = this.#options.buckets.store(bucket)
      for (const name of await indexNames(store)) {
        await this.#changes.run(name, () => this.#refreshIndex(store, bucket, name))
      }
      this.#known.listed(bucket)
    } catch (error) {
      this.#known.notListed(bucket, error)
      this.#options.onTrouble(error, `list the indexes of bucket "${bucket}"`)
    }
  }

  async #refreshIndex(store: ObjectStore, bucket: string, name: string): Promise<void> {
    // A move in this process sees to both of its buckets by itself, and so does a restore.
    if (this.#closed || this.#moving.has(name) || this.#options.arrivals.bucketOf(name) !== null)
      return
    const runner = this.#known.find(name)
    if (runner?.index.meta.bucket === bucket) await this.#refreshKnown(store, runner)
    else await this.#discover(store, bucket, name)
  }

  /** Looks at a meta in a bucket that is not known as the home of its index. */
  async #discover(store: ObjectStore, bucket: string, name: string): Promise<void> {
    const stored = await metaDocument(store, name).read()
    this.#known.settled(name, bucket)
    if (stored === null) return
    const { state } = stored.document
    if (state === 'restoring') await this.#options.arrivals.settle(store, stored, this.#hands)
    else if (state !== 'active' && state !== 'deleting') await this.#settle(stored, bucket)
    else if (this.#known.find(name) === null) {
      if (state === 'deleting') await this.#finishDeletion(store, stored)
      else this.#serve(stored)
    }
  }

  /** Serves the index from where a move has brought it, as soon as that can be told. */
  async #settle(stored: Revision<IndexMeta>, bucket: string): Promise<void> {
    const { name } = stored.document
    try {
      const home = await this.#options.moves.settle(stored, bucket)
      if (home !== null && this.#known.find(name) === null) this.#serve(home)
    } catch (error) {
      if (!(error instanceof VectordError)) throw error
      this.#known.unsettled(name, bucket, error)
      this.#options.onTrouble(error, `find the home of index "${name}"`)
    }
  }

  async #refreshKnown(store: ObjectStore, runner: AnyRunner): Promise<void> {
    const { meta, info } = runner.index
    const document = metaDocument(store, meta.name)
    // It may be of a move that failed while the bucket could not be told so.
    if (info.role === 'owner') await callOffMove(store, meta)
    // A deletion that failed half-way is found again at the revision that is known already.
    if (meta.state === 'active' && (await document.isNewest(info.revision))) return
    const stored = await document.read()
    if (stored !== null && isSame(stored.document, meta)) {
      runner.index.changeMeta(stored.document, stored.revision)
      if (runner.backend === 'hnsw') await this.#retain(runner.index)
      return
    }
    // It was deleted, and perhaps another server has made a new one of the same name since; or it
    // has moved.
    await runner.close({ checkpoint: false })
    if (stored?.document.state === 'deleting') await this.#finishDeletion(store, stored)
    this.#known.remove(meta.name)
    await this.#discover(store, meta.bucket, meta.name)
  }

  #retain({ meta }: ServedIndex): Promise<void> {
    return this.#options.onRetention(meta.name, meta.keepLastVersions)
  }

  #serve(stored: Revision<IndexMeta>): AnyRunner {
    const runner = this.#options.makeRunner(stored.document, stored.revision)
    this.#known.set(stored.document.name, runner)
    runner.start()
    return runner
  }

  /** Whoever creates an index writes to it next: answers when that is possible, if it is soon. */
  async #serveSoon(stored: Revision<IndexMeta>): Promise<ManagedIndex> {
    const runner = this.#serve(stored)
    await Promise.race([runner.settled, sleep(SETTLE_MS_MAX, undefined, { ref: false })])
    return runner.index
  }

  async #createMeta(
    document: RevisionedDocument<IndexMeta>,
    meta: IndexMeta,
    author: string,
  ): Promise<Revision<IndexMeta>> {
    const stored = await document.modify((current) => {
      if (current !== null) throw indexExists(meta.name)
      return { document: meta, author, reason: 'create' }
    })
    return stored
  }

  async #changeMeta(
    name: string,
    condition: WriteCondition,
    reason: string,
    change: (meta: IndexMeta) => IndexMeta,
  ): Promise<Revision<IndexMeta>> {
    const { meta } = this.#known.get(name).index
    const document = metaDocument(this.#options.buckets.store(meta.bucket), name)
    return document.modify((current) => {
      if (current === null) throw indexNotFound(name)
      checkRevision(name, current.revision, condition.ifRevision)
      const why = condition.reason ?? reason
      return { document: change(current.document), author: condition.by, reason: why }
    })
  }

  async #finishDeletion(store: ObjectStore, stored: Revision<IndexMeta>): Promise<void> {
    const { name } = stored.document
    await this.#options.onDelete(name, stored.document.bucket)
    if (stored.document.backend === 'lance') await this.#options.endTable(stored.document)
    await deleteIndexObjects(store, name)
    const document = metaDocument(store, name)
    try {
      await document.remove(stored.revision, { author: stored.author, reason: 'deleted' })
    } catch (error) {
      // Another server that found the deletion unfinished may have finished it first.
      if (!hasCode(error, 'revision_mismatch') || (await document.read()) !== null) throw error
    }
  }

  #checkFree(name: string): void {
    if (this.#closed) throw new VectordError('shutting_down', 'The service is shutting down.')
    if (this.#options.arrivals.bucketOf(name) !== null) throw indexExists(name)
    this.#known.checkFree(name)
  }

  /** @throws {VectordError} where no index can live in the bucket. */
  #homeStore(bucket: string): ObjectStore {
    const { buckets } = this.#options
    const store = buckets.store(bucket)
    if (buckets.names().includes(bucket)) return store
    throw new VectordError('bucket_protected', `No index can live in the bucket "${bucket}".`, {
      details: { bucket },
    })
  }
}

/** True where the index is still the one that is known, and lives in the same bucket. */
function isSame(stored: IndexMeta, known: IndexMeta): boolean {
  return stored.state === 'active' && stored.incarnation === known.incarnation
}
