/**
 * What a builder is asked to do with the points of one checkpoint, and what it answers.
 *
 * A builder measures and does not judge: it answers what it saw of each query, and whoever asked
 * makes recall, bounds and decisions of it.
 */

import type { GraphRef } from './checkpoint.ts'
import type { HnswConfig } from './hnsw-config.ts'
import { invariant } from '../lib/invariant.ts'
import type { ShardSpec } from './shard-spec.ts'

/** The points that a builder works on: every shard of an index at one checkpoint. */
export interface Dataset {
  readonly shards: readonly ShardSpec[]
}

/** The local folder for the temporary files of a builder process that works on the points. */
export function benchFolder({ shards }: Dataset, pid: number): string {
  const [first] = shards
  invariant(first !== undefined, 'a data set has a shard')
  return `${first.scratch}-bench-${pid}`
}

export interface DatasetInfo {
  readonly lsn: number
  readonly points: number
  readonly dimension: number
  /** SHA-256 in hex over the rows in their order: equal for equal rows. */
  readonly fingerprint: string
}

/** Queries as they travel: rows of float32, little-endian, in base64. */
export interface QueryRows {
  readonly vectors: string
  readonly count: number
  /** Of each query: the id that is left out of its answers, or null. */
  readonly selfIds: readonly (string | null)[]
}

/** The exact nearest of one query, nearest first. */
export interface TrueNeighbors {
  readonly ids: readonly string[]
  readonly distances: readonly number[]
}

export interface TruthRequest {
  readonly queries: QueryRows
  readonly k: number
}

export interface SampleRowsRequest {
  readonly count: number
  readonly seed: number
  /** How far queries lie from their rows: 1 is as far as a new point would. */
  readonly noise: number
}

export interface BuildRequest {
  readonly config: HnswConfig
  /** Name of the graph; see `DatasetInfo.fingerprint` and `graphIdOf`. */
  readonly graphId: string
  /** Files of this graph, where it was built before; those that are damaged are built anew. */
  readonly cached: readonly GraphRef[] | null
}

export interface BuiltGraph {
  readonly graphId: string
  readonly elements: number
  readonly memoryBytes: number
  readonly cpuS: number
  readonly wallS: number
  /** False where its files were loaded. */
  readonly isNew: boolean
}

export interface MeasureRequest {
  readonly graphId: string
  readonly efs: readonly number[]
  readonly queries: QueryRows
  /** Distances of the true neighbours of each query. */
  readonly truth: readonly (readonly number[])[]
  readonly k: number
}

/** What was seen at one ef. */
export interface Measured {
  readonly ef: number
  /** Hits of each query among its true neighbours. */
  readonly hits: readonly number[]
  /** Microseconds of CPU of a query, as the mean of each block of queries. */
  readonly blockCpuUs: readonly number[]
  /** Wall time of each query in microseconds. */
  readonly latencyUs: readonly number[]
}

export interface CompareRequest {
  readonly sides: readonly [Side, Side]
  readonly queries: QueryRows
  readonly k: number
  readonly blocks: number
}

export interface Side {
  readonly graphId: string
  readonly ef: number
}

/** CPU of both sides, measured in turns (A B B A) over the same queries; by block. */
export interface Compared {
  readonly cpuUs: readonly (readonly [number, number])[]
  /**
   * Of each side and each query that was searched the quickest time: what else the machine does only
   * adds, and comes by chance.
   */
  readonly quickestUs: readonly [readonly number[], readonly number[]]
}

export interface SaveRequest {
  readonly graphId: string
  /** Keys of the files begin with it. */
  readonly prefix: string
}

/** Every job of a builder: what is asked and what is answered. */
export interface WorkbenchJobs {
  readonly describe: { readonly request: object; readonly answer: DatasetInfo }
  readonly truth: { readonly request: TruthRequest; readonly answer: readonly TrueNeighbors[] }
  readonly sampleRows: { readonly request: SampleRowsRequest; readonly answer: QueryRows }
  readonly build: { readonly request: BuildRequest; readonly answer: BuiltGraph }
  readonly measure: { readonly request: MeasureRequest; readonly answer: readonly Measured[] }
  readonly compare: { readonly request: CompareRequest; readonly answer: Compared }
  readonly save: { readonly request: SaveRequest; readonly answer: readonly GraphRef[] }
}

export type WorkbenchJob = keyof WorkbenchJobs

export function encodeQueries(
  vectors: Float32Array,
  dimension: number,
  selfIds?: readonly (string | null)[],
): QueryRows {
  const count = vectors.length / dimension
  const bytes = Buffer.from(vectors.buffer, vectors.byteOffset, vectors.byteLength)
  return {
    vectors: bytes.toString('base64'),
    count,
    selfIds: selfIds ?? new Array<null>(count).fill(null),
  }
}

/** A copy, so that its rows are aligned. */
export function decodeQueries(queries: QueryRows): Float32Array {
  const bytes = new Uint8Array(Buffer.from(queries.vectors, 'base64'))
  return new Float32Array(bytes.buffer)
}
