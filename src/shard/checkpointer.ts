/**
 * Writes what changed since the last checkpoint of a shard to its bucket, beside serving.
 *
 *     snapshot (lsn, slots) ─▶ graph ─▶ points parts ─▶ deletes part ─▶ content for a manifest
 *
 * A part that is written holds only rows that were live or kept at the snapshot; older parts stay by
 * reference. Deletes are remembered as (id, lsn) while a part may still hold a row that one of them
 * ended, and all of them while a part holds rows that were given up: what such a row was followed by
 * says that it was (see `table-loader.ts`). That holds while the number of kept versions does not
 * grow; after it grew, no part keeps such rows. The new state counts from its end on: a checkpoint
 * that fails changes nothing.
 */

import { randomBytes } from 'node:crypto'
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { ObjectStore } from '../buckets/object-store.ts'
import { hashFile } from '../codecs/file-hash.ts'
import { groupRows, writeDeletesPart, writePointsPart } from '../codecs/parquet-part.ts'
import {
  retentionOf,
  type CheckpointContent,
  type Clearance,
  type GraphRef,
  type PartRef,
  type ShardRetention,
  type StoredFile,
} from '../domain/checkpoint.ts'
import type { ShardSpec } from '../domain/shard-spec.ts'
import type { Bitmap } from '../engines/bitmap.ts'
import { invariant } from '../lib/invariant.ts'
import { DeletedIds, deleteRows, joinDeleted } from './deleted-ids.ts'
import type { ShardGraph } from './graph.ts'
import { DEAD_LSN, writeLabels, type LabelRows } from './labels-file.ts'
import { planParts, type PartState, type Segment } from './part-plan.ts'
import { Fetcher } from './part-loader.ts'
import { hasOrigins, readableRows, slotRange } from './part-rows.ts'
import type { PointTable } from './point-table.ts'
import { inSteps } from '../lib/steps.ts'

/** A graph is saved again when this share of its elements changed. */
const GRAPH_CHANGED_SHARE = 0.1
/** Deletes parts before they become one. */
const DELETES_PARTS_MAX = 4
/** Deletes that only dead rows need, before every part is written clean: of the rows, and least. */
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
  /** What the deletes parts hold. */
  readonly deleted: DeletedIds
  readonly graph: SavedGraph | null
  /** Graphs of other generations, the one published last first: kept for a rollback to them. */
  readonly otherGraphs: readonly GraphRef[]
}

export interface SavedGraph {
  readonly ref: GraphRef
  /** Dead elements when it was saved. */
  readonly tombstones: number
  /** It is that of a graph in whose place another was grown since. */
  readonly isOutdated?: boolean
}

interface Snapshot {
  readonly table: PointTable
  readonly graph: ShardGraph
  readonly lsn: number
  /** Live and kept slots. */
  readonly readable: Bitmap
  readonly deletes: DeletedIds
  /** Deletes that ended slots which are kept. */
  readonly ended: DeletedIds
  readonly retention: ShardRetention
}

export class Checkpointer {
  readonly #spec: ShardSpec
  readonly #store: ObjectStore
  #state: CheckpointState
  /** Since the last checkpoint. */
  #deletes = new DeletedIds()
  #retention: ShardRetention
  /** More versions are kept since the last checkpoint: see above. */
  #keepsMore: boolean
  readonly #unique = randomBytes(6).toString('hex')
  #files = 0

