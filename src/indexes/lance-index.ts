/**
 * An index that is a Lance table in its bucket: what `ManagedIndex` promises, by table operations.
 *
 *     loading ──first look──▶ ready ◀──▶ degraded (the last look at the table failed)
 *        ╰──▶ unavailable (it was never seen) ──the runner looks again──▶ …
 *
 * Its lsn is the version of the table: a write is durable and seen by every search once its commit is
 * made, so `ack` changes nothing. Old versions can be read as long as they are kept, which goes by
 * age. Texts that come without vectors are embedded before the write, since a row needs one.
 */

import { setTimeout as sleep } from 'node:timers/promises'
import { LANCE_DEFAULTS, type LanceSettings } from '../domain/lance-settings.ts'
import type { LanceRows, LanceSearchSettings, LanceTable } from '../domain/lance-table.ts'
import type { EmbedderStamp } from '../domain/pending-text.ts'
import type { Include, ShardAnswer, ShardQuery, StoredPoint } from '../domain/search.ts'
import type { UpsertBatch, WriteBatch } from '../domain/write-batch.ts'
import { VectordError } from '../lib/errors.ts'
import { withDeadline } from './deadline.ts'
import type {
  IndexInfo,
  ManagedIndex,
  ReadOptions,
  ScrollReply,
  ScrollRequest,
  VerifyReport,
  WriteOptions,
} from './index-api.ts'
import type { IndexMeta } from './index-meta.ts'
import { notOwner } from './index-owner.ts'
import { invalidCursor, notWrittenYet, otherDimension, pointsExist } from './index-refusals.ts'
import { refusal, wrongBackend } from './index-refusals.ts'
import { NOBODY, type LanceHolding } from './lance-holding.ts'
import { lanceInfo } from './lance-info.ts'
import { lanceRows, type EmbedTexts } from './lance-rows.ts'
import { searchTable } from './lance-search.ts'
import { verifyTable } from './lance-verify.ts'
import { LanceWrites } from './lance-writes.ts'

/** How often a reader that waits for a version looks for it. */
const LOOK_MS = 50
/** How long a look at the table may take. */
const LOOK_MS_MAX = 10_000
/** Ids of one look whether points are there. */
const IDS_A_FETCH = 1000
const NOTHING: Include = { metadata: false, vector: false, text: false }

export interface LanceIndexOptions {
  readonly meta: IndexMeta
  readonly revision: number
  readonly table: () => LanceTable
  readonly embed: EmbedTexts
  readonly nowMs: () => number
}

export class LanceIndex implements ManagedIndex {
  readonly #options: Pick<LanceIndexOptions, 'table' | 'embed' | 'nowMs'>
  readonly #writes: LanceWrites
  #meta: IndexMeta
  #revision: number
  /** Null before the table was seen. */
  #seen: { readonly version: number; readonly rows: number } | null = null
  #trouble: VectordError | null = null
  #holding: LanceHolding = NOBODY
  #counting: Promise<void> | null = null
  #isCountedLate = false

  constructor({ meta, revision, table, embed, nowMs }: LanceIndexOptions) {
    this.#meta = meta
    this.#revision = revision
    this.#options = { table, embed, nowMs }
    this.#writes = new LanceWrites((rows) => this.#commit(() => this.table.upsert(rows)))
  }

  get table(): LanceTable {
    return this.#options.table()
  }

  get meta(): IndexMeta {
    return this.#meta
  }

  get settings(): LanceSettings {
    return this.#meta.lance ?? LANCE_DEFAULTS
  }

