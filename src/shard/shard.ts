/**
 * One shard of one index inside its core: points, graph, filters, checkpoints.
 *
 *     apply ─▶ table, metadata index ─▶ delta ──indexSlice──▶ graphs (see generations.ts)
 *     search = (published graph ∪ its delta ∖ dead) ∩ filter
 *
 * `ShardHost` of the data plane calls it; every method without a promise runs in one turn, so a
 * reader never sees half a write. A checkpoint, a check and a compaction run beside it in short steps.
 */

import { decodeBatch } from '../codecs/batch-codec.ts'
import type { CheckpointContent, Clearance, GraphRef } from '../domain/checkpoint.ts'
import type { TextsReply, TextsRequest } from '../domain/pending-text.ts'
import type { RecallSample, SampleRequest } from '../domain/recall-sample.ts'
import type {
  AdoptedGraph,
  Include,
  KeywordStatistics,
  ScrollPage,
  ScrollPosition,
  ShardAnswer,
  ShardQuery,
  ShardStats,
  StoredPoint,
  TableCompacted,
  TrimmedVersions,
  VerifyFault,
  VersionsPage,
  VersionsRequest,
} from '../domain/search.ts'
import type { ShardSpec } from '../domain/shard-spec.ts'
import { applyBatch } from './apply.ts'
import { BackgroundTurns } from './background-turns.ts'
import { Checkpointer } from './checkpointer.ts'
import { Generations, generationNotFound } from './generations.ts'
import type { GraphIdentity, ShardGraph } from './graph.ts'
import type { GraphAdopter } from './graph-adopter.ts'
import { InsertRate } from './insert-rate.ts'
import type { MetadataIndex } from './metadata-index.ts'
import type { PointTable } from './point-table.ts'
import { answerTexts } from './pending-texts.ts'
import { sampleRecall } from './recall-sampler.ts'
import { matchesOf, search, type Searched } from './searcher.ts'
import { ShardKeywords } from './shard-keywords.ts'
import { shardStats } from './shard-stats.ts'
import { whileTrue } from '../lib/steps.ts'
import { isWorthCompacting, TableCompaction } from './table-compaction.ts'
import { readVersions } from './read-versions.ts'
import { trimVersions } from './trim-versions.ts'
import { verifyShard } from './verify.ts'

/** What `openShard` has put together. */
export interface ShardContent {
  readonly spec: ShardSpec
  readonly table: PointTable
  readonly metadata: MetadataIndex
  readonly graph: ShardGraph
  readonly adopter: GraphAdopter
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
  #table: PointTable
  #metadata: MetadataIndex
  /** Under way: its table is to take the place of `#table`. */
  #compaction: TableCompaction | null = null
  readonly #generations: Generations
  readonly #adopter: GraphAdopter
  readonly #checkpointer: Checkpointer
  readonly #flatRowsMax: number
  readonly #insertRate = new InsertRate()
  readonly #keywords = new ShardKeywords()
  #appliedLsn: number
  /** A checkpoint, a check or a repair: one after the other. */
  readonly #background = new BackgroundTurns()

