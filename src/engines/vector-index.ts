/**
 * The contract of an in-memory index over labelled vectors, searched by nearness.
 *
 * Backends: `hnsw/` (hnswlib-node) and `flat/` (exact scan). Each passes
 * `test/engines/vector-index.suite.ts`. It lives inside one core and is not thread-safe. Vectors
 * have been validated before: finite, of the right dimension, not zero under cosine.
 */

export interface Neighbors {
  /** Labels, nearest first. */
  readonly labels: readonly number[]
  /** Distances as `src/domain/metric.ts` defines them, ascending. */
  readonly distances: readonly number[]
}

export interface VectorIndex {
  readonly dimension: number
  /** Labels that were added, removed ones included. */
  readonly elements: number
  /** Labels that are not removed. */
  readonly size: number

  /** Adds a vector. `label` is a uint32 that was never used before: labels only ever grow. */
  add(label: number, vector: Float32Array): void

  /** Hides a label for ever. Unknown or removed labels are a bug of the caller. */
  remove(label: number): void

  /**
   * The nearest live labels: at most k, fewer only where the index holds or finds fewer.
   *
   * @param ef candidates kept by an approximate index, at least k; an exact one ignores it.
   */
  search(query: Float32Array, k: number, ef: number): Neighbors

  /**
   * Writes the index to a new file: complete and synced once resolved, otherwise it throws and
   * leaves none. Searches and removals may go on meanwhile, additions may not.
   *
   * @throws {VectordError} `storage_full` also where the library reports success on a full disk.
   */
  save(path: string): Promise<void>

  /** Bytes of memory, estimated from the structure. */
  readonly memoryBytes: number
}
