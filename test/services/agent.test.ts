/**
 * The agent step by step: modes, guardrails before a rollout, budget.
 *
 * How: real journals, promotions and documents in memory; trials, builds and searches are played.
 */

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { ComparisonRequest } from '../../src/services/trial-comparison.ts'
import { BY, current, inChampion, stage } from '../support/agent-stages.ts'
import { agentWorld, MINUTE_MS, type AgentWorld } from '../support/agent-world.ts'

describe('modes', () => {
  it('off: nothing is tried, also where somebody asks', async () => {
    const world = agentWorld({ mode: 'off' })
    await world.agent.enqueue('docs', 'requested')
    await world.work(3)
    assert.deepEqual(world.hands.calls, [])
    assert.deepEqual(await world.decisions(), ['refusal mode'])
    assert.deepEqual(world.agent.queue, [])
  })

  it('observe: trials and verdicts, each noted, and nothing is changed', async () => {
    const world = agentWorld({ mode: 'observe' })
    await world.work(30)
    const decisions = await world.decided()
    const verdicts = decisions.filter(({ verdict }) => verdict === 'promote')
    assert.ok(verdicts.length > 0)
    assert.ok(verdicts.every(({ dryRun }) => dryRun))
    assert.ok(world.hands.calls.every((call) => !/prepare|publish|drop/.test(call)))
    assert.deepEqual(world.hands.canaries, [])
    assert.equal(await current(world), null)
  })

  it('recommend: a recommendation with its evidence waits; promoted by hand it is approved', async () => {
    const world = agentWorld({ mode: 'recommend' })
    await world.work(12)
    const shown = (await world.decided()).findLast(({ kind }) => kind === 'recommendation')
    assert.match(shown?.reason ?? '', /^agent: recall=1\.000 \(lcb 0\.\d+\) p50=220us, -2\d% cpu vs champion t-1, p=[\de.-]+, n=500\+400$/) // prettier-ignore
    assert.equal(await current(world), null)
    assert.equal(stage(world), 'validated')
    const { rollout } = world.agent.seats[0]?.index.state ?? {}
    assert.ok(rollout)
    const { config, state } = rollout
    await world.promotions.promote('docs', { config, trialId: state.trialId }, BY)
    await world.agent.promotionsChanged('docs')
    assert.equal(stage(world), 'inconclusive')
    assert.equal((await world.decisions()).at(-2), 'recommendation approved')
    assert.ok(world.hands.calls.every((call) => !/prepare|publish/.test(call)))
  })

  it('auto: shadow, canary 5 % and 25 %, promotion with evidence, publish, bake', async () => {
    const world = await inChampion(agentWorld({ mode: 'auto' }))
    const { document } = await world.promotions.read('docs')
    assert.equal(document?.current?.promotedBy, 'agent')
    assert.match(document.current.note ?? '', /^agent: recall=/)
    assert.equal(document.change?.rebuild, 'lazy')
    assert.equal(document.current.config.efSearch, 60)
    assert.ok(document.current.evidence !== null)
    const shares = world.hands.canaries.filter((canary) => canary !== null)
    assert.equal(shares.length, 2)
    assert.equal(world.hands.generation, 11)
    await world.pass(31 * MINUTE_MS)
    assert.equal(stage(world), 'baked')
    assert.ok(world.hands.calls.includes('drop 1'))
    assert.deepEqual(world.troubles, [])
  })
})

