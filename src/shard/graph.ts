/**
 * The graph of a shard and what it does not hold yet.
 *
 *     slot    0 1 2 3 4 5 6 7 8 9
 *             ╰── indexed ──╯╰ delta ╯
 *     label   0 – 1 2 – 3 4             labels are 0, 1, 2 … in slot order; dead slots get none
 *
 * `live` here are the live slots that have a vector; no other slot ever gets a label.
 * Live slots from `indexedSlot` on are the delta. Strays are live slots before it that a walk cannot
 * find (no link leads to them, or their distances leave float32). Delta and strays are searched
 * exactly, so every live point is found. A removed label stays in the graph as a waypoint. A
 * compaction of the table gives the rows new slots in the same order: `move` follows it.
 */

import { VectorChunks } from '../engines/flat/vector-chunks.ts'
import { squaredNorm } from '../engines/flat/kernels.ts'
import { fitsGraph, openHnsw, type HnswIndex } from '../engines/hnsw/hnsw-index.ts'
import type { HnswConfig } from '../domain/hnsw-config.ts'
import { invariant } from '../lib/invariant.ts'
import { LabelMap, NONE, LabelMove, type SlotMap } from './label-map.ts'
import type { PointTable } from './point-table.ts'

/**
 * hnswlib links a new point to living ones alone. Where few of those are within reach most new points
 * end up with no way to them, and where a layer has none the addon ends the process.
 */
const DEAD_PER_LIVE_MAX = 3
/** From here on a graph is grown anew: long before it takes no more points. */
const DEAD_PER_LIVE_WORN = 1

/** A graph that was loaded, before the shard takes it over. */
export interface LoadedGraph {
  readonly index: HnswIndex
  /** The slot of each label; -1 where its row is dead. */
  readonly slots: Int32Array
  /** Labels that no link leads to. */
  readonly unlinked: readonly number[]
  /** Slots before this one are in the graph or dead. */
  readonly indexedSlot: number
}

/** What a generation is, from its start to its end. */
export interface GraphIdentity {
  readonly generation: number
  readonly config: HnswConfig
  /** Name of the build that it began with; null where it grows here from its first point. */
  readonly graphId: string | null
}

export class ShardGraph {
  readonly identity: GraphIdentity
  #table: PointTable
  #labels = new LabelMap()
  #strays = new Set<number>()
  #index: HnswIndex | null = null

  /** @param loaded null where the graph is still to be grown. */
  constructor(table: PointTable, identity: GraphIdentity, loaded: LoadedGraph | null) {
    this.#table = table
    this.identity = identity
    if (loaded !== null) this.#take(loaded)
  }

  get config(): HnswConfig {
    return this.identity.config
  }

  get generation(): number {
    return this.identity.generation
  }

  get index(): HnswIndex | null {
    return this.#index
  }

  get indexedSlot(): number {
    return this.#labels.slots
  }

  get elements(): number {
    return this.#index?.elements ?? 0
  }

  get tombstones(): number {
    return this.#index === null ? 0 : this.#index.elements - this.#index.size
  }

  /** True where the dead outweigh the living: another graph should take its place. */
  get isWorn(): boolean {
    return this.tombstones > DEAD_PER_LIVE_WORN * (this.elements - this.tombstones)
  }

  /** False where so much of it is dead that it is better left as it is. */
  get takesPoints(): boolean {
    return this.tombstones <= DEAD_PER_LIVE_MAX * (this.elements - this.tombstones)
  }

  /** Live points that a search of this graph compares one by one. */
  get deltaPoints(): number {
    return this.#table.searchable.countFrom(this.indexedSlot)
  }

  get saving(): boolean {
    return this.#index?.saving ?? false
  }

  /** Live slots before `indexedSlot` that are searched exactly. */
  get strays(): ReadonlySet<number> {
    return this.#strays
  }

