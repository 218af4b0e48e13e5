/**
 * The projection: every text that came without a vector, or whose vector is of another embedder, on
 * its way to one.
 *
 *     indexes ─ look, each tick ─▶ an IndexProjection for each that has an embedder and a text port
 *     writes  ─ onTexts ────────▶ EmbedderWorker of its embedder: batch after batch
 *
 * What waits is derived from the indexes and kept nowhere else: a server that dies forgets nothing,
 * and nothing is ever under way for a process that is gone.
 */

import type { EmbedderStamp, TextCounts } from '../domain/pending-text.ts'
import { VectordError } from '../lib/errors.ts'
import { Periodic } from '../lib/periodic.ts'
import { EmbedderWorker, type ProjectionRules } from './embedder-worker.ts'
import type { FailedPage } from './failed-texts.ts'
import { IndexProjection } from './index-projection.ts'
import type { TextEmbedders, TextIndex, TextIndexes } from './ports.ts'
import { drainProjection, type DrainReport, type Seat } from './projection-drain.ts'
import { addTotals, newTotals, type ProjectionTotals } from './projection-totals.ts'
import { reasonOf, type ProjectionFault } from './projection-faults.ts'

export interface ProjectionOptions {
  readonly indexes: TextIndexes
  readonly embedders: TextEmbedders
  readonly rules: ProjectionRules
  readonly nowMs: () => number
  /** Only ever goes forward; the one of the process where it is left out. */
  readonly clockMs?: () => number
  readonly onTrouble: (error: unknown, what: string) => void
}

export type ProjectionState =
  | 'idle'
  | 'working'
  | 'resting'
  | 'embedder_unavailable'
  | 'embedder_mismatch'
  | 'not_configured'
  | 'not_owner'
  | 'loading'

export interface ProjectionStatus {
  readonly index: string
  readonly embedder: EmbedderStamp
  readonly state: ProjectionState
  /** Of what holds it up, or went wrong last. */
  readonly fault: ProjectionFault | null
  /** Null where the index cannot tell now. */
  readonly pending: TextCounts | null
  readonly failed: number
  readonly freshnessS: number
  readonly ratePerS: number
  readonly totals: Readonly<ProjectionTotals>
}

/** Of all indexes together, as far as it is known without asking them. */
export interface ProjectionSummary {
  readonly pending: TextCounts
  readonly failed: number
  readonly freshnessS: number
  readonly totals: Readonly<ProjectionTotals>
  readonly unavailableTicks: number
}

/** Indexes that are asked at once how many of their texts wait. */
const COUNTS_AT_ONCE = 16

export class Projection {
  readonly #options: ProjectionOptions
  readonly #clockMs: () => number
  readonly #seats = new Map<TextIndex, Seat>()
  readonly #workers = new Map<string, EmbedderWorker>()
  readonly #looks: Periodic
  /** What became of texts of indexes that are gone. */
  readonly #gone = newTotals()
  readonly #closing = new Set<Promise<void>>()
  readonly #listeners = new Set<() => void>()
  #isClosed = false