  get info(): IndexInfo {
    const [seen, trouble, holding] = [this.#seen, this.#trouble, this.#holding]
    return lanceInfo({ meta: this.#meta, revision: this.#revision, seen, trouble, holding })
  }

  /** `solved` where the settings were chosen by measured recall. */
  get configSource(): string {
    return this.settings.shown === null ? 'default' : 'solved'
  }

  get appliedLsn(): number {
    return this.#seen?.version ?? 0
  }

  get takesTexts(): boolean {
    return this.#meta.embedder !== undefined
  }

  /** None ever waits: they are embedded before they are written. */
  readonly texts: ManagedIndex['texts'] = {
    count: () => Promise.resolve({ writes: 0, backfill: 0 }),
  }

  changeMeta(meta: IndexMeta, revision: number): void {
    this.#meta = meta
    this.#revision = revision
  }

  /** Says who writes the table from now on. */
  hold(holding: LanceHolding): void {
    this.#holding = holding
  }

  /** Refuses writes from now on; resolves when the commit under way is done. Idempotent. */
  endWrites(): Promise<void> {
    return this.#writes.close()
  }

  /** What keeps the index from being seen; requests are still tried once it was. */
  failed(trouble: VectordError): void {
    this.#trouble = trouble
  }

  /** Looks at the table. @throws what keeps it from being read. */
  async look(): Promise<void> {
    const deadlineMs = this.#options.nowMs() + LOOK_MS_MAX
    const { count, version } = await this.table.count(null, { deadlineMs })
    this.#trouble = null
    if (version >= this.appliedLsn) this.#seen = { version, rows: count }
  }

  /** @throws {VectordError} `not_owner` where another server writes the index. */
  checkOwned(): void {
    const { role, owner } = this.#holding
    if (role === 'follower') throw notOwner(this.#meta.name, owner)
  }

  checkWritable(): void {
    this.#ready()
    this.checkOwned()
  }

  async write(batch: WriteBatch, options: WriteOptions): Promise<{ readonly lsn: number }> {
    this.checkWritable()
    const { deadlineMs } = options
    if (batch.kind === 'delete') {
      const { ids } = batch
      const work = (): Promise<{ readonly version: number }> =>
        this.#commit(() => this.table.delete(ids))
      return this.#written(this.#writes.apart(work, batch), deadlineMs)
    }
    const rows = await this.#rows(batch, deadlineMs)
    return this.#written(this.#writes.upsert(rows), deadlineMs)
  }

  /** Writes points that are new. @throws {VectordError} `points_exist`, and as `write`. */
  async append(batch: UpsertBatch, options: WriteOptions): Promise<{ readonly lsn: number }> {
    this.checkWritable()
    const rows = await this.#rows(batch, options.deadlineMs)
    const work = this.#writes.apart(async () => {
      await this.#refuseKnown(rows.ids)
      // What another server adds meanwhile an upsert replaces, and an append would double.
      const { isShared } = this.#holding
      return this.#commit(() => (isShared ? this.table.upsert(rows) : this.table.append(rows)))
    }, rows)
    return this.#written(work, options.deadlineMs)
  }

  /** As `append`, of points that are known to be new: by whoever fills an index that nobody sees yet. */
  async fill(batch: UpsertBatch, options: WriteOptions): Promise<void> {
    const rows = await this.#rows(batch, options.deadlineMs)
    await this.#writes.apart(() => this.#commit(() => this.table.append(rows)), rows)
  }

  async deleteMatching(
    filter: string,
    options: WriteOptions,
  ): Promise<{ readonly lsn: number; readonly deleted: number }> {
    this.checkWritable()
    let deleted = 0
    const work = this.#writes.apart(() =>
      this.#commit(async () => {
        const done = await this.table.deleteMatching(filter)
        deleted = done.deleted
        return done
      }),
    )
    return { ...(await this.#written(work, options.deadlineMs)), deleted }
  }

  /** @param settings in place of those of the index. */
  async search(
    query: ShardQuery,
    options: ReadOptions,
    settings?: Partial<LanceSearchSettings>,
  ): Promise<ShardAnswer> {
    await this.#saw(options)
    const { target, asOf } = query
    if ('keywords' in target) throw this.#notHere('searches by words need the backend hnsw')
    if (asOf !== undefined) await this.#sawAsOf(asOf, options)
    const chosen = { ...this.settings, ...settings }
    return searchTable(this.table, { ...query, target }, { settings: chosen, ...options })
  }

  async fetch(
    ids: readonly string[],
    include: Include,
    options: ReadOptions,
  ): Promise<{ readonly points: readonly (StoredPoint | null)[]; readonly lsn: number }> {
    return this.fetchAsOf(ids, include, options, null)
  }

  /** @param asOf a version of the table; null is the newest. @throws also `lance_version_gone`. */
  async fetchAsOf(
    ids: readonly string[],
    include: Include,
    options: ReadOptions,
    asOf: number | null,
  ): Promise<{ readonly points: readonly (StoredPoint | null)[]; readonly lsn: number }> {
    await this.#saw(options)
    const { points, version } = await this.table.fetch(ids, include, asOf, options)
    return { points, lsn: version }
  }

  versions(): Promise<never> {
    const instead = 'GET /vectors/lance/versions/{index} lists the versions of the table, and as_of'
    return Promise.reject(this.#notHere(`${instead} searches one`))
  }

  async scroll(request: ScrollRequest, options: ReadOptions): Promise<ScrollReply> {
    return this.scrollAsOf(request, options, null)
  }

  /** @param asOf a version of the table; null is the newest. */
  async scrollAsOf(
    request: ScrollRequest,
    options: ReadOptions,
    asOf: number | null,
  ): Promise<ScrollReply> {
    await this.#saw(options)
    const { after } = request
    if (after !== null && !('id' in after)) throw invalidCursor()
    const page = { ...request, after: after?.id ?? null, asOf }
    const { points, done, version } = await this.table.scroll(page, options)
    const last = points.at(-1)
    return { points, next: done || last === undefined ? null : { id: last.id }, lsn: version }
  }

  async count(filter: string | null, options: ReadOptions): Promise<number> {
    await this.#saw(options)
    return (await this.table.count(filter, options)).count
  }

  /** Every commit is one. */
  async checkpoint(): Promise<{ readonly lsn: number; readonly written: boolean }> {
    await this.look()
    return { lsn: this.appliedLsn, written: false }
  }

  async verify(): Promise<VerifyReport> {
    this.#ready()
    return verifyTable(this.table, this.#meta.dimension)
  }

  /** Changes the table beside writes: its indices, its files. That may take several commits. */
  async maintain(
    work: () => Promise<{ readonly version: number }>,
  ): Promise<{ readonly version: number }> {
    this.checkWritable()
    await this.#commit(work)
    await this.look()
    return { version: this.appliedLsn }
  }

  /** Confirms first that the table is still ours to write: nothing else keeps a late writer out. */
  async #commit<T extends { readonly version: number }>(work: () => Promise<T>): Promise<T> {
    await this.#holding.confirm()
    const done = await work()
    this.#advance(done.version)
    return done
  }

  #advance(version: number): void {
    if (version <= this.appliedLsn) return
    this.#seen = { version, rows: this.#seen?.rows ?? 0 }
    this.#recount()
  }

  /** Asks the table how many rows it has by now, once for all that is written meanwhile. */
  #recount(): void {
    this.#isCountedLate = this.#counting !== null
    this.#counting ??= this.look()
      .catch((error: unknown) => {
        // The next look of the runner tells what is wrong, if it still is.
        if (!(error instanceof VectordError)) throw error
      })
      .finally(() => {
        this.#counting = null
        if (this.#isCountedLate) this.#recount()
      })
  }

  async #written(
    work: Promise<{ readonly version: number }>,
    deadlineMs: number,
  ): Promise<{ readonly lsn: number }> {
    const { version } = await withDeadline(
      work,
      deadlineMs - this.#options.nowMs(),
      'The write was not finished in time; it may still become durable.',
    )
    return { lsn: version }
  }

