/**
 * A drain: waits until nothing waits any more, and counts what was done meanwhile.
 *
 * The workers do the work as they always do. A drain ends their pauses, has the indexes read from
 * their start, and watches. Two at a time both count what is done while they look.
 */

import { hasCode, VectordError } from '../lib/errors.ts'
import { CallEnded } from './bounded-call.ts'
import type { EmbedderWorker } from './embedder-worker.ts'
import type { IndexProjection } from './index-projection.ts'
import type { Block } from './projection-faults.ts'
import { addTotals, newTotals, type ProjectionTotals } from './projection-totals.ts'

/** An index whose texts are projected, and the worker that does it. */
export interface Seat {
  readonly projection: IndexProjection
  readonly worker: EmbedderWorker
}

export type DrainOutcome = 'idle' | 'deadline' | 'embedder_unavailable' | 'closed'

export interface DrainReport {
  readonly outcome: DrainOutcome
  readonly totals: Readonly<ProjectionTotals>
  readonly unavailableTicks: number
}

export interface DrainOptions {
  /** It is about one index, whose state is then an error. */
  readonly isNamed: boolean
  readonly clockMs: () => number
  /** On that clock. */
  readonly untilMs: number
  readonly isClosed: () => boolean
  /** Resolves after the next turn of a worker, or so many milliseconds. */
  readonly changed: (ms: number) => Promise<void>
}

/** Indexes are read without a turn of a worker: so it is looked now and then. */
const LOOK_MS = 50

/** @throws `embedder_mismatch`, `not_configured`, `not_owner`, `index_loading` for a named index. */
export async function drainProjection(
  seats: readonly Seat[],
  options: DrainOptions,
): Promise<DrainReport> {
  const { isNamed, clockMs, untilMs, isClosed, changed } = options
  const before = sumOf(seats)
  const workers = new Map(seats.map(({ worker }) => [worker, worker.unavailableTicks]))
  for (const { projection, worker } of seats) {
    projection.hurry()
    if (isNamed) await checkEmbedder(projection, worker)
    projection.rescan()
    worker.hurry()
  }
  for (;;) {
    if (isNamed) for (const { projection } of seats) throwBlock(projection.name, projection.block)
    const outcome = outcomeOf(seats, workers, options)
    if (outcome !== null) {
      const ticks = [...workers].map(([worker, earlier]) => worker.unavailableTicks - earlier)
      const unavailableTicks = ticks.reduce((sum, count) => sum + count, 0)
      return { outcome, totals: difference(sumOf(seats), before), unavailableTicks }
    }
    await changed(isClosed() ? 0 : Math.max(0, Math.min(LOOK_MS, untilMs - clockMs())))
  }
}

function outcomeOf(
  seats: readonly Seat[],
  workers: ReadonlyMap<EmbedderWorker, number>,
  { clockMs, untilMs, isClosed }: DrainOptions,
): DrainOutcome | null {
  // What is blocked is not for a drain to wait for: only its operator can change that.
  const open = seats.filter(({ projection }) => projection.block === null && !projection.isIdle)
  if (open.length === 0) return 'idle'
  if (isClosed()) return 'closed'
  const isSilent = ({ worker }: Seat): boolean =>
    worker.fault !== null && worker.unavailableTicks > (workers.get(worker) ?? 0)
  if (open.every(isSilent)) return 'embedder_unavailable'
  return clockMs() >= untilMs ? 'deadline' : null
}

/** Whether it is the embedder of the index is told at once, also where nothing waits. */
async function checkEmbedder(projection: IndexProjection, worker: EmbedderWorker): Promise<void> {
  throwBlock(projection.name, projection.block)
  try {
    projection.accept((await worker.identify()).identity)
  } catch (error) {
    if (hasCode(error, 'not_configured')) throw error
    // An embedder that does not answer is found so by the worker, and counted there.
    if (!(error instanceof VectordError) && !(error instanceof CallEnded)) throw error
  }
}

function throwBlock(index: string, block: Block | null): void {
  if (block === null) return
  if (block.error !== null) throw block.error
  const details = { details: { index }, retryAfterS: 1 }
  if (block.state === 'loading') {
    throw new VectordError('index_loading', `Index "${index}" is not ready.`, details)
  }
  throw new VectordError('not_owner', `Another server embeds texts of index "${index}".`, details)
}

function sumOf(seats: readonly Seat[]): ProjectionTotals {
  const sum = newTotals()
  for (const { projection } of seats) addTotals(sum, projection.totals)
  return sum
}

function difference(after: ProjectionTotals, before: ProjectionTotals): ProjectionTotals {
  return {
    incremental: after.incremental - before.incremental,
    backfill: after.backfill - before.backfill,
    failed: after.failed - before.failed,
    discarded: after.discarded - before.discarded,
  }
}
