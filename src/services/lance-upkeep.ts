/**
 * Keeps Lance tables in shape: files merged, new rows in their indices, old versions dropped.
 *
 * Each round looks at the tables that this server writes, and at what deleted ones left. A table is
 * worked on where there is enough to do: merging writes files anew and makes a version of its own.
 */

import type { ObjectStore } from '../buckets/object-store.ts'
import type { LanceStats, LanceVersion } from '../domain/lance-table.ts'
import type { IndexRegistry } from '../indexes/index-registry.ts'
import type { LanceIndex } from '../indexes/lance-index.ts'
import { sweepTables } from '../indexes/lance-leftovers.ts'
import type { LanceWork } from './lance-work.ts'

/** Files of rows from which on they are merged. */
const FRAGMENTS_DUE = 16

export interface LanceUpkeepRules {
  /** Age from which versions are dropped. */
  readonly versionsKeptMs: number
  /** Share of the rows that an index lacks from which on it takes them in. */
  readonly unindexedMax: number
}

export interface LanceUpkeepOptions extends LanceUpkeepRules {
  readonly indexes: Pick<IndexRegistry, 'lanceIndexes'>
  readonly buckets: () => readonly string[]
  readonly store: (bucket: string) => ObjectStore
  readonly work: Pick<LanceWork, 'optimize'>
  readonly nowMs: () => number
  readonly onTrouble: (error: unknown, what: string) => void
}

export class LanceUpkeep {
  readonly #options: LanceUpkeepOptions
  #optimized = 0
  #swept = 0

  constructor(options: LanceUpkeepOptions) {
    this.#options = options
  }

  /** Tables that were worked on, and objects of deleted ones that were cleared away, since the start. */
  get counts(): { readonly optimized: number; readonly swept: number } {
    return { optimized: this.#optimized, swept: this.#swept }
  }

  /** One table after the other. A failure is told, and the next round tries again. */
  async run(): Promise<void> {
    const { indexes, onTrouble, buckets } = this.#options
    for (const index of indexes.lanceIndexes()) {
      const { name } = index.meta
      await this.#keep(index).catch((error: unknown) => {
        onTrouble(error, `optimize the table of index "${name}"`)
      })
    }
    for (const bucket of buckets()) {
      await this.#sweep(bucket).catch((error: unknown) => {
        onTrouble(error, `clear away tables of deleted indexes in bucket "${bucket}"`)
      })
    }
  }

  async #keep(index: LanceIndex): Promise<void> {
    const { state, role, name } = index.info
    if (state !== 'ready' || role !== 'owner') return
    const { nowMs, work } = this.#options
    const [stats, versions] = await Promise.all([index.table.stats(), index.table.versions()])
    if (!isDue({ stats, versions }, this.#options, nowMs())) return
    await work.optimize(name).result()
    this.#optimized += 1
  }

  async #sweep(bucket: string): Promise<void> {
    const { store, nowMs } = this.#options
    this.#swept += await sweepTables(store(bucket), nowMs())
  }
}

export function isDue(
  { stats, versions }: { readonly stats: LanceStats; readonly versions: readonly LanceVersion[] },
  { versionsKeptMs, unindexedMax }: LanceUpkeepRules,
  nowMs: number,
): boolean {
  if (stats.fragments >= FRAGMENTS_DUE) return true
  const lacking = Math.max(0, ...stats.indices.map(({ unindexedRows }) => unindexedRows))
  if (lacking > unindexedMax * Math.max(1, stats.rows)) return true
  // The newest one stays, however old it is.
  return versions.slice(0, -1).some(({ createdMs }) => nowMs - createdMs > versionsKeptMs)
}