  async #rows(batch: UpsertBatch, deadlineMs: number): Promise<LanceRows> {
    if (batch.dimension !== this.#meta.dimension) throw otherDimension(this.#meta, batch)
    const embedder: EmbedderStamp | null = this.#meta.embedder ?? null
    const { embed } = this.#options
    return lanceRows(batch, { index: this.#meta.name, embedder, embed, deadlineMs })
  }

  async #refuseKnown(ids: readonly string[]): Promise<void> {
    for (let from = 0; from < ids.length; from += IDS_A_FETCH) {
      const some = ids.slice(from, from + IDS_A_FETCH)
      const { points } = await this.table.fetch(some, NOTHING, null)
      const known = points.flatMap((point) => (point === null ? [] : [point.id]))
      if (known.length > 0) throw pointsExist(this.#meta.name, known)
    }
  }

  /** Waits until reads see a version: another server may write the table. */
  async #saw({ minLsn, deadlineMs }: ReadOptions): Promise<void> {
    this.#ready()
    while (minLsn > this.appliedLsn) {
      await this.look()
      if (minLsn <= this.appliedLsn) return
      if (this.#options.nowMs() >= deadlineMs) {
        throw new VectordError('deadline_exceeded', `lsn ${minLsn} was not applied in time.`, {
          details: { min_lsn: minLsn, applied_lsn: this.appliedLsn },
        })
      }
      await sleep(LOOK_MS)
    }
  }

  async #sawAsOf(asOf: number, options: ReadOptions): Promise<void> {
    if (asOf > this.appliedLsn) await this.look()
    if (asOf > this.appliedLsn) throw notWrittenYet(asOf, this.appliedLsn)
    await this.#saw(options)
  }

  /** @throws what keeps it from serving. */
  #ready(): void {
    const { state } = this.info
    if (state === 'ready' || state === 'degraded') return
    throw refusal({ index: this.#meta.name, state, progress: 0 }, this.#trouble)
  }

  #notHere(instead: string): VectordError {
    return wrongBackend({ index: this.#meta.name, backend: 'lance' }, instead)
  }
}
