/**
 * hnswlib-node behind the `VectorIndex` contract: the one door to the addon.
 *
 * Its traps, and what closes them here:
 *   - a non-number or a throwing filter aborts the process: vectors are `Float32Array`s, checked
 *     for NaN, copied into one reused plain array (typed arrays are refused); no callback goes in;
 *   - labels wrap silently and a known label is rewritten: labels must grow and fit 32 bits;
 *   - `ef` falls back to 10 after a load: it is set before every search;
 *   - saving beside an insertion corrupts: insertions throw while a save runs;
 *   - a full disk reports success, a damaged file loads: files are followed to their end;
 *   - removing twice throws: the marks of a loaded file are brought in line with the caller's;
 *   - distances overflow float32: vectors longer than `fitsGraph` allows are refused;
 *   - points that enter where nearly all is dead get lost, or end the process: the caller begins anew
 *     (`src/shard/graph.ts`);
 *   - native memory is invisible to the collector: `close` frees it.
 */

import { open, rm } from 'node:fs/promises'
import hnswlib from 'hnswlib-node'
import type { HnswConfig } from '../../domain/hnsw-config.ts'
import type { Metric } from '../../domain/metric.ts'
import { VectordError } from '../../lib/errors.ts'
import { invariant } from '../../lib/invariant.ts'
import type { Bitmap } from '../bitmap.ts'
import { checkVector } from '../flat/vector-chunks.ts'
import type { Neighbors, VectorIndex } from '../vector-index.ts'
import { HnswFileError, inspectHnswFile, type HnswFileInfo } from './hnsw-file.ts'

const LABEL_MAX = 0xffff_ffff
const CAPACITY_MIN = 1024
const CAPACITY_GROWTH = 1.5
/** hnswlib keeps 65,536 label locks of 40 bytes for each index. */
const FIXED_BYTES = 65_536 * 40
/** Lock, level, visited mark and pointer of each place, and the label map of each element. */
const PLACE_BYTES = 40 + 4 + 2 + 8
const LABEL_MAP_BYTES = 48

/** Squares and products of vectors up to this squared norm stay finite in float32. */
const SQUARED_NORM_MAX = 1e30

/** False where hnswlib's float32 distances to such a vector could overflow. */
export function fitsGraph(metric: Metric, squaredNorm: number): boolean {
  return metric === 'cosine' || squaredNorm <= SQUARED_NORM_MAX
}

export interface HnswOptions {
  readonly dimension: number
  readonly metric: Metric
  readonly config: HnswConfig
}

export interface SavedHnsw {
  /** Positions (labels, where dense) that no link leads to. */
  readonly unlinked: readonly number[]
}

type Native = InstanceType<typeof hnswlib.HierarchicalNSW>

export class HnswIndex implements VectorIndex {
  readonly dimension: number
  readonly config: HnswConfig
  readonly #metric: Metric
  readonly #native: Native
  /** What goes into the addon: a plain array of doubles, filled anew each time. */
  readonly #point: number[]
  #capacity: number
  #elements: number
  #size: number
  #lastLabel: number
  #saving = false
  #closed = false

  /** @param loaded null for an empty index. Use `openHnsw` and `loadHnsw`. */
  constructor(options: HnswOptions, native: Native, loaded: HnswFileInfo | null) {
    this.dimension = options.dimension
    this.config = options.config
    this.#metric = options.metric
    this.#native = native
    this.#point = Array.from({ length: options.dimension }, () => 0.5)
    this.#capacity = native.getMaxElements()
    this.#elements = loaded?.elements ?? 0
    this.#size = this.#elements - (loaded?.removedCount ?? 0)
    this.#lastLabel = loaded?.lastLabel ?? -1
  }

  get elements(): number {
    return this.#elements
  }

  get size(): number {
    return this.#size
  }

  get saving(): boolean {
    return this.#saving
  }

