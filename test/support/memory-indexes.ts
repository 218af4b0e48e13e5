/**
 * `Indexes` in memory for tests of routes: no log, no cores; right by plainness, every distance computed.
 */

import type {
  Hit,
  Include,
  ShardAnswer,
  ShardQuery,
  PointVersion,
  ShardStats,
  StoredPoint,
  VersionsPage,
  VersionsRequest,
} from '../../src/domain/search.ts'
import { notEmbedded, type TextCounts } from '../../src/domain/pending-text.ts'
import { changedStream } from '../../src/domain/stream-settings.ts'
import { vectorOf, type WriteBatch } from '../../src/domain/write-batch.ts'
import type {
  IndexChange,
  IndexInfo,
  IndexState,
  Indexes,
  ManagedIndex,
  NewIndex,
  ReadOptions,
  ScrollReply,
  ScrollRequest,
  VerifyReport,
  WriteOptions,
} from '../../src/indexes/index-api.ts'
import { invalidCursor, notWrittenYet } from '../../src/indexes/index-refusals.ts'
import { VectordError } from '../../src/lib/errors.ts'
import { searchRows } from './memory-keywords.ts'
import { isAfter, matching, need, shown, type Row } from './memory-row.ts'
import { plainDistance } from './model/plain-distance.ts'

/** A version that is over. */
interface Ended {
  readonly row: Row
  readonly end: number
  readonly byDelete: boolean
}

const CREATED_MS = 1_700_000_000_000

export class MemoryIndex implements ManagedIndex {
  readonly #rows = new Map<string, Row>()
  /** Of each id, newest first. */
  readonly #ended = new Map<string, Ended[]>()
  #horizon = 0
  /** What the next calls throw, until it is null again. */
  failure: Error | null = null
  state: IndexState = 'ready'
  /** The last write that was asked for, and how. */
  /** How often it is found to take writes; then it is full. */
  writableLooks = Infinity
  lastWrite: { readonly batch: WriteBatch; readonly options: WriteOptions } | null = null
  lastRead: ReadOptions | null = null
  settings: NewIndex
  revision = 1
  #lsn = 0

  constructor(settings: NewIndex) {
    this.settings = settings
  }

  readonly configSource = 'default'

  /** What `texts.count` answers. */
  textCounts: TextCounts = { writes: 0, backfill: 0 }

  readonly texts = { count: (): Promise<TextCounts> => Promise.resolve(this.textCounts) }

  get takesTexts(): boolean {
    return this.settings.embedder !== undefined
  }

  get info(): IndexInfo {
    const { createdBy: _, ...settings } = this.settings
    return {
      ...settings,
      backend: 'hnsw',
      revision: this.revision,
      config: { hnsw: this.settings.hnsw, source: 'default' },
      createdMs: CREATED_MS,
      state: this.state,
      reason: this.state === 'ready' ? null : 'a test said so',
      progress: this.state === 'loading' ? 0.5 : 1,
      ...{ role: 'owner', owner: 'this server' },
      lsn: this.#lsn,
      compactedMs: null,
      checkpointLsn: 0,
      logBytes: 0,
      stats: this.state === 'ready' ? this.#stats() : null,
    }
  }

  get appliedLsn(): number {
    return this.#lsn
  }

  get size(): number {
    return this.#rows.size
  }

  /** Forgets every point; the next write gets `lsn + 1`. */
  restart(lsn: number): void {
    this.#rows.clear()
    this.#lsn = lsn
  }

  checkWritable(): void {
    this.#check()
    if (this.writableLooks === 0) throw new VectordError('delta_full', 'Full.', { retryAfterS: 1 })
    this.writableLooks -= 1
  }