describe('guardrails before a rollout', () => {
  const never = async (world: AgentWorld): Promise<string[]> => {
    await world.work(12)
    for (let i = 0; i < 3; i += 1) await world.searches()
    assert.equal(await current(world), null)
    assert.ok(!world.hands.calls.some((call) => call.startsWith('publish')))
    return world.decisions()
  }

  it('a held-out recall under the floor is never promoted', async () => {
    const world = agentWorld({ mode: 'auto', minRecall: 0.95 })
    world.hands.recalls = [0.9, 1]
    assert.ok((await never(world)).includes('verdict reject'))
  })

  it('a bound that the queries themselves do not show is not believed', async () => {
    const world = agentWorld({ mode: 'auto', minRecall: 0.95 })
    world.hands.recalls = [0.9, 1]
    world.hands.changeCompared = ({ sides: [challenger, champion], costLogRatios }) => ({
      sides: [{ ...challenger, recallLcb: 0.99, recallUcb: 0.999 }, champion],
      costLogRatios,
    })
    await never(world)
  })

  it('a gain that is too small, or not shown, is no reason for a change', async () => {
    const world = agentWorld({ mode: 'auto', minGain: 0.05 })
    world.hands.logRatio = -0.01
    assert.ok((await never(world)).includes('verdict reject'))
  })

  it('what stays unclear is measured twice more and then left to a person', async () => {
    const world = agentWorld({ mode: 'auto' })
    world.hands.changeCompared = (compared) => ({
      ...compared,
      costLogRatios: compared.costLogRatios.map((_, i, { length }) => 1.8 * (i / (length - 1)) - 1),
    })
    const rounds = new Map<string, number>()
    world.hands.before['compare'] = (request) => {
      const { sides } = request as ComparisonRequest
      const pair = sides.map(({ trial, ef }) => `${trial.trialId} at ${ef}`).join(', ')
      rounds.set(pair, (rounds.get(pair) ?? 0) + 1)
    }
    assert.ok((await never(world)).includes('verdict inconclusive'))
    assert.ok(
      [...rounds.values()].every((count) => count === 3),
      JSON.stringify([...rounds]),
    )
  })

  it('a weak eval set never promotes, and costs no comparison', async () => {
    const world = agentWorld({ mode: 'auto' })
    world.hands.weak = true
    assert.ok((await never(world)).includes('verdict inconclusive'))
    assert.ok(!world.hands.calls.includes('compare'))
  })

  it('a goal that nothing reaches is told and never lowered', async () => {
    const world = agentWorld({ mode: 'auto', minRecall: 0.999 })
    assert.ok((await never(world)).includes('verdict slo_unreachable'))
  })

  it('a pin, by the settings or by a promotion, lets trials go on and changes nothing', async () => {
    const world = agentWorld({ mode: 'auto', pinnedBy: 'ada' })
    await never(world)
    assert.ok(world.hands.calls.includes('runTrial'))
    const other = agentWorld({ mode: 'auto' })
    await other.promotions.promote('docs', { config: other.hands.settings, trialId: 'hand' }, BY)
    await other.promotions.pin('docs', true, BY)
    await other.work(12)
    assert.equal(await current(other), 'hand')
    assert.ok(other.hands.calls.includes('compare'))
  })

  it('a failed trial counts, is shown, and its configuration is not tried again', async () => {
    const world = agentWorld({ mode: 'auto' })
    world.hands.changeTrial = (trial) => ({ ...trial, state: 'failed', curve: [], build: null })
    await never(world)
    const { trials } = await world.journal.list('docs', { limit: 100, after: null })
    const keys = trials.map(({ canonicalKey }) => canonicalKey)
    assert.ok(keys.length > 5)
    assert.equal(new Set(keys).size, keys.length)
  })
})

describe('budget', () => {
  it('trials per hour bound the trials, and the refusal is noted once', async () => {
    const world = agentWorld({ mode: 'observe', maxTrialsPerHour: 2 })
    for (let i = 0; i < 11; i += 1) {
      await world.agent.wake()
      await world.pass(5 * MINUTE_MS)
    }
    assert.equal(world.hands.calls.filter((call) => call === 'runTrial').length, 2)
    const refusals = (await world.decisions()).filter((word) => word.startsWith('refusal'))
    assert.deepEqual(refusals, ['refusal trials_per_hour'])
  })

  it('memory that is not known or not there forbids the build', async () => {
    for (const bytes of [null, 1000]) {
      const world = agentWorld({ mode: 'auto' })
      world.hands.memoryHeadroomBytes = bytes
      await world.work(3)
      assert.ok(!world.hands.calls.includes('runTrial'))
      assert.ok((await world.decisions()).includes('refusal memory'))
    }
  })

  it('no trial begins while searches are slower than they were', async () => {
    const world = agentWorld({ mode: 'observe' })
    await world.agent.seat('docs')
    for (let i = 0; i < 15; i += 1) await world.searches({ challengerMs: 5, count: 100 })
    await world.searches({ challengerMs: 50, count: 100 })
    await world.agent.wake()
    assert.ok(!world.hands.calls.includes('runTrial'))
    assert.ok((await world.decisions()).includes('refusal live_latency'))
  })

  it('an index that is searched without a graph is not tuned', async () => {
    const world = agentWorld({ mode: 'auto' })
    world.hands.livePoints = 2000
    await world.work(2)
    assert.deepEqual(await world.decisions(), ['refusal too_small'])
  })
})
