/**
 * The parts that decide about configurations: promotions, journals, eval sets, trials. Built once,
 * over the parts that serve.
 */

import type { Logger } from 'pino'
import type { ObjectStore } from './buckets/object-store.ts'
import type { Config } from './config/schema.ts'
import type { EffectiveConfig } from './indexes/index-api.ts'
import { DecisionLog } from './journal/decision-log.ts'
import { EvalStore } from './journal/eval-store.ts'
import { QueryReservoir } from './journal/query-reservoir.ts'
import { TrialJournal } from './journal/trial-journal.ts'
import { hasCode } from './lib/errors.ts'
import { troubleLog, type Parts } from './parts.ts'
import { PromotionRegistry } from './promotions/promotion-registry.ts'
import { ConfigFlow, effective } from './services/config-flow.ts'
import { DatasetTruth } from './services/dataset-truth.ts'
import { EvalSets } from './services/eval-sets.ts'
import type { Operations } from './services/operations.ts'
import { Rebuilds } from './services/rebuilds.ts'
import { TrialRunner } from './services/trial-runner.ts'
import { Tuning } from './services/tuning.ts'

export interface TuningPartsOptions {
  readonly config: Config
  readonly log: Logger
  readonly nowMs: () => number
  readonly parts: Parts
  readonly operations: Operations
  /** Name and version of the graph library. */
  readonly engine: string
}

export class TuningParts {
  readonly promotions: PromotionRegistry
  readonly trials: TrialJournal
  readonly decisions: DecisionLog
  readonly evals: EvalStore
  readonly evalSets: EvalSets
  readonly reservoir = new QueryReservoir()
  readonly rebuilds: Rebuilds
  readonly changes: ConfigFlow
  readonly runner: TrialRunner
  readonly tuning: Tuning
  readonly #parts: Parts
  /** Home of each index that is being deleted: the registry may not know it any more. */
  readonly #leaving = new Map<string, string>()

  constructor({ config, log, nowMs, parts, operations, engine }: TuningPartsOptions) {
    this.#parts = parts
    const { buckets, indexes, builders, graphs } = parts
    const onTrouble = troubleLog(log)
    const storeOf = (index: string): ObjectStore => buckets.get(this.#homeOf(index))
    const served = indexes.get.bind(indexes)
    const names = parts.bucketNames
    const store = (bucket: string): ObjectStore => buckets.get(bucket)
    const homeOf = (index: string): string => this.#homeOf(index)
    this.promotions = new PromotionRegistry({
      buckets: { names, store, homeOf },
      nowMs,
      onChange: (index, document) => {
        if (indexes.has(index)) served(index).steering.usePromoted(effective(document))
      },
    })
    const journal = { storeOf, nowMs, onTrouble }
    this.trials = new TrialJournal(journal)
    this.decisions = new DecisionLog(journal)
    this.evals = new EvalStore({
      buckets: { names, store },
      homeOf: (index) => (indexes.has(index) ? homeOf(index) : null),
    })
    const truth = new DatasetTruth(builders, served)
    this.evalSets = new EvalSets({
      ...{ store: this.evals, truth, live: this.reservoir, indexes, operations, nowMs },
    })
    this.rebuilds = new Rebuilds({
      ...{ operations, builders, served, nowMs, cache: graphs },
      flatRowsMax: config.search.flatThreshold,
      promotedGraph: (index) => this.promotions.cached(index)?.document?.current?.graphId ?? null,
    })
    const { promotions, rebuilds, trials, evals } = this
    this.changes = new ConfigFlow({ promotions, rebuilds, served, journal: trials })
    this.runner = new TrialRunner({
      ...{ builders, served, nowMs, onTrouble, engine, evals },
      ...{ cache: graphs, journal: trials },
    })
    this.tuning = new Tuning({ operations, runner: this.runner, changes: this.changes })
  }

  /** For whoever opens an index: what searches are to run with. */
  async promoted(index: string): Promise<EffectiveConfig | null> {
    return effective((await this.promotions.read(index)).document)
  }

  /** Looks at what other servers promoted, and starts the builds that a crash prevented. */
  async refresh(): Promise<void> {
    await this.promotions.refresh()
    this.changes.resume(this.#parts.indexes.list().map(({ info }) => info.name))
  }

  /** Writes out what waits in the journals. */
  async upkeep(): Promise<void> {
    await this.trials.upkeep()
    await this.decisions.upkeep()
  }

  /** Clears away everything that was decided about an index that is being deleted. */
  async forget(index: string, bucket: string): Promise<void> {
    this.#leaving.set(index, bucket)
    try {
      await this.promotions.forget(index, 'delete')
      await this.trials.drop(index)
      await this.decisions.drop(index)
      await this.#parts.graphs.clear(index)
    } catch (error) {
      // Damaged history must not keep an index from being deleted.
      if (!hasCode(error, 'object_corrupt', 'format_too_new')) throw error
    } finally {
      this.#leaving.delete(index)
    }
  }

  async close(): Promise<void> {
    await this.trials.close()
    await this.decisions.close()
  }

  #homeOf(index: string): string {
    return this.#leaving.get(index) ?? this.#parts.indexes.get(index).meta.bucket
  }
}
