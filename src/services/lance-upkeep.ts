/**
 * Keeps Lance tables in shape: files merged, new rows in their indices, old versions dropped.
 *
 * Each round looks at the tables that this server writes, and at what deleted ones left. A table is
 * worked on where there is enough to do: merging writes files anew and makes a version of its own.
 * One that is written to often does not wait for its round: each commit leaves files that every search
 * and every write looks into.
 */

import type { ObjectStore } from '../buckets/object-store.ts'
import type { LanceStats, LanceVersion } from '../domain/lance-table.ts'
import type { IndexRegistry } from '../indexes/index-registry.ts'
import type { LanceIndex } from '../indexes/lance-index.ts'
import { sweepTables } from '../indexes/lance-leftovers.ts'

/** Files of rows from which on they are merged. */
const FRAGMENTS_DUE = 16
/**
 * Commits after which a table is worked on at once: 256 of one point each take a search of 50,000 × 256
 * from 9 ms to 42 ms and an upsert from 22 ms to 31 ms; merging them takes 0.3 s.
 */
const COMMITS_DUE = 256

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
  /** As `LanceWork`. */
  readonly work: { optimize(name: string): { result(): Promise<unknown> } }
  readonly nowMs: () => number
  readonly onTrouble: (error: unknown, what: string) => void
}

export class LanceUpkeep {
  readonly #options: LanceUpkeepOptions
  /** Version of each table when it was worked on, or first looked at. */
  readonly #worked = new WeakMap<LanceIndex, number>()
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

  /** Works on the tables that were written to often since; looks at nothing but their lsn. */
  async runBusy(): Promise<void> {
    for (const index of this.#options.indexes.lanceIndexes()) {
      const worked = this.#worked.get(index)
      if (worked === undefined) this.#worked.set(index, index.appliedLsn)
      else if (isKept(index) && index.appliedLsn - worked >= COMMITS_DUE) await this.#told(index)
    }
  }

  async #told(index: LanceIndex): Promise<void> {
    try {
      await this.#optimize(index)
    } catch (error) {
      // Not at once again: that it failed is seen by the next round.
      this.#worked.set(index, index.appliedLsn)
      this.#options.onTrouble(error, `optimize the table of index "${index.meta.name}"`)
    }
  }

  async #keep(index: LanceIndex): Promise<void> {
    if (!isKept(index)) return
    const { nowMs } = this.#options
    const stats = await index.table.stats()
    // To list versions each manifest is read: not where it is known without.
    const versions = isDue({ stats, versions: [] }, this.#options, nowMs())
      ? []
      : await index.table.versions()
    if (isDue({ stats, versions }, this.#options, nowMs())) await this.#optimize(index)
  }

  async #optimize(index: LanceIndex): Promise<void> {
    await this.#options.work.optimize(index.meta.name).result()
    this.#worked.set(index, index.appliedLsn)
    this.#optimized += 1
  }

  async #sweep(bucket: string): Promise<void> {
    const { store, nowMs } = this.#options
    this.#swept += await sweepTables(store(bucket), nowMs())
  }
}

/** Written by this server. */
function isKept({ info }: LanceIndex): boolean {
  return info.state === 'ready' && info.role === 'owner'
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
