/**
 * What follows a change of the promoted configuration: it is stored, searches use it, and a graph of
 * it is built beside serving.
 *
 *     promote ─▶ trial (journal) ─▶ stored (promotions) ─▶ steering ─▶ rebuild=now: an operation
 *                                                                └──▶ lazy: the next rebuild
 *
 * Searches hear of the change from the registry of promotions, before the change is answered. What a
 * crash kept from being built is found and built by `resume`.
 *
 * A change of ef alone needs no graph: the published generation has it, and nothing is started.
 */

import type { HnswConfig } from '../domain/hnsw-config.ts'
import { canonicalKey, type Trial } from '../domain/trial.ts'
import type { EffectiveConfig } from '../indexes/index-api.ts'
import type { ServedIndex } from '../indexes/served-index.ts'
import type { TrialJournal } from '../journal/trial-journal.ts'
import {
  configSource,
  neverPromoted,
  type PromotionDocument,
} from '../promotions/promotion-document.ts'
import type { PromotionState } from '../promotions/promotion-file.ts'
import type { ChangeRequest, PromotionRegistry } from '../promotions/promotion-registry.ts'
import type {
  ConfigChangeOutcome,
  ConfigChangeRequest,
  ConfigChanges,
  PromoteRequest,
} from './config-changes.ts'
import type { Rebuilds } from './rebuilds.ts'

export interface ConfigFlowOptions {
  readonly promotions: PromotionRegistry
  readonly journal: TrialJournal
  readonly rebuilds: Pick<Rebuilds, 'start' | 'mayRetry'>
  /** @throws {VectordError} `index_not_found`. */
  readonly served: (index: string) => ServedIndex
}

/** Recall under which a promotion by hand is answered with a warning. */
const WARN_BELOW = 0.9

export class ConfigFlow implements ConfigChanges {
  readonly #options: ConfigFlowOptions

  constructor(options: ConfigFlowOptions) {
    this.#options = options
  }

  async promote(
    index: string,
    trialId: string,
    request: PromoteRequest,
  ): Promise<ConfigChangeOutcome> {
    const { promotions, journal, served } = this.#options
    served(index).checkOwned()
    const trial = await journal.get(index, trialId)
    const { promotedBy, ef } = request
    const config = promotedConfig(trial, ef)
    const state = await promotions.promote(
      index,
      { config, trialId, promotedBy, ...(trial.graphId !== null && { graphId: trial.graphId }) },
      request,
    )
    return this.#followed(index, state, request, warningsOf(trial, config))
  }

  async rollback(index: string, request: ConfigChangeRequest): Promise<ConfigChangeOutcome> {
    this.#options.served(index).checkOwned()
    return this.#followed(index, await this.#options.promotions.rollback(index, request), request)
  }

  async rollForward(index: string, request: ConfigChangeRequest): Promise<ConfigChangeOutcome> {
    this.#options.served(index).checkOwned()
    const state = await this.#options.promotions.rollForward(index, request)
    return this.#followed(index, state, request)
  }

  /**
   * Starts the builds that promotions asked for and a crash or a failure prevented. To be called now
   * and then; one that failed lately is left alone for a while.
   */
  resume(indexes: readonly string[]): void {
    const { promotions, rebuilds, served } = this.#options
    for (const index of indexes) {
      const change = promotions.cached(index)?.document?.change
      if (change?.rebuild !== 'now' || !rebuilds.mayRetry(index)) continue
      const one = served(index)
      const { state, role } = one.info
      if (state !== 'ready' || role !== 'owner') continue
      if (servesGraphOf(one, one.steering.config.hnsw)) continue
      rebuilds.start(index, { always: false, supersede: false })
    }
  }

  #followed(
    index: string,
    { document, revision }: PromotionState,
    { rebuild }: ChangeRequest,
    warnings: readonly string[] = [],
  ): ConfigChangeOutcome {
    const stored = document ?? neverPromoted(index)
    const served = this.#options.served(index)
    const needsGraph = !servesGraphOf(served, served.steering.config.hnsw)
    const operation =
      rebuild === 'now' && needsGraph
        ? this.#options.rebuilds.start(index, { always: false, supersede: true })
        : null
    return { document: stored, revision, warnings, operationId: operation?.id ?? null }
  }
}

/** What searches of the index are to run with; null where its settings hold. */
export function effective(document: PromotionDocument | null): EffectiveConfig | null {
  if (document === null || document.current === null) return null
  return { hnsw: document.current.config, source: configSource(document) }
}

/** With the ef that the trial has solved for, where none was proposed: for the middle goal it meets. */
function promotedConfig({ config, boundaries }: Trial, ef?: number): HnswConfig {
  if (ef !== undefined) return { ...config, efSearch: ef }
  if (config.efSearch !== null) return config
  const solved = boundaries.filter(({ ef }) => ef !== null)
  const wanted = solved.find(({ goal }) => goal === PROMOTED_GOAL) ?? solved.at(-1)
  return { ...config, efSearch: wanted?.ef ?? null }
}

/** Recall that the ef of a promotion by hand is solved for, where the trial reaches it. */
const PROMOTED_GOAL = 0.95

function servesGraphOf({ info }: ServedIndex, config: HnswConfig): boolean {
  const published = info.stats?.generations.find(({ state }) => state === 'published')
  return published !== undefined && canonicalKey(published.config) === canonicalKey(config)
}

function warningsOf(trial: Trial, { efSearch }: HnswConfig): string[] {
  const warnings: string[] = []
  if (trial.state !== 'completed') warnings.push(`The trial is ${trial.state}, not completed.`)
  if (trial.eval.weak) warnings.push('Its eval set is weak: too few queries to rely on.')
  const bound = heldOutBound(trial, efSearch ?? 0)
  if (bound === null) warnings.push('Its recall was not measured on held-out queries.')
  else if (bound < WARN_BELOW) {
    warnings.push(
      `The lower bound of its held-out recall is ${bound.toFixed(3)}, under ${WARN_BELOW}.`,
    )
  }
  return warnings
}

/** What the held-out queries show of searches at `ef`: at least what a smaller one showed. */
function heldOutBound({ boundaries }: Trial, ef: number): number | null {
  const shown = boundaries.flatMap((one) => {
    return one.ef !== null && one.ef <= ef && one.heldOut !== null ? [one.heldOut] : []
  })
  return shown.at(-1)?.recallLcb ?? null
}
