/**
 * Every point of a shard, in slots.
 *
 *     slot      0      1      2      3      4 …     grows only; in (lsn, row) order
 *     id        a      b      c      a      d
 *     live      –      yes    yes    yes    –       an upsert ends the older slot of its id
 *     kept      yes    –      –      –      –       where more than one version is kept
 *
 * A slot never comes back to life and never changes. A slot that ended is kept for readers of older
 * versions while it is among the last `keepLastVersions` of its id, a delete counted as one; then it
 * is given up. What it held is freed at once, or, while the table is held (a checkpoint reads it),
 * when the last hold ends. Whoever asks for the points of now never meets a kept slot. The slots
 * themselves go with the table: a compaction carries what is wanted of it over to a new one.
 */

import type { Metric } from '../domain/metric.ts'
import type { Include, ScrollPosition, StoredPoint } from '../domain/search.ts'
import { Bitmap } from '../engines/bitmap.ts'
import { VectorChunks } from '../engines/flat/vector-chunks.ts'
import { invariant } from '../lib/invariant.ts'
import { Float64Column, Int32Column } from './growing.ts'
import { VersionChains, type VersionEnd } from './version-chains.ts'

export interface NewPoint {
  readonly id: string
  readonly lsn: number
  readonly row: number
  /** The vector starts at `offset` of `vectors`. */
  readonly vectors: Float32Array
  readonly offset: number
  readonly text: string | null
  /** JSON text of an object, or null. */
  readonly metadata: string | null
}

/** Bytes of a slot beside its vector and strings: columns, live bit, id map. */
const SLOT_BYTES = 8 * 4 + 4 + 1
const ID_MAP_BYTES = 56
const STRING_BYTES = 24

const NO_SLOTS = new Bitmap()

export class PointTable {
  readonly vectors: VectorChunks
  readonly live = new Bitmap()
  readonly #slots = new Map<string, number>()
  readonly #ids: (string | null)[] = []
  readonly #texts: (string | null)[] = []
  readonly #metadata: (string | null)[] = []
  readonly #lsns = new Float64Column()
  readonly #rows = new Int32Column()
  readonly #heldInChunk: number[] = []
  #keepLastVersions: number
  /** Null where a slot that ends is given up at once, and none is kept. */
  #chains: VersionChains | null = null
  #keptBytes = 0
  #horizonLsn = 0
  #strings = 0
  #payloadBytes = 0
  #holds = 0
  #isRetired = false
  #unfreed: number[] = []

  constructor(dimension: number, metric: Metric, keepLastVersions = 1) {
    this.vectors = new VectorChunks(dimension, metric)
    this.#keepLastVersions = keepLastVersions
    this.keepVersions(keepLastVersions)
  }

  /** Slots that were ever taken. */
  get slots(): number {
    return this.#lsns.length
  }

  get livePoints(): number {
    return this.#slots.size
  }

  /** Slots that a compaction does not carry over. */
  get deadRows(): number {
    return this.slots - this.livePoints - this.keptVersions
  }

  /** Versions of each id that are kept: the live one, older ones, and a delete counts too. */
  get keepLastVersions(): number {
    return this.#keepLastVersions
  }

  /** Slots that are kept. */
  get kept(): Bitmap {
    return this.#chains?.kept ?? NO_SLOTS
  }

  get keptVersions(): number {
    return this.#chains?.count ?? 0
  }

  /** Bytes of the vectors of kept slots, and UTF-16 units of their strings. */
  get keptBytes(): number {
    return this.#keptBytes
  }

  /** The last end of any version that was given up: as of this lsn and later none is missing. */
  get horizonLsn(): number {
    return this.#horizonLsn
  }

  /** UTF-16 units of ids, texts and metadata: their bytes, where they are plain ASCII. */
  get payloadBytes(): number {
    return this.#payloadBytes
  }

