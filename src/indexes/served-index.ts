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
import type { Include, ShardAnswer, ShardQuery, StoredPoint } from '../domain/search.ts'
import type { ShardSpec } from '../domain/shard-spec.ts'
import type { UpsertBatch, WriteBatch } from '../domain/write-batch.ts'
import { hasCode, VectordError } from '../lib/errors.ts'
import { invariant } from '../lib/invariant.ts'
import type { LogRecord } from '../log/log-store.ts'
import { AppliedWatch } from './applied-watch.ts'
import { withDeadline } from './deadline.ts'
import { DeltaGauge, type DeltaReport } from './delta-gauge.ts'
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
import type { IndexMeta } from './index-meta.ts'
import { afterLogging, otherDimension, refusal } from './index-refusals.ts'
import type { IndexStorage, RecordSink } from './index-storage.ts'
import type { IndexMemory } from './memory-quota.ts'
import { mergePages, sumStats } from './scatter.ts'
import type { ShardClient } from './shard-client.ts'
import { fetchFromShards, sampleShards, searchShards } from './shard-reads.ts'
import { Steering } from './steering.ts'

/** What was reserved for a write before it is logged. */
interface Admitted {
  readonly rows: number
  readonly bytes: number
}

const NOTHING_ADMITTED: Admitted = { rows: 0, bytes: 0 }

/** Ids that one log record of a delete by filter holds. */
const DELETE_BATCH_IDS = 10_000
/** Ids that one delete by filter resolves at the most, on each shard. */
const DELETE_IDS_MAX = 100_000_000

/** What is known of the durable side. */
type Stored = Pick<IndexInfo, 'role' | 'owner' | 'lsn' | 'checkpointLsn' | 'logBytes'> & {
  readonly fault: VectordError | null
}

export interface ServedIndexOptions {
  readonly meta: IndexMeta
  readonly revision: number
  readonly deltaPointsMax: number
  /** Its account in the memory of the service, loaded by whoever calls `serve`. */
  readonly memory: IndexMemory
  readonly nowMs: () => number
  /** What cores and builders must know of each shard, with the newest checkpoint. */
  readonly specs: (storage: IndexStorage) => readonly ShardSpec[]
}

