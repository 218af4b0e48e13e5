/**
 * The graphs that a shard has in memory: the published one, which searches use, and others.
 *
 *     adopt ──▶ candidate ──publish──▶ published
 *                   ▲                      │ publish of another
 *                   ╰──────────────────────╯──drop──▶ closed
 *
 * All of them stand over one point table, so none can miss a write: what a graph does not hold yet
 * is its delta, which is searched exactly. Deletes reach all at once, points enter all of them in
 * slices. So publishing is one pointer, and going back to one that is still here is one, too.
 *
 * A published graph that is worn (most of it is dead) goes on serving while its successor, the same
 * generation grown anew, takes all points; then that one takes its place. A worn candidate serves
 * nobody and begins anew at once.
 */

import { VectordError } from '../lib/errors.ts'
import { invariant } from '../lib/invariant.ts'
import type { ShardGraph } from './graph.ts'

/** Beside the published one: one that is tried and one to go back to. */
const OTHERS_MAX = 2

export class Generations {
  #published: ShardGraph
  readonly #others = new Map<number, ShardGraph>()
  #successor: ShardGraph | null = null

  constructor(published: ShardGraph) {
    this.#published = published
  }

  get published(): ShardGraph {
    return this.#published
  }

  /** Oldest first. */
  get others(): readonly ShardGraph[] {
    return [...this.#others.values()]
  }

  /** Those that can be asked for: the published one first. */
  get visible(): readonly ShardGraph[] {
    return [this.#published, ...this.#others.values()]
  }

  /** Those that writes reach: with the successor. */
  get all(): readonly ShardGraph[] {
    return this.#successor === null ? this.visible : [...this.visible, this.#successor]
  }

  /** What is to take the place of the published graph; null where that one is not worn. */
  get successor(): ShardGraph | null {
    return this.#successor
  }

  get memoryBytes(): number {
    return this.all.reduce((sum, graph) => sum + graph.memoryBytes, 0)
  }

  /** The graph of a generation; the published one where it is null or not in memory. */
  of(generation: number | null): ShardGraph {
    if (generation === null) return this.#published
    return this.#others.get(generation) ?? this.#published
  }

  has(generation: number): boolean {
    return this.#published.generation === generation || this.#others.has(generation)
  }

  /** Hides a slot that just died from every graph. */
  remove(slot: number): void {
    for (const graph of this.all) graph.remove(slot)
  }

  /** Begins graphs in the place of worn ones. To be called before points go in. */
  renewWorn(): void {
    if (this.#published.isWorn) this.#successor ??= this.#published.anew()
    for (const [generation, graph] of this.#others) {
      if (graph.takesPoints) continue
      graph.close()
      this.#others.set(generation, graph.anew())
    }
  }

  /** The successor takes the place of the published graph. Not while that one is being saved. */
  succeed(): void {
    invariant(this.#successor !== null, 'a worn graph has a successor')
    this.#published.close()
    this.#published = this.#successor
    this.#successor = null
  }

  /** @throws {VectordError} `generation_exists`, `limit_exceeded`: see `checkRoom`. */
  adopt(graph: ShardGraph): void {
    this.checkRoom(graph.generation)
    this.#others.set(graph.generation, graph)
  }

  /** To be asked before the work of loading a graph. */
  checkRoom(generation: number): void {
    if (this.has(generation)) {
      throw new VectordError(
        'generation_exists',
        `Generation ${generation} is in memory already.`,
        {
          details: { generation },
        },
      )
    }
    if (this.#others.size < OTHERS_MAX) return
    throw new VectordError(
      'limit_exceeded',
      'Too many generations are in memory: drop one first.',
      {
        details: { limit: 'generations', max: OTHERS_MAX },
      },
    )
  }

  /**
   * Makes a generation that is in memory the one that searches use.
   *
   * @throws {VectordError} `generation_not_found`.
   */
  publish(generation: number): void {
    if (this.#published.generation === generation) return
    const next = this.#others.get(generation)
    if (next === undefined) throw generationNotFound(generation)
    this.#others.delete(generation)
    this.#others.set(this.#published.generation, this.#published)
    this.#published = next
    this.#successor?.close()
    this.#successor = null
  }

  /** Frees a generation that is not published; nothing happens where it is not in memory. */
  drop(generation: number): void {
    const graph = this.#others.get(generation)
    if (graph === undefined) return
    invariant(!graph.saving, 'only the published graph is saved')
    this.#others.delete(generation)
    graph.close()
  }

  close(): void {
    for (const graph of this.all) graph.close()
    this.#others.clear()
  }
}

export function generationNotFound(generation: number): VectordError {
  return new VectordError('generation_not_found', `There is no generation ${generation}.`, {
    details: { generation },
  })
}
