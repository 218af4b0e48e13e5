/**
 * A shard as the front sees it: the verbs of `HostedShard`, across to the core that owns it.
 *
 * Reads reject with `index_loading` or `index_unavailable` while the shard is not ready, with
 * `core_unavailable` when its core dies meanwhile, and with what `Core.send` refuses.
 */

import type { CheckpointContent, Clearance } from '../domain/checkpoint.ts'
import type { TextsReply, TextsRequest } from '../domain/pending-text.ts'
import type { RecallSample, SampleRequest } from '../domain/recall-sample.ts'
import type {
  AdoptedGraph,
  Include,
  KeywordStatistics,
  ScrollPage,
  ShardAnswer,
  ShardQuery,
  ShardStats,
  StoredPoint,
  TableCompacted,
  TrimmedVersions,
  VerifyFault,
  VersionsPage,
  VersionsRequest,
} from '../domain/search.ts'
import type { BucketSpec } from '../domain/shard-spec.ts'
import type { VectordError } from '../lib/errors.ts'
import type { CompactReply, RetainReply } from './core-messages.ts'
import type { CoreRequest } from './core-request.ts'
import { FRAME } from './frame.ts'
import {
  readAnswer,
  readIds,
  readJson,
  readPage,
  readPoints,
  readVersions,
  writeFetch,
  writeIds,
  writeJson,
  writeQuery,
  writeSample,
  writeScroll,
  type ScrollPageRequest,
} from './shard-codec.ts'
import type { ShardLife, ShardState } from './shard-life.ts'

export interface ReadBounds {
  /** Milliseconds since the Unix epoch; Infinity where the read may take its time. */
  readonly deadlineMs: number
  /** True for work that nobody waits for: it yields to other requests and is refused first. */
  readonly background?: boolean
}

export class RemoteShard {
  readonly #life: ShardLife
  readonly #detach: () => Promise<void>

  /** @param detach takes the shard out of the data plane. */
  constructor(life: ShardLife, detach: () => Promise<void>) {
    this.#life = life
    this.#detach = detach
  }

  get state(): ShardState {
    return this.#life.state
  }

  /** How much of the load is done, from 0 to 1; 1 when ready. */
  get progress(): number {
    return this.#life.progress
  }

  /** What the last load or a record failed with; null when ready. */
  get error(): VectordError | null {
    return this.#life.error
  }

  /** As of at most a quarter of a second ago; null while it is not ready. */
  get lastStats(): ShardStats | null {
    return this.#life.lastStats
  }

  /** The number of the core that it is placed on. */
  get core(): number {
    return this.#life.core.number
  }

  /** Calls `listener` after each change of `state`; the returned function ends that. */
  onStateChange(listener: () => void): () => void {
    return this.#life.onStateChange(listener)
  }

  /** Resolves when it is ready. @throws {VectordError} `error`, once it is unavailable. */
  async whenReady(): Promise<void> {
    while (this.state === 'loading') await this.#change()
    if (this.error !== null) throw this.error
  }

  /**
   * To be asked before a write is logged: afterwards it is never refused.
   *
   * @throws {VectordError} `core_degraded`, `core_suspended`.
   */
  admit(): void {
    this.#life.core.admit()
  }

  /**
   * Applies a record of the log; resolves when every row of it is searchable. Calls come in lsn
   * order, and the payload must not change until then.
   *
   * @throws {VectordError} `core_unavailable` where the shard is not ready or its core dies: the
   *   record will be replayed from the log.
   */
  apply(lsn: number, payload: Uint8Array): Promise<void> {
    return this.#life.apply(lsn, payload)
  }

