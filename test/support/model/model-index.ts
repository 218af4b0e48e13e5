/**
 * One index as the model has it: a map of points in the order of their writes, and its settings.
 *
 * Searches compare everything, filters look at every point. Nothing here knows of graphs, shards,
 * logs or checkpoints: whatever those do, answers are to be these.
 */

import { ModelHistory } from './model-history.ts'
import type { JsonObject, ModelPoint, WrittenPoint } from './model-point.ts'
import { ModelPromotions } from './model-promotions.ts'
import { plainDistance, type PlainMetric } from './plain-distance.ts'
import { plainMatch } from './plain-filter.ts'

export interface IndexSettings {
  readonly name: string
  readonly dimension: number
  readonly metric: PlainMetric
  readonly bucket: string
  readonly shards: number
  readonly hnsw: {
    readonly m: number
    readonly ef_construction: number
    readonly ef_search: number | null
    readonly seed: number
  }
  readonly keepLastVersions: number
}

export interface Neighbour {
  readonly point: ModelPoint
  readonly distance: number
}

export interface Among {
  readonly filter: JsonObject | null
  /** The id that is left out. */
  readonly self: string | null
  /** What is searched instead of the live points. */
  readonly among?: readonly ModelPoint[]
}

export class ModelIndex {
  settings: IndexSettings
  /** Of its settings. */
  revision: number
  /** Of the last write. */
  lsn = 0
  readonly promotions = new ModelPromotions()
  readonly history: ModelHistory
  /** Ids of the trials that ended. */
  readonly trials: string[] = []
  /** In the order of their writes: an upsert takes its point to the end. */
  readonly #points = new Map<string, ModelPoint>()

  constructor(settings: IndexSettings, revision: number) {
    this.settings = settings
    this.revision = revision
    this.history = new ModelHistory(settings.keepLastVersions)
  }

  get name(): string {
    return this.settings.name
  }

  get path(): string {
    return `/vectors/indexes/${this.name}`
  }

  get live(): number {
    return this.#points.size
  }

  get ids(): readonly string[] {
    return [...this.#points.keys()]
  }

  point(id: string): ModelPoint | null {
    return this.#points.get(id) ?? null
  }

  upsert(lsn: number, points: readonly WrittenPoint[]): void {
    for (const [row, { id, vector, text, metadata }] of points.entries()) {
      this.#points.delete(id)
      const point = { id, vector, text, metadata, version: lsn, row }
      this.#points.set(id, point)
      this.history.upserted(point)
    }
    this.lsn = lsn
  }

  /** @returns how many were there. */
  delete(lsn: number, ids: readonly string[]): number {
    const before = this.#points.size
    for (const id of ids) if (this.#points.delete(id)) this.history.deleted(lsn, id)
    this.lsn = lsn
    return before - this.#points.size
  }

  /** In the order of their writes. */
  matching(
    filter: JsonObject | null,
    among: readonly ModelPoint[] = [...this.#points.values()],
  ): readonly ModelPoint[] {
    return filter === null ? among : among.filter(({ metadata }) => plainMatch(filter, metadata))
  }

  /** All that match but `self`, nearest first. */
  nearest(vector: Float32Array, { filter, self, among }: Among): readonly Neighbour[] {
    const { metric } = this.settings
    return this.matching(filter, among)
      .filter(({ id }) => id !== self)
      .map((point) => ({ point, distance: plainDistance(metric, vector, point.vector) }))
      .sort((a, b) => a.distance - b.distance)
  }
}