  get memoryBytes(): number {
    const { m } = this.config
    const element = 8 * m + 16 + 4 * this.dimension + (4 * m + 4) / (m - 1) + LABEL_MAP_BYTES
    return Math.round(FIXED_BYTES + this.#capacity * PLACE_BYTES + this.#elements * element)
  }

  /** Makes room for `more` elements at once; `add` otherwise grows by half. */
  reserve(more: number): void {
    const needed = this.#elements + more
    if (needed <= this.#capacity) return
    invariant(!this.#saving, 'an index does not grow while it is saved')
    const capacity = Math.max(CAPACITY_MIN, needed, Math.ceil(this.#capacity * CAPACITY_GROWTH))
    try {
      this.#native.resizeIndex(capacity)
    } catch (cause) {
      throw new VectordError('memory_full', 'There is no memory for a larger graph.', { cause })
    }
    this.#capacity = capacity
  }

  add(label: number, vector: Float32Array): void {
    invariant(!this.#closed && !this.#saving, 'a graph takes no point while it is saved or closed')
    invariant(
      Number.isInteger(label) && label > this.#lastLabel && label <= LABEL_MAX,
      'labels grow and fit 32 bits',
    )
    this.#fill(vector)
    this.reserve(1)
    this.#native.addPoint(this.#point, label)
    this.#lastLabel = label
    this.#elements += 1
    this.#size += 1
  }

  remove(label: number): void {
    invariant(!this.#closed, 'a closed graph is not changed')
    this.#native.markDelete(label)
    this.#size -= 1
  }

  /** Takes a `remove` back: a save may have caught a removal that the caller has not seen yet. */
  restore(label: number): void {
    this.#native.unmarkDelete(label)
    this.#size += 1
  }

  search(query: Float32Array, k: number, ef: number): Neighbors {
    invariant(!this.#closed, 'a closed graph is not searched')
    this.#fill(query)
    const wanted = Math.min(k, this.#size)
    if (wanted <= 0) return { labels: [], distances: [] }
    this.#native.setEf(Math.max(ef, wanted))
    const { neighbors, distances } = this.#native.searchKnn(this.#point, wanted)
    return { labels: neighbors, distances }
  }

  async save(path: string): Promise<void> {
    await this.saveInspected(path)
  }

  /** `save`, and what following the links of the file has found. */
  async saveInspected(path: string): Promise<SavedHnsw> {
    invariant(!this.#saving && !this.#closed, 'one save at a time')
    invariant(this.#elements > 0, 'an empty graph is not saved')
    this.#saving = true
    try {
      await this.#native.writeIndex(path)
      const info = await inspectHnswFile(path, this.dimension)
      if (info.elements !== this.#elements) throw new HnswFileError('Elements are missing.')
      await syncFile(path)
      return { unlinked: info.unlinked }
    } catch (cause) {
      await rm(path, { force: true })
      throw saveError(cause)
    } finally {
      this.#saving = false
    }
  }

  /** Frees the native memory. No call follows; a save has ended. */
  close(): void {
    invariant(!this.#saving, 'a graph is not closed while it is saved')
    if (this.#closed) return
    this.#closed = true
    // The addon has no way to free a graph but to begin another one.
    this.#native.initIndex(1)
  }

  #fill(vector: Float32Array): void {
    checkVector(vector, this.dimension, this.#metric)
    let sum = 0
    for (let i = 0; i < vector.length; i += 1) {
      const x = vector[i] as number
      sum += x * x
    }
    invariant(fitsGraph(this.#metric, sum), 'a vector of a graph has distances within float32')
    const scale = this.#metric === 'cosine' ? 1 / Math.sqrt(sum) : 1
    for (let i = 0; i < vector.length; i += 1) this.#point[i] = (vector[i] as number) * scale
  }
}

export function openHnsw(options: HnswOptions): HnswIndex {
  const native = newNative(options)
  const { m, efConstruction, seed } = options.config
  native.initIndex({ maxElements: CAPACITY_MIN, m, efConstruction, randomSeed: seed })
  return new HnswIndex(options, native, null)
}

export interface LoadedHnsw {
  readonly index: HnswIndex
  /** Labels that are removed in the file. */
  readonly removed: Bitmap
  /** Labels that no link leads to. */
  readonly unlinked: readonly number[]
}

/**
 * Loads a file that `save` wrote. The caller has checked its checksum.
 *
 * @throws {HnswFileError} where the file is damaged or was built with another configuration.
 */
export async function loadHnsw(path: string, options: HnswOptions): Promise<LoadedHnsw> {
  const info = await inspectHnswFile(path, options.dimension)
  const { m, efConstruction } = options.config
  if (info.m !== m || info.efConstruction !== Math.max(m, efConstruction)) {
    throw new HnswFileError('The graph was built with another configuration.')
  }
  if (!info.dense) throw new HnswFileError('The labels of the graph have gaps.')
  const native = newNative(options)
  await native.readIndex(path)
  if (native.getCurrentCount() !== info.elements) throw new HnswFileError('Elements are missing.')
  const index = new HnswIndex(options, native, info)
  return { index, removed: info.removed, unlinked: info.unlinked }
}

/** Brings the marks of a loaded graph in line with what is removed by now. */
export function alignRemoved(
  { index, removed }: LoadedHnsw,
  isRemoved: (label: number) => boolean,
): void {
  for (let label = 0; label < index.elements; label += 1) {
    if (isRemoved(label) === removed.has(label)) continue
    if (removed.has(label)) index.restore(label)
    else index.remove(label)
  }
}

function newNative({ metric, dimension }: HnswOptions): Native {
  // Vectors arrive at unit length under cosine, where 'ip' is the same distance.
  return new hnswlib.HierarchicalNSW(metric === 'l2' ? 'l2' : 'ip', dimension)
}

async function syncFile(path: string): Promise<void> {
  const file = await open(path, 'r+')
  try {
    await file.sync()
  } finally {
    await file.close()
  }
}

/** A file that is incomplete right after a reported success means a full disk. */
function saveError(cause: unknown): unknown {
  const code = cause instanceof Error && 'code' in cause ? cause.code : null
  if (cause instanceof HnswFileError || code === 'ENOSPC' || code === 'EDQUOT') {
    return new VectordError('storage_full', 'The graph could not be saved whole.', { cause })
  }
  return new VectordError('storage_error', 'The graph could not be saved.', { cause })
}