  get memoryBytes(): number {
    return (this.#index?.memoryBytes ?? 0) + this.#labels.memoryBytes
  }

  /** An empty one of the same generation and configuration, to be grown in its place. */
  anew(): ShardGraph {
    return new ShardGraph(this.#table, { ...this.identity, graphId: null }, null)
  }

  /** Puts the next slot into the graph. Slots go in in order. */
  insertNext(): void {
    const slot = this.indexedSlot
    invariant(this.takesPoints, 'a graph that is nearly dead takes no point')
    invariant(slot < this.#table.slots, 'a slot of the delta goes in')
    if (!this.#table.searchable.has(slot)) {
      this.#labels.addSlot(NONE)
      return
    }
    const { vectors } = this.#table
    const vector = vectors.view(slot)
    if (!fits(vectors, vector)) {
      this.#labels.addSlot(NONE)
      this.#strays.add(slot)
      return
    }
    this.#index ??= this.#open()
    const label = this.#labels.labels
    this.#index.add(label, vector)
    this.#labels.addLabel(slot)
    this.#labels.addSlot(label)
  }

  /** Hides a slot that just died. */
  remove(slot: number): void {
    if (slot >= this.indexedSlot) return
    this.#strays.delete(slot)
    const label = this.#labels.labelOf(slot)
    if (label !== NONE) this.#index?.remove(label)
  }

  /** Makes a live slot be searched exactly from now on. */
  addStray(slot: number): void {
    if (slot < this.indexedSlot && this.#table.searchable.has(slot)) this.#strays.add(slot)
  }

  addStrayLabels(labels: readonly number[]): void {
    for (const label of labels) {
      const slot = this.#labels.slotOf(label)
      if (slot !== NONE) this.addStray(slot)
    }
  }

  /** Live slots, nearest first as the graph sees it. */
  search(vector: Float32Array, k: number, ef: number): number[] {
    if (this.#index === null) return []
    const slots: number[] = []
    for (const label of this.#index.search(vector, k, ef).labels) {
      slots.push(this.#labels.slotOf(label))
    }
    return slots
  }

  /** True where a walk for `vector` stays within float32. */
  canSearch(vector: Float32Array): boolean {
    return this.elements > 0 && fits(this.#table.vectors, vector)
  }

  labelOf(slot: number): number {
    return this.#labels.labelOf(slot)
  }

  /** The slot of each label so far; -1 where its row died before the last load or compaction. */
  slotsOfLabels(): Int32Array {
    return this.#labels.slotsOfLabels()
  }

  /** The lsn up to which every live row is in the graph or a stray; 0 where there is no row before. */
  get indexedLsn(): number {
    return this.indexedSlot === 0 ? 0 : this.#table.lsn(this.indexedSlot - 1)
  }

  /** Begins to move the labels to the slots of `map`; `move` ends it. */
  beginMove(map: SlotMap): LabelMove {
    return new LabelMove(this.#labels, map)
  }

  /** Goes over to a table that has the same live rows, at the slots of `map`. */
  move(table: PointTable, labels: LabelMap, map: SlotMap): void {
    const strays = new Set<number>()
    for (const slot of this.#strays) strays.add(map.get(slot))
    this.#strays = strays
    this.#labels = labels
    this.#table = table
  }

  /** Broken rules between labels, slots and the counters of the engine; empty where all agree. */
  faults(): string[] {
    const faults: string[] = []
    const { labels } = this.#labels
    if (labels !== this.elements) faults.push(`${labels} labels, ${this.elements} elements`)
    const labelled = this.#liveLabels(faults)
    const findable = this.elements - this.tombstones
    if (labelled !== findable) faults.push(`${labelled} live labels, ${findable} not removed`)
    const { searchable: live } = this.#table
    const indexed = live.count() - live.countFrom(this.indexedSlot)
    const outside = [...this.#strays].filter((slot) => this.labelOf(slot) === NONE)
    if (outside.length !== indexed - labelled) {
      faults.push(`${indexed - labelled} points outside the graph, ${outside.length} strays`)
    }
    const dead = [...this.#strays].filter((slot) => !live.has(slot))
    if (dead.length > 0) faults.push(`${dead.length} strays are dead`)
    return faults
  }

  close(): void {
    this.#index?.close()
    this.#index = null
  }

  #liveLabels(faults: string[]): number {
    let live = 0
    for (let label = 0; label < this.#labels.labels; label += 1) {
      const slot = this.#labels.slotOf(label)
      if (slot === NONE || !this.#table.searchable.has(slot)) continue
      live += 1
      if (this.labelOf(slot) !== label) faults.push(`label ${label} and its slot differ`)
    }
    return live
  }

  #open(): HnswIndex {
    const { dimension, metric } = this.#table.vectors
    const index = openHnsw({ dimension, metric, config: this.config })
    index.reserve(this.#table.slots - this.indexedSlot)
    return index
  }

  #take({ index, slots, unlinked, indexedSlot }: LoadedGraph): void {
    this.#index = index
    this.#labels = LabelMap.of(slots, indexedSlot)
    // What was live before `indexedSlot` and has no label was a stray when the graph was saved.
    const { searchable: live } = this.#table
    for (let slot = live.next(0); slot !== -1 && slot < indexedSlot; slot = live.next(slot + 1)) {
      if (this.labelOf(slot) === NONE) this.#strays.add(slot)
    }
    this.addStrayLabels(unlinked)
  }
}

function fits(vectors: VectorChunks, vector: Float32Array): boolean {
  return (
    vectors.metric === 'cosine' || fitsGraph(vectors.metric, squaredNorm(vector, 0, vector.length))
  )
}
