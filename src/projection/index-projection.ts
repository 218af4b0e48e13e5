/**
 * The texts of one index on their way to vectors: what is known to wait, how far its index was
 * read, what has failed, and what holds it up.
 *
 *     index ─ pending pages ─▶ queue ─▶ batch ─▶ project-batch ─┬─▶ index
 *       ▲                        ▲                               ├─▶ failed texts
 *       ╰── read from its start, where the index counts more ◀───╯── given back
 *
 * The index is the truth. What this forgets, in whatever way, is found by reading it from the start:
 * by a drain, after a change of its embedder or owner, and where the index counts more texts than
 * have failed while nothing waits here.
 */

import {
  isSameEmbedder,
  type EmbedderStamp,
  type PendingText,
  type TextCounts,
} from '../domain/pending-text.ts'
import { textHash } from '../domain/text-hash.ts'
import { hasCode, VectordError } from '../lib/errors.ts'
import { FailedTexts, type FailedPage } from './failed-texts.ts'
import type { NextBatch, Waiting, WorkKind } from './next-batch.ts'
import { PendingScan } from './pending-scan.ts'
import type { Identity, TextEmbedder, TextIndex } from './ports.ts'
import { currentTexts, projectBatch, type ProjectResult } from './project-batch.ts'
import {
  blockOf,
  mismatchError,
  reasonOf,
  type Block,
  type ProjectionFault,
} from './projection-faults.ts'
import { newTotals, type ProjectionTotals } from './projection-totals.ts'
import { RateWindow } from './rate-window.ts'
import { restMs } from './retry-plan.ts'
import { WorkQueue, type Batch, type WorkItem } from './work-queue.ts'

/** New points that are known to wait; those behind them are read when these are fewer. */
const WRITES_MAX = 50_000
const BACKFILL_MAX = 1024
/** How often the index is asked how many texts wait. */
const COUNT_MS = 30_000
/** How long a wrong embedder is taken as wrong before it is looked at again. */
const RECHECK_MS = 30_000
/** Failed texts that are looked at together whether their points are still the same. */
const CHECKED_TOGETHER = 256

export interface IndexProjectionOptions {
  readonly name: string
  readonly index: TextIndex
  readonly stamp: EmbedderStamp
  readonly failedMax: number
  /** Of the wall, for times that are shown. */
  readonly nowMs: () => number
  /** Only ever goes forward, for waits and ages. */
  readonly clockMs: () => number
  readonly onTrouble: (error: unknown) => void
  /** Called where there may be something to do. */
  readonly onWork: () => void
}

export class IndexProjection {
  readonly name: string
  readonly index: TextIndex
  readonly failed: FailedTexts
  readonly totals: ProjectionTotals = newTotals()
  readonly rate = new RateWindow()
  /** Turns of its last batches. */
  readonly lastTurn: Record<WorkKind, number> = { write: 0, backfill: 0 }
  readonly #options: IndexProjectionOptions
  readonly #queue = new WorkQueue()
  readonly #unlisten: () => void
  #stamp: EmbedderStamp
  #scans = newScans()
  /** When texts were first told of that no page has shown yet; null where there are none. */
  #unreadSinceMs: number | null = null
  #reading: Promise<void> | null = null
  /** When the oldest text of the batch under way was first seen. */
  #workingSinceMs: number | null = null
  /** Of the index itself, and of its embedder. */
  #indexBlock: Block | null = null
  #embedderBlock: (Block & { readonly untilMs: number }) | null = null
  #restUntilMs = 0
  #troubles = 0
  #fault: ProjectionFault | null = null
  #counts: TextCounts | null = null
  #countedMs: number | null = null
  #isClosed = false

