/**
 * Writes what changed since the last checkpoint of a shard to its bucket, beside serving.
 *
 *     snapshot (lsn, live slots) ─▶ graph ─▶ points parts ─▶ deletes part ─▶ content for a manifest
 *
 * A part that is written holds only rows that were live at the snapshot; older ones are kept by
 * reference. Deletes are remembered as (id, lsn) while a kept part may still hold a row that one of
 * them ended. The new state counts from its end on: a checkpoint that fails changes nothing.
 */

import { randomBytes } from 'node:crypto'
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { ObjectStore } from '../buckets/object-store.ts'
import { hashFile } from '../codecs/file-hash.ts'
import {
  groupRows,
  writeDeletesPart,
  writePointsPart,
  type DeleteRows,
} from '../codecs/parquet-part.ts'
import type { CheckpointContent, GraphRef, PartRef, StoredFile } from '../domain/checkpoint.ts'
import type { ShardSpec } from '../domain/shard-spec.ts'
import type { Bitmap } from '../engines/bitmap.ts'
import { invariant } from '../lib/invariant.ts'
import type { ShardGraph } from './graph.ts'
import { DEAD_LSN, writeLabels, type LabelRows } from './labels-file.ts'
import { planParts, type PartState, type Segment } from './part-plan.ts'
import { liveRows, slotRange } from './part-rows.ts'
import type { PointTable } from './point-table.ts'

/** A graph is saved again when this share of its elements changed. */
const GRAPH_CHANGED_SHARE = 0.1
/** Deletes parts before they become one. */
const DELETES_PARTS_MAX = 4
/** Deletes that are remembered before every part is written clean: of the live rows, and least. */
const DELETES_SHARE_MAX = 0.2
const DELETES_MIN = 1000

/** Generations whose files are kept beside the published one, unless the spec says otherwise. */
const GENERATIONS_KEPT = 2

/** A batch is encoded in one go: a quarter of a group keeps searches waiting less. */
const BATCHES_IN_GROUP = 4

/** What the last checkpoint consisted of. */
export interface CheckpointState {
  readonly lsn: number
  readonly points: readonly PartRef[]
  readonly deletes: readonly PartRef[]
  /** The lsn of each remembered delete. */
  readonly deleted: ReadonlyMap<string, number>
  readonly graph: SavedGraph | null
  /** Graphs of other generations, the one published last first: kept for a rollback to them. */
  readonly otherGraphs: readonly GraphRef[]
}

export interface SavedGraph {
  readonly ref: GraphRef
  /** Dead elements when it was saved. */
  readonly tombstones: number
}

interface Snapshot {
  readonly table: PointTable
  readonly graph: ShardGraph
  readonly lsn: number
  readonly live: Bitmap
  readonly deletes: ReadonlyMap<string, number>
}

export class Checkpointer {
  readonly #spec: ShardSpec
  readonly #store: ObjectStore
  #state: CheckpointState
  /** Lsn of the delete of each id since the last checkpoint. */
  #deletes = new Map<string, number>()
  readonly #unique = randomBytes(6).toString('hex')
  #files = 0

