/**
 * Decides when the service takes no more points because the memory for them is used up.
 *
 *     used = resident memory, at least `held`, at most `held` × 1.25 + 128 MiB a process
 *          + rows admitted or logged that the statistics do not count yet
 *     held = over all indexes: what the cores account for, strings once more (they may take two
 *            bytes a character), and the graph that their points still lack
 *
 * Resident memory is the truth when it is more than what is accounted for, and comes too late when
 * it is less: pages that were asked for and not touched, points that no graph has yet. Far above
 * that it is garbage: a core that rests keeps it, and it goes when memory is asked for again. To
 * count it would refuse writes for ever after a great delete.
 *
 * Forecasts are too high rather than too low. A row that replaces another needs room like a new
 * one: the older row stays in the graph as a dead one. What an index or a graph costs before its
 * first row (about 4 MiB a shard) is not forecast; it shows a moment later.
 *
 * Pure: what the cores told comes in with `observe`.
 */

import type { CheckpointContent } from '../domain/checkpoint.ts'
import type { Metric } from '../domain/metric.ts'
import type { ShardStats } from '../domain/search.ts'
import type { ProjectBatch, UpsertBatch } from '../domain/write-batch.ts'
import { VectordError } from '../lib/errors.ts'

const MIB = 2 ** 20

/** The rest is for requests under way, checkpoints and everything else on the machine. */
const AUTOMATIC_SHARE = 0.8
/** Bench "memory": resident memory was 1.1 of what cores account for at 100,000 × 768. */
const RESIDENT_FACTOR_MAX = 1.25
/** A process of Node with everything loaded and nothing held, and its young garbage. */
const PROCESS_BYTES = 128 * MIB

/** Columns, bits, id map and the strings of id, text and metadata, however short. */
const ROW_BYTES = 40 + 17 + 56 + 3 * 24 + 8
/** Map, lock, level, visited mark and pointers of a graph element, with room to grow. */
const ELEMENT_BYTES = 16 + 48 + 1.5 * 54 + 8
const UNIT_BYTES = 2
/** Postings of the values in metadata, for each character of its JSON. */
const METADATA_INDEX_FACTOR = 6

/** What decides how large the rows of an index are. */
export interface RowShape {
  readonly dimension: number
  readonly metric: Metric
  readonly hnsw: { readonly m: number }
}

/** What the processes of the service take. */
export interface Residence {
  readonly rssBytes: number
  readonly processes: number
}

/**
 * The memory that points may take.
 *
 * @param configured `dataplane.memory_bytes_max`; 0 asks for a share of what there is.
 * @param limits of the machine and of the control group; the smaller counts. 0 means none.
 */
export function memoryBound(
  configured: number,
  limits: { readonly machineBytes: number; readonly groupBytes: number },
): number {
  if (configured > 0) return configured
  const { machineBytes, groupBytes } = limits
  const bytes = groupBytes > 0 ? Math.min(machineBytes, groupBytes) : machineBytes
  return Math.floor(AUTOMATIC_SHARE * bytes)
}

export class MemoryQuota {
  readonly boundBytes: number
  readonly #indexes = new Set<IndexMemory>()
  #residence: Residence = { rssBytes: 0, processes: 0 }

  /** @param boundBytes Infinity refuses nothing. */
  constructor(boundBytes: number) {
    this.boundBytes = boundBytes
  }

  /** The account of one index; `stats` answers null while a shard of it is not ready. */
  open(shape: RowShape, stats: () => ShardStats | null): IndexMemory {
    return new IndexMemory(shape, stats, {
      add: (index) => this.#indexes.add(index),
      remove: (index) => this.#indexes.delete(index),
      checkWrite: (needed) => {
        this.#check(needed, this.usedBytes)
      },
      checkLoad: (needed, index) => {
        this.#check(needed, this.#held - (this.#indexes.has(index) ? index.heldBytes : 0))
      },
    })
  }

  /** To be called several times a second: takes over what cores and processes told last. */
  observe(residence: Residence): void {
    this.#residence = residence
    for (const index of this.#indexes) index.observe()
  }

  get usedBytes(): number {
    const { rssBytes, processes } = this.#residence
    const held = this.#held
    const believed = Math.min(rssBytes, held * RESIDENT_FACTOR_MAX + processes * PROCESS_BYTES)
    return Math.ceil(Math.max(held, believed) + this.#sum((index) => index.pendingBytes))
  }

  get #held(): number {
    return this.#sum((index) => index.heldBytes)
  }

  #sum(of: (index: IndexMemory) => number): number {
    let sum = 0
    for (const index of this.#indexes) sum += of(index)
    return sum
  }

  #check(neededBytes: number, usedBytes: number): void {
    const [needed, used] = [Math.ceil(neededBytes), Math.ceil(usedBytes)]
    if (used + needed <= this.boundBytes) return
    throw new VectordError(
      'memory_full',
      `${needed} bytes of memory are needed; ${used} of ${this.boundBytes} are used.`,
      { details: { used, needed, bound: this.boundBytes } },
    )
  }
}

/** What an account asks of the quota. */
interface Accounts {
  add(index: IndexMemory): void
  remove(index: IndexMemory): void
  checkWrite(neededBytes: number): void
  checkLoad(neededBytes: number, index: IndexMemory): void
}

/**
 * One index in the quota: loaded, written to, released.
 *
 *     admit ─▶ sent (logged) ─▶ observe: the statistics have its lsn
 *        ╰───▶ abandoned
 */
