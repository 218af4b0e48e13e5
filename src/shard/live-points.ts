/**
 * The points of a checkpoint that are alive, as one stream in bounded memory: for exports, and for
 * whoever makes something else of an index.
 *
 *     each shard:  keys of its parts, deletes ─▶ which rows are alive ─▶ those rows, part after part
 *
 * Parts hold dead rows, older versions that are kept, and texts whose vectors came later in a row of
 * their own: of each id only the last row counts, and it only where no delete comes after it. Where a
 * manifest says that a shard has live rows alone, they are read in one pass. Memory holds the ids of
 * one shard, a bit for each row, and one row group; scratch files are at most two parts.
 *
 * What is read must not be dropped meanwhile: the caller pins the checkpoint.
 */

import { mkdir, rm } from 'node:fs/promises'
import type { ObjectStore } from '../buckets/object-store.ts'
import {
  readPointKeys,
  readPointsPart,
  type PointRows,
  type RowKeys,
} from '../codecs/parquet-part.ts'
import { retentionOf, type CheckpointContent, type PartRef } from '../domain/checkpoint.ts'
import { Bitmap } from '../engines/bitmap.ts'
import { VectordError } from '../lib/errors.ts'
import type { DeletedIds } from './deleted-ids.ts'
import { Fetcher, loadDeletes, partFiles } from './part-loader.ts'

/** Some live points; every column has an entry for each of them. */
export interface LivePoints {
  readonly ids: readonly string[]
  /** Null where a text still waits for its vector. Views of what the batch holds. */
  readonly vectors: readonly (Float32Array | null)[]
  readonly texts: readonly (string | null)[]
  /** JSON text of an object. */
  readonly metadata: readonly (string | null)[]
  /** The lsn of the client's write of each point. */
  readonly versions: Float64Array
}

export interface LivePointsOptions {
  /** Numbers in a vector. */
  readonly dimension: number
  /** A local folder of its own for temporary files: made here, and removed at the end. */
  readonly scratch: string
  readonly signal: AbortSignal
}

/**
 * Every live point once: shard after shard, each in the order in which its rows were written. The
 * order is the same whenever the same points are read, however they lie in parts.
 *
 * @param content null for an index without a checkpoint, which is empty.
 * @throws {VectordError} `object_corrupt` with the `key` of a part that is damaged or missing, and
 *   every error of the store; the reason of the signal.
 */
export async function* livePoints(
  store: ObjectStore,
  content: CheckpointContent | null,
  options: LivePointsOptions,
): AsyncGenerator<LivePoints, undefined> {
  const { scratch } = options
  await mkdir(scratch, { recursive: true })
  try {
    for (const shard of shardsOf(content)) {
      const parts = partsOf(content, shard)
      yield* rowsOf(store, parts, await aliveRows(store, parts, options), options)
    }
  } finally {
    await rm(scratch, { recursive: true, force: true })
  }
}

/** How many points `livePoints` gives; reads no more than it must to tell. @throws as it. */
export async function countLivePoints(
  store: ObjectStore,
  content: CheckpointContent | null,
  options: Omit<LivePointsOptions, 'dimension'>,
): Promise<number> {
  const { scratch } = options
  await mkdir(scratch, { recursive: true })
  try {
    let points = 0
    for (const shard of shardsOf(content)) {
      const parts = partsOf(content, shard)
      points += toldCount(parts) ?? (await aliveRows(store, parts, options))?.count() ?? 0
    }
    return points
  } finally {
    await rm(scratch, { recursive: true, force: true })
  }
}

/** The live points of a checkpoint where its manifest tells them; null where rows must be read. */
export function toldLivePoints(content: CheckpointContent | null): number | null {
  const counts = shardsOf(content).map((shard) => toldCount(partsOf(content, shard)))
  return counts.includes(null) ? null : counts.reduce<number>((sum, n) => sum + (n ?? 0), 0)
}

interface ShardParts {
  /** In order of lsn. */
  readonly points: readonly PartRef[]
  readonly deletes: readonly PartRef[]
  /** True where older versions are kept beside live rows. */
  readonly keepsVersions: boolean
}