  constructor(spec: ShardSpec, store: ObjectStore, state: CheckpointState | null) {
    this.#spec = spec
    this.#store = store
    this.#state = state ?? {
      lsn: 0,
      points: [],
      deletes: [],
      deleted: new Map(),
      graph: null,
      otherGraphs: [],
    }
  }

  /** Where `apply` notes deletes. Ask anew each time. */
  get deletes(): Map<string, number> {
    return this.#deletes
  }

  /** Graphs of other generations that a checkpoint holds. */
  get storedGraphs(): readonly GraphRef[] {
    return this.#state.otherGraphs
  }

  storedGraph(generation: number): GraphRef | null {
    return this.#state.otherGraphs.find((ref) => ref.generation === generation) ?? null
  }

  /** The generation was published: its graph is the one to save from now on. */
  published(generation: number): void {
    const { graph, otherGraphs } = this.#state
    const stored = this.storedGraph(generation)
    const others = otherGraphs.filter((ref) => ref !== stored)
    const older = graph === null ? others : [{ ...graph.ref, published: false }, ...others]
    this.#state = {
      ...this.#state,
      // What of it is dead by now is not known here: the next checkpoint saves it again if worth it.
      graph: stored === null ? null : { ref: { ...stored, published: true }, tombstones: 0 },
      otherGraphs: older.slice(0, this.#spec.generationsKept ?? GENERATIONS_KEPT),
    }
  }

  get memoryBytes(): number {
    return (this.#deletes.size + this.#state.deleted.size) * 96
  }

  /** One at a time. */
  async run(
    { table, graph, lsn }: Pick<Snapshot, 'table' | 'graph' | 'lsn'>,
    saveGraph: 'always' | 'if_worth',
  ): Promise<CheckpointContent> {
    invariant(lsn >= this.#state.lsn, 'a checkpoint is not older than the last one')
    const snapshot = { table, graph, lsn, live: table.live.clone(), deletes: this.#deletes }
    this.#deletes = new Map()
    table.hold()
    try {
      await mkdir(this.#spec.scratch, { recursive: true })
      this.#state = await this.#write(snapshot, saveGraph)
      return this.#content()
    } catch (error) {
      for (const [id, at] of snapshot.deletes) {
        if (!this.#deletes.has(id)) this.#deletes.set(id, at)
      }
      throw error
    } finally {
      table.release()
    }
  }

  async #write(snapshot: Snapshot, saveGraph: 'always' | 'if_worth'): Promise<CheckpointState> {
    const before = this.#state
    const isWorth = saveGraph === 'always' || isGraphWorthSaving(snapshot.graph, before.graph)
    const graph = isWorth ? await this.#saveGraph(snapshot) : before.graph
    const remembered = before.deleted.size + snapshot.deletes.size
    const tooMany = Math.max(DELETES_MIN, snapshot.live.count() * DELETES_SHARE_MAX)
    const plan = this.#plan(snapshot, remembered > tooMany)
    const points: PartRef[] = []
    for (const segment of plan) points.push(await this.#pointsPart(snapshot, segment))
    // Rows that are dead in a part that stays are what deletes are remembered for.
    const needed = points.some(({ deadRows }) => deadRows > 0)
    const { deletes, deleted } = needed
      ? await this.#deletesParts(snapshot)
      : { deletes: [], deleted: new Map<string, number>() }
    return { ...before, lsn: snapshot.lsn, points, deletes, deleted, graph }
  }

  #plan(snapshot: Snapshot, clean: boolean): Segment[] {
    const { lsn, points } = this.#state
    const parts: PartState[] = points.map((ref) => ({ ref, live: liveIn(snapshot, ref) }))
    const range = { firstLsn: lsn + 1, lastLsn: snapshot.lsn }
    return planParts(parts, { ...range, live: liveIn(snapshot, range) }, clean)
  }

  async #pointsPart(snapshot: Snapshot, segment: Segment): Promise<PartRef> {
    const { kept, live, firstLsn, lastLsn } = segment
    if (kept !== null) return { ...kept, deadRows: kept.rows - live }
    const { dimension, shard } = this.#spec
    const path = this.#scratchFile('parquet')
    const batches = liveRows(
      snapshot.table,
      snapshot.live,
      slotRange(snapshot.table, segment),
      Math.ceil(groupRows(dimension) / BATCHES_IN_GROUP),
    )
    try {
      const { rows, bytes, sha256 } = await writePointsPart(path, batches, dimension)
      invariant(rows === live, 'a part holds the rows that were live at the snapshot')
      const key = this.#key('parts', `${lastLsn}`, 'parquet')
      await this.#store.putFile(key, path)
      const file = { key, bytes, sha256 }
      return { ...file, kind: 'points', shard, rows, deadRows: 0, firstLsn, lastLsn }
    } finally {
      await rm(path, { force: true })
    }
  }

  async #deletesParts(snapshot: Snapshot): Promise<Pick<CheckpointState, 'deletes' | 'deleted'>> {
    const { deletes, deleted } = this.#state
    const all = new Map([...deleted, ...snapshot.deletes])
    if (snapshot.deletes.size === 0) return { deletes, deleted }
    const merge = deletes.length >= DELETES_PARTS_MAX
    const part = await this.#deletesPart(merge ? all : snapshot.deletes)
    return { deletes: merge ? [part] : [...deletes, part], deleted: all }
  }

  async #deletesPart(deletes: ReadonlyMap<string, number>): Promise<PartRef> {
    const path = this.#scratchFile('parquet')
    const lsns = [...deletes.values()]
    const firstLsn = lsns.reduce((least, lsn) => Math.min(least, lsn), Infinity)
    const lastLsn = lsns.reduce((most, lsn) => Math.max(most, lsn), 0)
    try {
      const { rows, bytes, sha256 } = await writeDeletesPart(path, deleteRows(deletes))
      const key = this.#key('parts', `${lastLsn}`, 'parquet')
      await this.#store.putFile(key, path)
      const file = { key, bytes, sha256 }
      const { shard } = this.#spec
      return { ...file, kind: 'deletes', shard, rows, deadRows: 0, firstLsn, lastLsn }
    } finally {
      await rm(path, { force: true })
    }
  }

  /** Null where there is no graph to save: the points are few, or none went in yet. */
  async #saveGraph({ table, graph, lsn }: Snapshot): Promise<SavedGraph | null> {
    const { index, tombstones, elements, indexedSlot } = graph
    if (index === null || elements === 0) return null
    const graphPath = this.#scratchFile('hnsw')
    const labelsPath = this.#scratchFile('labels')
    const rows = labelRows(table, graph.slotsOfLabels())
    try {
      const { unlinked } = await index.saveInspected(graphPath)
      graph.addStrayLabels(unlinked)
      await writeLabels(labelsPath, rows)
      const name = `${graph.generation}-${lsn}`
      const ref = {
        shard: this.#spec.shard,
        ...{ published: true, ...graph.identity },
        graph: await this.#putHashed(graphPath, this.#key('graphs', name, 'hnsw')),
        labels: await this.#putHashed(labelsPath, this.#key('graphs', name, 'labels')),
        indexedLsn: table.lsn(indexedSlot - 1),
        elements,
      }
      return { ref, tombstones }
    } finally {
      await rm(graphPath, { force: true })
      await rm(labelsPath, { force: true })
    }
  }

  async #putHashed(path: string, key: string): Promise<StoredFile> {
    const hash = await hashFile(path)
    await this.#store.putFile(key, path)
    return { key, ...hash }
  }

  #content(): CheckpointContent {
    const { lsn, points, deletes, graph, otherGraphs } = this.#state
    return {
      lsn,
      parts: [...points, ...deletes].sort((a, b) => a.lastLsn - b.lastLsn),
      graphs: graph === null ? otherGraphs : [graph.ref, ...otherGraphs],
    }
  }

  #scratchFile(extension: string): string {
    this.#files += 1
    // Of its own: an earlier process that was killed may have left files of any number.
    const name = `checkpoint-${this.#unique}-${this.#files}.${extension}`
    return join(this.#spec.scratch, name)
  }

  #key(folder: 'parts' | 'graphs', name: string, extension: string): string {
    const { index, incarnation, shard } = this.#spec
    const unique = randomBytes(6).toString('hex')
    return `_indexes/${index}/${folder}/${incarnation}-${shard}-${name}-${unique}.${extension}`
  }
}

