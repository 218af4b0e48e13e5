/**
 * One shard of one index inside its core: points, graph, filters, checkpoints.
 *
 *     apply ─▶ table, metadata index ─▶ delta ──indexSlice──▶ graph
 *     search = (graph ∪ delta ∖ dead) ∩ filter
 *
 * `ShardHost` of the data plane calls it; every method without a promise runs in one turn, so a
 * reader never sees half a write. A checkpoint and a check run beside it in short steps.
 */

import { decodeBatch } from '../codecs/batch-codec.ts'
import type { CheckpointContent } from '../domain/checkpoint.ts'
import type {
  Include,
  ScrollPage,
  ScrollPosition,
  ShardAnswer,
  ShardQuery,
  ShardStats,
  StoredPoint,
  VerifyFault,
} from '../domain/search.ts'
import type { ShardSpec } from '../domain/shard-spec.ts'
import { invariant } from '../lib/invariant.ts'
import { applyBatch } from './apply.ts'
import { Checkpointer } from './checkpointer.ts'
import type { ShardGraph } from './graph.ts'
import { InsertRate } from './insert-rate.ts'
import type { MetadataIndex } from './metadata-index.ts'
import type { PointTable } from './point-table.ts'
import { matchesOf, search, type Searched } from './searcher.ts'
import { verifyShard } from './verify.ts'

/** What `openShard` has put together. */
export interface ShardContent {
  readonly spec: ShardSpec
  readonly table: PointTable
  readonly metadata: MetadataIndex
  readonly graph: ShardGraph
  readonly checkpointer: Checkpointer
  /** Every write up to this lsn is in the table. */
  readonly lsn: number
  readonly flatRowsMax: number
  /** What was found damaged and left to be rebuilt. */
  readonly notices: readonly string[]
}

export class Shard {
  /** What the start found damaged and rebuilds: for the log. */
  readonly notices: readonly string[]
  readonly #spec: ShardSpec
  readonly #table: PointTable
  readonly #metadata: MetadataIndex
  readonly #graph: ShardGraph
  readonly #checkpointer: Checkpointer
  readonly #flatRowsMax: number
  readonly #insertRate = new InsertRate()
  #appliedLsn: number
  /** A checkpoint, a check or a repair: one after the other. */
  #background: Promise<unknown> = Promise.resolve()
  #closed = false

  constructor(content: ShardContent) {
    this.notices = content.notices
    this.#spec = content.spec
    this.#table = content.table
    this.#metadata = content.metadata
    this.#graph = content.graph
    this.#checkpointer = content.checkpointer
    this.#flatRowsMax = content.flatRowsMax
    this.#appliedLsn = content.lsn
  }

  apply(lsn: number, payload: Uint8Array): void {
    if (lsn <= this.#appliedLsn) return
    applyBatch(
      {
        table: this.#table,
        metadata: this.#metadata,
        graph: this.#graph,
        deletes: this.#checkpointer.deletes,
      },
      this.#spec,
      decodeBatch(payload),
      lsn,
    )
    this.#appliedLsn = lsn
  }

  search(query: ShardQuery): ShardAnswer {
    return search(this.#searched, query, this.#appliedLsn)
  }

  fetch(ids: readonly string[], include: Include): readonly (StoredPoint | null)[] {
    return ids.map((id) => {
      const slot = this.#table.slotOf(id)
      return slot === undefined ? null : this.#table.read(slot, include)
    })
  }

  scroll(
    after: ScrollPosition | null,
    limit: number,
    filter: string | null,
    include: Include,
  ): ScrollPage {
    const { slots } = matchesOf(this.#searched, filter)
    const points: StoredPoint[] = []
    const positions: ScrollPosition[] = []
    let slot = slots.next(after === null ? 0 : this.#table.firstAfter(after))
    for (; slot !== -1 && points.length < limit; slot = slots.next(slot + 1)) {
      points.push(this.#table.read(slot, include))
      positions.push({ lsn: this.#table.lsn(slot), row: this.#table.row(slot) })
    }
    return { points, positions, done: slot === -1 }
  }

  matchingIds(filter: string, limit: number): readonly string[] {
    const { slots } = matchesOf(this.#searched, filter)
    const ids: string[] = []
    for (let slot = slots.next(0); slot !== -1 && ids.length < limit; slot = slots.next(slot + 1)) {
      ids.push(this.#table.id(slot))
    }
    return ids
  }

  count(filter: string | null): number {
    return matchesOf(this.#searched, filter).count
  }

  indexSlice(budgetMs: number): boolean {
    if (this.#closed || this.#graph.saving || this.#isFlat) return false
    const started = performance.now()
    let now = started
    let inserted = 0
    while (this.#graph.indexedSlot < this.#table.slots && now - started < budgetMs) {
      this.#graph.insertNext()
      inserted += 1
      now = performance.now()
    }
    if (inserted > 0) this.#insertRate.add(inserted, now - started, now)
    return this.#graph.indexedSlot < this.#table.slots
  }

  checkpoint(graph: 'always' | 'if_worth'): Promise<CheckpointContent> {
    return this.#inBackground(() =>
      this.#checkpointer.run(
        { table: this.#table, graph: this.#graph, lsn: this.#appliedLsn },
        graph,
      ),
    )
  }

  verify(): Promise<readonly VerifyFault[]> {
    return this.#inBackground(() => verifyShard(this.#searched))
  }

  stats(): ShardStats {
    const table = this.#table
    const graph = this.#graph
    const waiting = this.#isFlat ? -1 : table.live.next(graph.indexedSlot)
    return {
      livePoints: table.livePoints,
      rows: table.slots,
      deltaPoints: waiting === -1 ? 0 : table.live.countFrom(graph.indexedSlot),
      graphElements: graph.elements,
      tombstones: graph.tombstones,
      generation: graph.generation,
      appliedLsn: this.#appliedLsn,
      indexedLsn: waiting === -1 ? this.#appliedLsn : table.lsn(waiting) - 1,
      memoryBytes: this.#memoryBytes,
      rawBytes: table.livePoints * this.#spec.dimension * 4,
      payloadBytes: table.payloadBytes,
      insertRate: this.#insertRate.perSecond(performance.now()),
    }
  }

  async close(): Promise<void> {
    this.#closed = true
    await this.#background.catch(() => undefined)
    this.#graph.close()
  }

  get #memoryBytes(): number {
    const points = this.#table.memoryBytes + this.#metadata.memoryBytes
    return points + this.#graph.memoryBytes + this.#checkpointer.memoryBytes
  }

  /** True while there are so few points that no graph is begun: nothing waits for one. */
  get #isFlat(): boolean {
    return this.#graph.index === null && this.#table.livePoints <= this.#flatRowsMax
  }

  get #searched(): Searched {
    return {
      table: this.#table,
      graph: this.#graph,
      metadata: this.#metadata,
      flatRowsMax: this.#flatRowsMax,
    }
  }

  #inBackground<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#background.then(
      () => this.#ifOpen(work),
      () => this.#ifOpen(work),
    )
    this.#background = turn
    return turn
  }

  #ifOpen<T>(work: () => Promise<T>): Promise<T> {
    invariant(!this.#closed, 'a closed shard does nothing')
    return work()
  }
}
