/**
 * What an index is to search with: the promoted configuration, the ef that holds the recall goal,
 * and, while a new configuration is tried on live traffic, the share of searches that it answers.
 *
 *     ef of the request ─▶ canary ─▶ live ef ─▶ ef of the configuration ─▶ the server's choice by k
 *
 * Where the server chooses by k, a live ef is that of searches for `REFERENCE_K` neighbours, and those
 * for more or fewer get theirs in proportion: one number must not take from a large k what it needs.
 */

import { defaultEf, efInProportion, REFERENCE_K, type HnswConfig } from '../domain/hnsw-config.ts'
import type { ShardQuery } from '../domain/search.ts'
import type { EffectiveConfig } from './index-api.ts'

/** A share of the searches that is answered by a generation on trial. */
export interface Canary {
  readonly generation: number
  readonly ef: number | null
  readonly takes: (requestId: string) => boolean
}

export class Steering {
  readonly #settings: () => HnswConfig
  /** Null where the settings of the index hold. */
  #promoted: EffectiveConfig | null = null
  /** Null leaves it to the configuration. */
  #liveEf: number | null = null
  #canary: Canary | null = null

  /** @param settings of the index, as they are now. */
  constructor(settings: () => HnswConfig) {
    this.#settings = settings
  }

  get config(): EffectiveConfig {
    return this.#promoted ?? { hnsw: this.#settings(), source: 'default' }
  }

  get source(): string {
    return this.#promoted?.source ?? 'default'
  }

  /** The ef of searches that name none; null where the server chooses by k. */
  get ef(): number | null {
    if (this.#liveEf !== null) return this.#liveEf
    return this.#promoted === null ? this.#settings().efSearch : this.#promoted.hnsw.efSearch
  }

  get liveEf(): number | null {
    return this.#liveEf
  }

  /** What a live ef starts from: the ef of the configuration, else the choice for `REFERENCE_K`. */
  get anchorEf(): number {
    return this.config.hnsw.efSearch ?? defaultEf(REFERENCE_K)
  }

  /**
   * The ef of a search for k neighbours that names none.
   *
   * @param ef another live ef than the one that holds.
   */
  efFor(k: number, ef: number = this.#liveEf ?? this.anchorEf): number {
    return this.config.hnsw.efSearch === null ? efInProportion(ef, k) : ef
  }

  /** Null: the settings of the index hold. A live ef and a canary of before end. */
  usePromoted(promoted: EffectiveConfig | null): void {
    this.#promoted = promoted
    this.#liveEf = null
    this.#canary = null
  }

  useLiveEf(ef: number | null): void {
    this.#liveEf = ef
  }

  useCanary(canary: Canary | null): void {
    this.#canary = canary
  }

  /** Settings change while cores run: the ef travels with each query. */
  steer(asked: ShardQuery, requestId: string | undefined): ShardQuery {
    // Words are ranked the same whatever the graph.
    if ('keywords' in asked.target) return asked
    const canary = this.#canary
    if (canary !== null && requestId !== undefined && canary.takes(requestId)) {
      return { ...asked, generation: canary.generation, ef: asked.ef ?? canary.ef }
    }
    return asked.ef === null ? { ...asked, ef: this.efFor(asked.k) } : asked
  }
}
