/**
 * The agent step by step: modes, guardrails, rollouts and what ends them, restarts, people.
 *
 * How: real journals, promotions and documents in memory; trials, builds and searches are played.
 */

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { VectordError } from '../../src/lib/errors.ts'
import type { CompareRequest } from '../../src/services/agent-hands.ts'
import { agentWorld, type AgentWorld, HOUR_MS, MINUTE_MS } from '../support/agent-world.ts'

const BY = { by: 'ada', note: 'because', rebuild: 'now', ifRevision: null } as const
const REQUEST = { by: 'ada', note: 'because', ifRevision: null, clearHalt: false } as const

const current = async ({ promotions }: AgentWorld): Promise<string | null> =>
  (await promotions.read('docs')).document?.current?.trialId ?? null

const stage = ({ agent }: AgentWorld): string | undefined =>
  agent.seats[0]?.index.state.rollout?.state.stage

/** A world whose agent has a configuration in the canary, and has tried nothing since. */
async function inCanary(world: AgentWorld): Promise<AgentWorld> {
  await world.agent.wake()
  for (let i = 0; i < 20 && stage(world) !== 'canary'; i += 1) {
    await world.pass(15 * MINUTE_MS)
    await world.agent.wake()
  }
  assert.equal(stage(world), 'canary', JSON.stringify(await world.decisions()))
  return world
}

