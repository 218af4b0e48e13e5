/**
 * The parts that decide about configurations: promotions, journals, eval sets, trials. Built once,
 * over the parts that serve.
 */

import type { Logger } from 'pino'
import { agentDefaults, budgetSettings } from './autotune/agent-settings.ts'
import { newAgentState } from './autotune/agent-state.ts'
import { proposalRules } from './autotune/next-proposal.ts'
import type { ObjectStore } from './buckets/object-store.ts'
import type { Config } from './config/schema.ts'
import type { CurvePoint } from './domain/trial.ts'
import type { EffectiveConfig } from './indexes/index-api.ts'
import { DecisionLog } from './journal/decision-log.ts'
import { EvalStore } from './journal/eval-store.ts'
import type { JournalOptions } from './journal/index-logs.ts'
import { QueryReservoir } from './journal/query-reservoir.ts'
import { TrialJournal } from './journal/trial-journal.ts'
import { hasCode } from './lib/errors.ts'
import { troubleLog, type Parts } from './parts.ts'
import { PromotionRegistry } from './promotions/promotion-registry.ts'
import { Agent } from './services/agent.ts'
import { AgentDocuments } from './services/agent-documents.ts'
import { AgentEval } from './services/agent-eval.ts'
import { AgentProposals } from './services/agent-proposals.ts'
import { AgentTools } from './services/agent-tools.ts'
import { CompactionCycle } from './services/compaction-cycle.ts'
import { ConfigFlow, effective } from './services/config-flow.ts'
import { DatasetTruth } from './services/dataset-truth.ts'
import { EvalSets } from './services/eval-sets.ts'
import { LiveRecallWatch } from './services/live-recall-watch.ts'
import type { Operations } from './services/operations.ts'
import { Rebuilds } from './services/rebuilds.ts'
import { RolloutAlarms } from './services/rollout-alarms.ts'
import type { SearchSeen } from './services/search-observer.ts'
import { TrialRunner } from './services/trial-runner.ts'
import { Tuning } from './services/tuning.ts'

/** Which queries are kept is the same for the same traffic. */
const RESERVOIR_SEED = 0x71756572

export interface TuningPartsOptions {
  readonly config: Config
  readonly log: Logger
  readonly nowMs: () => number
  readonly parts: Parts
  readonly operations: Operations
  /** Name and version of the graph library. */
  readonly engine: string
}

interface PromotedCurve {
  readonly trialId: string
  readonly k: number
  readonly curve: readonly CurvePoint[]
}

export class TuningParts {
  readonly promotions: PromotionRegistry
  readonly trials: TrialJournal
  readonly decisions: DecisionLog
  readonly evals: EvalStore
  readonly evalSets: EvalSets
  readonly reservoir = new QueryReservoir()
  readonly rebuilds: Rebuilds
  /** To be run now and then. */
  readonly compactions: CompactionCycle
  readonly changes: ConfigFlow
  readonly runner: TrialRunner
  readonly tuning: Tuning
  readonly agent: Agent
  readonly proposals: AgentProposals
  readonly recall: LiveRecallWatch
  /** To be looked at every few seconds. */
  readonly alarms: RolloutAlarms
  readonly #agentEval: AgentEval
  readonly #parts: Parts
  /** Home of each index that is being deleted: the registry may not know it any more. */
  readonly #operations: Operations
  readonly #leaving = new Map<string, string>()

