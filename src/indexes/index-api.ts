/**
 * What the rest of the service may ask of the indexes: the seam between routes and `src/indexes`.
 *
 * Requests have been parsed into domain values before; sizes and dimensions are checked here.
 */

import type { HnswConfig } from '../domain/hnsw-config.ts'
import type { LanceSettings } from '../domain/lance-settings.ts'
import type { Metric } from '../domain/metric.ts'
import type { EmbedderStamp } from '../domain/pending-text.ts'
import type {
  Include,
  ScrollPosition,
  ShardAnswer,
  ShardQuery,
  ShardStats,
  StoredPoint,
  VerifyFault,
  VersionsPage,
  VersionsRequest,
} from '../domain/search.ts'
import type { StreamSettings } from '../domain/stream-settings.ts'
import type { WriteBatch } from '../domain/write-batch.ts'
import type { IndexTexts } from './index-texts.ts'

export const INDEX_BACKENDS = ['hnsw', 'lance'] as const
/** `hnsw`: log and graph, in memory. `lance`: a Lance table in the bucket. */
export type IndexBackend = (typeof INDEX_BACKENDS)[number]

export interface IndexSettings {
  readonly name: string
  readonly dimension: number
  readonly metric: Metric
  readonly bucket: string
  readonly backend: IndexBackend
  /** What an index of the other backend would begin with, where it is migrated. */
  readonly hnsw: HnswConfig
  /** Of an index of the backend `lance`, and of no other. */
  readonly lance?: LanceSettings
  readonly shards: number
  readonly keepLastVersions: number
  /** Makes the vectors of texts that come without one. Left out where points need vectors. */
  readonly embedder?: EmbedderStamp
  /** Left out where the index takes no stream. */
  readonly stream?: StreamSettings
}

export type IndexState = 'loading' | 'ready' | 'degraded' | 'unavailable' | 'deleting'

/** Of servers that share a bucket one writes an index, the others follow and serve reads. */
export type IndexRole = 'owner' | 'follower'

export interface IndexInfo extends IndexSettings {
  /** Revision of the meta document: the `ETag`. */
  readonly revision: number
  readonly createdMs: number
  /** What the index is to have now: the promoted configuration, else that of its settings. */
  readonly config: EffectiveConfig
  readonly state: IndexState
  /** Why it is not ready, or why a follower sees no new writes; null where all is well. */
  readonly reason: string | null
  /** Of this server; null while it is not known. */
  readonly role: IndexRole | null
  /** The id of the server that writes the index; null while it is not known. */
  readonly owner: string | null
  /** 0 to 1 while loading. */
  readonly progress: number
  /** Last durable write; on a follower the last one that its reads see. */
  readonly lsn: number
  readonly checkpointLsn: number
  readonly logBytes: number
  /** When its last compaction here ended; null where there was none since the start. */
  readonly compactedMs: number | null
  /** Summed over the shards; null while none of them serves. */
  readonly stats: ShardStats | null
}

/** The configuration that an index is to have, and where it comes from. */
export interface EffectiveConfig {
  readonly hnsw: HnswConfig
  /** `default`, or `promoted:{trial_id}`. */
  readonly source: string
}

export interface WriteOptions {
  /** `logged` answers when durable; `applied` when searchable too. */
  readonly ack: 'applied' | 'logged'
  /** Milliseconds since the Unix epoch; past it the answer is `deadline_exceeded`. */
  readonly deadlineMs: number
}

export interface ReadOptions {
  /** The answer sees every write up to this lsn. */
  readonly minLsn: number
  readonly deadlineMs: number
  /** Decides whether a search takes part in a canary; left out, it does not. */
  readonly requestId?: string
}

/** Where a page of points starts: behind a write, or behind an id, as the backend orders them. */
export type ScrollPlace = ScrollPosition | { readonly id: string }

export interface ScrollRequest {
  readonly after: ScrollPlace | null
  readonly limit: number
  /** JSON text of a validated filter, or null. */
  readonly filter: string | null
  readonly include: Include
}