export class IndexMemory {
  readonly #shape: RowShape
  readonly #stats: () => ShardStats | null
  readonly #accounts: Accounts
  #heldBytes = 0
  /** Statistics of before this write are those of a core that is on its way back. */
  #seenLsn = 0
  #admittedBytes = 0
  #sentBytes = 0
  /** Writes that were logged, oldest first. */
  readonly #sent: { readonly lsn: number; readonly bytes: number }[] = []

  constructor(shape: RowShape, stats: () => ShardStats | null, accounts: Accounts) {
    this.#shape = shape
    this.#stats = stats
    this.#accounts = accounts
  }

  /** As last told, also while a core that died is on its way back. */
  get heldBytes(): number {
    return this.#heldBytes
  }

  get pendingBytes(): number {
    return this.#admittedBytes + this.#sentBytes
  }

  /**
   * Reserves room for a checkpoint before it is loaded.
   *
   * Measured by what is accounted for alone: what fitted before a restart fits after it, whatever
   * the processes take besides. The log after the checkpoint is not counted: its writes were
   * admitted, and `checkpoint.log_bytes` bounds it.
   *
   * @param lastLsn of the log: what is told of before is not the whole.
   * @throws {VectordError} `memory_full`.
   */
  load(checkpoint: CheckpointContent | null, lastLsn: number): void {
    const needed = checkpoint === null ? 0 : checkpointBytes(this.#shape, checkpoint)
    this.#accounts.checkLoad(needed, this)
    this.#heldBytes = needed
    this.#seenLsn = lastLsn
    this.#forget()
    this.#accounts.add(this)
  }

  /** @throws {VectordError} `memory_full` where not even a small point has room. */
  check(): void {
    this.#accounts.checkWrite(rowBytes(this.#shape))
  }

  /**
   * Reserves room for the rows; the caller ends the reservation with `sent` or `abandoned`.
   *
   * @returns the bytes reserved. @throws {VectordError} `memory_full`.
   */
  admit(batch: UpsertBatch | ProjectBatch): number {
    const bytes = batchBytes(this.#shape, batch)
    this.#accounts.checkWrite(bytes)
    this.#admittedBytes += bytes
    return bytes
  }

  sent(lsn: number, bytes: number): void {
    this.#admittedBytes -= bytes
    if (bytes === 0) return
    this.#sentBytes += bytes
    this.#sent.push({ lsn, bytes })
  }

  abandoned(bytes: number): void {
    this.#admittedBytes -= bytes
  }

  observe(): void {
    const stats = this.#stats()
    if (stats === null || stats.appliedLsn < this.#seenLsn) return
    this.#seenLsn = stats.appliedLsn
    this.#heldBytes = heldBytes(this.#shape, stats)
    const left = this.#sent.findIndex((entry) => entry.lsn > stats.appliedLsn)
    const gone = this.#sent.splice(0, left === -1 ? this.#sent.length : left)
    for (const { bytes } of gone) this.#sentBytes -= bytes
  }

  /** The index is out of service and holds nothing. */
  release(): void {
    this.#heldBytes = 0
    this.#forget()
    this.#accounts.remove(this)
  }

  #forget(): void {
    this.#sent.length = 0
    this.#sentBytes = 0
  }
}

function heldBytes(shape: RowShape, stats: ShardStats): number {
  const { memoryBytes, payloadBytes, livePoints, graphElements, tombstones } = stats
  const missing = Math.max(0, livePoints - (graphElements - tombstones))
  return memoryBytes + payloadBytes * (UNIT_BYTES - 1) + missing * elementBytes(shape)
}

function batchBytes(shape: RowShape, batch: UpsertBatch | ProjectBatch): number {
  let bytes = batch.ids.length * rowBytes(shape)
  for (const id of batch.ids) bytes += id.length * UNIT_BYTES
  // The strings of a row whose vector comes are there already.
  if (batch.kind === 'project') return Math.ceil(bytes)
  for (const text of batch.texts) bytes += (text?.length ?? 0) * UNIT_BYTES
  for (const json of batch.metadata) {
    bytes += (json?.length ?? 0) * (UNIT_BYTES + METADATA_INDEX_FACTOR)
  }
  // Whole numbers add up and cancel out exactly.
  return Math.ceil(bytes)
}

/** What the rows that can be read and the graphs take; strings by what the parts hold beside vectors. */
function checkpointBytes(shape: RowShape, { parts, graphs }: CheckpointContent): number {
  let bytes = 0
  for (const { kind, rows, deadRows, bytes: size } of parts) {
    if (kind !== 'points' || rows === 0) continue
    const strings = Math.max(0, size / rows - shape.dimension * 4)
    bytes += (rows - deadRows) * (tableRowBytes(shape) + strings)
  }
  for (const { elements } of graphs) bytes += elements * elementBytes(shape)
  return bytes
}

/** A row in the table and in the graph, without its strings. */
function rowBytes(shape: RowShape): number {
  return tableRowBytes(shape) + elementBytes(shape)
}

function tableRowBytes({ dimension }: RowShape): number {
  return dimension * 4 + ROW_BYTES
}

function elementBytes({ dimension, hnsw: { m } }: RowShape): number {
  return dimension * 4 + 8 * m + (4 * m + 4) / (m - 1) + ELEMENT_BYTES
}
