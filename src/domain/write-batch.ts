/**
 * What one write changes: the unit of the log, applied whole or not at all.
 *
 * A batch holds upserts or deletes, never both, and each id at most once. The lsn that the log
 * gives it is the version of every point in it; `(lsn, row)` orders all rows ever written.
 *
 * Vectors that an embedder made of texts follow in a batch of their own. They change no version: each
 * is that of the write whose text it was made from, and changes nothing where that is over.
 */

export interface UpsertBatch {
  readonly kind: 'upsert'
  readonly dimension: number
  /** 1 to 512 bytes of UTF-8 each. */
  readonly ids: readonly string[]
  /** One after the other, in the order of their rows; finite numbers as the client sent them. */
  readonly vectors: Float32Array
  /**
   * The place of each row's vector among `vectors`, ascending; -1 for a row that is a text without
   * one. Left out where every row has a vector.
   */
  readonly places?: Int32Array
  readonly texts: readonly (string | null)[]
  /** JSON text of an object, or null where the point has none. */
  readonly metadata: readonly (string | null)[]
}

export interface DeleteBatch {
  readonly kind: 'delete'
  readonly ids: readonly string[]
}

/** Vectors for points that are there: see `src/shard/project.ts` for where one is applied. */
export interface ProjectBatch {
  readonly kind: 'project'
  readonly dimension: number
  readonly ids: readonly string[]
  /** `ids.length × dimension`, row by row. */
  readonly vectors: Float32Array
  /** The version of each point whose text its vector was made from. */
  readonly versions: Float64Array
  /** `textHash` of each. */
  readonly textHashes: readonly string[]
  /** Which embedder made each vector: its `embedderTag`. */
  readonly embedders: readonly string[]
}

/** What clients write. */
export type WriteBatch = UpsertBatch | DeleteBatch

/** What a record of the log holds. */
export type LoggedBatch = WriteBatch | ProjectBatch

/** Where in `vectors` the vector of a row starts; -1 where it has none. */
export function offsetOf({ dimension, places }: UpsertBatch, row: number): number {
  const place = places === undefined ? row : (places[row] ?? -1)
  return place < 0 ? -1 : place * dimension
}

/** The vector of a row: a view, or null where it has none. */
export function vectorOf(batch: UpsertBatch, row: number): Float32Array | null {
  const offset = offsetOf(batch, row)
  return offset < 0 ? null : batch.vectors.subarray(offset, offset + batch.dimension)
}

export interface UpsertRow {
  readonly id: string
  readonly vector: Float32Array | null
  readonly text: string | null
  readonly metadata: string | null
}

/** The rows as one write, in memory of its own; each vector has `dimension` numbers. */
export function upsertOf(dimension: number, rows: readonly UpsertRow[]): UpsertBatch {
  const places = new Int32Array(rows.length).fill(-1)
  const whole = rows.filter(({ vector }) => vector !== null)
  const vectors = new Float32Array(whole.length * dimension)
  let place = 0
  for (const [row, { vector }] of rows.entries()) {
    if (vector === null) continue
    vectors.set(vector, place * dimension)
    places[row] = place
    place += 1
  }
  return {
    ...{ kind: 'upsert', dimension, vectors },
    ids: rows.map(({ id }) => id),
    ...(place < rows.length && { places }),
    texts: rows.map(({ text }) => text),
    metadata: rows.map(({ metadata }) => metadata),
  }
}

/** A row of a batch; its vector is a view. */
export function rowOf(batch: UpsertBatch, row: number): UpsertRow {
  return {
    id: batch.ids[row] ?? '',
    vector: vectorOf(batch, row),
    text: batch.texts[row] ?? null,
    metadata: batch.metadata[row] ?? null,
  }
}