async function inChampion(world: AgentWorld): Promise<AgentWorld> {
  await inCanary(world)
  for (let i = 0; i < 40 && stage(world) === 'canary'; i += 1) await world.searches()
  assert.equal(stage(world), 'champion')
  return world
}

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
      costLogRatios: compared.costLogRatios.map((_, i) => (i % 2 === 0 ? -1 : 0.8)),
    })
    const rounds = new Map<string, number>()
    world.hands.before['compare'] = (request) => {
      const { sides } = request as CompareRequest
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

describe('what ends a rollout', () => {
  it('canary: slow searches in three windows in a row go back at once, and it is not tried again', async () => {
    const world = await inCanary(agentWorld({ mode: 'auto' }))
    for (let i = 0; i < 3; i += 1) await world.searches({ challengerMs: 50 })
    assert.equal(stage(world), 'rolled_back')
    assert.equal(world.hands.canaries.at(-1), null)
    assert.equal(await current(world), null)
    const [entry] = world.agent.seats[0]?.index.state.quarantine.entries ?? []
    assert.match(entry?.reason ?? '', /p99/)
    await world.work(20)
    const again = world.agent.seats[0]?.index.state.rollout
    assert.notEqual(again?.state.stage === 'baked' && again.state.configKey, entry?.configKey)
  })

  it('champion: errors roll back the promotion and the generation, which are still there', async () => {
    const world = await inChampion(agentWorld({ mode: 'auto' }))
    await world.searches({ failing: true })
    assert.equal(stage(world), 'rolled_back')
    assert.equal(await current(world), null)
    assert.equal(world.hands.generation, 1)
    assert.ok(world.hands.calls.includes('drop 11'))
    const { document } = await world.promotions.read('docs')
    assert.equal(document?.change?.by, 'agent')
    assert.ok(document.redo.length === 1)
  })

  it('champion: an alarm of recall, short memory and dead cores roll back', async () => {
    const events = [
      [{ kind: 'recall_alarm' }],
      [{ kind: 'memory', usedBytes: 2, budgetBytes: 1 }],
      [{ kind: 'core_died' }, { kind: 'core_died' }],
    ] as const
    for (const list of events) {
      const world = await inChampion(agentWorld({ mode: 'auto' }))
      for (const event of list) await world.agent.tell('docs', event)
      assert.equal(stage(world), 'rolled_back')
      assert.equal(world.hands.generation, 1)
    }
  })

  it('a rollback is tried until it is durable; searches are safe at once', async () => {
    const world = await inChampion(agentWorld({ mode: 'auto' }))
    const { promotions } = world.agent.parts
    const { rollback } = promotions
    promotions.rollback = async () => {
      throw new VectordError('bucket_unreachable', 'The bucket does not answer.')
    }
    await world.agent.tell('docs', { kind: 'recall_alarm' })
    assert.equal(world.hands.generation, 1)
    assert.notEqual(await current(world), null)
    await world.pass(2 * MINUTE_MS)
    assert.notEqual(await current(world), null)
    promotions.rollback = rollback.bind(promotions)
    await world.pass(MINUTE_MS)
    assert.equal(await current(world), null)
    assert.equal(world.agent.seats[0]?.index.rollout, null)
  })

  it('a champion that cannot be published is given up, and nothing of it stays promoted', async () => {
    const world = await inCanary(agentWorld({ mode: 'auto' }))
    world.hands.before['publish'] = () => {
      throw new Error('the core is gone')
    }
    for (let i = 0; i < 40 && stage(world) === 'canary'; i += 1) await world.searches()
    await world.pass(10 * MINUTE_MS)
    assert.equal(stage(world), 'rolled_back')
    assert.equal(await current(world), null)
    assert.equal(world.hands.generation, 1)
  })

  it('a promotion by hand during the canary wins, and so does one while it bakes', async () => {
    for (const begin of [inCanary, inChampion]) {
      const world = await begin(agentWorld({ mode: 'auto' }))
      await world.promotions.promote('docs', { config: world.hands.settings, trialId: 'hand' }, BY)
      await world.agent.promotionsChanged('docs')
      assert.equal(stage(world), 'inconclusive')
      assert.equal(await current(world), 'hand')
      assert.equal(world.hands.canaries.at(-1), null)
      assert.ok(!world.hands.calls.includes(`drop ${world.hands.generation}`))
    }
  })

  it('a pin that comes while it is compared or in the canary keeps what is served', async () => {
    const world = await inCanary(agentWorld({ mode: 'auto' }))
    await world.agent.change('docs', { pinnedBy: 'ada' }, REQUEST)
    assert.equal(stage(world), 'inconclusive')
    assert.equal(world.hands.canaries.at(-1), null)
    assert.equal(await current(world), null)
  })

  it('the third rollback in a day halts the agent until a person clears it with a note', async () => {
    const world = agentWorld({ mode: 'auto' })
    for (let i = 0; i < 3; i += 1) {
      await inCanary(world)
      for (let j = 0; j < 3; j += 1) await world.searches({ failing: true })
      assert.equal(stage(world), 'rolled_back')
      if (i < 2) await world.pass(2 * HOUR_MS)
    }
    const index = world.agent.seats[0]?.index
    assert.match(index?.state.quarantine.halted ?? '', /3 rollbacks in 24 hours/)
    const before = world.hands.calls.length
    await world.pass(48 * HOUR_MS)
    await world.work(3)
    assert.equal(world.hands.calls.length, before)
    const clear = { ...REQUEST, clearHalt: true }
    await assert.rejects(world.agent.change('docs', {}, { ...clear, note: null }), /note/)
    assert.notEqual(index?.state.quarantine.halted, null)
    await world.agent.change('docs', {}, clear)
    assert.equal(index?.state.quarantine.halted, null)
    assert.equal(index.state.quarantine.entries.length, 3)
    assert.equal((await world.decisions()).at(-1), 'halt cleared')
    await world.work(3)
    assert.ok(world.hands.calls.length > before)
  })
})

describe('stop, pause and close', () => {
  it('stop lets the trial under way end, and nothing follows it', async () => {
    const world = agentWorld({ mode: 'auto' })
    world.hands.before['runTrial'] = () => world.agent.stop()
    await world.work(5)
    const { trials: kept } = await world.journal.list('docs', { limit: 9, after: null })
    assert.deepEqual(
      kept.map(({ state }) => state),
      ['completed'],
    )
    assert.ok(!world.hands.calls.includes('compare'))
    delete world.hands.before['runTrial']
    world.agent.start()
    await world.work(2)
    assert.ok(world.hands.calls.includes('compare'))
  })

  it('the kill switch ends a canary at once, and a champion stays watched', async () => {
    const canary = await inCanary(agentWorld({ mode: 'auto' }))
    await canary.agent.stop()
    assert.equal(stage(canary), 'inconclusive')
    assert.equal(canary.hands.canaries.at(-1), null)
    const champion = await inChampion(agentWorld({ mode: 'auto' }))
    await champion.agent.stop()
    assert.equal(stage(champion), 'champion')
    await champion.searches({ failing: true })
    assert.equal(stage(champion), 'rolled_back')
  })

  it('a paused index rests and keeps its wish; another one goes on', async () => {
    const world = agentWorld({ mode: 'observe' })
    world.hands.names = ['docs', 'web']
    await world.agent.change('docs', { paused: true }, REQUEST)
    await world.work(3)
    const tried = async (index: string): Promise<number> =>
      (await world.journal.list(index, { limit: 9, after: null })).trials.length
    assert.equal(await tried('docs'), 0)
    assert.ok((await tried('web')) > 0)
    await world.agent.change('docs', { paused: false }, REQUEST)
    await world.work(1)
    assert.ok((await tried('docs')) > 0)
  })

  it('close aborts the trial, and it is in the journal as aborted', async () => {
    const world = agentWorld({ mode: 'observe' })
    let closing: Promise<void> | null = null
    world.hands.before['runTrial'] = () => {
      closing = world.agent.close()
    }
    await world.agent.wake()
    await closing
    const { trials } = await world.journal.list('docs', { limit: 9, after: null })
    assert.equal(trials[0]?.state, 'aborted')
    assert.equal(world.agent.isRunning, false)
    assert.deepEqual(world.troubles, [])
  })

  it('a trial that throws leaves an error, and the index rests longer each time', async () => {
    const world = agentWorld({ mode: 'observe' })
    let calls = 0
    world.hands.before['ensureEval'] = () => {
      calls += 1
      throw new Error('no eval set')
    }
    for (let i = 0; i < 20; i += 1) {
      await world.agent.wake()
      await world.pass(MINUTE_MS)
    }
    assert.ok(calls >= 3 && calls <= 5, String(calls))
    assert.equal(world.agent.seats[0]?.index.fault?.message, 'no eval set')
    delete world.hands.before['ensureEval']
    await world.pass(HOUR_MS)
    await world.agent.wake()
    assert.equal(world.agent.seats[0].index.fault, null)
  })
})

describe('after a restart', () => {
  it('a canary and a shadow are over, and may be tried again', async () => {
    const before = await inCanary(agentWorld({ mode: 'auto' }))
    const world = before.restart()
    await world.agent.seat('docs')
    assert.equal(stage(world), 'inconclusive')
    assert.deepEqual(world.hands.canaries.at(-1), null)
    assert.equal(await current(world), null)
    await inCanary(world)
  })

  it('a champion bakes on, and is rolled back by building what was before it', async () => {
    const before = await inChampion(agentWorld({ mode: 'auto' }))
    const world = before.restart()
    world.hands.generation = 99
    await world.agent.seat('docs')
    assert.equal(stage(world), 'champion')
    await world.searches({ failing: true })
    assert.equal(stage(world), 'rolled_back')
    assert.equal(await current(world), null)
    assert.deepEqual(world.hands.calls, ['prepare', 'publish 11'])
  })

  it('a promotion that was under way is finished once, whether it was durable or not', async () => {
    for (const durable of [true, false]) {
      const before = await inCanary(agentWorld({ mode: 'auto' }))
      const { promotions } = before.agent.parts
      const { promote } = promotions
      promotions.promote = async (...args) => {
        if (durable) await promote.apply(promotions, args)
        throw new VectordError('bucket_unreachable', 'The answer was lost.')
      }
      for (let i = 0; i < 40 && stage(before) === 'canary'; i += 1) await before.searches()
      const world = before.restart()
      await world.agent.seat('docs')
      await world.pass(2 * MINUTE_MS)
      assert.equal(stage(world), 'champion')
      assert.equal((await world.promotions.read('docs')).revision, 1)
      assert.equal(world.hands.generation, 11)
    }
  })

  it('quarantine, halt, queue and budget are remembered', async () => {
    const before = await inCanary(agentWorld({ mode: 'auto' }))
    await before.searches({ failing: true })
    await before.agent.enqueue('docs', 'drift')
    const left = before.agent.seats[0]?.index.state
    const world = before.restart()
    await world.agent.seat('docs')
    const found = world.agent.seats[0]?.index.state
    assert.deepEqual(found?.quarantine, left?.quarantine)
    assert.deepEqual(found?.wanted, left?.wanted)
    assert.ok((found?.budget.startsMs.length ?? 0) > 0)
  })
})

describe('queue and epochs', () => {
  it('a request goes before drift, drift before appended data, that before the periodic wake', async () => {
    const world = agentWorld({ mode: 'observe' })
    world.hands.names = ['a', 'b', 'c', 'd']
    for (const [index, reason] of [
      ['a', 'periodic'],
      ['b', 'appended'],
      ['c', 'drift'],
      ['d', 'requested'],
    ] as const) {
      await world.agent.enqueue(index, reason)
      world.clockMs += 1000
    }
    await world.agent.enqueue('a', 'periodic')
    const order = world.agent.queue.map(({ index }) => index)
    assert.deepEqual(order, ['d', 'c', 'b', 'a'])
    const evaluated: unknown[] = []
    world.hands.before['ensureEval'] = (index) => evaluated.push(index)
    await world.agent.wake()
    assert.deepEqual(evaluated.slice(0, 4), order)
  })

  it('a tuned index leaves the queue, and grown data or drift bring it back', async () => {
    const world = agentWorld({ mode: 'observe' })
    await world.work(60)
    assert.deepEqual(world.agent.queue, [])
    const count = (): number => world.hands.calls.filter((call) => call === 'runTrial').length
    const first = count()
    await world.work(2)
    assert.equal(count(), first)
    world.hands.livePoints = 21_000
    await world.agent.enqueue('docs', 'appended')
    await world.work(1)
    assert.equal(count(), first)
    world.hands.livePoints = 30_000
    await world.work(1)
    assert.ok(count() > first)
    await world.work(60)
    const second = count()
    await world.agent.enqueue('docs', 'drift')
    await world.work(2)
    assert.ok(count() > second)
  })

  it('a server that follows tunes nothing and writes nothing', async () => {
    const world = agentWorld({ mode: 'auto' })
    world.hands.owned = false
    await world.work(2)
    assert.deepEqual(world.hands.calls, [])
    await assert.rejects(world.agent.enqueue('docs', 'requested'), { code: 'not_owner' })
    const keys: string[] = []
    for await (const { key } of world.store.list('')) keys.push(key)
    assert.deepEqual(keys, [])
  })

  it('settings are compare and swap', async () => {
    const world = agentWorld({ mode: 'off' })
    const { revision } = await world.agent.change('docs', { mode: 'observe' }, REQUEST)
    assert.equal(revision, 1)
    await assert.rejects(
      world.agent.change('docs', { mode: 'off' }, { ...REQUEST, ifRevision: 0 }),
      {
        code: 'revision_mismatch',
      },
    )
    const { settings } = await world.documents.settings('docs')
    assert.equal(settings.mode, 'observe')
  })
})