  constructor(options: ProjectionOptions) {
    this.#options = options
    this.#clockMs = options.clockMs ?? (() => performance.now())
    this.#looks = new Periodic(
      async () => {
        this.#look()
      },
      (error) => {
        options.onTrouble(error, 'look for texts without vectors')
      },
    )
  }

  /** Begins to work by itself. */
  start(): void {
    this.#looks.start(this.#options.rules.tickMs)
  }

  /** Ends what is under way, which then waits in its index. Idempotent. */
  async close(): Promise<void> {
    this.#isClosed = true
    await this.#looks.close()
    await Promise.all([...this.#workers.values()].map((worker) => worker.close()))
    await Promise.all([...this.#seats.values()].map(({ projection }) => projection.close()))
    await Promise.all(this.#closing)
    this.#tell()
  }

  /**
   * Works until nothing waits any more, the time is up, or no embedder answers.
   *
   * @param of one index, or all of which `isSeen` says so.
   * @throws `not_configured`, `embedder_mismatch`, `not_owner` for the one; `shutting_down`.
   */
  async drain(of: {
    readonly index: string | null
    readonly isSeen: (index: string) => boolean
    readonly deadlineMs: number
  }): Promise<DrainReport> {
    this.#checkOpen()
    this.#look()
    const seats = of.index === null ? this.#visible(of.isSeen) : [this.#seat(of.index)]
    const { nowMs } = this.#options
    return drainProjection(seats, {
      ...{ isNamed: of.index !== null, clockMs: this.#clockMs },
      untilMs: this.#clockMs() + Math.max(0, of.deadlineMs - nowMs()),
      isClosed: () => this.#isClosed,
      changed: (ms) => this.#changed(ms),
    })
  }

  async status(isSeen: (index: string) => boolean): Promise<readonly ProjectionStatus[]> {
    this.#look()
    const seats = this.#visible(isSeen)
    const all: ProjectionStatus[] = []
    for (let from = 0; from < seats.length; from += COUNTS_AT_ONCE) {
      const some = seats.slice(from, from + COUNTS_AT_ONCE)
      all.push(...(await Promise.all(some.map((seat) => statusOf(seat, this.#clockMs())))))
    }
    return all
  }

  /** @throws `not_configured` where the index has no embedder, and what it cannot be read with. */
  async failed(index: string, after: number | null, limit: number): Promise<FailedPage> {
    return this.#seat(index).projection.failedPage(after, limit)
  }

  /**
   * Failed texts wait again.
   *
   * @param ids those alone; null takes all.
   * @returns how many, and those of `ids` that have not failed.
   * @throws `not_configured` where the index has no embedder; `shutting_down`.
   */
  requeue(
    index: string,
    ids: readonly string[] | null,
  ): { readonly requeued: number; readonly unknown: readonly string[] } {
    this.#checkOpen()
    const { projection, worker } = this.#seat(index)
    const requeued = new Set(projection.requeue(ids))
    worker.hurry()
    return { requeued: requeued.size, unknown: (ids ?? []).filter((id) => !requeued.has(id)) }
  }

  get summary(): ProjectionSummary {
    const totals = { ...this.#gone }
    const pending = { writes: 0, backfill: 0 }
    let failed = 0
    let freshnessS = 0
    for (const { projection } of this.#seats.values()) {
      addTotals(totals, projection.totals)
      const { writes, backfill } = projection.waits
      pending.writes += writes
      pending.backfill += backfill
      failed += projection.failed.size
      freshnessS = Math.max(freshnessS, projection.freshnessS)
    }
    const workers = [...this.#workers.values()]
    const unavailableTicks = workers.reduce((sum, worker) => sum + worker.unavailableTicks, 0)
    return { pending, failed, freshnessS, totals, unavailableTicks }
  }

  /** Takes note of indexes that came, went, or have another embedder. */
  #look(): void {
    if (this.#isClosed) return
    const seen = new Set<TextIndex>()
    for (const index of this.#options.indexes.list()) {
      const stamp = index.texts.embedder
      if (stamp === null) continue
      seen.add(index)
      this.#seatOf(index, stamp)
    }
    for (const [index, { projection, worker }] of this.#seats) {
      if (seen.has(index)) continue
      worker.remove(projection)
      this.#seats.delete(index)
      addTotals(this.#gone, projection.totals)
      const closed = projection.close().finally(() => this.#closing.delete(closed))
      this.#closing.add(closed)
    }
  }

  #seatOf(index: TextIndex, stamp: EmbedderStamp): void {
    const known = this.#seats.get(index)
    const projection = known?.projection ?? this.#newProjection(index, stamp)
    projection.refresh(stamp)
    const worker = this.#worker(stamp.name)
    if (known?.worker === worker) return
    known?.worker.remove(projection)
    this.#seats.set(index, { projection, worker })
    worker.add(projection)
  }

  #newProjection(index: TextIndex, stamp: EmbedderStamp): IndexProjection {
    const { rules, nowMs, onTrouble } = this.#options
    const { name } = index.info
    return new IndexProjection({
      ...{ name, index, stamp, nowMs, clockMs: this.#clockMs, failedMax: rules.failedMax },
      onTrouble: (error) => {
        onTrouble(error, `embed texts of index "${name}"`)
      },
      onWork: () => {
        this.#seats.get(index)?.worker.wake()
      },
    })
  }

  #worker(name: string): EmbedderWorker {
    const known = this.#workers.get(name)
    if (known !== undefined) return known
    const { embedders, rules, nowMs, onTrouble } = this.#options
    const worker = new EmbedderWorker({
      ...{ name, embedders, rules, nowMs, clockMs: this.#clockMs },
      onTrouble: (error) => {
        onTrouble(error, `embed texts with "${name}"`)
      },
      onTurn: () => {
        this.#tell()
      },
    })
    this.#workers.set(name, worker)
    return worker
  }

  #visible(isSeen: (index: string) => boolean): Seat[] {
    return [...this.#seats.values()].filter(({ projection }) => isSeen(projection.name))
  }

  #seat(name: string): Seat {
    this.#look()
    const seat = this.#seats.get(this.#options.indexes.get(name))
    if (seat !== undefined) return seat
    throw new VectordError('not_configured', `Index "${name}" has no embedder.`, {
      details: { index: name },
    })
  }

  #checkOpen(): void {
    if (this.#isClosed) throw new VectordError('shutting_down', 'The service is shutting down.')
  }

  #tell(): void {
    for (const listener of this.#listeners) listener()
  }

  /** Resolves after the next turn of a worker, or `ms` milliseconds. */
  #changed(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer)
        this.#listeners.delete(done)
        resolve()
      }
      const timer = setTimeout(done, ms)
      this.#listeners.add(done)
    })
  }
}

async function statusOf(seat: Seat, clockMs: number): Promise<ProjectionStatus> {
  const { projection, worker } = seat
  const { name, stamp, block, failed, freshnessS, rate, totals } = projection
  const error = block?.error ?? null
  return {
    ...{ index: name, embedder: stamp, state: stateOf(seat), freshnessS },
    fault:
      block === null || error === null
        ? (worker.fault ?? projection.fault)
        : { ...reasonOf(error), atMs: block.atMs },
    pending: await projection.countNow(),
    ...{ failed: failed.size, ratePerS: rate.perSecond(clockMs), totals: { ...totals } },
  }
}

function stateOf({ projection, worker }: Seat): ProjectionState {
  if (projection.block !== null) return projection.block.state
  if (projection.isIdle) return 'idle'
  if (worker.fault !== null) return 'embedder_unavailable'
  return projection.isResting ? 'resting' : 'working'
}
