/**
 * What the agent would do with an index now, and what holds it back. It changes nothing: a dry run,
 * an explanation and a real step look through the same eyes.
 *
 *     journal ─▶ history of the epoch ─▶ best trial ─▶ challenger to be compared
 *                                                  ─▶ next proposal ─▶ forecast of memory ─▶ budget
 */

import { budgetSettings } from '../autotune/agent-settings.ts'
import { inEpoch, withNewEpoch, type AgentEpoch, type AgentState } from '../autotune/agent-state.ts'
import { askBudget, passTime, type BudgetAnswer } from '../autotune/budget.ts'
import { bestTrial, findChallenger, type ChallengerAnswer } from '../autotune/challenger.ts'
import type { Champion } from '../autotune/champion.ts'
import { historyOf, nextProposal, type NextProposal } from '../autotune/next-proposal.ts'
import { predictedMemoryBytes } from '../autotune/search-space.ts'
import type { HnswConfig } from '../domain/hnsw-config.ts'
import type { Trial } from '../domain/trial.ts'
import { TRIALS_KEPT } from '../journal/trial-journal.ts'
import { invariant } from '../lib/invariant.ts'
import type { AgentIndex, AgentParts } from './agent-index.ts'
import type { IndexFacts } from './agent-hands.ts'

export interface AgentPlan {
  readonly facts: IndexFacts
  readonly epoch: AgentEpoch
  /** With the epoch that holds now; it may begin with this plan. */
  readonly state: AgentState
  readonly history: readonly Trial[]
  readonly best: Champion | null
  readonly challenger: ChallengerAnswer
  readonly next: NextProposal
  /** Bytes of the next build; null where nothing is to be built. */
  readonly predictedBytes: number | null
  /** Of the next build, memory and all. */
  readonly budget: BudgetAnswer
}

export interface Hold {
  readonly reason: string
  readonly text: string
  /** False: it is not for the time being, the wish is settled. */
  readonly passes: boolean
  readonly retryAtMs: number
}

/** How long to wait for what only a person or a rollout can change. */
const LOOK_AGAIN_MS = 60_000

/** What holds the agent back before it looks at trials; null: nothing. */
export function holdOf(index: AgentIndex, parts: AgentParts): Hold | null {
  const nowMs = parts.nowMs()
  const later = nowMs + LOOK_AGAIN_MS
  if (index.settings.mode === 'off') {
    return {
      reason: 'mode',
      text: 'the mode of this index is off',
      passes: false,
      retryAtMs: later,
    }
  }
  const permission = index.may('trial')
  if (!permission.allowed) {
    return { reason: 'gate', text: permission.reason, passes: true, retryAtMs: later }
  }
  const { owned, livePoints } = parts.hands.facts(index.name)
  if (!owned) {
    const text = 'another server owns this index'
    return { reason: 'not_owner', text, passes: false, retryAtMs: later }
  }
  if (livePoints <= parts.flatThreshold) {
    const text = `${livePoints} points are searched without a graph`
    return { reason: 'too_small', text, passes: false, retryAtMs: later }
  }
  const { rollout } = index
  if (rollout !== null && !isForPerson(index)) {
    const text = `trial ${rollout.state.trialId} is being rolled out: ${rollout.state.stage}`
    return { reason: 'rollout', text, passes: true, retryAtMs: later }
  }
  return null
}

/** True where a recommendation waits: it holds up nothing. */
export function isForPerson({ rollout, settings }: AgentIndex): boolean {
  return rollout?.state.stage === 'validated' && settings.mode === 'recommend'
}

/** Whether a trial of unknown size may begin; null: it may. */
export function budgetHold(index: AgentIndex): Hold | null {
  const question = { predictedBytes: 0, headroomBytes: 0, liveP99Ms: index.liveP99Ms }
  const answer = askBudget(index.state.budget, question, budgetSettings(index.settings))
  if (answer.allowed) return null
  const { reason, text, retryAtMs } = answer
  return { reason, text, passes: true, retryAtMs }
}

/** @throws what the journal and the hands throw. */
export async function planOf(index: AgentIndex, parts: AgentParts): Promise<AgentPlan> {
  const facts = parts.hands.facts(index.name)
  const page = await parts.trials.list(index.name, { limit: TRIALS_KEPT, after: null })
  const now = { points: facts.livePoints, seqHigh: page.trials[0]?.seq ?? 0 }
  const state = epochOf(index.state, now)
  const { epoch } = state
  invariant(epoch !== null, 'a plan has an epoch')
  const history = historyOf(page.trials, epoch)
  const { settings } = index
  const shared = { history, settings, quarantine: state.quarantine, current: facts.config.hnsw }
  const best = bestTrial({ ...shared, epoch: epoch.name })
  const { memoryHeadroomBytes: headroomBytes, livePoints: points, dimension, metric } = facts
  const budgetOf = budgetSettings(settings)
  const next = nextProposal({
    ...{ ...shared, epoch, rules: parts.rules, champion: best?.trial ?? null },
    statistics: { points, dimension, metric, lid: null },
    memoryBytes: headroomBytes === null ? null : headroomBytes * budgetOf.memoryShareMax,
  })
  const predictedBytes = bytesOf(next, facts)
  const budget = askBudget(
    passTime(state.budget, parts.nowMs(), budgetOf),
    { predictedBytes: predictedBytes ?? 0, headroomBytes, liveP99Ms: index.liveP99Ms },
    budgetOf,
  )
  return {
    ...{ facts, epoch, state, history, best, next, predictedBytes, budget },
    challenger: findChallenger({ ...shared, epoch: epoch.name, judged: state.judged }),
  }
}

/** Drift, and a person who asks again after the end, begin anew. */
function epochOf(
  state: AgentState,
  now: { readonly points: number; readonly seqHigh: number },
): AgentState {
  const reason = state.wanted?.reason
  const isTuned = state.epoch !== null && state.epoch.tuned !== null
  const anew = state.epoch === null || reason === 'drift' || (reason === 'requested' && isTuned)
  if (!anew) return inEpoch(state, now)
  const { wanted } = state
  // The wish for a new epoch is fulfilled; the wish for trials stays.
  const left = wanted === null ? null : { ...wanted, reason: 'appended' as const }
  return { ...withNewEpoch(state, now), wanted: left }
}

function bytesOf(next: NextProposal, facts: IndexFacts): number | null {
  if (next.kind !== 'proposal') return null
  const config: HnswConfig = next.proposal.config
  const data = { points: facts.livePoints, dimension: facts.dimension }
  return Math.ceil(predictedMemoryBytes(config.m, data))
}
