/**
 * hnswlib-node called in a plain loop in a process of its own: what the service is compared with.
 *
 * Same build of the addon, same rows in the same order, same M, efConstruction, seed and ef.
 * Queries are plain arrays before the clock runs: the addon takes no typed ones, and the loop
 * shall not pay for a conversion.
 */

import type { TruthRef } from './ground-truth.ts'
import type { VectorsRef } from './vectors.ts'
import { WorkerProcess } from './worker-process.ts'

export interface GraphConfig {
  readonly m: number
  readonly efConstruction: number
  readonly seed: number
}

export interface BaselineBuild extends GraphConfig {
  readonly kind: 'build'
  readonly base: VectorsRef
}

export interface BaselineLoad {
  readonly kind: 'load'
  /** A file that a `save` wrote. */
  readonly file: string
  readonly dimension: number
}

export interface BaselineSearch {
  readonly kind: 'search'
  readonly queries: VectorsRef
  readonly truth: TruthRef
  readonly k: number
  readonly ef: number
  readonly durationMs: number
}

export interface BuildTimes {
  readonly wallMs: number
  readonly cpuMs: number
  readonly pointsPerS: number
  readonly rssBytes: number
}

export interface LoopTimes {
  readonly queries: number
  readonly qps: number
  readonly cpuMsPerQuery: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly recall: number
}

export type BaselineCall =
  BaselineBuild | BaselineLoad | BaselineSearch | { readonly kind: 'save'; readonly file: string }

export class Baseline {
  readonly #worker = new WorkerProcess<BaselineCall, BuildTimes | LoopTimes | null>(
    new URL('./baseline-worker.ts', import.meta.url),
  )

  async build(base: VectorsRef, config: GraphConfig): Promise<BuildTimes> {
    return (await this.#worker.call({ kind: 'build', base, ...config })) as BuildTimes
  }

  async save(file: string): Promise<void> {
    await this.#worker.call({ kind: 'save', file })
  }

  async load(file: string, dimension: number): Promise<void> {
    await this.#worker.call({ kind: 'load', file, dimension })
  }

  async search(options: Omit<BaselineSearch, 'kind'>): Promise<LoopTimes> {
    return (await this.#worker.call({ kind: 'search', ...options })) as LoopTimes
  }

  close(): Promise<void> {
    return this.#worker.close()
  }
}
