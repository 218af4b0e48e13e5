/**
 * The JSON messages between front and core, and how often a core speaks up.
 */

import type { Clearance } from '../domain/checkpoint.ts'
import type { ShardStats, TableCompacted, TrimmedVersions } from '../domain/search.ts'
import type { BucketSpec, ShardSpec } from '../domain/shard-spec.ts'
import type { WireError } from './error-codec.ts'

/** A core sends a `beat` this often. */
export const BEAT_INTERVAL_MS = 250

/** How a core shares its time between requests and background work. */
export interface CorePace {
  /** Requests of one turn, after which background work has its share. */
  readonly turnRequests: number
  /** Milliseconds of the longest turn of background work. */
  readonly sliceMs: number
}

export const CORE_PACE: CorePace = { turnRequests: 256, sliceMs: 4 }

/** What a core is started with: the one argument of its process. */
export interface CoreArguments {
  /** For messages to people. */
  readonly core: number
  /** A `ShardHostModule`: a `file:` URL or an absolute path. */
  readonly hostModule: string
  readonly pace: CorePace
}

export interface OpenRequest {
  readonly spec: ShardSpec
}

export interface OpenReply {
  readonly stats: ShardStats
  /** What was found damaged and is rebuilt. */
  readonly notices: readonly string[]
}

export interface CheckpointRequest {
  readonly graph: 'always' | 'if_worth'
  readonly clearance?: Clearance
}

export interface CompactRequest {
  readonly lsns: readonly number[]
}

export interface CompactReply {
  readonly compacted: TableCompacted
  /** Afterwards. */
  readonly stats: ShardStats
}

export interface RehomeRequest {
  readonly bucket: BucketSpec
}

export interface MatchingIdsRequest {
  readonly filter: string
  readonly limit: number
}

export interface CountRequest {
  readonly filter: string | null
}

export interface RetainRequest {
  readonly keepLastVersions: number
}

export interface RetainReply {
  readonly stats: ShardStats
  readonly trimmed: TrimmedVersions
}

/** Sent every `BEAT_INTERVAL_MS`, so that a core that hangs is noticed too. */
export interface Beat {
  readonly rss_bytes: number
  /** Seconds of CPU since the process started. */
  readonly cpu_s: number
  /** Requests that wait in the core. */
  readonly queued: number
  /** Only shards whose statistics changed since the last beat. */
  readonly shards: readonly { readonly shard: number; readonly stats: ShardStats }[]
}

/** Something failed in a core that no request asked for. */
export interface Fault {
  readonly shard: number
  readonly what: 'maintenance' | 'stats' | 'close'
  readonly error: WireError
}
