/**
 * Every point of a shard, in slots.
 *
 *     slot      0      1      2      3      4 …     grows only; in (lsn, row) order
 *     id        a      b      c      a      d
 *     live      –      yes    yes    yes    –       an upsert ends the older slot of its id
 *     vector    yes    yes    –      yes    yes     a text may still wait for its vector
 *     kept      yes    –      –      –      –       where more than one version is kept
 *
 * A slot never comes back to life and never changes. A slot that ended is kept for readers of older
 * versions while it is among the last `keepLastVersions` of its id, a delete counted as one; then it
 * is given up. What it held is freed at once, or, while the table is held (a checkpoint reads it),
 * when the last hold ends. Whoever asks for the points of now never meets a kept slot. The slots
 * themselves go with the table: a compaction carries what is wanted of it over to a new one.
 *
 * A vector that an embedder made comes in a slot of its own, and the slot of the same version that
 * waited for it gives way: what searches and graphs see grows at its end alone.
 */

import type { Metric } from '../domain/metric.ts'
import { CLIENT_TAG } from '../domain/pending-text.ts'
import type { Include, ScrollPosition, StoredPoint } from '../domain/search.ts'
import { Bitmap } from '../engines/bitmap.ts'
import { VectorChunks } from '../engines/flat/vector-chunks.ts'
import { invariant } from '../lib/invariant.ts'
import { Float64Column, Int32Column } from './growing.ts'
import type { NewPoint } from './new-point.ts'
import { RowOrigins } from './row-origins.ts'
import { RowStrings } from './row-strings.ts'
import { VersionChains, type VersionEnd } from './version-chains.ts'

/** Bytes of a slot beside vector and strings. */
const SLOT_BYTES = 8 * 4 + 4 + 1
const ID_MAP_BYTES = 56

const NO_SLOTS = new Bitmap()

export class PointTable {
  readonly vectors: VectorChunks
  readonly live = new Bitmap()
  /** Live slots that have a vector: what searches and graphs see. */
  readonly searchable = new Bitmap()
  readonly origins = new RowOrigins()
  readonly #slots = new Map<string, number>()
  readonly #strings = new RowStrings()
  readonly #lsns = new Float64Column()
  readonly #rows = new Int32Column()
  readonly #heldInChunk: number[] = []
  #keepLastVersions: number
  /** Null where a slot that ends is given up at once, and none is kept. */
  #chains: VersionChains | null = null
  #keptBytes = 0
  #horizonLsn = 0
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

  get searchablePoints(): number {
    return this.livePoints - this.origins.missingCount
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
    return this.#strings.units
  }

  get memoryBytes(): number {
    const chains = this.#chains?.memoryBytes ?? 0
    const columns = this.slots * SLOT_BYTES + chains + this.origins.memoryBytes
    const strings = this.#strings.memoryBytes
    return this.vectors.memoryBytes + columns + this.#slots.size * ID_MAP_BYTES + strings
  }

  /** @throws {VectordError} `memory_full`; afterwards `rows` points go in without fail. */
  reserve(rows: number): void {
    this.vectors.reserve(rows)
    this.live.reserve(this.slots + rows)
    this.searchable.reserve(this.slots + rows)
  }

  /** Takes the next slot. The id has no live slot: `end` it first. */
  append(point: NewPoint): number {
    const slot = this.#take(point)
    if (this.#chains !== null) {
      this.#chains.start(slot, point.id)
      this.#giveUpBeyond(point.id, slot)
    }
    return slot
  }

  /** The live slot `older` gives way to the next one, which is the same version of the same id. */
  replace(older: number, point: NewPoint): number {
    this.giveWay(older)
    const slot = this.#take(point)
    this.#chains?.replace(older, slot)
    return slot
  }

  /** A live slot goes, and its version with it: the caller has the version in another slot. */
  giveWay(slot: number): void {
    this.#die(slot)
    this.#free(slot)
  }