function isGraphWorthSaving(graph: ShardGraph, saved: SavedGraph | null): boolean {
  if (saved === null) return true
  const inserted = graph.elements - saved.ref.elements
  const removed = graph.tombstones - saved.tombstones
  return inserted + removed >= graph.elements * GRAPH_CHANGED_SHARE
}

function liveIn(
  { table, live }: Snapshot,
  range: { readonly firstLsn: number; readonly lastLsn: number },
): number {
  const { from, to } = slotRange(table, range)
  return live.countFrom(from) - live.countFrom(to)
}

export function labelRows(table: PointTable, slots: Int32Array): LabelRows {
  const lsns = new Float64Array(slots.length).fill(DEAD_LSN)
  const rows = new Uint32Array(slots.length)
  for (let label = 0; label < slots.length; label += 1) {
    const slot = slots[label] ?? -1
    if (slot < 0) continue
    lsns[label] = table.lsn(slot)
    rows[label] = table.row(slot)
  }
  return { lsns, rows }
}

/** Ids of one batch of a deletes part. */
const DELETE_ROWS = 8192

function* deleteRows(deletes: ReadonlyMap<string, number>): Generator<DeleteRows> {
  let ids: string[] = []
  let lsns: number[] = []
  for (const [id, lsn] of deletes) {
    ids.push(id)
    lsns.push(lsn)
    if (ids.length < DELETE_ROWS) continue
    yield { ids, lsns: Float64Array.from(lsns) }
    ids = []
    lsns = []
  }
  if (ids.length > 0) yield { ids, lsns: Float64Array.from(lsns) }
}