  constructor(options: TuningPartsOptions) {
    const { config, log, nowMs, parts, operations, engine } = options
    this.#operations = operations
    this.#parts = parts
    const { buckets, indexes, builders, graphs } = parts
    const onTrouble = troubleLog(log)
    const storeOf = (index: string): ObjectStore => parts.homes.of(index, this.#homeOf(index))
    const served = indexes.get.bind(indexes)
    const names = parts.bucketNames
    const store = (bucket: string): ObjectStore => parts.homes.shared(bucket)
    const homeOf = (index: string): string => this.#homeOf(index)
    this.promotions = new PromotionRegistry({
      buckets: { names, store: (bucket) => buckets.get(bucket), homeOf, storeOf },
      nowMs,
      onChange: (index, document) => {
        if (indexes.has(index)) served(index).steering.usePromoted(effective(document))
        void this.agent.promotionsChanged(index)
      },
    })
    const onReplaced: JournalOptions['onReplaced'] = (index, objects) =>
      parts.drops.replaced(index, storeOf(index), objects)
    const journal = { storeOf, nowMs, onTrouble, onReplaced }
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
      deadShareMax: config.compaction.ratio,
      promotedGraph: (index) => this.promotions.cached(index)?.document?.current?.graphId ?? null,
    })
    const { promotions, rebuilds, trials, evals } = this
    this.changes = new ConfigFlow({ promotions, rebuilds, served, journal: trials })
    this.runner = new TrialRunner({
      ...{ builders, served, nowMs, onTrouble, engine, evals },
      ...{ cache: graphs, journal: trials },
    })
    this.tuning = new Tuning({ operations, runner: this.runner, changes: this.changes })
    this.#agentEval = new AgentEval(evals, this.evalSets)
    this.agent = this.#newAgent(options)
    this.proposals = new AgentProposals({ agent: this.agent, operations })
    this.recall = this.#newRecall(options)
    this.compactions = this.#newCompactions(options)
    this.alarms = this.#newAlarms(options)
  }

  /** True while the agent or a client has trials or a rollout of the index under way. */
  isTuned(index: string): boolean {
    const seat = this.agent.known(index)
    const isTried = this.tuning.isOpen(index) || seat?.isWorking === true
    return isTried || (seat?.rollout ?? null) !== null
  }

  /** Hears of every search; see `SearchObserver`. */
  observe(seen: SearchSeen): void {
    this.recall.observe(seen)
    this.agent.observe(seen)
  }

  /** Starts what works by itself. */
  start(): void {
    this.agent.open()
    this.recall.start()
  }

  /** For whoever opens an index: what searches are to run with. */
  async promoted(index: string): Promise<EffectiveConfig | null> {
    return effective((await this.promotions.read(index)).document)
  }

  /** The curve that the trial of what is promoted has measured; null where there is none. */
  async promotedCurve(index: string): Promise<PromotedCurve | null> {
    const trialId = this.promotions.cached(index)?.document?.current?.trialId ?? null
    if (trialId === null) return null
    try {
      const trial = await this.trials.get(index, trialId)
      return { trialId, k: trial.eval.k, curve: trial.curve }
    } catch (error) {
      // Compacted away since.
      if (hasCode(error, 'trial_not_found')) return null
      throw error
    }
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
    this.reservoir.disable(index)
    try {
      // What works first: it writes to the others.
      await this.#operations.endOf(index)
      await unlessDamaged(() => this.agent.drop(index))
      await unlessDamaged(() => this.promotions.forget(index, 'delete'))
      await unlessDamaged(() => this.trials.drop(index))
      await unlessDamaged(() => this.decisions.drop(index))
      await unlessDamaged(() => this.#agentEval.drop(index))
      const { buckets, graphs } = this.#parts
      await unlessDamaged(() => graphs.clear(index, buckets.get(bucket)))
    } finally {
      this.#leaving.delete(index)
    }
  }

  /** Ends what works by itself: before the builders and the cores end. */
  async stop(): Promise<void> {
    await this.agent.close()
    await this.recall.close()
  }

  /** Writes out the journals: after everything that writes to them. */
  async close(): Promise<void> {
    await this.trials.close()
    await this.decisions.close()
  }

  #newAgent({ config, log, nowMs, parts }: TuningPartsOptions): Agent {
    const { indexes, builders, graphs, memory } = parts
    const { trials, decisions, promotions, evals, runner } = this
    const defaults = agentDefaults(config.agent)
    const { flatThreshold } = config.search
    return new Agent({
      hands: new AgentTools({
        ...{ registry: indexes, builders, cache: graphs, flatRowsMax: flatThreshold },
        ...{ memory, evals, agentEval: this.#agentEval, runner, journal: trials },
      }),
      documents: new AgentDocuments({
        storeOf: (index) => parts.homes.of(index, this.#homeOf(index)),
        newState: () => newAgentState(nowMs(), budgetSettings(defaults)),
        ...{ defaults, nowMs },
      }),
      ...{ trials, decisions, promotions, rules: proposalRules(config.agent), flatThreshold },
      ...{ enabled: config.agent.enabled, wakeMs: config.agent.wakeSecs * 1000 },
      ...{ nowMs, onTrouble: troubleLog(log) },
    })
  }

  #newAlarms({ parts }: TuningPartsOptions): RolloutAlarms {
    return new RolloutAlarms({
      recall: () => this.recall.summaries(),
      cores: () => parts.dataplane.cores(),
      memory: parts.memory,
      rollouts: () =>
        this.agent.seats.flatMap(({ index: { name, rollout } }) => {
          return rollout === null ? [] : [{ index: name, stage: rollout.state.stage }]
        }),
      tell: (index, event) => this.agent.tell(index, event),
    })
  }

  #newCompactions({ config, nowMs, parts }: TuningPartsOptions): CompactionCycle {
    const { intervalS, ratio, perCycleMax } = config.compaction
    return new CompactionCycle({
      ...{ rebuilds: this.rebuilds, nowMs, ratio, perCycle: perCycleMax },
      ...{ intervalMs: intervalS * 1000, indexes: () => parts.indexes.list() },
      isTuned: (index) => this.isTuned(index),
    })
  }

  #newRecall({ config, log, nowMs, parts: { indexes, homes } }: TuningPartsOptions) {
    const onTrouble = troubleLog(log)
    return new LiveRecallWatch({
      settings: config.recall,
      served: (index) => (indexes.has(index) ? indexes.get(index) : null),
      goalOf: (index) => this.#goalOf(index) ?? config.recall.goal,
      mayChangeEf: (index) => this.agent.known(index)?.may('change_live_ef').allowed ?? false,
      pointsTuned: (index) => {
        const epoch = this.agent.known(index)?.state.epoch ?? null
        return epoch === null || epoch.tuned === null ? null : epoch.points
      },
      onSignal: (index, { kind }) => {
        this.agent.enqueue(index, 'drift').catch((error: unknown) => {
          onTrouble(error, `enqueue index "${index}" for ${kind}`)
        })
      },
      storeOf: (index) => homes.of(index, this.#homeOf(index)),
      reservoir: {
        offer: (index, vector) => {
          if (config.recall.keepQueries) this.#keep(index, vector)
        },
      },
      ...{ decisions: this.decisions, nowMs, onTrouble },
    })
  }

  /** Where all samples together are full, those of further indexes are not kept. */
  #keep(index: string, vector: Float32Array): void {
    try {
      this.reservoir.enable(index, { dimension: vector.length, seed: RESERVOIR_SEED })
    } catch (error) {
      if (!hasCode(error, 'memory_full')) throw error
    }
    this.reservoir.offer(index, vector)
  }

  /** The recall that the agent tunes an index for; null where it does not. */
  #goalOf(index: string): number | null {
    const settings = this.agent.known(index)?.settings ?? null
    return settings === null || settings.mode === 'off' ? null : settings.minRecall
  }

  #homeOf(index: string): string {
    return this.#leaving.get(index) ?? this.#parts.indexes.homeOf(index)
  }
}

/** Damaged history must not keep an index from being deleted, nor keep the rest of it. */
async function unlessDamaged(work: () => Promise<unknown>): Promise<void> {
  try {
    await work()
  } catch (error) {
    if (!hasCode(error, 'object_corrupt', 'format_too_new')) throw error
  }
}
