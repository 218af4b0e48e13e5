/**
 * Whether an index takes a write now, and what is reserved for one until its cores have it.
 *
 *     admit ─▶ sent (logged) ─▶ the statistics of the cores count it
 *        ╰───▶ abandoned
 */

import type { LoggedBatch } from '../domain/write-batch.ts'
import { DeltaGauge, type DeltaReport } from './delta-gauge.ts'
import type { IndexMemory } from './memory-quota.ts'
import { otherDimension, takesNoTexts } from './index-refusals.ts'
import type { IndexMeta } from './index-meta.ts'
import { sumStats } from './scatter.ts'
import type { ShardClient } from './shard-client.ts'

/** What was reserved for a write before it is logged. */
export interface Admitted {
  readonly rows: number
  readonly bytes: number
}

const NOTHING: Admitted = { rows: 0, bytes: 0 }

export interface AdmissionOptions {
  readonly deltaPointsMax: number
  readonly memory: IndexMemory
  readonly meta: () => IndexMeta
  readonly shards: () => readonly ShardClient[]
}

export class Admission {
  readonly #options: AdmissionOptions
  readonly #delta: DeltaGauge

  constructor(options: AdmissionOptions) {
    this.#options = options
    this.#delta = new DeltaGauge(options.deltaPointsMax)
  }

  get hasRoom(): boolean {
    return this.#delta.hasRoom(this.#report())
  }

  /** @throws {VectordError} what the smallest write of points would be refused with now. */
  check(): void {
    for (const shard of this.#options.shards()) shard.admit()
    this.#delta.check(this.#report())
    this.#options.memory.check()
  }

  /**
   * @throws {VectordError} `vector_dimension_mismatch`, `invalid_points`, `delta_full`, `memory_full`,
   *   `core_degraded`, `core_suspended`; deletes are always taken.
   */
  admit(batch: LoggedBatch): Admitted {
    if (batch.kind === 'delete') return NOTHING
    const { memory, meta, shards } = this.#options
    if (batch.dimension !== meta().dimension) throw otherDimension(meta(), batch)
    const isTexts = batch.kind === 'upsert' && batch.places?.includes(-1) === true
    if (isTexts && meta().embedder === undefined) throw takesNoTexts(meta().name)
    for (const shard of shards()) shard.admit()
    // Texts alone wait for no graph.
    const rows = batch.vectors.length / batch.dimension
    this.#delta.check(this.#report())
    const bytes = memory.admit(batch)
    this.#delta.admit(rows, this.#report())
    return { rows, bytes }
  }

  sent(lsn: number, { rows, bytes }: Admitted): void {
    this.#delta.sent(lsn, rows)
    this.#options.memory.sent(lsn, bytes)
  }

  abandoned({ rows, bytes }: Admitted): void {
    this.#delta.abandoned(rows)
    this.#options.memory.abandoned(bytes)
  }

  #report(): DeltaReport {
    const stats = sumStats(this.#options.shards().map((shard) => shard.lastStats))
    return stats ?? { deltaPoints: 0, appliedLsn: 0, insertRate: 0 }
  }
}
