/**
 * One index in service: its log, its shards on the cores, its checkpoints.
 *
 *     loading ──▶ ready ◀──▶ loading (a core died and replays)
 *        ╰──▶ unavailable (bucket down, damaged, owned elsewhere) ──retry──▶ loading
 *
 *     write ─▶ admit ─▶ log append (durable: lsn) ─▶ apply on each shard ─▶ answer
 *     written by another server ─▶ its log ─▶ apply on each shard        reads only: `not_owner`
 *
 * A write is refused before it is logged or not at all: once it has an lsn it is durable, also where
 * the answer is an error because its core died meanwhile (the details then name the lsn).
 */

import { encodeBatch } from '../codecs/batch-codec.ts'
import type { RecallSample, SampleRequest } from '../domain/recall-sample.ts'
import type {
  Include,
  ShardAnswer,
  ShardQuery,
  StoredPoint,
  TrimmedVersions,
  VersionsPage,
  VersionsRequest,
} from '../domain/search.ts'
import type { ShardSpec } from '../domain/shard-spec.ts'
import type { LoggedBatch, WriteBatch } from '../domain/write-batch.ts'
import { hasCode, VectordError } from '../lib/errors.ts'
import type { LogRecord } from '../log/log-store.ts'
import { Admission } from './admission.ts'
import { AppliedWatch } from './applied-watch.ts'
import { withDeadline } from './deadline.ts'
import { EntryGate } from './entry-gate.ts'
import type {
  IndexInfo,
  IndexState,
  ManagedIndex,
  ReadOptions,
  ScrollReply,
  ScrollRequest,
  VerifyReport,
  WriteOptions,
} from './index-api.ts'
import {
  IndexCheckpoints,
  type Checkpointed,
  type CheckpointOptions,
  type IndexDropping,
} from './index-checkpoints.ts'
import type { IndexMeta } from './index-meta.ts'
import { afterLogging, notWrittenYet, refusal } from './index-refusals.ts'
import { progressOf, stateOf } from './index-state.ts'
import type { IndexStorage, RecordSink } from './index-storage.ts'
import { deleteBatches, matchingIds } from './matching-deletes.ts'
import type { IndexMemory } from './memory-quota.ts'
import { sumStats } from './scatter.ts'
import type { ShardClient } from './shard-client.ts'
import { scrollShards } from './scroll-shards.ts'
import { fetchFromShards, sampleShards, searchShards, versionsFromShards } from './shard-reads.ts'
import { ServedTexts } from './served-texts.ts'
import { alignRetention, retainInShards } from './shard-retention.ts'
import { Steering } from './steering.ts'
import { storedSide } from './stored-side.ts'

export interface ServedIndexOptions {
  readonly meta: IndexMeta
  readonly revision: number
  readonly deltaPointsMax: number
  /** Its account in the memory of the service, loaded by whoever calls `serve`. */
  readonly memory: IndexMemory
  readonly nowMs: () => number
  /** What readers have open, and whom to tell of a checkpoint: older ones may go. */
  readonly drops?: IndexDropping
  /** What cores and builders must know of each shard, with the newest checkpoint. */
  readonly specs: (storage: IndexStorage) => readonly ShardSpec[]
}