  constructor(options: IndexProjectionOptions) {
    this.#options = options
    this.name = options.name
    this.index = options.index
    this.#stamp = options.stamp
    this.failed = new FailedTexts(options.failedMax)
    this.#unlisten = options.index.texts.onTexts(() => {
      this.#unreadSinceMs ??= options.clockMs()
      this.#scans.write.again()
      // Also while a batch is under way: else the next one would be chosen without them.
      this.read()
      options.onWork()
    })
  }

  get stamp(): EmbedderStamp {
    return this.#stamp
  }

  /** What keeps every text of it from its embedder; null where nothing does. */
  get block(): Block | null {
    return this.#indexBlock ?? this.#embedderBlock
  }

  get fault(): ProjectionFault | null {
    return this.#fault
  }

  get isResting(): boolean {
    return this.#restUntilMs > this.#options.clockMs()
  }

  /** What waits as far as it is known here; as the index last counted it where more may wait. */
  get waits(): TextCounts {
    const { write, backfill } = this.#scans
    const writes = this.#queue.size('write')
    const old = this.#queue.size('backfill')
    return {
      writes: write.isAtEnd ? writes : Math.max(writes, this.#counts?.writes ?? 0),
      backfill: backfill.isAtEnd ? old : Math.max(old, this.#counts?.backfill ?? 0),
    }
  }

  /** Asks the index; null where it cannot tell now. Failed texts are among them. */
  async countNow(): Promise<TextCounts | null> {
    try {
      return await this.index.texts.count()
    } catch (error) {
      if (error instanceof VectordError) return null
      throw error
    }
  }

  /** True where nothing waits here, and the index was read to its end. */
  get isIdle(): boolean {
    const { write, backfill } = this.#scans
    return this.#queue.isEmpty && write.isAtEnd && backfill.isAtEnd && this.#reading === null
  }

  /** Age of the oldest new point that waits, in seconds, since it was first heard of; 0 for none. */
  get freshnessS(): number {
    const times = [this.#queue.sinceMs('write'), this.#unreadSinceMs, this.#workingSinceMs]
    const known = times.filter((sinceMs) => sinceMs !== null)
    if (known.length === 0) return 0
    return Math.max(0, this.#options.clockMs() - Math.min(...known)) / 1000
  }

  /** Takes note of the embedder and the state of the index. */
  refresh(stamp: EmbedderStamp): void {
    if (!isSameEmbedder(stamp, this.#stamp)) {
      this.#queue.clear()
      this.failed.clear()
      this.#scans = newScans()
    }
    if (stamp.name !== this.#stamp.name || !isSameEmbedder(stamp, this.#stamp)) {
      this.#embedderBlock = null
    }
    this.#stamp = stamp
    const before = this.#indexBlock
    this.#indexBlock = blockOf(this.index, this.#options.nowMs())
    // Another server may have written meanwhile.
    if (before !== null && this.#indexBlock === null) this.rescan()
    if (this.#embedderBlock !== null && this.#embedderBlock.untilMs <= this.#options.clockMs()) {
      this.#embedderBlock = null
    }
  }

  /** Reads the index from its start; what is known to wait stays. */
  rescan(): void {
    this.#scans = newScans()
    this.#options.onWork()
  }

  /** Ends every pause that is there for the sake of the index or of a wrong embedder. */
  hurry(): void {
    this.#restUntilMs = 0
    this.#embedderBlock = null
  }

  /** @returns false where its embedder is another one than that of the index. */
  accept(identity: Identity): boolean {
    if (isSameEmbedder({ ...identity, name: this.#stamp.name }, this.#stamp)) return true
    this.refuseEmbedder('embedder_mismatch', mismatchError(this.name, this.#stamp, identity))
    return false
  }

  refuseEmbedder(state: 'embedder_mismatch' | 'not_configured', error: VectordError): void {
    const { nowMs, clockMs } = this.#options
    this.#embedderBlock = { state, error, atMs: nowMs(), untilMs: clockMs() + RECHECK_MS }
  }

  /** What may be taken now; null where nothing may. */
  get waiting(): Waiting | null {
    if (this.block !== null || this.isResting) return null
    const clockMs = this.#options.clockMs()
    return {
      writes: this.#queue.waiting('write', clockMs),
      backfill: this.#queue.waiting('backfill', clockMs),
      backfillSinceMs: this.#queue.sinceMs('backfill'),
      lastTurn: this.lastTurn,
    }
  }

  /** Reads on in the background, where the index may have more. */
  read(): void {
    if (this.#isClosed || this.#reading !== null || this.block !== null || this.isResting) return
    if (this.#nextScan() === null && !this.#isCountDue()) return
    this.#reading = this.#readOn()
      .catch((error: unknown) => {
        this.#rest(error)
      })
      .finally(() => {
        this.#reading = null
        this.#options.onWork()
      })
  }

  /** Takes a batch through its stages. @returns why the embedder did not answer; else null. */
  async work(
    { kind, size }: Pick<NextBatch, 'kind' | 'size'>,
    embedder: TextEmbedder,
    signal: AbortSignal,
  ): Promise<VectordError | null> {
    const { clockMs, nowMs } = this.#options
    const batch = this.#queue.take(kind, size, clockMs())
    if (batch === null) return null
    const stamp = this.#stamp
    this.#workingSinceMs = kind === 'write' ? (batch.items[0]?.sinceMs ?? null) : null
    const result = await projectBatch(batch.items, {
      ...{ index: this.index, stamp, embedder, signal, nowMs },
      isCurrent: () => stamp === this.#stamp || isSameEmbedder(stamp, this.#stamp),
    })
    this.#workingSinceMs = null
    this.#settle(batch, result, isSameEmbedder(stamp, this.#stamp))
    const error = result.cause?.kind === 'unavailable' ? result.cause.error : null
    if (!hasCode(error, 'embedder_mismatch')) return error
    this.refuseEmbedder('embedder_mismatch', error)
    return null
  }

  /** A page of failed texts whose points are still as they were. @throws as the index. */
  async failedPage(after: number | null, limit: number): Promise<FailedPage> {
    const page = this.failed.page(after, limit)
    const texts = await currentTexts(
      page.failed.map(({ item }) => item),
      this.#reader,
    )
    const over = page.failed.filter((_, i) => texts[i] === null)
    this.failed.forget(over.map(({ item }) => item))
    return { failed: page.failed.filter((_, i) => texts[i] !== null), next: page.next }
  }

  /** Failed texts wait again: those of `ids` that have failed, or all. @returns their ids. */
  requeue(ids: readonly string[] | null): readonly string[] {
    const sinceMs = this.#options.clockMs()
    const items = this.failed.take(ids)
    for (const item of items) this.#queue.add({ ...item, sinceMs })
    this.hurry()
    this.#options.onWork()
    return items.map(({ id }) => id)
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#unlisten()
    await this.#reading
  }

  get #reader(): { readonly index: TextIndex; readonly nowMs: () => number } {
    return { index: this.index, nowMs: this.#options.nowMs }
  }

  #nextScan(): PendingScan | null {
    const { write, backfill } = this.#scans
    if (!write.isAtEnd && this.#queue.size('write') < WRITES_MAX) return write
    return !backfill.isAtEnd && this.#queue.size('backfill') < BACKFILL_MAX ? backfill : null
  }

  async #readOn(): Promise<void> {
    for (;;) {
      const scan = this.#nextScan()
      if (scan === null || this.#isClosed) break
      const scans = this.#scans
      const items = await scan.read(this.index.texts)
      // Those of before a new start may be of an embedder of before.
      if (scans === this.#scans) this.#add(items)
    }
    if (this.#isCountDue() && !this.#isClosed) await this.#count()
  }

  #add(texts: readonly PendingText[]): void {
    const sinceMs = this.#unreadSinceMs ?? this.#options.clockMs()
    let added = 0
    for (const { id, version, text, priority } of texts) {
      if (this.failed.isFailed({ id, version })) continue
      const kind = priority > 0 ? 'write' : 'backfill'
      const item: WorkItem = { id, version, textHash: textHash(id, text), kind, sinceMs }
      if (this.#queue.add(item)) added += 1
    }
    if (this.#scans.write.isAtEnd) this.#unreadSinceMs = null
    if (added > 0) this.#options.onWork()
  }

  #isCountDue(): boolean {
    return this.#countedMs === null || this.#options.clockMs() - this.#countedMs >= COUNT_MS
  }

  /** Finds what was forgotten here, and failures whose points are gone. */
  async #count(): Promise<void> {
    const before = this.#progress
    const counts = await this.index.texts.count()
    this.#counts = counts
    this.#countedMs = this.#options.clockMs()
    const isStill = this.#queue.isEmpty && this.#nextScan() === null && before === this.#progress
    if (!isStill) return
    const total = counts.writes + counts.backfill
    if (total > this.failed.size) this.#scans = newScans()
    else if (total < this.failed.size) await this.#prune()
  }

  /** Another number where texts came or went meanwhile. */
  get #progress(): number {
    const { incremental, backfill, failed, discarded } = this.totals
    return incremental + backfill + failed + discarded
  }

  async #prune(): Promise<void> {
    let after: number | null = null
    do after = (await this.failedPage(after, CHECKED_TOGETHER)).next
    while (after !== null && !this.#isClosed)
  }

  #settle(batch: Batch, result: ProjectResult, isCurrent: boolean): void {
    const { applied, stale, bad, left, cause } = result
    const clockMs = this.#options.clockMs()
    this.#queue.settle([...applied, ...stale, ...bad.map(({ item }) => item)])
    this.totals[batch.kind === 'write' ? 'incremental' : 'backfill'] += applied.length
    this.rate.add(applied.length, clockMs)
    this.totals.discarded += stale.length
    for (const { item, problem } of bad) {
      this.#fail(item, new VectordError('embedder_failed', problem), batch.failures + 1)
    }
    if (applied.length > 0) this.#troubles = 0
    const rest = { ...batch, items: left }
    if (!isCurrent) {
      this.#queue.settle(left)
      this.totals.discarded += left.length
    } else if (cause?.kind === 'failed') {
      this.#noteFault(cause.error)
      const failed = this.#queue.retry(rest, clockMs)
      if (failed !== null) this.#fail(failed, cause.error, batch.failures + 1)
    } else {
      this.#queue.giveBack(rest, clockMs)
    }
    if (cause?.kind === 'trouble') this.#rest(cause.error)
  }

  #fail(item: WorkItem, error: unknown, attempts: number): void {
    this.totals.failed += 1
    this.failed.add({ item, reason: reasonOf(error), attempts, atMs: this.#options.nowMs() })
  }

  #rest(error: unknown): void {
    this.#troubles += 1
    this.#restUntilMs = this.#options.clockMs() + restMs(this.#troubles)
    this.#noteFault(error)
  }

  #noteFault(error: unknown): void {
    this.#fault = { ...reasonOf(error), atMs: this.#options.nowMs() }
    if (!(error instanceof VectordError)) this.#options.onTrouble(error)
  }
}

function newScans(): Readonly<Record<WorkKind, PendingScan>> {
  return { write: new PendingScan('write'), backfill: new PendingScan('backfill') }
}
