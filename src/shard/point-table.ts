/**
 * Every point of a shard, in slots.
 *
 *     slot      0      1      2      3      4 …     grows only; in (lsn, row) order
 *     id        a      b      c      a      d
 *     live      –      yes    yes    yes    –       an upsert kills the older slot of its id
 *
 * A slot never comes back to life and never changes. What a dead slot held is freed at once, or,
 * while the table is held (a checkpoint reads it), when the last hold ends. The slots themselves go
 * with the table: a compaction carries what is wanted of it over to a new one.
 */

import type { Metric } from '../domain/metric.ts'
import type { Include, ScrollPosition, StoredPoint } from '../domain/search.ts'
import { Bitmap } from '../engines/bitmap.ts'
import { VectorChunks } from '../engines/flat/vector-chunks.ts'
import { invariant } from '../lib/invariant.ts'
import { Float64Column, Int32Column } from './growing.ts'

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

export class PointTable {
  readonly vectors: VectorChunks
  readonly live = new Bitmap()
  readonly #slots = new Map<string, number>()
  readonly #ids: (string | null)[] = []
  readonly #texts: (string | null)[] = []
  readonly #metadata: (string | null)[] = []
  readonly #lsns = new Float64Column()
  readonly #rows = new Int32Column()
  readonly #liveInChunk: number[] = []
  #strings = 0
  #payloadBytes = 0
  #holds = 0
  #isRetired = false
  #unfreed: number[] = []

  constructor(dimension: number, metric: Metric) {
    this.vectors = new VectorChunks(dimension, metric)
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
    return this.slots - this.livePoints
  }

  /** UTF-16 units of ids, texts and metadata: their bytes, where they are plain ASCII. */
  get payloadBytes(): number {
    return this.#payloadBytes
  }

  get memoryBytes(): number {
    const strings = this.#payloadBytes + this.#strings * STRING_BYTES
    return (
      this.vectors.memoryBytes + this.slots * SLOT_BYTES + this.#slots.size * ID_MAP_BYTES + strings
    )
  }

  /** @throws {VectordError} `memory_full`; afterwards `rows` points go in without fail. */
  reserve(rows: number): void {
    this.vectors.reserve(rows)
    this.live.reserve(this.slots + rows)
  }

  /** Takes the next slot. The id has no live slot: `kill` it first. */
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
    this.#liveInChunk[chunk] = (this.#liveInChunk[chunk] ?? 0) + 1
    this.#countStrings(slot, 1)
    return slot
  }

  /** The live slot of an id; undefined where there is none. */
  slotOf(id: string): number | undefined {
    return this.#slots.get(id)
  }

  /** Ends the life of a live slot. */
  kill(slot: number): void {
    invariant(this.live.has(slot), 'a slot dies once')
    this.#slots.delete(this.id(slot))
    this.live.delete(slot)
    if (this.#holds > 0) this.#unfreed.push(slot)
    else this.#free(slot)
  }

  /** The first slot from `from` on that a compaction carries over; -1 where there is none. */
  nextCarried(from: number): number {
    return this.live.next(from)
  }

  /** Carries a slot of `other` over to the next slot here; answers its number. */
  carry(other: PointTable, slot: number): number {
    return this.append({
      id: other.id(slot),
      lsn: other.lsn(slot),
      row: other.row(slot),
      vectors: other.vectors.view(slot),
      offset: 0,
      text: other.text(slot),
      metadata: other.metadata(slot),
    })
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

  /** Keeps what slots hold that die from now on, until `release`. */
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

  /** The broken rules of a slot; empty where id map, live bit and order agree. */
  faultsOf(slot: number): string[] {
    const faults: string[] = []
    if (this.live.has(slot)) {
      const id = this.#ids[slot]
      if (typeof id !== 'string') faults.push('a live slot holds no point')
      else if (this.#slots.get(id) !== slot) faults.push('the id map leads elsewhere')
      if (this.vectors.isReleased(Math.floor(slot / this.vectors.chunkRows))) {
        faults.push('its vector was freed')
      }
    }
    const before = slot - 1
    const ordered =
      slot === 0 ||
      this.lsn(before) < this.lsn(slot) ||
      (this.lsn(before) === this.lsn(slot) && this.row(before) < this.row(slot))
    if (!ordered) faults.push('it is not after the slot before it')
    return faults
  }

  #free(slot: number): void {
    this.#countStrings(slot, -1)
    this.#ids[slot] = null
    this.#texts[slot] = null
    this.#metadata[slot] = null
    const { chunkRows } = this.vectors
    const chunk = Math.floor(slot / chunkRows)
    const left = (this.#liveInChunk[chunk] ?? 0) - 1
    this.#liveInChunk[chunk] = left
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