function shardsOf(content: CheckpointContent | null): number[] {
  const shards = new Set((content?.parts ?? []).map(({ shard }) => shard))
  return [...shards].sort((a, b) => a - b)
}

function partsOf(content: CheckpointContent | null, shard: number): ShardParts {
  const own = (content?.parts ?? [])
    .filter((part) => part.shard === shard)
    .sort((a, b) => a.lastLsn - b.lastLsn)
  return {
    points: own.filter(({ kind }) => kind === 'points'),
    deletes: own.filter(({ kind }) => kind === 'deletes'),
    keepsVersions: retentionOf(content, shard).keepLastVersions > 1,
  }
}

function toldCount({ points, keepsVersions }: ShardParts): number | null {
  if (keepsVersions) return null
  return points.reduce((sum, { rows, deadRows }) => sum + rows - deadRows, 0)
}

async function* rowsOf(
  store: ObjectStore,
  { points }: ShardParts,
  alive: Bitmap | null,
  { dimension, scratch, signal }: LivePointsOptions,
): AsyncGenerator<LivePoints, undefined> {
  let seen = 0
  for await (const { part, path } of partFiles(new Fetcher(store, scratch, 'rows'), points)) {
    for await (const rows of readPointsPart(path)) {
      signal.throwIfAborted()
      checkDimension(part, rows, dimension)
      const batch = picked(rows, dimension, alive, seen)
      seen += rows.ids.length
      if (batch.ids.length > 0) yield batch
    }
  }
}

/** Which rows of the points parts are alive, numbered through all of them; null where all are. */
async function aliveRows(
  store: ObjectStore,
  { points, deletes, keepsVersions }: ShardParts,
  { scratch, signal }: Omit<LivePointsOptions, 'dimension'>,
): Promise<Bitmap | null> {
  if (!keepsVersions && points.every(({ deadRows }) => deadRows === 0)) return null
  const fetcher = new Fetcher(store, scratch, 'keys')
  const living = new LivingRows(
    await loadDeletes(fetcher, deletes, { only: true }),
    points.reduce((sum, { rows }) => sum + rows, 0),
  )
  for await (const { path } of partFiles(fetcher, points)) {
    for await (const rows of readPointKeys(path)) {
      signal.throwIfAborted()
      living.add(rows)
    }
  }
  return living.alive
}

/** Takes the rows of a shard in their order, and knows which of them are alive so far. */
class LivingRows {
  readonly alive: Bitmap
  readonly #deleted: DeletedIds
  readonly #last = new Map<string, number>()
  #rows = 0

  constructor(deleted: DeletedIds, rows: number) {
    this.#deleted = deleted
    this.alive = new Bitmap(rows)
  }

  add({ ids, lsns }: RowKeys): void {
    for (const [i, id] of ids.entries()) {
      const before = this.#last.get(id)
      if (before !== undefined) this.alive.delete(before)
      if (this.#deleted.lastOf(id) <= (lsns[i] ?? 0)) this.alive.add(this.#rows)
      this.#last.set(id, this.#rows)
      this.#rows += 1
    }
  }
}

function checkDimension({ key }: PartRef, { ids, vectors }: PointRows, dimension: number): void {
  if (vectors.length === ids.length * dimension) return
  const problem = 'its vectors have another dimension'
  throw new VectordError('object_corrupt', `The object "${key}" is damaged: ${problem}.`, {
    details: { key, problem },
  })
}

/** @param from number of the first of the rows. */
function picked(
  rows: PointRows,
  dimension: number,
  alive: Bitmap | null,
  from: number,
): LivePoints {
  const { ids, lsns, origins } = rows
  const at = [...ids.keys()].filter((i) => alive === null || alive.has(from + i))
  const vector = (i: number): Float32Array =>
    rows.vectors.subarray(i * dimension, (i + 1) * dimension)
  return {
    ids: at.map((i) => ids[i] ?? ''),
    vectors: at.map((i) => (origins === undefined || origins.hasVector[i] ? vector(i) : null)),
    texts: at.map((i) => rows.texts[i] ?? null),
    metadata: at.map((i) => rows.metadata[i] ?? null),
    versions: Float64Array.from(at, (i) => origins?.versions[i] ?? lsns[i] ?? 0),
  }
}