  async write(batch: WriteBatch, options: WriteOptions): Promise<{ readonly lsn: number }> {
    this.#check()
    this.lastWrite = { batch, options }
    this.#lsn += 1
    if (batch.kind === 'delete') for (const id of batch.ids) this.#end(id, true)
    else this.#upsert(batch)
    return { lsn: this.#lsn }
  }

  async deleteMatching(
    filter: string,
  ): Promise<{ readonly lsn: number; readonly deleted: number }> {
    this.#check()
    this.#lsn += 1
    const ids = this.#matching(filter).map((row) => row.id)
    for (const id of ids) this.#end(id, true)
    return { lsn: this.#lsn, deleted: ids.length }
  }

  async search(query: ShardQuery, options: ReadOptions): Promise<ShardAnswer> {
    this.#check()
    this.lastRead = options
    const { asOf, target } = query
    if ('keywords' in target) {
      const { keywords } = target
      return searchRows([...this.#rows.values()], { query, keywords, lsn: this.#lsn })
    }
    if (asOf !== undefined && asOf > this.#lsn) throw notWrittenYet(asOf, this.#lsn)
    const all = asOf === undefined ? [...this.#rows.values()] : this.#visibleAt(asOf)
    const from = 'id' in target ? need(all, target.id).vector : target.vector
    const leftOut = 'id' in target ? target.id : null
    if (from === null) throw notEmbedded()
    const rows = matching(all, query.filter).filter((row) => row.id !== leftOut && row.vector)
    const hits = rows
      .map((row): Hit => {
        const distance = plainDistance(this.settings.metric, from, row.vector ?? from)
        return { ...shown(row, query.include), distance }
      })
      .sort((a, b) => a.distance - b.distance)
      .slice(0, query.k)
    const exhausted = rows.length < query.k
    const answer = { hits, path: 'exact', efUsed: 0, generation: 1, exhausted } as const
    const past = asOf === undefined ? {} : { completeFrom: this.#horizon }
    return { ...answer, lsn: this.#lsn, ...past }
  }

  async versions(
    { id, include, before, limit, only }: VersionsRequest,
    options: ReadOptions,
  ): Promise<VersionsPage & { readonly lsn: number }> {
    this.#check()
    this.lastRead = options
    const all = this.#versionsOf(id, include)
    const wanted = all.filter(({ version, endedAt, kind }) => {
      if (only === null) return version < (before ?? Infinity)
      if (kind === 'deleted') return false
      if ('version' in only) return version === only.version
      return version <= only.asOf && only.asOf < (endedAt ?? Infinity)
    })
    const versions = wanted.slice(0, limit)
    const done = versions.length === wanted.length
    return { versions, isKnown: all.length > 0, done, lsn: this.#lsn }
  }

  async fetch(
    ids: readonly string[],
    include: Include,
    options: ReadOptions,
  ): Promise<{ readonly points: readonly (StoredPoint | null)[]; readonly lsn: number }> {
    this.#check()
    this.lastRead = options
    const points = ids.map((id) => {
      const row = this.#rows.get(id)
      return row === undefined ? null : shown(row, include)
    })
    return { points, lsn: this.#lsn }
  }

  async scroll(request: ScrollRequest): Promise<ScrollReply> {
    this.#check()
    const { after } = request
    if (after !== null && 'id' in after) throw invalidCursor()
    const rows = this.#matching(request.filter)
      .filter((row) => after === null || isAfter(row, after))
      .sort((a, b) => a.lsn - b.lsn || a.row - b.row)
    const page = rows.slice(0, request.limit)
    const last = rows.length > page.length ? page.at(-1) : undefined
    return {
      points: page.map((row) => shown(row, request.include)),
      next: last === undefined ? null : { lsn: last.lsn, row: last.row },
      lsn: this.#lsn,
    }
  }

  async count(filter: string | null): Promise<number> {
    return this.#matching(filter).length
  }

  async checkpoint(): Promise<{ readonly lsn: number; readonly written: boolean }> {
    this.#check()
    return { lsn: this.#lsn, written: true }
  }

  async verify(): Promise<VerifyReport> {
    this.#check()
    return { clean: true, faults: [], logRecords: this.#lsn, livePoints: this.size }
  }

  #check(): void {
    if (this.failure !== null) throw this.failure
  }

  #upsert(batch: WriteBatch & { kind: 'upsert' }): void {
    for (const [row, id] of batch.ids.entries()) {
      this.#end(id, false)
      this.#rows.set(id, {
        ...{ id, lsn: this.#lsn, row },
        vector: vectorOf(batch, row)?.slice() ?? null,
        text: batch.texts[row] ?? null,
        metadata: batch.metadata[row] ?? null,
      })
    }
  }

  #end(id: string, byDelete: boolean): void {
    const row = this.#rows.get(id)
    this.#rows.delete(id)
    const ended = this.#ended.get(id) ?? []
    if (row !== undefined) ended.unshift({ row, end: this.#lsn, byDelete })
    // The version that comes next, or the delete, is the first.
    let count = 1
    const kept = ended.filter((one, i) => {
      count += i > 0 && one.byDelete ? 2 : 1
      if (i === 0 && one.byDelete && !byDelete) count += 1
      return count <= this.settings.keepLastVersions
    })
    for (const one of ended.slice(kept.length)) this.#horizon = Math.max(this.#horizon, one.end)
    this.#ended.set(id, kept)
  }

  #versionsOf(id: string, include: Include): PointVersion[] {
    const live = this.#rows.get(id)
    const versions: PointVersion[] = []
    if (live !== undefined) versions.push({ ...shown(live, include), kind: 'live', endedAt: null })
    for (const { row, end, byDelete } of this.#ended.get(id) ?? []) {
      const nothing = { metadata: null, text: null, vector: null }
      const endedAt = versions.at(-1)?.version ?? null
      if (byDelete) versions.push({ id, version: end, kind: 'deleted', endedAt, ...nothing })
      versions.push({ ...shown(row, include), kind: 'kept', endedAt: end })
    }
    return versions
  }

  #visibleAt(lsn: number): Row[] {
    const live = [...this.#rows.values()].filter((row) => row.lsn <= lsn)
    const ended = [...this.#ended.values()].flat()
    return [
      ...live,
      ...ended.filter(({ row, end }) => row.lsn <= lsn && lsn < end).map(({ row }) => row),
    ]
  }

  #matching(filter: string | null): Row[] {
    return matching([...this.#rows.values()], filter)
  }

  #stats(): ShardStats {
    const rawBytes = this.size * this.settings.dimension * 4
    return {
      ...{ livePoints: this.size, rows: this.size, deltaPoints: 0, graphElements: this.size },
      ...{
        tombstones: 0,
        generation: 1,
        generations: [],
        appliedLsn: this.#lsn,
        indexedLsn: this.#lsn,
      },
      ...{
        memoryBytes: rawBytes,
        rawBytes,
        payloadBytes: 0,
        deadRows: 0,
        insertRate: 0,
        pendingTexts: 0,
      },
      ...{ memoryBytes: rawBytes, rawBytes, payloadBytes: 0, insertRate: 0 },
      ...{ keptVersions: [...this.#ended.values()].flat().length, keptBytes: 0 },
      keepLastVersions: this.settings.keepLastVersions,
    }
  }
}

export class MemoryIndexes implements Indexes {
  readonly #indexes = new Map<string, MemoryIndex>()
  /** How often `create` has run: what an idempotency key saves. */
  created = 0
  readonly buckets = new Set(['primary'])

  async create(settings: NewIndex): Promise<MemoryIndex> {
    this.created += 1
    if (this.#indexes.has(settings.name)) {
      throw new VectordError('index_exists', `There is an index "${settings.name}" already.`)
    }
    if (!this.buckets.has(settings.bucket)) {
      throw new VectordError('bucket_not_found', 'There is no such bucket.', {
        details: { buckets: [...this.buckets] },
      })
    }
    const index = new MemoryIndex(settings)
    this.#indexes.set(settings.name, index)
    return index
  }

  list(): readonly MemoryIndex[] {
    return [...this.#indexes.values()]
  }

  has(name: string): boolean {
    return this.#indexes.has(name)
  }

  get(name: string): MemoryIndex {
    const index = this.#indexes.get(name)
    if (index === undefined) throw new VectordError('index_not_found', 'There is no such index.')
    return index
  }

  async delete(name: string, options: { readonly ifRevision: number | null }): Promise<void> {
    checkRevision(this.get(name), options.ifRevision)
    this.#indexes.delete(name)
  }

  async update(
    name: string,
    change: IndexChange,
    options: { readonly ifRevision: number | null },
  ): Promise<MemoryIndex> {
    const index = this.get(name)
    checkRevision(index, options.ifRevision)
    const { efSearch, keepLastVersions, embedder, stream } = change
    const { stream: before, ...settings } = index.settings
    const changed = stream === undefined ? before : stream && changedStream(before ?? null, stream)
    index.settings = {
      ...settings,
      ...(changed && { stream: changed }),
      hnsw: { ...index.settings.hnsw, ...(efSearch !== undefined && { efSearch }) },
      ...(keepLastVersions !== undefined && { keepLastVersions }),
      ...(embedder !== undefined && { embedder }),
    }
    index.revision += 1
    return index
  }

  async checkMove(
    name: string,
    bucket: string,
    condition: { readonly ifRevision: number | null },
  ): Promise<void> {
    checkRevision(this.get(name), condition.ifRevision)
    if (this.buckets.has(bucket)) return
    throw new VectordError('bucket_not_found', 'There is no such bucket.', {
      details: { buckets: [...this.buckets] },
    })
  }

  async move(
    name: string,
    bucket: string,
    condition: { readonly ifRevision: number | null },
  ): Promise<MemoryIndex> {
    await this.checkMove(name, bucket, condition)
    const index = this.get(name)
    index.settings = { ...index.settings, bucket }
    index.revision += 1
    return index
  }
}

function checkRevision(index: MemoryIndex, expected: number | null): void {
  if (expected === null || expected === index.revision) return
  throw new VectordError('revision_mismatch', 'The index has changed since.')
}
