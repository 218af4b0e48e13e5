/**
 * An agent brought to the stage of a rollout that a test is about.
 */

import assert from 'node:assert/strict'
import { MINUTE_MS, type AgentWorld } from './agent-world.ts'

export const BY = { by: 'ada', note: 'because', rebuild: 'now', ifRevision: null } as const
export const REQUEST = { by: 'ada', note: 'because', ifRevision: null, clearHalt: false } as const

export const current = async ({ promotions }: AgentWorld): Promise<string | null> =>
  (await promotions.read('docs')).document?.current?.trialId ?? null

export const stage = ({ agent }: AgentWorld): string | undefined =>
  agent.seats[0]?.index.state.rollout?.state.stage

/** A world whose agent has a configuration in the canary, and has tried nothing since. */
export async function inCanary(world: AgentWorld): Promise<AgentWorld> {
  await world.agent.wake()
  for (let i = 0; i < 20 && stage(world) !== 'canary'; i += 1) {
    await world.pass(15 * MINUTE_MS)
    await world.agent.wake()
  }
  assert.equal(stage(world), 'canary', JSON.stringify(await world.decisions()))
  return world
}

export async function inChampion(world: AgentWorld): Promise<AgentWorld> {
  await inCanary(world)
  for (let i = 0; i < 40 && stage(world) === 'canary'; i += 1) await world.searches()
  assert.equal(stage(world), 'champion')
  return world
}
