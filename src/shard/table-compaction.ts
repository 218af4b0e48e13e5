/**
 * Gives the rows of a shard new slots without the dead ones, in short steps beside serving.
 *
 *     old table    a – b – – c d │ e        rows that are written meanwhile go to the old table
 *                  ╰──carried──╯   ╰ at last
 *     new table    a b c d         e        the same rows in the same (lsn, row) order
 *
 *     step … step ─▶ finish: the rest of the rows and labels, graphs go over, the old table ends
 *
 * Kept versions are carried like live rows, and end in the new table as they did in the old one: when
 * the next version of their id is carried, or at once where a delete ended them.
 *
 * Words of texts are gathered anew, after the rows: long texts must not make a step long. The last of
 * them may be left to the shard.
 *
 * Until `finish` everything reads and writes the old table, so that giving up changes nothing. A row
 * that dies after it was carried dies in both (`died`). Labels of the graphs move after the rows, also
 * in steps. `finish` runs in one turn and is left at most `LEFT_MAX` rows and labels.
 */

import { invariant } from '../lib/invariant.ts'
import { Int32Column } from './growing.ts'
import { KeywordIndex } from './keyword-index.ts'
import type { ShardGraph } from './graph.ts'
import { NONE, type LabelMove } from './label-map.ts'
import { MetadataIndex, parseMetadata } from './metadata-index.ts'
import type { NewPoint } from './new-point.ts'
import { PointTable } from './point-table.ts'
import type { VersionEnd } from './version-chains.ts'

/** Rows and labels of a step: some tens of microseconds, or hundreds where metadata is long. */
export const STEP_ROWS = 64
/** Rows and labels that the last turn may be left with. */
export const LEFT_MAX = 256
/** UTF-16 units of texts of a step. */
const STEP_UNITS = 8192
/** Slots that a compaction is not worth where a smaller share of them is dead. */
const DEAD_SHARE_MIN = 0.02

/** True where enough slots are dead for a compaction to win something. */
export function isWorthCompacting(table: Pick<PointTable, 'slots' | 'deadRows'>): boolean {
  return table.deadRows > 0 && table.deadRows >= table.slots * DEAD_SHARE_MIN
}

export class TableCompaction {
  readonly table: PointTable
  readonly metadata = new MetadataIndex()
  /** Null where nobody asked for words. */
  readonly keywords: KeywordIndex | null
  readonly #old: PointTable
  /** By old slot. */
  readonly #slots = new Int32Column()
  readonly #moves = new Map<ShardGraph, LabelMove>()

  constructor(old: PointTable, withKeywords = false) {
    this.keywords = withKeywords ? new KeywordIndex() : null
    const { dimension, metric } = old.vectors
    this.table = new PointTable(dimension, metric, old.keepLastVersions)
    this.#old = old
  }

  get memoryBytes(): number {
    let moved = 0
    for (const { to } of this.#moves.values()) moved += to.memoryBytes
    const postings = this.metadata.memoryBytes + (this.keywords?.memoryBytes ?? 0)
    return this.table.memoryBytes + postings + this.#slots.length * 4 + moved
  }

  /**
   * Carries up to `STEP_ROWS` rows and labels over.
   *
   * @param graphs all that stand over the old table now.
   * @returns false once `finish` may follow in the same turn.
   * @throws {VectordError} `memory_full`.
   */
  step(graphs: readonly ShardGraph[]): boolean {
    const carried = this.#carry(STEP_ROWS)
    this.keywords?.catchUp(this.table, STEP_UNITS)
    if (this.#slots.length === this.#old.slots) this.#moveLabels(graphs, STEP_ROWS - carried)
    const wordless = this.keywords === null ? 0 : this.table.slots - this.keywords.slots
    return wordless > LEFT_MAX || this.#left(graphs) > LEFT_MAX
  }

  /** A live row of the old table just ended. */
  died(slot: number): void {
    if (slot >= this.#slots.length) return
    const to = this.#slots.get(slot)
    // Where versions are kept, the next one ends it: its newest is always carried.
    if (this.#old.endedByDelete(slot)) this.#end(to, this.#deleteOf(slot))
    else if (this.#old.keepLastVersions === 1) {
      this.#end(to, { lsn: this.#old.lsn(slot), by: 'upsert' })
    }
  }

  /** A live row of the old table just gave way to a newer row of the same version. */
  replaced(slot: number): void {
    // Where versions are kept, that row is carried for sure, and takes its place then.
    if (slot >= this.#slots.length || this.#old.keepLastVersions > 1) return
    const to = this.#slots.get(slot)
    this.table.giveWay(to)
    this.keywords?.remove(to)
  }

  /** Carries the rest over and takes the graphs to the new table; the old one is then given up. */
  finish(graphs: readonly ShardGraph[]): void {
    invariant(this.#left(graphs) <= LEFT_MAX, 'the last turn of a compaction is short')
    this.#carry(Infinity)
    this.#moveLabels(graphs, Infinity)
    this.table.raiseHorizon(this.#old.horizonLsn)
    for (const graph of graphs) graph.move(this.table, this.#moveOf(graph).to, this.#slots)
    this.#old.retire()
  }

  /** @returns how many rows were carried, or passed over. */
  #carry(count: number): number {
    const first = this.#slots.length
    const end = Math.min(this.#old.slots, first + count)
    let next = this.#old.nextCarried(first)
    for (let slot = first; slot < end; slot += 1) {
      if (slot !== next) {
        this.#slots.push(NONE)
        continue
      }
      this.#carryRow(slot)
      next = this.#old.nextCarried(slot + 1)
    }
    return end - first
  }

  #carryRow(slot: number): void {
    const old = this.#old
    const to = this.#put(pointAt(old, slot), old.version(slot))
    this.metadata.add(to, parseMetadata(old.metadata(slot)))
    if (old.endedByDelete(slot)) this.#end(to, this.#deleteOf(slot))
    this.#slots.push(to)
  }

  #put(point: NewPoint, version: number): number {
    const before = this.table.slotOf(point.id)
    if (before === undefined) return this.table.append(point)
    if (this.table.version(before) !== version) {
      this.#end(before, { lsn: version, by: 'upsert' })
      return this.table.append(point)
    }
    this.keywords?.remove(before)
    return this.table.replace(before, point)
  }

  #end(to: number, end: VersionEnd): void {
    this.table.end(to, end)
    this.keywords?.remove(to)
  }

  #deleteOf(slot: number): VersionEnd {
    return { lsn: this.#old.endOf(slot), by: 'delete' }
  }

  #moveLabels(graphs: readonly ShardGraph[], count: number): void {
    let left = count
    for (const graph of graphs) {
      const move = this.#moveOf(graph)
      const before = move.left
      move.step(left)
      left -= before - move.left
    }
  }

  #left(graphs: readonly ShardGraph[]): number {
    let left = this.#old.slots - this.#slots.length
    for (const graph of graphs) left += this.#moveOf(graph).left
    return left
  }

  #moveOf(graph: ShardGraph): LabelMove {
    const found = this.#moves.get(graph)
    if (found !== undefined) return found
    const move = graph.beginMove(this.#slots)
    this.#moves.set(graph, move)
    return move
  }
}

function pointAt(table: PointTable, slot: number): NewPoint {
  return {
    id: table.id(slot),
    lsn: table.lsn(slot),
    row: table.row(slot),
    vectors: table.vectors.view(slot),
    offset: 0,
    text: table.text(slot),
    metadata: table.metadata(slot),
    version: table.version(slot),
    tag: table.origins.tagOf(slot),
  }
}