  get memoryBytes(): number {
    const strings = this.#payloadBytes + this.#strings * STRING_BYTES
    const columns = this.slots * SLOT_BYTES + (this.#chains?.memoryBytes ?? 0)
    return this.vectors.memoryBytes + columns + this.#slots.size * ID_MAP_BYTES + strings
  }

  /** @throws {VectordError} `memory_full`; afterwards `rows` points go in without fail. */
  reserve(rows: number): void {
    this.vectors.reserve(rows)
    this.live.reserve(this.slots + rows)
  }

  /** Takes the next slot. The id has no live slot: `end` it first. */
  append(point: NewPoint): number {
    invariant(!this.#slots.has(point.id), 'an id has one live slot')
    const slot = this.vectors.append(point.vectors, point.offset)
    this.live.reserve(slot + 1)
    this.live.add(slot)
    this.#ids.push(point.id)
    this.#texts.push(point.text)
    this.#metadata.push(point.metadata)
    this.#lsns.push(point.lsn)
    this.#rows.push(point.row)
    this.#slots.set(point.id, slot)
    const chunk = Math.floor(slot / this.vectors.chunkRows)
    this.#heldInChunk[chunk] = (this.#heldInChunk[chunk] ?? 0) + 1
    this.#countStrings(slot, 1)
    if (this.#chains !== null) {
      this.#chains.start(slot, point.id)
      this.#giveUpBeyond(point.id, slot)
    }
    return slot
  }

  /** The live slot of an id; undefined where there is none. */
  slotOf(id: string): number | undefined {
    return this.#slots.get(id)
  }

  /** Ends a live slot. Where an upsert does, the new version of the id is appended next. */
  end(slot: number, end: VersionEnd): void {
    invariant(this.live.has(slot), 'a slot ends once')
    const id = this.id(slot)
    this.#slots.delete(id)
    this.live.delete(slot)
    if (this.#chains === null) {
      this.#giveUp(slot, end.lsn)
      return
    }
    this.#chains.finish(slot, id, end)
    this.#keptBytes += this.#bytesOf(slot)
    if (end.by === 'delete') this.#giveUpBeyond(id, slot)
  }

  /** The first slot from `from` on that a compaction carries over; -1 where there is none. */
  nextCarried(from: number): number {
    const live = this.live.next(from)
    const kept = this.kept.next(from)
    return live === -1 || (kept !== -1 && kept < live) ? kept : live
  }

  /** How many live rows have an lsn of at most `lsn`. */
  liveUpTo(lsn: number): number {
    return this.livePoints - this.live.countFrom(this.firstAfter({ lsn, row: Infinity }))
  }

  /** Frees the vectors at once, or when the last hold ends; nothing else is read of it from then on. */
  retire(): void {
    this.#isRetired = true
    if (this.#holds === 0) this.vectors.releaseAll()
  }

  /**
   * How many versions of an id are kept from its next write on. More than that of others go with
   * `trim`; fewer are there until they are written.
   */
  keepVersions(keepLastVersions: number): void {
    this.#keepLastVersions = keepLastVersions
    if (keepLastVersions > 1) this.#chains ??= new VersionChains(this.slots)
  }

  /** Gives up what the id of a kept slot has beyond its last versions. */
  trim(slot: number): void {
    const id = this.id(slot)
    const newest = this.#newestOf(id)
    if (newest !== undefined) this.#giveUpBeyond(id, newest)
  }

  /** Frees what keeping versions costs, where one is kept of each id and `trim` went over all. */
  forgetChains(): void {
    if (this.#keepLastVersions === 1 && this.keptVersions === 0) this.#chains = null
  }

  /** Versions that ended up to `lsn` may have been given up elsewhere, before a checkpoint. */
  raiseHorizon(lsn: number): void {
    this.#horizonLsn = Math.max(this.#horizonLsn, lsn)
  }

  /** Live and kept slots, as of now. */
  readable(): Bitmap {
    const slots = this.live.clone()
    slots.unite(this.kept)
    return slots
  }

  /** The slots that were live right after the write `lsn`, as far as they are kept. */
  visibleAt(lsn: number): Bitmap {
    const visible = this.live.clone()
    const { kept } = this
    for (let slot = kept.next(0); slot !== -1; slot = kept.next(slot + 1)) {
      if (this.endOf(slot) > lsn) visible.add(slot)
    }
    visible.deleteFrom(this.firstAfter({ lsn, row: Infinity }))
    return visible
  }

  /** The live slot of an id and its kept ones, newest first. */
  slotsOf(id: string): number[] {
    const newest = this.#newestOf(id)
    if (newest === undefined) return []
    return this.#chains?.history(newest) ?? [newest]
  }

  /** The lsn of the write that ended a kept slot; Infinity for a live one. */
  endOf(slot: number): number {
    return this.#chains?.endOf(slot) ?? Infinity
  }

  endedByDelete(slot: number): boolean {
    return this.#chains?.endedByDelete(slot) ?? false
  }

  /** Keeps what slots hold that are given up from now on, until `release`. */
  hold(): void {
    this.#holds += 1
  }

  release(): void {
    this.#holds -= 1
    if (this.#holds > 0) return
    if (this.#isRetired) this.vectors.releaseAll()
    const unfreed = this.#unfreed
    this.#unfreed = []
    for (const slot of unfreed) this.#free(slot)
  }

  id(slot: number): string {
    const id = this.#ids[slot]
    invariant(id !== undefined && id !== null, 'a slot that is read holds a point')
    return id
  }

  text(slot: number): string | null {
    return this.#texts[slot] ?? null
  }

  metadata(slot: number): string | null {
    return this.#metadata[slot] ?? null
  }

  lsn(slot: number): number {
    return this.#lsns.get(slot)
  }

  row(slot: number): number {
    return this.#rows.get(slot)
  }

  read(slot: number, include: Include): StoredPoint {
    return {
      id: this.id(slot),
      version: this.lsn(slot),
      metadata: include.metadata ? this.metadata(slot) : null,
      text: include.text ? this.text(slot) : null,
      vector: include.vector ? this.vectors.copy(slot) : null,
    }
  }

  /** The first slot, dead or alive, that comes after `position`. */
  firstAfter({ lsn, row }: ScrollPosition): number {
    let low = 0
    let high = this.slots
    while (low < high) {
      const middle = (low + high) >>> 1
      const there = this.#lsns.get(middle)
      const before = there < lsn || (there === lsn && this.#rows.get(middle) <= row)
      if (before) low = middle + 1
      else high = middle
    }
    return low
  }

  /** The broken rules of a slot; empty where id map, live bit, versions and order agree. */
  faultsOf(slot: number): string[] {
    const faults = [...this.#faultsOfLive(slot), ...this.#faultsOfKept(slot)]
    const before = slot - 1
    const ordered =
      slot === 0 ||
      this.lsn(before) < this.lsn(slot) ||
      (this.lsn(before) === this.lsn(slot) && this.row(before) < this.row(slot))
    if (!ordered) faults.push('it is not after the slot before it')
    return faults
  }

  #faultsOfLive(slot: number): string[] {
    if (!this.live.has(slot)) return []
    const faults = this.#faultsOfHeld(slot, 'live')
    const id = this.#ids[slot]
    if (typeof id === 'string' && this.#slots.get(id) !== slot) {
      faults.push('the id map leads elsewhere')
    }
    if (this.endOf(slot) !== Infinity) faults.push('it is live and has an end')
    return faults
  }

  #faultsOfKept(slot: number): string[] {
    if (this.#chains === null || !this.kept.has(slot)) return []
    const faults = this.#faultsOfHeld(slot, 'kept')
    if (this.live.has(slot)) faults.push('it is live and kept')
    const id = this.#ids[slot]
    const newest = typeof id === 'string' ? this.#newestOf(id) : undefined
    const rules = { keep: this.#keepLastVersions, lsnOf: (of: number) => this.lsn(of) }
    return [...faults, ...this.#chains.faultsOf(slot, newest, rules)]
  }

  #faultsOfHeld(slot: number, state: 'live' | 'kept'): string[] {
    const faults: string[] = []
    if (typeof this.#ids[slot] !== 'string') faults.push(`a ${state} slot holds no point`)
    if (this.vectors.isReleased(Math.floor(slot / this.vectors.chunkRows))) {
      faults.push('its vector was freed')
    }
    return faults
  }

  #newestOf(id: string): number | undefined {
    return this.#slots.get(id) ?? this.#chains?.endedSlot(id)
  }

  /** A write of an id gives up one version of it at most, so long as `trim` went over all. */
  #giveUpBeyond(id: string, newest: number): void {
    if (this.#chains === null) return
    const keep = this.#keepLastVersions
    let slot = this.#chains.giveUp(id, newest, keep)
    for (; slot !== -1; slot = this.#chains.giveUp(id, newest, keep)) {
      this.#keptBytes -= this.#bytesOf(slot)
      this.#giveUp(slot, this.#chains.endOf(slot))
      if (slot === newest) return
    }
  }

  #giveUp(slot: number, endLsn: number): void {
    this.raiseHorizon(endLsn)
    if (this.#holds > 0) this.#unfreed.push(slot)
    else this.#free(slot)
  }

  #bytesOf(slot: number): number {
    const strings = [this.#ids[slot], this.#texts[slot], this.#metadata[slot]]
    return strings.reduce(
      (bytes, value) => bytes + (value?.length ?? 0),
      this.vectors.dimension * 4,
    )
  }

  #free(slot: number): void {
    this.#countStrings(slot, -1)
    this.#ids[slot] = null
    this.#texts[slot] = null
    this.#metadata[slot] = null
    const { chunkRows } = this.vectors
    const chunk = Math.floor(slot / chunkRows)
    const left = (this.#heldInChunk[chunk] ?? 0) - 1
    this.#heldInChunk[chunk] = left
    // The last chunk still takes new rows.
    if (left === 0 && (chunk + 1) * chunkRows <= this.slots) this.vectors.release(chunk)
  }

  #countStrings(slot: number, sign: 1 | -1): void {
    for (const value of [this.#ids[slot], this.#texts[slot], this.#metadata[slot]]) {
      if (value === null || value === undefined) continue
      this.#strings += sign
      this.#payloadBytes += sign * value.length
    }
  }
}
