/**
 * An agent with real journals, promotions and documents over buckets in memory, and hands that are
 * played: graphs have a known recall and cost, and every call is noted.
 */

import { agentDefaults, type AgentSettings } from '../../src/autotune/agent-settings.ts'
import { newAgentState } from '../../src/autotune/agent-state.ts'
import { BUDGET_DEFAULTS } from '../../src/autotune/budget.ts'
import { proposalRules } from '../../src/autotune/next-proposal.ts'
import { MemoryStore } from '../../src/buckets/memory-store.ts'
import type { ObjectStore } from '../../src/buckets/object-store.ts'
import { parseConfig } from '../../src/config/load.ts'
import { HNSW_DEFAULTS, type HnswConfig } from '../../src/domain/hnsw-config.ts'
import { canonicalKey, type Trial } from '../../src/domain/trial.ts'
import type { ShardAnswer } from '../../src/domain/search.ts'
import type { Canary } from '../../src/indexes/steering.ts'
import { type Decision, DecisionLog } from '../../src/journal/decision-log.ts'
import { TrialJournal } from '../../src/journal/trial-journal.ts'
import { PromotionRegistry } from '../../src/promotions/promotion-registry.ts'
import { Agent } from '../../src/services/agent.ts'
import { AgentDocuments } from '../../src/services/agent-documents.ts'
import type { AgentHands, IndexFacts, TrialRequest } from '../../src/services/agent-hands.ts'
import type {
  ComparedSide,
  Comparison,
  ComparisonRequest,
} from '../../src/services/trial-comparison.ts'
import { completed, curvePointOf, newTrial } from './trials.ts'

export const MINUTE_MS = 60_000
export const HOUR_MS = 3_600_000

const QUERIES = 400

/** What the played hands answer and what they were asked. Tests change it as they go. */
export class PlayedHands implements AgentHands {
  readonly calls: string[] = []
  readonly canaries: (Canary | null)[] = []
  /** Served where nothing is promoted. */
  readonly settings: HnswConfig = { ...HNSW_DEFAULTS, efSearch: 100 }
  names = ['docs']
  livePoints = 20_000
  owned = true
  memoryHeadroomBytes: number | null = 2 ** 40
  weak = false
  generation = 1
  /** Runs before the answer of the named call; may throw. */
  before: Partial<Record<string, (request: unknown) => unknown>> = {}
  /** Recall of each held-out query, by side: the challenger first. */
  recalls: readonly [number, number] = [1, 1]
  /** ln(cost of the challenger / cost of the champion) of every block. */
  logRatio = -0.3
  changeCompared = (compared: Comparison): Comparison => compared
  changeTrial = (trial: Trial): Trial => trial
  readonly #journal: TrialJournal
  readonly #promotions: PromotionRegistry
  readonly #nowMs: () => number
  #made = 0
  #prepared = 10

  constructor(journal: TrialJournal, promotions: PromotionRegistry, nowMs: () => number) {
    this.#journal = journal
    this.#promotions = promotions
    this.#nowMs = nowMs
  }

  indexes(): readonly string[] {
    return this.names
  }

  facts(index: string): IndexFacts {
    const current = this.#promotions.cached(index)?.document?.current ?? null
    const { generation, livePoints, memoryHeadroomBytes, owned } = this
    return {
      config:
        current === null
          ? { hnsw: this.settings, source: 'default' }
          : { hnsw: current.config, source: `promoted:${current.trialId}` },
      ...{ livePoints, dimension: 100, metric: 'cosine', memoryHeadroomBytes, owned, generation },
    }
  }

  async ensureEval(index: string): Promise<{ name: string; weak: boolean }> {
    await this.#call('ensureEval', index)
    return { name: `agent-${index}`, weak: this.weak }
  }

  async runTrial(request: TrialRequest, { signal }: { signal: AbortSignal }): Promise<Trial> {
    const { index, config, strategy, explain, note } = request
    this.#made += 1
    const trialId = `t-${this.#made}`
    const begun = await this.#journal.begin(
      newTrial({
        ...{ trialId, index, config, strategy, explain, note, canonicalKey: canonicalKey(config) },
        startedMs: this.#nowMs(),
      }),
    )
    try {
      await this.#call('runTrial', request)
      signal.throwIfAborted()
    } catch (error) {
      await this.#journal.finish({ ...begun, state: 'aborted', finishedMs: this.#nowMs() })
      throw error
    }
    const graph = { graphId: `graph-${trialId}`, curve: curve(config) }
    const ended = this.changeTrial(completed(begun, graph))
    await this.#journal.finish(ended)
    return ended
  }

  async compare(
    request: ComparisonRequest,
    { signal }: { signal: AbortSignal },
  ): Promise<Comparison> {
    await this.#call('compare', request)
    signal.throwIfAborted()
    const sides = [side(this.recalls[0]), side(this.recalls[1])] as const
    const costLogRatios = Array.from({ length: request.blocks }, (_, i) => this.logRatio + i / 1e4)
    return this.changeCompared({ sides, costLogRatios })
  }

  async prepare(_index: string, wish: unknown): Promise<number | null> {
    await this.#call('prepare', wish)
    this.#prepared += 1
    return this.#prepared
  }

  async publish(_index: string, generation: number): Promise<void> {
    await this.#call(`publish ${generation}`, generation)
    this.generation = generation
  }

  async drop(_index: string, generation: number): Promise<void> {
    await this.#call(`drop ${generation}`, generation)
  }

  canary(_index: string, canary: Canary | null): void {
    this.canaries.push(canary)
  }

  async #call(name: string, request: unknown): Promise<void> {
    this.calls.push(name)
    await this.before[name.split(' ')[0] ?? name]?.(request)
  }
}