  /** The query's vector must not change until the answer is there. */
  async search(query: ShardQuery, bounds: ReadBounds): Promise<ShardAnswer> {
    return this.#life.core.send({
      ...this.#head(FRAME.search, bounds),
      write: (writer) => writeQuery(writer, query),
      read: readAnswer,
    })
  }

  async keywordStatistics(
    terms: readonly string[],
    bounds: ReadBounds,
  ): Promise<KeywordStatistics> {
    return this.#life.core.send({
      ...this.#head(FRAME.keywordStatistics, bounds),
      write: (writer) => writeIds(writer, terms),
      read: (body) => readJson(body) as KeywordStatistics,
    })
  }

  /** See `HostedShard`. It goes on after the deadline. */
  async prepareKeywords(bounds: ReadBounds): Promise<void> {
    await this.#life.core.send({
      ...this.#head(FRAME.prepareKeywords, bounds),
      write: () => undefined,
      read: () => undefined,
    })
  }

  async fetch(
    ids: readonly string[],
    include: Include,
    bounds: ReadBounds,
  ): Promise<readonly (StoredPoint | null)[]> {
    return this.#life.core.send({
      ...this.#head(FRAME.fetch, bounds),
      write: (writer) => writeFetch(writer, { ids, include }),
      read: readPoints,
    })
  }

  async versions(request: VersionsRequest, bounds: ReadBounds): Promise<VersionsPage> {
    return this.#life.core.send({
      ...this.#head(FRAME.versions, bounds),
      write: (writer) => writeJson(writer, request),
      read: readVersions,
    })
  }

  async texts(request: TextsRequest, bounds: ReadBounds): Promise<TextsReply> {
    return this.#life.core.send({
      ...this.#head(FRAME.texts, bounds),
      write: (writer) => writeJson(writer, request),
      read: (body) => readJson(body) as TextsReply,
    })
  }

  async scroll(request: ScrollPageRequest, bounds: ReadBounds): Promise<ScrollPage> {
    return this.#life.core.send({
      ...this.#head(FRAME.scroll, bounds),
      write: (writer) => writeScroll(writer, request),
      read: readPage,
    })
  }

  async matchingIds(filter: string, limit: number, bounds: ReadBounds): Promise<readonly string[]> {
    return this.#life.core.send({
      ...this.#head(FRAME.matchingIds, bounds),
      write: (writer) => writeJson(writer, { filter, limit }),
      read: readIds,
    })
  }

  async count(filter: string | null, bounds: ReadBounds): Promise<number> {
    return this.#life.core.send({
      ...this.#head(FRAME.count, bounds),
      write: (writer) => writeJson(writer, { filter }),
      read: (body) => readJson(body) as number,
    })
  }

  /** Ordered among applies: it holds every record that was sent before it, and none after. */
  async checkpoint(
    graph: 'always' | 'if_worth',
    clearance?: Clearance,
  ): Promise<CheckpointContent> {
    return this.#life.core.send({
      ...this.#head(FRAME.checkpoint, UNBOUNDED),
      write: (writer) => writeJson(writer, { graph, clearance }),
      read: (body) => readJson(body) as CheckpointContent,
    })
  }

  /** Takes the dead rows out of memory; counts the live rows up to each lsn. */
  async compact(lsns: readonly number[]): Promise<TableCompacted> {
    const { compacted, stats } = await this.#life.core.send({
      ...this.#head(FRAME.compact, UNBOUNDED),
      write: (writer) => writeJson(writer, { lsns }),
      read: (body) => readJson(body) as CompactReply,
    })
    this.#life.noteStats(stats)
    return compacted
  }

  /** Brings a generation into memory as a candidate; its `deltaPoints` tell when it has caught up. */
  async adopt(graph: AdoptedGraph): Promise<void> {
    await this.#generation(FRAME.adopt, graph)
  }

  /** Makes a candidate the published generation. */
  async publish(generation: number): Promise<void> {
    await this.#generation(FRAME.publish, generation)
  }

  async drop(generation: number): Promise<void> {
    await this.#generation(FRAME.drop, generation)
  }

  /** How many versions of each id are kept from now on; answers what was given up beyond that. */
  async retain(keepLastVersions: number): Promise<TrimmedVersions> {
    const { stats, trimmed } = await this.#life.core.send({
      ...this.#head(FRAME.retain, UNBOUNDED),
      write: (writer) => writeJson(writer, { keepLastVersions }),
      read: (body) => readJson(body) as RetainReply,
    })
    this.#life.noteStats(stats)
    return trimmed
  }

  /** The query's vector must not change until the answer is there. */
  async sample(request: SampleRequest, bounds: ReadBounds): Promise<RecallSample> {
    return this.#life.core.send({
      ...this.#head(FRAME.sample, bounds),
      write: (writer) => writeSample(writer, request),
      read: (body) => readJson(body) as RecallSample,
    })
  }

  /** See `HostedShard`. Whoever calls it sees to it that no checkpoint runs. */
  async rehome(bucket: BucketSpec): Promise<void> {
    await this.#life.core.send({
      ...this.#head(FRAME.rehome, UNBOUNDED),
      write: (writer) => writeJson(writer, { bucket }),
      read: () => undefined,
    })
  }

  async verify(): Promise<readonly VerifyFault[]> {
    return this.#life.core.send({
      ...this.#head(FRAME.verify, UNBOUNDED),
      write: () => undefined,
      read: (body) => readJson(body) as readonly VerifyFault[],
    })
  }

  /** Closes the shard in its core, after what was sent before. Idempotent. */
  detach(): Promise<void> {
    return this.#detach()
  }

  async #generation(
    type: typeof FRAME.adopt | typeof FRAME.publish | typeof FRAME.drop,
    change: AdoptedGraph | number,
  ): Promise<void> {
    const stats = await this.#life.core.send({
      ...this.#head(type, UNBOUNDED),
      write: (writer) => writeJson(writer, change),
      read: (body) => readJson(body) as ShardStats,
    })
    this.#life.noteStats(stats)
  }

  #head(
    type: CoreRequest<unknown>['type'],
    bounds: ReadBounds,
  ): Omit<CoreRequest<unknown>, 'write' | 'read'> {
    const { deadlineMs, background } = bounds
    const { shard, subject } = this.#life.address()
    return { type, shard, subject, deadlineMs, background: background === true }
  }

  #change(): Promise<void> {
    return new Promise((resolve) => {
      const stop = this.onStateChange(() => {
        stop()
        resolve()
      })
    })
  }
}

const UNBOUNDED: ReadBounds = { deadlineMs: Infinity }
