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
 */

import { VectordError } from '../lib/errors.ts'
import { invariant } from '../lib/invariant.ts'
import type { ShardGraph } from './graph.ts'

/** Beside the published one: one that is tried and one to go back to. */
const OTHERS_MAX = 2

export class Generations {
  #published: ShardGraph
  readonly #others = new Map<number, ShardGraph>()

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

  get all(): readonly ShardGraph[] {
    return [this.#published, ...this.#others.values()]
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
    this.#published.remove(slot)
    for (const graph of this.#others.values()) graph.remove(slot)
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
