/**
 * The eval set that the agent measures with: its own, made anew when the index has moved on, or one
 * that a person named.
 */

import type { EvalSet } from '../journal/eval-set.ts'
import { VectordError } from '../lib/errors.ts'
import { summaryOf, type EvalStore } from '../journal/eval-store.ts'
import type { EvalSets } from './eval-sets.ts'

/** Queries of both halves together. */
const QUERIES = 1000
const K = 10
/** Of names of eval sets. */
const NAME_CHARS_MAX = 128

export interface UsableEval {
  readonly name: string
  /** Too few queries to promote on. */
  readonly weak: boolean
}

export class AgentEval {
  readonly #evals: EvalStore
  readonly #evalSets: Pick<EvalSets, 'report' | 'make'>

  constructor(evals: EvalStore, evalSets: Pick<EvalSets, 'report' | 'make'>) {
    this.#evals = evals
    this.#evalSets = evalSets
  }

  /**
   * @param name null for the agent's own set of the index.
   * @throws {VectordError} `eval_not_found` for a named one that is not there, `not_configured` for
   *   one of another index, also where only its name is that of the agent's own; what keeps the index from serving.
   */
  async ensure(index: string, name: string | null): Promise<UsableEval> {
    if (name !== null) return this.#named(index, name)
    const own = ownName(index)
    const found = await this.#evals.find(own)
    if (found !== null) {
      // Somebody's set that happens to have the name is never replaced.
      checkIndex(found, index)
      const { stale, state, weak } = this.#evalSets.report(summaryOf(found))
      if (state === 'ready' && stale !== true) return { name: own, weak }
    }
    const wish = { name: own, index, k: K, source: null, count: QUERIES } as const
    const { weak } = await this.#evalSets.make(wish).result()
    return { name: own, weak }
  }

  /** Removes the agent's own set of an index that is being deleted. */
  async drop(index: string): Promise<void> {
    const own = ownName(index)
    const found = await this.#evals.find(own)
    if (found?.index === index) await this.#evals.delete(own)
  }

  async #named(index: string, name: string): Promise<UsableEval> {
    const set = await this.#evals.get(name)
    checkIndex(set, index)
    return { name, weak: this.#evalSets.report(summaryOf(set)).weak }
  }
}

function checkIndex(set: Pick<EvalSet, 'name' | 'index'>, index: string): void {
  if (set.index === index) return
  throw new VectordError('not_configured', `The eval set "${set.name}" is of another index.`, {
    details: { eval: set.name, index: set.index },
  })
}

function ownName(index: string): string {
  return `agent-${index}`.slice(0, NAME_CHARS_MAX)
}
