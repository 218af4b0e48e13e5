/**
 * The eval set that the agent measures with: its own, made anew when the index has moved on, or one
 * that a person named.
 */

import { hasCode, VectordError } from '../lib/errors.ts'
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
  readonly #evalSets: EvalSets

  constructor(evals: EvalStore, evalSets: EvalSets) {
    this.#evals = evals
    this.#evalSets = evalSets
  }

  /**
   * @param name null for the agent's own set of the index.
   * @throws {VectordError} `eval_not_found` for a named one that is not there, `not_configured` for
   *   one of another index; what keeps the index from serving.
   */
  async ensure(index: string, name: string | null): Promise<UsableEval> {
    if (name !== null) return this.#named(index, name)
    const own = ownName(index)
    const found = await this.#evals.find(own)
    if (found !== null && found.index === index) {
      const { stale, state, weak } = this.#evalSets.report(summaryOf(found))
      if (state === 'ready' && stale !== true) return { name: own, weak }
    }
    const wish = { name: own, index, k: K, source: null, count: QUERIES } as const
    const { weak } = await this.#evalSets.make(wish).result()
    return { name: own, weak }
  }

  /** Removes the agent's own set of an index that is being deleted. */
  async drop(index: string): Promise<void> {
    try {
      await this.#evals.delete(ownName(index))
    } catch (error) {
      if (!hasCode(error, 'eval_not_found')) throw error
    }
  }

  async #named(index: string, name: string): Promise<UsableEval> {
    const set = await this.#evals.get(name)
    if (set.index === index) return { name, weak: this.#evalSets.report(summaryOf(set)).weak }
    throw new VectordError('not_configured', `The eval set "${name}" is of another index.`, {
      details: { eval: name, index: set.index },
    })
  }
}

function ownName(index: string): string {
  return `agent-${index}`.slice(0, NAME_CHARS_MAX)
}