export class ServedIndex implements ManagedIndex, RecordSink {
  /** What searches run with. */
  readonly steering = new Steering(() => this.#meta.hnsw)
  readonly #nowMs: () => number
  readonly #applied = new AppliedWatch()
  /** The last write that was acknowledged before the cores had it: reads have to see it too. */
  #loggedLsn = 0
  readonly #delta: DeltaGauge
  readonly #specs: ServedIndexOptions['specs']
  readonly #memory: IndexMemory
  #meta: IndexMeta
  #revision: number
  #storage: IndexStorage | null = null
  #shards: readonly ShardClient[] = []
  #trouble: VectordError | null = null
  #checkpointing: Promise<unknown> = Promise.resolve()

  constructor(options: ServedIndexOptions) {
    this.#nowMs = options.nowMs
    this.#meta = options.meta
    this.#revision = options.revision
    this.#delta = new DeltaGauge(options.deltaPointsMax)
    this.#specs = options.specs
    this.#memory = options.memory
  }

  get meta(): IndexMeta {
    return this.#meta
  }

  get info(): IndexInfo {
    const { incarnation: _incarnation, state: _state, ...settings } = this.#meta
    const { fault, ...stored } = this.#stored()
    return {
      ...settings,
      revision: this.#revision,
      config: this.steering.config,
      state: this.#state(),
      reason: (this.#fault() ?? fault)?.message ?? null,
      progress: this.#progress(),
      ...stored,
      stats: sumStats(this.#shards.map((shard) => shard.lastStats)),
    }
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
    this.#meta = meta
    this.#revision = revision
  }

  /** @throws {VectordError} `not_owner` where another server writes the index. */
  checkOwned(): void {
    if (this.#trouble?.code === 'not_owner') throw this.#trouble
    this.#storage?.checkOwned()
  }

  get hasRoom(): boolean {
    return this.#delta.hasRoom(this.#report())
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
    for (const shard of this.#shards) shard.admit()
    this.#delta.check(this.#report())
    this.#memory.check()
  }

  async write(batch: WriteBatch, options: WriteOptions): Promise<{ readonly lsn: number }> {
    const storage = this.#owned()
    const admitted = batch.kind === 'upsert' ? this.#admit(batch) : NOTHING_ADMITTED
    const lsn = await withDeadline(
      this.#commit(storage, batch, { admitted, ack: options.ack }),
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
    const { deadlineMs } = options
    const found = await Promise.all(
      this.#shards.map((shard) => shard.matchingIds(filter, DELETE_IDS_MAX, { deadlineMs })),
    )
    const ids = found.flat()
    let lsn = storage.log.lastLsn
    for (let from = 0; from < ids.length; from += DELETE_BATCH_IDS) {
      const batch: WriteBatch = { kind: 'delete', ids: ids.slice(from, from + DELETE_BATCH_IDS) }
      lsn = (await this.write(batch, options)).lsn
    }
    return { lsn, deleted: ids.length }
  }

  async search(asked: ShardQuery, options: ReadOptions): Promise<ShardAnswer> {
    await this.#seen(options)
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

  async scroll(request: ScrollRequest, options: ReadOptions): Promise<ScrollReply> {
    await this.#seen(options)
    const { lsn } = this.#applied
    const pages = await Promise.all(this.#shards.map((shard) => shard.scroll(request, options)))
    return { ...mergePages(pages, request.limit), lsn }
  }

  async count(filter: string | null, options: ReadOptions): Promise<number> {
    await this.#seen(options)
    const counts = await Promise.all(this.#shards.map((shard) => shard.count(filter, options)))
    return counts.reduce((sum, count) => sum + count, 0)
  }

  /** @param options.force writes one also where no write came since the last. */
  checkpoint(
    graph: 'always' | 'if_worth' = 'if_worth',
    { force = graph === 'always' }: { readonly force?: boolean } = {},
  ): Promise<{ readonly lsn: number; readonly written: boolean }> {
    const turn = this.#checkpointing.then(() => this.#checkpoint(graph, force))
    this.#checkpointing = turn.catch(() => undefined)
    return turn
  }

  async verify(): Promise<VerifyReport> {
    const storage = this.#owned()
    const stored = await storage.verify()
    const inShards = await Promise.all(this.#shards.map((shard) => shard.verify()))
    const faults = [...stored.faults, ...inShards.flat()]
    const livePoints = await this.count(null, { minLsn: 0, deadlineMs: this.#nowMs() + 60_000 })
    return { clean: faults.length === 0, faults, logRecords: stored.logRecords, livePoints }
  }

  /** To be called when a shard changed its state: once all are ready, the whole log is applied. */
  caughtUp(): void {
    if (this.#state() === 'ready') this.#applied.advance(this.#storage?.log.lastLsn ?? 0)
  }

  async #commit(
    storage: IndexStorage,
    batch: WriteBatch,
    { admitted, ack }: { readonly admitted: Admitted; readonly ack: WriteOptions['ack'] },
  ): Promise<number> {
    let payload: Uint8Array
    let lsn: number
    try {
      payload = encodeBatch(batch)
      lsn = await storage.log.append(payload)
    } catch (error) {
      this.#delta.abandoned(admitted.rows)
      this.#memory.abandoned(admitted.bytes)
      if (hasCode(error, 'log_fenced')) storage.lose(error)
      throw error
    }
    this.#delta.sent(lsn, admitted.rows)
    this.#memory.sent(lsn, admitted.bytes)
    const applied = Promise.all(this.#shards.map((shard) => shard.apply(lsn, payload))).then(
      () => {
        this.#applied.advance(lsn)
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

  async #checkpoint(
    graph: 'always' | 'if_worth',
    force: boolean,
  ): Promise<{ readonly lsn: number; readonly written: boolean }> {
    const storage = this.#owned()
    if (storage.log.lastLsn === storage.checkpointLsn && !force) {
      return { lsn: storage.checkpointLsn, written: false }
    }
    // Sent in one turn, so that every shard takes it after the same write.
    const contents = await Promise.all(this.#shards.map((shard) => shard.checkpoint(graph)))
    const [first] = contents
    invariant(first !== undefined, 'an index has a shard')
    const { lsn } = first
    invariant(
      contents.every((content) => content.lsn === lsn),
      'the shards of a checkpoint hold the same writes',
    )
    await storage.saveCheckpoint({
      lsn,
      parts: contents.flatMap((content) => content.parts),
      graphs: contents.flatMap((content) => content.graphs),
    })
    return { lsn, written: true }
  }

  #admit(batch: UpsertBatch): Admitted {
    if (batch.dimension !== this.#meta.dimension) throw otherDimension(this.#meta, batch)
    for (const shard of this.#shards) shard.admit()
    const rows = batch.ids.length
    this.#delta.check(this.#report())
    const bytes = this.#memory.admit(batch)
    this.#delta.admit(rows, this.#report())
    return { rows, bytes }
  }

  #report(): DeltaReport {
    const stats = sumStats(this.#shards.map((shard) => shard.lastStats))
    return stats ?? { deltaPoints: 0, appliedLsn: 0, insertRate: 0 }
  }

  /** Waits until the read sees what was acknowledged, and what it asks for. */
  async #seen(options: ReadOptions): Promise<void> {
    this.#ready()
    const wanted = Math.max(options.minLsn, this.#loggedLsn)
    if (wanted <= this.#applied.lsn) return
    await this.#applied.reached(wanted, options.deadlineMs - this.#nowMs())
  }

  #state(): IndexState {
    if (this.#meta.state === 'deleting') return 'deleting'
    if (this.#trouble !== null) return 'unavailable'
    if (this.#shards.length === 0) return 'loading'
    if (this.#shards.some((shard) => shard.state === 'unavailable')) return 'unavailable'
    return this.#shards.every((shard) => shard.state === 'ready') ? 'ready' : 'loading'
  }

  #fault(): VectordError | null {
    if (this.#trouble !== null) return this.#trouble
    return this.#shards.find((shard) => shard.error !== null)?.error ?? null
  }

  #stored(): Stored {
    if (this.#storage === null) return NOTHING_STORED
    const { holding, log, checkpointLsn } = this.#storage
    const lsn = holding.role === 'follower' ? this.#applied.lsn : log.lastLsn
    return { ...holding, lsn, checkpointLsn, logBytes: log.bytes }
  }

  #progress(): number {
    if (this.#shards.length === 0) return 0
    return Math.min(...this.#shards.map((shard) => shard.progress))
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
    throw refusal({ index: this.#meta.name, state, progress: this.#progress() }, this.#fault())
  }
}

const NOTHING_STORED: Stored = {
  ...{ role: null, owner: null, fault: null },
  ...{ lsn: 0, checkpointLsn: 0, logBytes: 0 },
}