  constructor(content: ShardContent) {
    this.notices = content.notices
    this.#spec = content.spec
    this.#table = content.table
    this.#metadata = content.metadata
    this.#generations = new Generations(content.graph)
    this.#adopter = content.adopter
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
        graphs: {
          remove: (slot) => this.#removed(slot),
          replaced: (slot) => this.#replaced(slot),
        },
        deletes: this.#checkpointer.deletes,
      },
      this.#spec,
      decodeBatch(payload),
      lsn,
    )
    this.#appliedLsn = lsn
  }

  search(query: ShardQuery): ShardAnswer {
    const { target } = query
    const searched = this.#searchedIn(query.generation ?? null)
    if (!('keywords' in target)) return search(searched, { ...query, target }, this.#appliedLsn)
    return this.#keywords.search(searched, { ...query, target }, this.#appliedLsn)
  }

  keywordStatistics(terms: readonly string[]): KeywordStatistics {
    return this.#keywords.statistics(this.#table, terms)
  }

  prepareKeywords(): Promise<void> {
    return this.#keywords.prepare(() => {
      this.#background.checkOpen()
      return this.#table
    })
  }

  /** Runs beside serving. */
  sample(request: SampleRequest): Promise<RecallSample> {
    return sampleRecall((generation) => this.#searchedIn(generation), request, this.#appliedLsn)
  }

  fetch(ids: readonly string[], include: Include): readonly (StoredPoint | null)[] {
    return ids.map((id) => {
      const slot = this.#table.slotOf(id)
      return slot === undefined ? null : this.#table.read(slot, include)
    })
  }

  versions(request: VersionsRequest): VersionsPage {
    return readVersions(this.#table, request)
  }

  /** Texts that wait for their vectors. */
  texts(request: TextsRequest): TextsReply {
    return answerTexts(this.#table, request)
  }

  scroll(
    after: ScrollPosition | null,
    limit: number,
    filter: string | null,
    include: Include,
  ): ScrollPage {
    const { slots } = matchesOf(this.#matched, filter)
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
    const { slots } = matchesOf(this.#matched, filter)
    const ids: string[] = []
    for (let slot = slots.next(0); slot !== -1 && ids.length < limit; slot = slots.next(slot + 1)) {
      ids.push(this.#table.id(slot))
    }
    return ids
  }

  count(filter: string | null): number {
    return matchesOf(this.#matched, filter).count
  }

  /** Every graph that points wait for has its share of the time: none holds up another. */
  indexSlice(budgetMs: number): boolean {
    if (this.#background.isClosed) return false
    this.#generations.renewWorn()
    const waiting = this.#generations.all.filter((graph) => this.#isWaitedFor(graph))
    const endMs = performance.now() + budgetMs
    const words = this.#keywords.slice(this.#table, waiting.length > 0 ? budgetMs / 2 : budgetMs)
    for (const [i, graph] of waiting.entries()) {
      const leftMs = endMs - performance.now()
      if (leftMs > 0) this.#insertInto(graph, leftMs / (waiting.length - i))
    }
    if (this.#isSucceeding()) {
      this.#generations.succeed()
      this.#checkpointer.regrown()
    }
    return words || waiting.some((graph) => this.#isWaitedFor(graph))
  }

  /** @param clearance leaves out what a compaction gives up. */
  checkpoint(graph: 'always' | 'if_worth', clearance?: Clearance): Promise<CheckpointContent> {
    return this.#background.run(() =>
      this.#checkpointer.run(
        { table: this.#table, graph: this.#generations.published, lsn: this.#appliedLsn },
        graph,
        clearance,
      ),
    )
  }

  /**
   * Gives the rows new slots without the dead ones, beside serving; nothing where few are dead.
   *
   * @param lsns for each the live rows up to it are counted afterwards.
   * @throws {VectordError} `memory_full`; then nothing has changed.
   */
  compact(lsns: readonly number[]): Promise<TableCompacted> {
    return this.#background.run(async () => {
      const before = this.#table.slots
      if (isWorthCompacting(this.#table)) await this.#compactTable()
      const liveUpTo = lsns.map((lsn) => this.#table.liveUpTo(lsn))
      return { rows: this.#table.slots, dropped: Math.max(0, before - this.#table.slots), liveUpTo }
    })
  }

  /**
   * Brings a generation into memory as a candidate: from `ref`, from the file that is kept where
   * `ref` is null, or empty where `ref` names only the configuration. Points enter it from then on.
   *
   * @throws {VectordError} `generation_not_found`, `generation_exists`, `limit_exceeded`,
   *   `object_corrupt` where its files are damaged, errors of the store.
   */
  async adopt(adopted: AdoptedGraph): Promise<void> {
    this.#generations.checkRoom(adopted.generation)
    const openOver = await this.#adopter.open(this.#refOf(adopted))
    const graph = openOver(this.#table)
    try {
      this.#background.checkOpen()
      this.#generations.adopt(graph)
    } catch (error) {
      graph.close()
      throw error
    }
  }

  /**
   * Makes a candidate the published generation. It is durable with the next checkpoint.
   *
   * @throws {VectordError} `generation_not_found` where it is not in memory.
   */
  publish(generation: number): Promise<void> {
    return this.#background.run(() => {
      const before = this.#generations.published.generation
      this.#generations.publish(generation)
      if (generation !== before) this.#checkpointer.published(generation)
      return Promise.resolve()
    })
  }

  /** Frees the memory of a candidate; the file of one that was published before is kept. */
  drop(generation: number): Promise<void> {
    return this.#background.run(() => {
      this.#generations.drop(generation)
      return Promise.resolve()
    })
  }

  /** How many versions of each id are kept from now on; gives up what is beyond that. */
  retain(keepLastVersions: number): Promise<TrimmedVersions> {
    return this.#background.run(() => {
      const table = this.#table
      if (keepLastVersions > table.keepLastVersions) this.#checkpointer.keepsMore()
      table.keepVersions(keepLastVersions)
      return trimVersions(table)
    })
  }

  verify(): Promise<readonly VerifyFault[]> {
    return this.#background.run(() => verifyShard(this.#searchedIn(null)))
  }

  stats(): ShardStats {
    return shardStats({
      ...{ table: this.#table, generations: this.#generations },
      stored: this.#checkpointer.storedGraphs,
      isFlat: (graph) => this.#isFlat(graph),
      ...{ appliedLsn: this.#appliedLsn, memoryBytes: this.#memoryBytes },
      insertRate: this.#insertRate.perSecond(performance.now()),
    })
  }

  async close(): Promise<void> {
    await this.#background.close()
    this.#generations.close()
  }

  get #memoryBytes(): number {
    const next = this.#compaction?.memoryBytes ?? 0
    const words = this.#keywords.memoryBytes
    const points = this.#table.memoryBytes + this.#metadata.memoryBytes + words + next
    return points + this.#generations.memoryBytes + this.#checkpointer.memoryBytes
  }

  #removed(slot: number): void {
    this.#generations.remove(slot)
    this.#keywords.remove(slot)
    this.#compaction?.died(slot)
  }

  #replaced(slot: number): void {
    this.#generations.remove(slot)
    this.#keywords.remove(slot)
    this.#compaction?.replaced(slot)
  }

  async #compactTable(): Promise<void> {
    const compaction = new TableCompaction(this.#table, this.#keywords.isWanted)
    this.#compaction = compaction
    try {
      await whileTrue(() => {
        this.#background.checkOpen()
        if (compaction.step(this.#generations.all)) return true
        // In the turn of the last step: not even a promise lets a write in between.
        compaction.finish(this.#generations.all)
        this.#table = compaction.table
        this.#metadata = compaction.metadata
        this.#keywords.move(compaction.keywords)
        this.#compaction = null
        return false
      })
    } finally {
      this.#compaction = null
    }
  }

  /** True while there are so few points that no graph is begun: nothing waits for one. */
  #isFlat(graph: ShardGraph): boolean {
    return graph.index === null && this.#table.searchablePoints <= this.#flatRowsMax
  }

  #isWaitedFor(graph: ShardGraph): boolean {
    if (graph.saving || !graph.takesPoints || this.#isFlat(graph)) return false
    return graph.indexedSlot < this.#table.slots
  }

  /**
   * True where the successor of a worn graph does what that one does, or there need be none. Not
   * beside a checkpoint, which reads the graph: a slice follows when it has ended.
   */
  #isSucceeding(): boolean {
    const { published, successor } = this.#generations
    if (successor === null || this.#background.isBusy) return false
    return this.#isFlat(successor) || successor.deltaPoints <= published.deltaPoints
  }

  #insertInto(graph: ShardGraph, budgetMs: number): void {
    const started = performance.now()
    let now = started
    let inserted = 0
    while (graph.indexedSlot < this.#table.slots && now - started < budgetMs) {
      graph.insertNext()
      inserted += 1
      now = performance.now()
    }
    if (inserted > 0 && graph === this.#generations.published) {
      this.#insertRate.add(inserted, now - started, now)
    }
  }

  #refOf({ generation, ref, config }: AdoptedGraph): GraphRef | GraphIdentity {
    if (ref !== null) return { ...ref, generation }
    if (config !== null) return { generation, config, graphId: null }
    const stored = this.#checkpointer.storedGraph(generation)
    if (stored === null) throw generationNotFound(generation)
    return stored
  }

  get #matched(): Pick<Searched, 'table' | 'metadata'> {
    return { table: this.#table, metadata: this.#metadata }
  }

  #searchedIn(generation: number | null): Searched {
    return {
      table: this.#table,
      graph: this.#generations.of(generation),
      metadata: this.#metadata,
      flatRowsMax: this.#flatRowsMax,
    }
  }
}
