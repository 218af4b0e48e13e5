/**
 * The hands of the agent on a real server: builders measure, cores serve, the quota tells what room
 * is left.
 */

import type { HnswConfig } from '../domain/hnsw-config.ts'
import { searchablePoints } from '../domain/search.ts'
import type { Trial } from '../domain/trial.ts'
import { dropGeneration, publishGeneration } from '../indexes/generation-swap.ts'
import type { IndexRegistry } from '../indexes/index-registry.ts'
import type { MemoryQuota } from '../indexes/memory-quota.ts'
import { prepareGeneration, type RebuildParts } from '../indexes/rebuild.ts'
import type { ServedIndex } from '../indexes/served-index.ts'
import type { Canary } from '../indexes/steering.ts'
import type { EvalStore } from '../journal/eval-store.ts'
import type { TrialJournal } from '../journal/trial-journal.ts'
import { VectordError } from '../lib/errors.ts'
import type { AgentEval, UsableEval } from './agent-eval.ts'
import type { AgentHands, IndexFacts, TrialRequest } from './agent-hands.ts'
import type { OperationControl } from './operation.ts'
import { compareTrials, type Comparison, type ComparisonRequest } from './trial-comparison.ts'
import type { TrialRunner } from './trial-runner.ts'

export interface AgentToolsOptions extends RebuildParts {
  readonly registry: Pick<IndexRegistry, 'list' | 'get'>
  readonly memory: Pick<MemoryQuota, 'boundBytes' | 'usedBytes'>
  readonly evals: EvalStore
  readonly agentEval: AgentEval
  readonly runner: Pick<TrialRunner, 'run'>
  readonly journal: TrialJournal
}

export class AgentTools implements AgentHands {
  readonly #options: AgentToolsOptions

  constructor(options: AgentToolsOptions) {
    this.#options = options
  }

  indexes(): readonly string[] {
    return this.#options.registry
      .list()
      .filter(({ info }) => info.state === 'ready')
      .map(({ info }) => info.name)
  }

  facts(index: string): IndexFacts {
    const { meta, info, steering } = this.#served(index)
    const { stats, role } = info
    if (stats === null) {
      const message = `The index "${index}" is not in service yet.`
      throw new VectordError('index_loading', message, { details: { index }, retryAfterS: 1 })
    }
    const { boundBytes, usedBytes } = this.#options.memory
    return {
      ...{ dimension: meta.dimension, metric: meta.metric, config: steering.config },
      ...{ livePoints: searchablePoints(stats), generation: stats.generation },
      memoryHeadroomBytes: Math.max(0, boundBytes - usedBytes),
      owned: role === 'owner',
    }
  }

  ensureEval(index: string, name: string | null): Promise<UsableEval> {
    return this.#options.agentEval.ensure(index, name)
  }

  runTrial(request: TrialRequest, control: OperationControl): Promise<Trial> {
    return this.#options.runner.run({ ...request, k: null }, control)
  }

  compare(request: ComparisonRequest, control: OperationControl): Promise<Comparison> {
    return compareTrials(
      { ...this.#options, served: (index) => this.#served(index) },
      request,
      control,
    )
  }

  async prepare(
    index: string,
    { config, graphId }: { readonly config: HnswConfig; readonly graphId: string | null },
    control: OperationControl,
  ): Promise<number | null> {
    const wish = { config, graphId, always: false }
    const prepared = await prepareGeneration(this.#served(index), this.#options, wish, control)
    return prepared?.generation ?? null
  }

  publish(index: string, generation: number): Promise<void> {
    return publishGeneration(this.#served(index), generation)
  }

  drop(index: string, generation: number): Promise<void> {
    return dropGeneration(this.#served(index), generation)
  }

  canary(index: string, canary: Canary | null): void {
    this.#served(index).steering.useCanary(canary)
  }

  #served(index: string): ServedIndex {
    return this.#options.registry.get(index)
  }
}
