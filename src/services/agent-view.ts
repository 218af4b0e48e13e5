/**
 * What the agent shows of itself, as JSON in snake_case: its status, the settings of an index, and
 * why an index is configured as it is.
 */

import { budgetSettings, settingsToJson } from '../autotune/agent-settings.ts'
import type { RolloutJob } from '../autotune/agent-state.ts'
import { agentHold } from '../autotune/config-quarantine.ts'
import type { NextProposal } from '../autotune/next-proposal.ts'
import { configToJson } from '../domain/hnsw-config.ts'
import { decisionToJson, type DecisionLog } from '../journal/decision-log.ts'
import type { PromotionEntry } from '../promotions/promotion-document.ts'
import type { Agent, AgentSeat } from './agent.ts'
import type { StoredSettings } from './agent-documents.ts'
import type { AgentIndex, AgentParts } from './agent-index.ts'
import { budgetHold, holdOf, planOf, type AgentPlan } from './agent-plan.ts'

/** Decisions that an explanation shows, the newest. */
const DECISIONS_SHOWN = 10

/** @param isVisible whether the caller may know of an index. */
export function statusJson(agent: Agent, isVisible: (index: string) => boolean): object {
  return {
    state: agent.isRunning ? 'running' : 'stopped',
    queue: agent.queue
      .filter(({ index }) => isVisible(index))
      .map(({ index, reason, atMs }) => ({ index, reason, enqueued_at: iso(atMs) })),
    indexes: agent.seats
      .filter(({ index }) => isVisible(index.name))
      .map((seat) => seatJson(seat, agent.parts)),
  }
}

function seatJson({ index, owned }: AgentSeat, parts: AgentParts): object {
  const { settings, state, fault } = index
  const hold = agentHold(state.quarantine, parts.nowMs())
  const { trialsPerHourMax } = budgetSettings(settings)
  return {
    ...{ index: index.name, mode: settings.mode, paused: settings.paused, owned },
    pinned_by: settings.pinnedBy,
    activity: index.activity,
    wanted: state.wanted?.reason ?? null,
    tuned: state.epoch?.tuned ?? null,
    budget: {
      trials_last_hour: state.budget.startsMs.length,
      trials_left: Math.max(0, trialsPerHourMax - state.budget.startsMs.length),
      cpu_s_left: state.budget.cpuMs / 1000,
    },
    rollout: rolloutJson(index.rollout),
    hold: hold.held ? hold.reason : null,
    hold_until: hold.held && hold.untilMs !== null ? iso(hold.untilMs) : null,
    halted: state.quarantine.halted,
    last_error: fault === null ? null : { at: iso(fault.atMs), message: fault.message },
  }
}

/** The settings of an index as they are stored. */
export function agentSettingsJson(index: string, { revision, settings }: StoredSettings): object {
  const { format: _, ...fields } = settingsToJson(settings)
  return { index, revision, ...fields }
}

/** Why the current configuration, what comes next, and what holds it back. Changes nothing. */
export async function explainJson(
  { index }: AgentSeat,
  parts: AgentParts,
  decisions: Pick<DecisionLog, 'list'>,
): Promise<object> {
  const plan = await planOf(index, parts)
  const { document } = await parts.promotions.read(index.name)
  const { decisions: last } = await decisions.list(index.name, {
    limit: DECISIONS_SHOWN,
    after: null,
  })
  return {
    index: index.name,
    current: currentJson(plan, document?.current ?? null),
    champion: championJson(plan),
    challenger: plan.challenger.kind === 'challenger' ? plan.challenger.trial.trialId : null,
    epoch: { name: plan.epoch.name, trials: plan.history.length, tuned: plan.epoch.tuned },
    next: nextJson(plan),
    holds: holdsJson(index, parts, plan),
    rollout: rolloutJson(index.rollout),
    quarantine: plan.state.quarantine.entries.map(({ configKey, epoch, reason, atMs }) => ({
      ...{ config: configKey, epoch, reason, at: iso(atMs) },
    })),
    decisions: last.map(({ decisionId, ...decision }) => ({
      ...{ decision_id: decisionId, ...decisionToJson(decision) },
    })),
  }
}

function currentJson({ facts }: AgentPlan, current: PromotionEntry | null): object {
  return {
    config: configToJson(facts.config.hnsw),
    source: facts.config.source,
    trial_id: current?.trialId ?? null,
    promoted_by: current?.promotedBy ?? null,
    promoted_at: current === null ? null : iso(current.promotedMs),
    note: current?.note ?? null,
    evidence: current?.evidence ?? null,
  }
}

function championJson({ best }: AgentPlan): object | null {
  if (best === null) return null
  const { trial, feasible, point } = best
  const { ef, recall, recallLcb, cpuUs } = point
  return {
    ...{ trial_id: trial.trialId, feasible, ef, recall },
    ...{ recall_lcb: recallLcb, cpu_us: cpuUs },
  }
}

/** What would be tried next; `kind` says why nothing, where nothing is left. */
export function nextJson({ next, predictedBytes, challenger }: AgentPlan): object {
  const proposal = proposalOf(next)
  return {
    kind: challenger.kind === 'challenger' ? 'compare' : next.kind,
    config: proposal === null ? null : configToJson(proposal.config),
    explain: proposal?.explain ?? null,
    predicted_memory_bytes: predictedBytes,
  }
}

/** Everything that would keep the agent from it at this moment. */
export function holdsJson(index: AgentIndex, parts: AgentParts, { budget }: AgentPlan): object[] {
  const first = [holdOf(index, parts), budgetHold(index)].filter((hold) => hold !== null)
  const holds = first.map(({ reason, text }) => ({ reason, text }))
  if (budget.allowed || holds.some(({ reason }) => reason === budget.reason)) return holds
  return [...holds, { reason: budget.reason, text: budget.text }]
}

function proposalOf(next: NextProposal) {
  return next.kind === 'proposal' ? next.proposal : null
}

function rolloutJson(job: RolloutJob | null): object | null {
  if (job === null) return null
  const { state, config, pending, note } = job
  const { trialId, stage, reason, canaryStep, canaryRequests } = state
  return {
    ...{ trial_id: trialId, stage, reason, config: configToJson(config), note, pending },
    ...{ canary_step: canaryStep, canary_requests: canaryRequests },
  }
}

function iso(ms: number): string {
  return new Date(ms).toISOString()
}
