/**
 * What a core can be asked to do with the shards it owns: the seam between the data plane, which
 * carries requests, and `src/shard`, which does the work. The front holds a `RemoteShard` with the
 * same verbs (see `dataplane.ts`).
 */

import type { CheckpointContent, Clearance } from '../domain/checkpoint.ts'
import type { TextsReply, TextsRequest } from '../domain/pending-text.ts'
import type { RecallSample, SampleRequest } from '../domain/recall-sample.ts'
import type {
  AdoptedGraph,
  Include,
  KeywordStatistics,
  ScrollPage,
  ScrollPosition,
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
import type { BucketSpec, ShardSpec } from '../domain/shard-spec.ts'

/** One shard inside its core. Methods without a promise run to the end in one turn. */
export interface HostedShard {
  /** What opening found damaged and the shard rebuilds by itself, in words for the log. */
  readonly notices?: readonly string[]

  /**
   * Applies one log record, whole or (where it throws) not at all; `lsn` grows from call to call,
   * and an lsn that was applied before is ignored. Rows of other shards are skipped. Afterwards
   * every row is searchable: it waits in the delta, which is searched exactly.
   *
   * @param payload the bytes of the log record, encoded by `src/codecs/batch-codec.ts`.
   */
  apply(lsn: number, payload: Uint8Array): void

  /** @throws {VectordError} `keywords_loading` where it needs words of rows that are not known yet. */
  search(query: ShardQuery): ShardAnswer

  /** What the live points have of some words. @throws {VectordError} `keywords_loading`. */
  keywordStatistics(terms: readonly string[]): KeywordStatistics

  /** Resolves when the words of every row were known at one time, which they are from then on. */
  prepareKeywords(): Promise<void>

  /** The stored points of `ids`, null where there is none. */
  fetch(ids: readonly string[], include: Include): readonly (StoredPoint | null)[]

  /** The versions of a point that can be read. */
  versions(request: VersionsRequest): VersionsPage

  /** Texts that wait for their vectors, and what points have. */
  texts(request: TextsRequest): TextsReply

  /** Live points after `after` (null: from the start) that match the filter (JSON text or null). */
  scroll(
    after: ScrollPosition | null,
    limit: number,
    filter: string | null,
    include: Include,
  ): ScrollPage

  /** Ids of the live points that match, at most `limit` of them. */
  matchingIds(filter: string, limit: number): readonly string[]

  count(filter: string | null): number

  /**
   * Moves points from the delta into the graph until `budgetMs` have passed or none is left.
   *
   * @returns true where more work waits. False while a graph is being saved.
   */
  indexSlice(budgetMs: number): boolean

  /**
   * Writes what changed since the last checkpoint to the bucket, beside serving, and says what the
   * new one consists of. It exists only once the front has written its manifest; parts that no
   * manifest names are garbage.
   *
   * @param graph `always` at shutdown, `if_worth` otherwise (a tenth of the elements changed).
   * @param clearance after a compaction: no part holds a dead row, and graphs are given up.
   */
  checkpoint(graph: 'always' | 'if_worth', clearance?: Clearance): Promise<CheckpointContent>

  /** Gives the rows new slots without the dead ones; counts the live rows up to each lsn. */
  compact(lsns: readonly number[]): Promise<TableCompacted>

  /** Brings a generation into memory as a candidate; points enter it in slices from then on. */
  adopt(graph: AdoptedGraph): Promise<void>

  /** Makes a candidate the generation that searches use. It is durable with the next checkpoint. */
  publish(generation: number): Promise<void>

  /** Frees a generation that is not published. */
  drop(generation: number): Promise<void>

  /** How many versions of each id are kept from now on; gives up what is beyond that. */
  retain(keepLastVersions: number): Promise<TrimmedVersions>

  /** Runs a query again, exactly and at several ef, over one snapshot and beside serving. */
  sample(request: SampleRequest): Promise<RecallSample>

  /**
   * Writes and reads objects in another bucket from now on, which has all that the shard has in this
   * one, under the same keys.
   */
  rehome(bucket: BucketSpec): Promise<void>

  /** Checks the shard against itself: maps, tombstones, graph size, delta. Empty is clean. */
  verify(): Promise<readonly VerifyFault[]>

  stats(): ShardStats

  /** Releases memory and files. No call follows. */
  close(): Promise<void>
}

/**
 * Opens a shard in its core: the checkpoint of `spec` is loaded, the log is not replayed yet.
 *
 * @param onProgress is told how much of the checkpoint is loaded, from 0 to 1.
 */
export type OpenShard = (
  spec: ShardSpec,
  onProgress: (fraction: number) => void,
) => Promise<HostedShard>

/** What a module exports that a core can host shards with; `shard-host-main.ts` is the real one. */
export interface ShardHostModule {
  readonly openHostedShard: OpenShard
}
