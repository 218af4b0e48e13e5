/**
 * Everything that the service should know: indexes, eval sets, objects in its buckets.
 */

import type { Dice } from './dice.ts'
import type { ModelIndex } from './model-index.ts'

export const BUCKETS = ['primary', 'second'] as const
export const INDEX_NAMES = ['alpha', 'beta', 'Gamma-3', 'd_4'] as const
export const EVAL_NAMES = ['e1', 'e2'] as const

export interface ModelEval {
  readonly index: string
  readonly k: number
  /** Different queries; 0 where the set was only named. */
  readonly queries: number
  /** Of the index when the set was made. */
  readonly dimension: number
  readonly metric: string
}

export class ModelWorld {
  readonly indexes = new Map<string, ModelIndex>()
  readonly evals = new Map<string, ModelEval>()
  /** By bucket: text by key. */
  readonly objects = new Map<string, Map<string, string>>(
    BUCKETS.map((bucket) => [bucket, new Map()]),
  )

  /** Names that no index has. */
  get freeNames(): readonly string[] {
    return INDEX_NAMES.filter((name) => !this.indexes.has(name))
  }

  anyIndex(dice: Dice): ModelIndex | null {
    const all = [...this.indexes.values()]
    return all.length === 0 ? null : dice.pick(all)
  }

  objectsOf(bucket: string): Map<string, string> {
    const objects = this.objects.get(bucket)
    if (objects === undefined) throw new Error(`the model has no bucket "${bucket}"`)
    return objects
  }
}
