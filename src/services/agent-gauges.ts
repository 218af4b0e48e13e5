/**
 * What an operator watches of the agent. Names of indexes are no labels: there may be many.
 */

import type { Agent } from './agent.ts'

export interface AgentGauge {
  /** Without the prefix `vectord_`. */
  readonly name: string
  readonly help: string
  readonly labels: readonly string[]
  /** Cheap, and never throws. */
  readonly read: () => readonly AgentSample[]
}

interface AgentSample {
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

export function agentGauges(agent: Agent): readonly AgentGauge[] {
  const one = (read: () => number) => () => [{ labels: {}, value: read() }]
  return [
    {
      ...{ name: 'agent_up', help: '1 where the agent works, 0 where it is stopped.', labels: [] },
      read: one(() => (agent.isRunning ? 1 : 0)),
    },
    {
      ...{ name: 'agent_queue', help: 'Indexes that wait for a step of the agent.', labels: [] },
      read: one(() => agent.queue.length),
    },
    {
      ...{ name: 'agent_halted', help: 'Indexes whose agent waits for a person.', labels: [] },
      read: one(() => agent.seats.filter((s) => s.index.state.quarantine.halted !== null).length),
    },
    {
      ...{ name: 'agent_promotions', help: 'Promotions by the agent since the start.', labels: [] },
      read: one(() => sum(agent, (seat) => seat.rollout.counts.promotions)),
    },
    {
      ...{ name: 'agent_rollbacks', help: 'Rollbacks by the agent since the start.', labels: [] },
      read: one(() => sum(agent, (seat) => seat.rollout.counts.rollbacks)),
    },
    {
      ...{ name: 'agent_trials', help: 'Trials of the agent since the start, by their end.' },
      labels: ['state'],
      read: () => byLabel(agent, 'state', ({ work }) => work.trials),
    },
    {
      ...{ name: 'agent_refusals', help: 'What held the agent back since the start, by reason.' },
      labels: ['reason'],
      read: () => byLabel(agent, 'reason', ({ index }) => index.refusals),
    },
  ]
}

type Seat = Agent['seats'][number]

function sum({ seats }: Agent, of: (seat: Seat) => number): number {
  return seats.reduce((total, seat) => total + of(seat), 0)
}

function byLabel(
  { seats }: Agent,
  label: string,
  of: (seat: Seat) => ReadonlyMap<string, number>,
): readonly AgentSample[] {
  const totals = new Map<string, number>()
  for (const [word, count] of seats.flatMap((seat) => [...of(seat)])) {
    totals.set(word, (totals.get(word) ?? 0) + count)
  }
  return [...totals].map(([word, value]) => ({ labels: { [label]: word }, value }))
}
