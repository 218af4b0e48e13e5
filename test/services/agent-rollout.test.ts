/**
 * The agent once it rolls out: what ends a rollout, restarts, stops, the queue.
 *
 * How: real journals, promotions and documents in memory; trials, builds and searches are played.
 */

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { VectordError } from '../../src/lib/errors.ts'
import { BY, current, inCanary, inChampion, REQUEST, stage } from '../support/agent-stages.ts'
import { agentWorld, HOUR_MS, MINUTE_MS } from '../support/agent-world.ts'

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
    const closing: Promise<void>[] = []
    world.hands.before['runTrial'] = () => {
      closing.push(world.agent.close())
    }
    await world.agent.wake()
    await Promise.all(closing)
    const { trials } = await world.journal.list('docs', { limit: 9, after: null })
    assert.equal(trials[0]?.state, 'aborted')
    assert.equal(world.agent.isRunning, false)
    assert.deepEqual(world.troubles, [])
  })

  it('an index that is deleted during a trial leaves nothing to one of its name', async () => {
    const world = agentWorld({ mode: 'observe' })
    world.hands.before['runTrial'] = () => world.agent.drop('docs')
    await world.agent.enqueue('docs', 'requested')
    await world.agent.change('docs', { minRecall: 0.99 }, REQUEST)
    await world.agent.wake()
    assert.ok(world.hands.calls.includes('runTrial'))
    const { settings, revision } = await world.documents.settings('docs')
    assert.notEqual(settings.minRecall, 0.99)
    assert.equal(revision, 0)
    const { budget, wanted } = await world.documents.state('docs')
    assert.deepEqual([budget.startsMs.length, wanted], [0, null])
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
