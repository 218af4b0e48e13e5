/**
 * Which indexes are compacted by themselves: now and then, the worst first, a few at a time.
 *
 *     every index ─▶ ready, ours, at rest? ─▶ dead share ≥ ratio? ─▶ worst first, `perCycle` of them
 *                                                                       ╰─▶ one after the other
 *
 * The dead share of an index is the larger one of its graph (dead elements) and of its rows (dead rows
 * in memory): small indexes have no graph, and a graph that was loaded has no dead rows beside it. An
 * index whose compaction failed waits for 1, 2, 4 … cycles, at most a day.
 */

import type { IndexInfo } from '../indexes/index-api.ts'
import type { ShardStats } from '../domain/search.ts'
import type { Rebuilds } from './rebuilds.ts'

const FAILURE_WAIT_MAX_MS = 24 * 3600 * 1000

export interface CompactionCycleOptions {
  readonly indexes: () => readonly { readonly info: IndexInfo }[]
  readonly rebuilds: Pick<Rebuilds, 'compact' | 'isOpen'>
  /** True while the index is being tuned: its generations are not to be touched. */
  readonly isTuned: (index: string) => boolean
  /** Dead share from which on an index is due. */
  readonly ratio: number
  /** Indexes that one cycle compacts. */
  readonly perCycle: number
  readonly intervalMs: number
  readonly nowMs: () => number
}

/** Counted since the start. */
export interface CompactionCounts {
  readonly succeeded: number
  readonly failed: number
  readonly rowsDropped: number
}

interface Failure {
  readonly times: number
  readonly untilMs: number
}

export class CompactionCycle {
  readonly #options: CompactionCycleOptions
  readonly #failures = new Map<string, Failure>()
  #counts: CompactionCounts = { succeeded: 0, failed: 0, rowsDropped: 0 }

  constructor(options: CompactionCycleOptions) {
    this.#options = options
  }

  get counts(): CompactionCounts {
    return this.#counts
  }

  /** Compacts what is due. Never rejects: a failure is with its operation. */
  async run(): Promise<void> {
    const { perCycle } = this.#options
    const infos = this.#options.indexes().map(({ info }) => info)
    this.#forget(new Set(infos.map(({ name }) => name)))
    const due = infos
      .filter((info) => this.#isAtRest(info) && this.#isDue(info))
      .sort((a, b) => deadShareOf(b.stats) - deadShareOf(a.stats))
    for (const { name } of due.slice(0, perCycle)) await this.#compact(name)
  }

  /** What was due when the cycle began may have changed while others were compacted. */
  async #compact(name: string): Promise<void> {
    const info = this.#options.indexes().find((one) => one.info.name === name)?.info
    if (info === undefined || !this.#isAtRest(info) || !this.#isDue(info)) return
    const { rebuilds, ratio } = this.#options
    try {
      const graph = graphDeadShare(info.stats) >= ratio
      const { rows_dropped } = await rebuilds.compact(name, { graph }).result()
      this.#failures.delete(name)
      const { succeeded, rowsDropped } = this.#counts
      this.#counts = {
        ...this.#counts,
        succeeded: succeeded + 1,
        rowsDropped: rowsDropped + rows_dropped,
      }
    } catch {
      this.#failed(name)
    }
  }

  #failed(name: string): void {
    const { nowMs, intervalMs } = this.#options
    const times = (this.#failures.get(name)?.times ?? 0) + 1
    const waitMs = Math.min(FAILURE_WAIT_MAX_MS, intervalMs * 2 ** (times - 1))
    this.#failures.set(name, { times, untilMs: nowMs() + waitMs })
    this.#counts = { ...this.#counts, failed: this.#counts.failed + 1 }
  }

  #isAtRest({ name, state, role }: IndexInfo): boolean {
    const { rebuilds, isTuned } = this.#options
    return state === 'ready' && role === 'owner' && !rebuilds.isOpen(name) && !isTuned(name)
  }

  #isDue({ name, stats }: IndexInfo): boolean {
    const untilMs = this.#failures.get(name)?.untilMs ?? 0
    return deadShareOf(stats) >= this.#options.ratio && this.#options.nowMs() >= untilMs
  }

  #forget(known: ReadonlySet<string>): void {
    for (const name of this.#failures.keys()) if (!known.has(name)) this.#failures.delete(name)
  }
}

/** Share of what an index holds that is dead, from 0 to 1; 0 where that is not known. */
export function deadShareOf(stats: ShardStats | null): number {
  if (stats === null) return 0
  const rows = stats.rows === 0 ? 0 : stats.deadRows / stats.rows
  return Math.max(rows, graphDeadShare(stats))
}

function graphDeadShare(stats: ShardStats | null): number {
  return stats === null || stats.graphElements === 0 ? 0 : stats.tombstones / stats.graphElements
}