/** Small graphs are cheaper; every graph reaches a recall of 0.99 at an ef of 60. */
function curve({ m, efConstruction }: HnswConfig): Trial['curve'] {
  const cpuUs = 50 + m + efConstruction / 10
  return [
    curvePointOf({ ef: 30, recall: 0.85, recallLcb: 0.83, cpuUs }),
    curvePointOf({ ef: 60, recall: 0.99, recallLcb: 0.98, cpuUs: 2 * cpuUs }),
    curvePointOf({ ef: 100, recall: 0.995, recallLcb: 0.99, cpuUs: 3 * cpuUs }),
  ]
}

export function side(recall: number): ComparedSide {
  const recalls = Array.from({ length: QUERIES }, () => recall)
  return {
    ...{ recalls, recallLcb: recall, recallUcb: recall, p10: recall, p99Us: 400, cpuUs: 100 },
    ...{ memoryBytes: 1e7, buildCpuS: 10 },
  }
}

export interface AgentWorld {
  readonly agent: Agent
  readonly hands: PlayedHands
  readonly promotions: PromotionRegistry
  readonly journal: TrialJournal
  readonly documents: AgentDocuments
  readonly troubles: string[]
  readonly store: ObjectStore
  clockMs: number
  /** Kinds and verdicts of the decisions of `docs`, oldest first, such as `verdict promote`. */
  decisions(): Promise<string[]>
  decided(): Promise<readonly Decision[]>
  /** Lets `ms` pass in steps of a minute, watching in each. */
  pass(ms: number): Promise<void>
  /** Searches of one minute, then a look. `ms` of the challenger is what its searches take. */
  searches(options?: { challengerMs?: number; failing?: boolean; count?: number }): Promise<void>
  /** Rounds of work, an hour apart, until the agent has nothing more to do or `rounds` are over. */
  work(rounds?: number): Promise<void>
  /** The server ends and starts again on the same bucket. */
  restart(): AgentWorld
}

export function agentWorld(
  settings: Partial<AgentSettings> = {},
  from: { readonly store?: ObjectStore; readonly clockMs?: number } = {},
): AgentWorld {
  const clock = { ms: from.clockMs ?? 1_800_000_000_000 }
  const nowMs = (): number => clock.ms
  const store = from.store ?? new MemoryStore(new Map(), nowMs)
  const troubles: string[] = []
  const onTrouble = (error: unknown, what: string): void => {
    troubles.push(`${what}: ${String(error)}`)
  }
  const logs = { storeOf: () => store, nowMs, onTrouble }
  const journal = new TrialJournal(logs)
  const decisions = new DecisionLog(logs)
  const promotions = new PromotionRegistry({
    buckets: { names: () => ['primary'], store: () => store, homeOf: () => 'primary' },
    ...{ nowMs, onChange: () => undefined },
  })
  const keys = parseConfig('', { file: 'lakehouse.toml', env: {}, cwd: '/' }).agent
  const defaults = { ...agentDefaults(keys), cooldownSecs: 0, ...settings }
  const documents = new AgentDocuments({
    ...{ storeOf: () => store, defaults, nowMs },
    newState: () => newAgentState(nowMs(), BUDGET_DEFAULTS),
  })
  const hands = new PlayedHands(journal, promotions, nowMs)
  const rules = proposalRules(keys)
  const agent = new Agent({
    ...{ hands, documents, trials: journal, decisions, promotions, rules, nowMs, onTrouble },
    ...{ flatThreshold: 2000, enabled: true, wakeMs: 5 * MINUTE_MS },
  })
  const decided = async (): Promise<readonly Decision[]> =>
    (await decisions.list('docs', { limit: 1000, after: null })).decisions.toReversed()
  const pass = async (ms: number): Promise<void> => {
    for (let passed = 0; passed < ms; passed += MINUTE_MS) {
      clock.ms += Math.min(MINUTE_MS, ms - passed)
      await agent.watch()
    }
  }
  return {
    ...{ agent, hands, promotions, journal, documents, troubles, store, pass, decided },
    get clockMs() {
      return clock.ms
    },
    set clockMs(ms) {
      clock.ms = ms
    },
    decisions: async () => (await decided()).map(({ kind, verdict }) => `${kind} ${verdict}`),
    async searches(options = {}) {
      const { challengerMs, failing, count } = { ...SEARCHES, ...options }
      const takes = hands.canaries.at(-1)?.takes ?? (() => true)
      for (let i = 0; i < count; i += 1) {
        const requestId = `r-${clock.ms}-${i}`
        const isChallenger = takes(requestId)
        const tookMs = isChallenger ? challengerMs : 5
        const answer = isChallenger && failing ? null : ANSWER
        agent.observe({ index: 'docs', requestId, query: QUERY, answer, tookMs })
      }
      await pass(MINUTE_MS)
    },
    async work(rounds = 30) {
      for (let round = 0; round < rounds; round += 1) {
        await agent.wake()
        await pass(30 * MINUTE_MS)
      }
    },
    restart: () => agentWorld(settings, { store, clockMs: clock.ms }),
  }
}

const SEARCHES = { challengerMs: 5, failing: false, count: 2000 }

const ANSWER: ShardAnswer = {
  ...{ hits: [], efUsed: 60, generation: 1, exhausted: false, lsn: 1 },
  path: 'graph',
}

const QUERY = {
  target: { vector: Float32Array.of(1) },
  ...{ k: 10, ef: null, exact: false, filter: null },
  include: { metadata: false, vector: false, text: false },
} as const
