/**
 * What a person asks the agent for: the next proposal, as a dry run or as a trial at once.
 *
 * A trial that is asked for waits for no budget and no mode, since it changes nothing that is served;
 * it is counted, it has to fit into the memory, and it runs beside no other trial of the agent.
 */

import { trialToJson } from '../journal/trial-codec.ts'
import { VectordError } from '../lib/errors.ts'
import type { Agent } from './agent.ts'
import { planOf, type AgentPlan } from './agent-plan.ts'
import { holdsJson, nextJson } from './agent-view.ts'
import type { OperationKind, Operations } from './operations.ts'

export interface AgentProposalsOptions {
  readonly agent: Agent
  readonly operations: Operations
}

export interface ProposalRequest {
  readonly by: string
  readonly note: string | null
  readonly dryRun: boolean
}

export interface ProposalAnswer {
  readonly json: object
  /** Null where nothing was started. */
  readonly operationId: string | null
}

export class AgentProposals {
  readonly #agent: Agent
  readonly #kind: OperationKind<object>

  constructor({ agent, operations }: AgentProposalsOptions) {
    this.#agent = agent
    this.#kind = operations.ofKind('agent_trial')
  }

  /** @throws {VectordError} `agent_held` where the build does not fit, `not_owner`. */
  async propose(name: string, { by, note, dryRun }: ProposalRequest): Promise<ProposalAnswer> {
    const agent = this.#agent
    const { index, work, owned } = await agent.seat(name)
    if (!dryRun) checkOwned(name, owned)
    const plan = dryRun ? await planOf(index, agent.parts) : await work.plan()
    const { next } = plan
    const json = {
      ...{ index: name, dry_run: dryRun, ...nextJson(plan) },
      holds: holdsJson(index, agent.parts, plan),
    }
    if (dryRun || next.kind !== 'proposal') {
      const evidence = { kind: next.kind, by }
      const reason = note ?? 'asked for the next proposal'
      index.decide({ kind: 'proposal', verdict: next.kind, reason, evidence, by, dryRun: true })
      return { json, operationId: null }
    }
    checkMemory(name, plan)
    const { proposal } = next
    const operation = this.#kind.start(name, (control) =>
      agent.asked(async (alone) => {
        const used = await agent.parts.hands.ensureEval(name, index.settings.evalName)
        return trialToJson(await work.runTrial(proposal, { used, note }, alone))
      }, control),
    )
    return { json, operationId: operation.id }
  }
}

function checkOwned(index: string, owned: boolean): void {
  if (owned) return
  const message = `Another server writes index "${index}", and its agent tunes it.`
  throw new VectordError('not_owner', message, { details: { index } })
}

function checkMemory(index: string, { budget }: AgentPlan): void {
  if (budget.allowed || budget.reason !== 'memory') return
  const details = { index, reason: budget.reason }
  throw new VectordError('agent_held', `The trial does not fit: ${budget.text}.`, { details })
}