  constructor(spec: ShardSpec, store: ObjectStore, state: CheckpointState | null) {
    this.#spec = spec
    this.#store = store
    this.#state = state ?? {
      lsn: 0,
      points: [],
      deletes: [],
      deleted: new DeletedIds(),
      graph: null,
      otherGraphs: [],
    }
    this.#retention = retentionOf(spec.checkpoint, spec.shard)
    this.#keepsMore = (spec.keepLastVersions ?? 1) > this.#retention.keepLastVersions
  }

  /** Where `apply` notes deletes. Ask anew each time. */
  get deletes(): DeletedIds {
    return this.#deletes
  }

  /** From now on more versions of each id are kept than before. */
  keepsMore(): void {
    this.#keepsMore = true
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

  /** The published graph was grown anew: the next checkpoint saves it, whatever has changed. */
  regrown(): void {
    const { graph } = this.#state
    this.#state = { ...this.#state, graph: graph && { ...graph, isOutdated: true } }
  }

  get memoryBytes(): number {
    return this.#deletes.memoryBytes + this.#state.deleted.memoryBytes
  }

  /**
   * One at a time.
   *
   * @param clearance leaves out every dead row, and graphs; every part is read back.
   * @throws {VectordError} `object_corrupt` where a part is not what was written, or is gone.
   */
  async run(
    { table, graph, lsn }: Pick<Snapshot, 'table' | 'graph' | 'lsn'>,
    saveGraph: 'always' | 'if_worth',
    clearance: Clearance | null = null,
  ): Promise<CheckpointContent> {
    invariant(lsn >= this.#state.lsn, 'a checkpoint is not older than the last one')
    const { keepLastVersions, horizonLsn } = table
    const retention = { shard: this.#spec.shard, keepLastVersions, horizonLsn }
    const kept = table.kept.clone()
    const snapshot = { table, graph, lsn, readable: table.readable(), retention }
    const deletes = this.#deletes
    this.#deletes = new DeletedIds()
    table.hold()
    try {
      await mkdir(this.#spec.scratch, { recursive: true })
      const ended = await endedByDeletes(table, kept)
      const next = await this.#write({ ...snapshot, deletes, ended }, saveGraph, clearance)
      if (clearance !== null) await this.#prove([...next.points, ...next.deletes])
      this.#state = next
      this.#retention = retention
      this.#keepsMore = false
      return this.#content()
    } catch (error) {
      const only = table.keepLastVersions === 1
      this.#deletes = joinDeleted(deletes, this.#deletes, { only })
      throw error
    } finally {
      table.release()
    }
  }

  async #write(
    snapshot: Snapshot,
    saveGraph: 'always' | 'if_worth',
    clearance: Clearance | null,
  ): Promise<CheckpointState> {
    const before = this.#state
    const graph = await this.#graphOf(snapshot, saveGraph)
    // Every part is then written without dead rows.
    const isAnew = clearance !== null || this.#keepsMore
    const forgettable = before.deleted.size + snapshot.deletes.size - snapshot.ended.size
    const tooMany = Math.max(DELETES_MIN, snapshot.readable.count() * DELETES_SHARE_MAX)
    const plan = this.#plan(snapshot, isAnew || forgettable > tooMany)
    const points: PartRef[] = []
    for (const segment of plan) points.push(await this.#pointsPart(snapshot, segment))
    const isClean = points.every(({ deadRows }) => deadRows === 0)
    const isForgetting = isClean && (snapshot.ended.size === 0 || forgettable > tooMany)
    const { deletes, deleted } =
      isForgetting || isAnew
        ? await this.#onlyDeletes(snapshot.ended)
        : await this.#deletesParts(snapshot)
    const forgotten = new Set(clearance?.forget)
    const otherGraphs = before.otherGraphs.filter(({ generation }) => !forgotten.has(generation))
    return { lsn: snapshot.lsn, points, deletes, deleted, graph, otherGraphs }
  }

  /** Saved now, or as it was saved last. */
  #graphOf(snapshot: Snapshot, save: 'always' | 'if_worth'): Promise<SavedGraph | null> {
    const { graph } = this.#state
    const isWorth = save === 'always' || isGraphWorthSaving(snapshot.graph, graph)
    return isWorth ? this.#saveGraph(snapshot) : Promise.resolve(graph)
  }

  #plan(snapshot: Snapshot, clean: boolean): Segment[] {
    const { lsn, points } = this.#state
    const parts: PartState[] = points.map((ref) => ({ ref, live: readableIn(snapshot, ref) }))
    const range = { firstLsn: lsn + 1, lastLsn: snapshot.lsn }
    return planParts(parts, { ...range, live: readableIn(snapshot, range) }, clean)
  }

  async #pointsPart(snapshot: Snapshot, segment: Segment): Promise<PartRef> {
    const { kept, live, firstLsn, lastLsn } = segment
    if (kept !== null) return { ...kept, deadRows: kept.rows - live }
    const { dimension, shard } = this.#spec
    const path = this.#scratchFile('parquet')
    const { table, readable } = snapshot
    const range = slotRange(table, segment)
    const withOrigins = hasOrigins(table, readable, range)
    const batchRows = Math.ceil(groupRows(dimension) / BATCHES_IN_GROUP)
    const batches = readableRows(table, readable, range, { batchRows, withOrigins })
    try {
      const { rows, bytes, sha256 } = await writePointsPart(path, batches, dimension, withOrigins)
      invariant(rows === live, 'a part holds the rows that were readable at the snapshot')
      const key = this.#key('parts', `${lastLsn}`, 'parquet')
      await this.#store.putFile(key, path)
      const file = { key, bytes, sha256 }
      return { ...file, kind: 'points', shard, rows, deadRows: 0, firstLsn, lastLsn }
    } finally {
      await rm(path, { force: true })
    }
  }

  /** Remembers no others. */
  async #onlyDeletes(ended: DeletedIds): Promise<Pick<CheckpointState, 'deletes' | 'deleted'>> {
    const deletes = ended.size === 0 ? [] : [await this.#deletesPart(ended)]
    return { deletes, deleted: ended }
  }

  async #deletesParts(snapshot: Snapshot): Promise<Pick<CheckpointState, 'deletes' | 'deleted'>> {
    const { deletes, deleted } = this.#state
    if (snapshot.deletes.size === 0) return { deletes, deleted }
    const only = snapshot.retention.keepLastVersions === 1
    const all = joinDeleted(deleted, snapshot.deletes, { only })
    const merge = deletes.length >= DELETES_PARTS_MAX
    const part = await this.#deletesPart(merge ? all : snapshot.deletes)
    return { deletes: merge ? [part] : [...deletes, part], deleted: all }
  }

  async #deletesPart(deletes: DeletedIds): Promise<PartRef> {
    const path = this.#scratchFile('parquet')
    const lsns = [...deletes].map(([, lsn]) => lsn)
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
    const { index, tombstones, elements, indexedLsn } = graph
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
        indexedLsn,
        elements,
      }
      return { ref, tombstones }
    } finally {
      await rm(graphPath, { force: true })
      await rm(labelsPath, { force: true })
    }
  }

  /** Reads every part back: the checkpoints before are given up for this one. */
  async #prove(parts: readonly PartRef[]): Promise<void> {
    const fetcher = new Fetcher(this.#store, this.#spec.scratch, 'prove')
    for (const part of parts) await rm(await fetcher.fetch(part), { force: true })
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
      retention: [this.#retention],
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
  if (saved === null || saved.isOutdated === true) return true
  const inserted = graph.elements - saved.ref.elements
  const removed = graph.tombstones - saved.tombstones
  return inserted + removed >= graph.elements * GRAPH_CHANGED_SHARE
}

/** @param kept as of the snapshot: how they ended does not change any more. */
async function endedByDeletes(table: PointTable, kept: Bitmap): Promise<DeletedIds> {
  const ended = new DeletedIds()
  await inSteps(kept.next(0) === -1 ? 0 : table.slots, (slot) => {
    if (!kept.has(slot) || !table.endedByDelete(slot)) return
    ended.note(table.id(slot), table.endOf(slot), { only: false })
  })
  return ended
}

function readableIn(
  { table, readable }: Snapshot,
  range: { readonly firstLsn: number; readonly lastLsn: number },
): number {
  const { from, to } = slotRange(table, range)
  return readable.countFrom(from) - readable.countFrom(to)
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