  /** The live slot of an id; undefined where there is none. */
  slotOf(id: string): number | undefined {
    return this.#slots.get(id)
  }

  /** Ends a live slot. Where an upsert does, the new version of the id is appended next. */
  end(slot: number, end: VersionEnd): void {
    const id = this.#die(slot)
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

  /** How many searchable rows have an lsn of at most `lsn`. */
  liveUpTo(lsn: number): number {
    const { searchable } = this
    return this.searchablePoints - searchable.countFrom(this.firstAfter({ lsn, row: Infinity }))
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
    const id = this.#strings.id(slot)
    invariant(id !== null, 'a slot that is read holds a point')
    return id
  }

  text(slot: number): string | null {
    return this.#strings.text(slot)
  }

  metadata(slot: number): string | null {
    return this.#strings.metadata(slot)
  }

  /** False where the text still waits for its vector, or was overwritten before it came. */
  hasVector(slot: number): boolean {
    return !this.origins.missing.has(slot)
  }

  /** The lsn of the client's write: that of the slot, unless an embedder made its vector. */
  version(slot: number): number {
    return this.origins.versionOf(slot) ?? this.lsn(slot)
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
      version: this.version(slot),
      metadata: include.metadata ? this.metadata(slot) : null,
      text: include.text ? this.text(slot) : null,
      vector: include.vector && this.hasVector(slot) ? this.vectors.copy(slot) : null,
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

  /** False where what the slot held was freed. */
  holds(slot: number): boolean {
    return this.#strings.id(slot) !== null
  }

  /** The broken rules of a kept slot among the versions of its id. */
  versionFaultsOf(slot: number): string[] {
    if (this.#chains === null) return []
    const newest = this.holds(slot) ? this.#newestOf(this.id(slot)) : undefined
    const rules = { keep: this.#keepLastVersions, lsnOf: (of: number) => this.version(of) }
    return this.#chains.faultsOf(slot, newest, rules)
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
    this.#free(slot)
  }

  #take(point: NewPoint): number {
    const { id, text, metadata, lsn, tag = CLIENT_TAG } = point
    invariant(!this.#slots.has(id), 'an id has one live slot')
    const hasVector = tag !== null
    const slot = hasVector
      ? this.vectors.append(point.vectors, point.offset)
      : this.vectors.appendBlank()
    this.live.reserve(slot + 1)
    this.searchable.reserve(slot + 1)
    this.live.add(slot)
    if (hasVector) this.searchable.add(slot)
    const origin = { version: point.version ?? lsn, tag, hasText: text !== null }
    this.origins.push(slot, origin, (of) => this.lsn(of))
    this.#strings.push(id, text, metadata)
    this.#lsns.push(lsn)
    this.#rows.push(point.row)
    this.#slots.set(id, slot)
    const chunk = Math.floor(slot / this.vectors.chunkRows)
    this.#heldInChunk[chunk] = (this.#heldInChunk[chunk] ?? 0) + 1
    return slot
  }

  #die(slot: number): string {
    invariant(this.live.has(slot), 'a slot ends once')
    const id = this.id(slot)
    this.#slots.delete(id)
    this.live.delete(slot)
    this.searchable.delete(slot)
    this.origins.ended(slot)
    return id
  }

  #bytesOf(slot: number): number {
    return this.vectors.dimension * 4 + this.#strings.unitsOf(slot)
  }

  /** At once, or when the last hold ends. */
  #free(slot: number): void {
    if (this.#holds > 0) {
      this.#unfreed.push(slot)
      return
    }
    this.#strings.free(slot)
    const { chunkRows } = this.vectors
    const chunk = Math.floor(slot / chunkRows)
    const left = (this.#heldInChunk[chunk] ?? 0) - 1
    this.#heldInChunk[chunk] = left
    // The last chunk still takes new rows.
    if (left === 0 && (chunk + 1) * chunkRows <= this.slots) this.vectors.release(chunk)
  }
}