export class ServedIndex implements ManagedIndex, RecordSink {
  /** What searches run with. */
  readonly steering = new Steering(() => this.#meta.hnsw)
  /** Passed by all that changes its bucket, but checkpoints: see `IndexCheckpoints`. */
  readonly writes: EntryGate
  /** Passed by builders, which read its bucket and write graphs there, before they write. */
  readonly builds: EntryGate
  readonly checkpoints: IndexCheckpoints
  /** Texts that wait for their vectors. */
  readonly texts: ServedTexts
  readonly #nowMs: () => number
  readonly #applied = new AppliedWatch()
  /** The last write that was acknowledged before the cores had it: reads have to see it too. */
  #loggedLsn = 0
  readonly #admission: Admission
  readonly #specs: ServedIndexOptions['specs']
  readonly #memory: IndexMemory
  #meta: IndexMeta
  #revision: number
  #storage: IndexStorage | null = null
  #shards: readonly ShardClient[] = []
  #trouble: VectordError | null = null

  constructor(options: ServedIndexOptions) {
    this.#nowMs = options.nowMs
    this.#meta = options.meta
    this.writes = new EntryGate(options.meta.name)
    this.builds = new EntryGate(options.meta.name)
    this.#revision = options.revision
    this.#specs = options.specs
    this.#memory = options.memory
    const parts = { meta: () => this.#meta, shards: () => this.#shards }
    const { deltaPointsMax, memory } = options
    this.#admission = new Admission({ deltaPointsMax, memory, ...parts })
    this.texts = new ServedTexts({
      ...{ meta: parts.meta, nowMs: options.nowMs, appliedLsn: () => this.#applied.lsn },
      shards: () => {
        this.#ready()
        return this.#shards
      },
      ownShards: () => this.ownShards(),
      write: (batch, deadlineMs) => this.#write(batch, { ack: 'applied', deadlineMs }),
    })
    this.checkpoints = new IndexCheckpoints({
      ...{ index: options.meta.name, nowMs: options.nowMs, drops: options.drops },
      ...{ owned: () => this.#owned(), held: () => this.#storage, shards: () => this.#shards },
    })
  }

  get meta(): IndexMeta {
    return this.#meta
  }

  get info(): IndexInfo {
    const { incarnation: _incarnation, state: _state, ...settings } = this.#meta
    const { fault, ...stored } = storedSide(this.#storage, this.#applied.lsn)
    return {
      ...settings,
      revision: this.#revision,
      config: this.steering.config,
      state: this.#state(),
      reason: (this.#fault() ?? fault)?.message ?? null,
      progress: progressOf(this.#shards),
      ...stored,
      compactedMs: this.checkpoints.clearedMs,
      stats: sumStats(this.#shards.map((shard) => shard.lastStats)),
    }
  }

  /** Null while it is not in service. */
  get storage(): IndexStorage | null {
    return this.#storage
  }

  get configSource(): string {
    return this.steering.source
  }

  get appliedLsn(): number {
    return this.#applied.lsn
  }

  /** The shards, to be changed. @throws what keeps it from serving, `not_owner`. */
  ownShards(): readonly ShardClient[] {
    this.#owned()
    return this.#shards
  }

  get takesTexts(): boolean {
    return this.#meta.embedder !== undefined
  }

  /** Of each shard, with the newest checkpoint. @throws what keeps it from serving. */
  specs(): readonly ShardSpec[] {
    return this.specsOf(this.#ready())
  }

  specsOf(storage: IndexStorage): readonly ShardSpec[] {
    return this.#specs(storage)
  }

  /** Puts the index into service. The shards may still be loading. */
  serve(storage: IndexStorage, shards: readonly ShardClient[]): void {
    this.#trouble = null
    this.#storage = storage
    this.#shards = shards
    this.caughtUp()
  }

  /** Takes the index out of service; `why` is what requests are told until it is back. */
  withdraw(why: VectordError): void {
    this.#trouble = why
    this.#storage = null
    this.#shards = []
    this.#memory.release()
  }

  changeMeta(meta: IndexMeta, revision: number): void {
    const isOther = meta.embedder !== this.#meta.embedder
    this.#meta = meta
    this.#revision = revision
    if (isOther) this.texts.brought()
  }

  /** @throws {VectordError} `not_owner` where another server writes the index. */
  checkOwned(): void {
    if (this.#trouble?.code === 'not_owner') throw this.#trouble
    this.#storage?.checkOwned()
  }

  get hasRoom(): boolean {
    return this.#admission.hasRoom
  }

  async follow({ lsn, payload }: LogRecord): Promise<void> {
    try {
      await Promise.all(this.#shards.map((shard) => shard.apply(lsn, payload)))
      this.#applied.advance(lsn)
    } catch (error) {
      // Its shard tells what is wrong, and finds the record in the log when it loads again.
      if (!(error instanceof VectordError)) throw error
    }
  }

  checkWritable(): void {
    this.#owned()
    this.#admission.check()
  }

  write(batch: WriteBatch, options: WriteOptions): Promise<{ readonly lsn: number }> {
    return this.#write(batch, options)
  }

  async #write(batch: LoggedBatch, options: WriteOptions): Promise<{ readonly lsn: number }> {
    while (this.writes.isClosed) await this.writes.opened(options.deadlineMs - this.#nowMs())
    const storage = this.#owned()
    const lsn = await withDeadline(
      this.writes.run(() => this.#commit(storage, batch, options.ack)),
      options.deadlineMs - this.#nowMs(),
      'The write was not finished in time; it may still become durable.',
    )
    return { lsn }
  }

  async deleteMatching(
    filter: string,
    options: WriteOptions,
  ): Promise<{ readonly lsn: number; readonly deleted: number }> {
    const storage = this.#owned()
    const ids = await matchingIds(this.#shards, filter, options)
    let lsn = storage.log.lastLsn
    for (const batch of deleteBatches(ids)) lsn = (await this.write(batch, options)).lsn
    return { lsn, deleted: ids.length }
  }

  async search(asked: ShardQuery, options: ReadOptions): Promise<ShardAnswer> {
    await this.#seen(options)
    if (asked.asOf !== undefined) await this.#seenAsOf(asked.asOf, options)
    const query = this.steering.steer(asked, options.requestId)
    return searchShards(this.#shards, query, options)
  }

  /** Runs a query again, exactly and at several ef: for whoever watches the recall. */
  async sample(request: SampleRequest, options: ReadOptions): Promise<RecallSample> {
    await this.#seen(options)
    return sampleShards(this.#shards, request, options)
  }

  async fetch(
    ids: readonly string[],
    include: Include,
    options: ReadOptions,
  ): Promise<{ readonly points: readonly (StoredPoint | null)[]; readonly lsn: number }> {
    await this.#seen(options)
    const { lsn } = this.#applied
    return { points: await fetchFromShards(this.#shards, ids, include, options), lsn }
  }

  async versions(
    request: VersionsRequest,
    options: ReadOptions,
  ): Promise<VersionsPage & { readonly lsn: number }> {
    await this.#seen(options)
    const { lsn } = this.#applied
    return { ...(await versionsFromShards(this.#shards, request, options)), lsn }
  }

  async scroll(request: ScrollRequest, options: ReadOptions): Promise<ScrollReply> {
    await this.#seen(options)
    const { lsn } = this.#applied
    return { ...(await scrollShards(this.#shards, request, options)), lsn }
  }

  async count(filter: string | null, options: ReadOptions): Promise<number> {
    await this.#seen(options)
    const counts = await Promise.all(this.#shards.map((shard) => shard.count(filter, options)))
    return counts.reduce((sum, count) => sum + count, 0)
  }

  checkpoint(graph?: 'always' | 'if_worth', options?: CheckpointOptions): Promise<Checkpointed> {
    return this.checkpoints.make(graph, options)
  }

  /** Gives up the versions of points beyond the last `keep`; answers what was freed. */
  async trimVersions(keep: number): Promise<TrimmedVersions> {
    this.#ready()
    return this.checkpoints.apart(() => retainInShards(this.#shards, keep))
  }

  /** Tells shards that were loaded while the settings changed how many versions they keep. */
  alignRetention(): Promise<void> {
    return this.checkpoints.apart(() => alignRetention(this.#shards, this.#meta.keepLastVersions))
  }

  async verify(): Promise<VerifyReport> {
    const storage = this.#owned()
    const stored = await storage.verify()
    const inShards = await this.checkpoints.apart(() =>
      Promise.all(this.#shards.map((shard) => shard.verify())),
    )
    const faults = [...stored.faults, ...inShards.flat()]
    const livePoints = await this.count(null, { minLsn: 0, deadlineMs: this.#nowMs() + 60_000 })
    return { clean: faults.length === 0, faults, logRecords: stored.logRecords, livePoints }
  }

  /** To be called when a shard changed its state: once all are ready, the whole log is applied. */
  caughtUp(): void {
    if (this.#state() !== 'ready') return
    this.#applied.advance(this.#storage?.log.lastLsn ?? 0)
    if (this.takesTexts) this.texts.brought()
  }

  async #commit(
    storage: IndexStorage,
    batch: LoggedBatch,
    ack: WriteOptions['ack'],
  ): Promise<number> {
    const admitted = this.#admission.admit(batch)
    let payload: Uint8Array
    let lsn: number
    try {
      payload = encodeBatch(batch)
      lsn = await storage.log.append(payload)
    } catch (error) {
      this.#admission.abandoned(admitted)
      if (hasCode(error, 'log_fenced')) storage.lose(error)
      throw error
    }
    this.#admission.sent(lsn, admitted)
    const applied = Promise.all(this.#shards.map((shard) => shard.apply(lsn, payload))).then(
      () => {
        this.#applied.advance(lsn)
        if (batch.kind === 'upsert' && batch.places !== undefined) this.texts.brought()
      },
      (error: unknown) => {
        // The restarted core replays the record from the log, so only the answer is an error.
        if (ack === 'applied') throw afterLogging(error, lsn)
      },
    )
    if (ack === 'applied') await applied
    else this.#loggedLsn = Math.max(this.#loggedLsn, lsn)
    return lsn
  }

  /** Waits until the read sees what was acknowledged, and what it asks for. */
  async #seen(options: ReadOptions): Promise<void> {
    this.#ready()
    const wanted = Math.max(options.minLsn, this.#loggedLsn)
    if (wanted <= this.#applied.lsn) return
    await this.#applied.reached(wanted, options.deadlineMs - this.#nowMs())
  }

  /** The points as of a write that is still to come are not known. */
  async #seenAsOf(asOf: number, options: ReadOptions): Promise<void> {
    const { lsn } = storedSide(this.#storage, this.#applied.lsn)
    if (asOf > lsn) throw notWrittenYet(asOf, lsn)
    await this.#seen({ ...options, minLsn: Math.max(options.minLsn, asOf) })
  }

  #state(): IndexState {
    return stateOf(this.#meta, this.#trouble, this.#shards)
  }

  #fault(): VectordError | null {
    if (this.#trouble !== null) return this.#trouble
    return this.#shards.find((shard) => shard.error !== null)?.error ?? null
  }

  /** As `#ready`, for what changes the index. @throws also `not_owner`. */
  #owned(): IndexStorage {
    this.checkOwned()
    return this.#ready()
  }

  /** The storage of an index that serves. @throws what keeps it from serving. */
  #ready(): IndexStorage {
    const state = this.#state()
    if (state === 'ready' && this.#storage !== null) return this.#storage
    throw refusal(
      { index: this.#meta.name, state, progress: progressOf(this.#shards) },
      this.#fault(),
    )
  }
}
