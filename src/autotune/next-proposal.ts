/**
 * What the agent tries next: one table of strategies, and what no strategy may answer.
 *
 *     nothing tried yet, or not what is served ─▶ baseline: everything is compared with it
 *     else the strategy, again and again until its answer is not under quarantine
 *
 * Pure, as its strategies are: the same journal and state give the same proposal.
 */

import type { Config } from '../config/schema.ts'
import type { HnswConfig } from '../domain/hnsw-config.ts'
import { canonicalKey, type Trial } from '../domain/trial.ts'
import type { AgentSettings, AgentStrategy } from './agent-settings.ts'
import type { AgentEpoch, TunedEnd } from './agent-state.ts'
import { ENTRIES_MAX, type ConfigQuarantine } from './config-quarantine.ts'
import { epsilonProposer } from './epsilon-proposer.ts'
import { gridProposer } from './grid-proposer.ts'
import {
  DEFAULT_OPTIONS,
  type DatasetStatistics,
  type Proposal,
  type ProposalInput,
  type Proposer,
} from './proposer.ts'
import { randomProposer } from './random-proposer.ts'
import type { SearchBounds } from './search-space.ts'
import { StructuredProposer } from './structured-proposer.ts'

const structured = new StructuredProposer()

const PROPOSERS: Readonly<Record<AgentStrategy, Proposer>> = {
  structured,
  epsilon: epsilonProposer,
  grid: gridProposer,
  random: randomProposer,
}

/** What holds for the proposals of every index of this server. */
export interface ProposalRules {
  readonly bounds: SearchBounds
  readonly epsilon: number
  readonly deltaEfConstruction: number
  readonly deltaEfSearch: number
}

export function proposalRules(keys: Config['agent']): ProposalRules {
  const ordered = (a: number, b: number): readonly [number, number] => [
    Math.min(a, b),
    Math.max(a, b),
  ]
  return {
    bounds: {
      m: ordered(keys.mMin, keys.mMax),
      efConstruction: ordered(keys.efConstructionMin, keys.efConstructionMax),
      efSearch: ordered(keys.efSearchMin, keys.efSearchMax),
    },
    epsilon: keys.epsilon,
    deltaEfConstruction: keys.deltaEfConstruction,
    deltaEfSearch: keys.deltaEfSearch,
  }
}

export interface ProposalQuestion {
  readonly settings: AgentSettings
  readonly rules: ProposalRules
  readonly epoch: AgentEpoch
  /** Ended trials of the epoch, in the order of their seq. */
  readonly history: readonly Trial[]
  readonly champion: Trial | null
  readonly current: HnswConfig
  readonly quarantine: ConfigQuarantine
  readonly statistics: DatasetStatistics
  /** Bytes that a build may take; null: unknown. */
  readonly memoryBytes: number | null
}

export type NextProposal =
  { readonly kind: 'proposal'; readonly proposal: Proposal } | { readonly kind: TunedEnd }

export function nextProposal(question: ProposalQuestion): NextProposal {
  const { history, current, settings, quarantine, epoch } = question
  let input = inputOf(question)
  if (history.length > 0 && !wasTried(history, current)) {
    const config = { ...current, efSearch: null }
    return { kind: 'proposal', proposal: { config, explain: { mode: 'baseline', len: input.len } } }
  }
  for (let skips = 0; skips <= ENTRIES_MAX; skips += 1) {
    const proposal = PROPOSERS[settings.strategy].propose(input)
    if (proposal === null) return { kind: endOf(settings.strategy, input) }
    const last = history.at(-1)
    if (last === undefined || !isOut(proposal.config, quarantine, epoch.name)) {
      return { kind: 'proposal', proposal }
    }
    // To a strategy it is a trial that failed: tried, and nothing to learn from.
    const seq = (input.history.at(-1)?.seq ?? 0) + 1
    const failed = { ...last, seq, config: proposal.config, state: 'failed', curve: [] } as const
    input = { ...input, history: [...input.history, failed] }
  }
  return { kind: 'exhausted' }
}

/** The trials that a proposal may rest on, of all that the journal holds, in the order of their seq. */
export function historyOf(trials: readonly Trial[], epoch: AgentEpoch): readonly Trial[] {
  return trials
    .filter(({ seq, state }) => seq >= epoch.sinceSeq && state !== 'running')
    .toSorted((a, b) => a.seq - b.seq)
}

function inputOf(question: ProposalQuestion): ProposalInput {
  const { settings, rules, history, epoch, current, statistics, memoryBytes } = question
  return {
    ...{ history, current, statistics, champion: question.champion },
    len: Math.max(history.length, (history.at(-1)?.seq ?? 0) - epoch.sinceSeq + 1),
    goal: settings.minRecall,
    bounds: rules.bounds,
    options: {
      ...DEFAULT_OPTIONS,
      k: history.at(-1)?.eval.k ?? DEFAULT_OPTIONS.k,
      epsilon: rules.epsilon,
      deltaEfConstruction: rules.deltaEfConstruction,
      deltaEfSearch: rules.deltaEfSearch,
      axes: settings.axes,
      efSource: 'boundary',
      limits: { memoryBytes, buildCpuS: null },
    },
  }
}

function wasTried(history: readonly Trial[], current: HnswConfig): boolean {
  return history.some(({ config }) => canonicalKey(config) === canonicalKey(current))
}

/** A graph whose ef is left open is out where it was rolled back at any ef. */
function isOut(config: HnswConfig, { entries }: ConfigQuarantine, epoch: string): boolean {
  const graph = `${canonicalKey(config)},ef_search=`
  const { efSearch } = config
  return entries
    .filter((entry) => entry.epoch === epoch)
    .some(({ configKey }) =>
      efSearch === null ? configKey.startsWith(graph) : configKey === `${graph}${efSearch}`,
    )
}

function endOf(strategy: AgentStrategy, input: ProposalInput): TunedEnd {
  return strategy === 'structured' ? (structured.ended(input) ?? 'exhausted') : 'exhausted'
}