export interface ScrollReply {
  readonly points: readonly StoredPoint[]
  /** Where the next page starts; null at the end. */
  readonly next: ScrollPlace | null
  readonly lsn: number
}

export interface VerifyReport {
  readonly clean: boolean
  readonly faults: readonly VerifyFault[]
  readonly logRecords: number
  readonly livePoints: number
}

export interface ManagedIndex {
  readonly info: IndexInfo

  /** Where the configuration comes from that searches run with. */
  readonly configSource: string

  /** Every write up to this lsn is searchable here. */
  readonly appliedLsn: number

  /** True where a point may be a text without a vector. */
  readonly takesTexts: boolean

  /** Texts that wait for their vectors. */
  readonly texts: Pick<IndexTexts, 'count'>

  /** For a refusal before a body is read. @throws what a write of points would be refused with now. */
  checkWritable(): void

  /**
   * Durable once resolved, as everything that changes the index.
   *
   * @throws `vector_dimension_mismatch`, `delta_full`, `index_loading`; `not_owner` …
   */
  write(batch: WriteBatch, options: WriteOptions): Promise<{ readonly lsn: number }>

  /** Resolves the filter to ids and deletes those; the log holds ids, never filters. */
  deleteMatching(
    filter: string,
    options: WriteOptions,
  ): Promise<{ readonly lsn: number; readonly deleted: number }>

  /** @throws `bad_request` where it asks for the points as of a write that is not there yet. */
  search(query: ShardQuery, options: ReadOptions): Promise<ShardAnswer>

  fetch(
    ids: readonly string[],
    include: Include,
    options: ReadOptions,
  ): Promise<{ readonly points: readonly (StoredPoint | null)[]; readonly lsn: number }>

  /** The versions of a point that can be read. */
  versions(
    request: VersionsRequest,
    options: ReadOptions,
  ): Promise<VersionsPage & { readonly lsn: number }>

  scroll(request: ScrollRequest, options: ReadOptions): Promise<ScrollReply>

  count(filter: string | null, options: ReadOptions): Promise<number>

  /** Makes a checkpoint of everything written so far; answers the lsn that it holds. */
  checkpoint(): Promise<{ readonly lsn: number; readonly written: boolean }>

  /** Checks log, checkpoint and shards against their checksums and against each other. */
  verify(): Promise<VerifyReport>
}

export type NewIndex = Omit<IndexSettings, 'backend'> & {
  /** `hnsw` where it is left out. */
  readonly backend?: IndexBackend
  readonly createdBy: string
}

export interface IndexChange {
  readonly efSearch?: number | null
  readonly keepLastVersions?: number
  /** Of the dimension of the index. */
  readonly embedder?: EmbedderStamp
  /** What it leaves out stays as it is, or has its default; null takes no stream any more. */
  readonly stream?: Partial<StreamSettings> | null
  /** Of an index of the backend `lance`. */
  readonly lance?: Partial<LanceSettings>
}

/** What must hold for a change of an index, and who makes it. */
export interface WriteCondition {
  /** The revision that the caller has seen; null takes any. */
  readonly ifRevision: number | null
  readonly by: string
  /** Why; what is done says it where this is left out. */
  readonly reason?: string
}

export interface Indexes {
  /** @throws `index_exists`, `bucket_not_found`, `bucket_unreachable`. */
  create(settings: NewIndex): Promise<ManagedIndex>

  list(): readonly ManagedIndex[]

  /** True where `get` finds it. */
  has(name: string): boolean

  /** @throws `index_not_found`; `bucket_unreachable` where that cannot be told. */
  get(name: string): ManagedIndex

  /**
   * Removes the index and every object of it.
   *
   * @throws `index_not_found`, `revision_mismatch`; `not_owner` where another server writes it.
   */
  delete(name: string, condition: WriteCondition): Promise<void>

  /** Changes settings. @throws `index_not_found`, `revision_mismatch`. */
  update(name: string, change: IndexChange, condition: WriteCondition): Promise<ManagedIndex>
}
