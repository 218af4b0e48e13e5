/**
 * What a watch measures of live searches, and what it does with the ef.
 */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { VectordError } from '../../src/lib/errors.ts'
import { collect } from '../support/collect.ts'
import { GOAL, raised, RecallWorld, rising, settled } from '../support/recall-world.ts'
import { FakeIndex, searched } from '../support/watched-index.ts'

it('samples are counted by stratum; under 100 of them nothing is claimed', async () => {
  const world = new RecallWorld()
  world.index.recallAt = () => 0.97
  await world.search(99)
  assert.deepEqual([world.watch.report('docs').samples, world.status], [99, 'unknown'])
  await world.search(201)
  await world.search(40, { k: 20 })
  const { strata, samples, sampledShare, slo } = world.watch.report('docs')
  assert.deepEqual([samples, slo.status, slo.goal], [340, 'ok', GOAL])
  assert.ok(sampledShare > 0.99, `${sampledShare}`)
  assert.deepEqual(
    strata.map((one) => [one.kBucket, one.filterBucket, one.samples, one.status, one.ef]),
    [
      ['1-10', '1', 300, 'ok', 40],
      ['11-50', '1', 40, 'unknown', 40],
    ],
  )
  const [low, high] = strata[0]?.interval ?? [1, 0]
  assert.ok(low <= 0.97 && 0.97 <= high, `${low} to ${high}`)
  assert.deepEqual(world.troubles, [])
})

it('a sample measures the ef in use and those around it, on the published generation', async () => {
  const world = new RecallWorld()
  await world.search(2, { filter: '{"a":1}' })
  assert.deepEqual(
    world.index.requests[0]?.probes,
    [20, 28, 40, 57, 80, 113].map((ef) => ({ generation: 1, ef })),
  )
  assert.equal(world.index.requests[0].query.filter, '{"a":1}')
})

it('where the server chooses ef by k, the probes are in proportion to its choice', async () => {
  const world = new RecallWorld()
  world.index.hnsw = { ...world.index.hnsw, efSearch: null }
  await world.search(2, { k: 50 })
  assert.deepEqual(
    world.index.requests[0]?.probes.map(({ ef }) => ef),
    [200, 285, 400, 565, 800, 1130],
  )
  assert.equal(world.watch.report('docs').ef, null)
})

it('not sampled: exact searches, those with an ef of their own, by id, and failed ones', async () => {
  const world = new RecallWorld()
  world.see({ ef: 50 })
  world.see({ target: { id: 'p-1' } })
  world.see({ exact: true }, { path: 'exact' })
  world.see({}, { path: 'exact' })
  world.see({}, null)
  await settled()
  assert.deepEqual([world.index.requests.length, world.offered.length], [0, 0])
  await world.search(1)
  assert.deepEqual([world.index.requests.length, world.offered.length], [1, 1])
})

it('one sample runs at a time, sixteen wait, and more are dropped', async () => {
  const world = new RecallWorld()
  const gate = Promise.withResolvers<undefined>()
  world.index.gate = gate.promise
  await world.search(1)
  for (let i = 0; i < 20; i += 1) world.see()
  await settled()
  assert.deepEqual([world.index.requests.length, world.watch.dropped.get('busy')], [1, 4])
  gate.resolve(undefined)
  await settled()
  assert.equal(world.watch.report('docs').samples, 17)
})

it('a sample that is refused is counted and not tried again; a bug is told; searches go on', async () => {
  const world = new RecallWorld()
  world.index.failure = new VectordError('overloaded', 'No time.')
  await world.search(2)
  assert.deepEqual([world.watch.dropped.get('refused'), world.index.requests.length], [2, 2])
  assert.deepEqual(world.troubles, [])
  world.index.failure = new TypeError('a bug')
  await world.search(1)
  assert.equal(world.watch.dropped.get('failed'), 1)
  assert.deepEqual(world.troubles, ['sample index "docs": TypeError: a bug'])
  world.indexes.get = () => assert.fail('another bug')
  world.see()
  assert.match(world.troubles.join(), /sample a search of index "docs"/)
})

it('recall under the goal raises the ef: written, told, and then used', async () => {
  const world = await raised()
  const [decision] = world.decisions
  assert.deepEqual(
    [decision?.kind, decision?.verdict, decision?.dryRun, world.decisions.length],
    ['live_ef', 'raise', false, 1],
  )
  assert.deepEqual([decision?.evidence['from'], decision?.evidence['to']], [40, 80])
  const asked = searched('x').query
  assert.equal(world.index.steering.steer(asked, undefined).ef, 80)
  const { ef, efSource } = world.watch.report('docs')
  assert.deepEqual([ef, efSource], [80, 'live'])
  await world.search(300)
  assert.equal(world.status, 'ok')
  await world.round()
  assert.equal(world.decisions.length, 1)
})

it('an ef that cannot be written is not used, and the next round tries again', async () => {
  const world = new RecallWorld()
  world.index.recallAt = rising
  await world.search(150)
  const operations = ['putIfAbsent'] as const
  world.objects.inject({ kind: 'error', code: 'storage_full', when: 'before', operations })
  await world.round()
  assert.deepEqual([world.index.steering.liveEf, world.decisions], [null, []])
  assert.match(world.troubles[0] ?? '', /hold the recall of index "docs"/)
  await world.round()
  assert.deepEqual([world.index.steering.liveEf, world.decisions.length], [80, 1])
})

it('the ef survives a restart, and is used from the first search on', async () => {
  const world = await raised()
  const restarted = new FakeIndex()
  world.indexes.set('docs', restarted)
  world.open()
  await world.search(1)
  assert.deepEqual([restarted.steering.liveEf, world.status], [80, 'unknown'])
  assert.equal(world.decisions.length, 1)
})

for (const [what, change] of Object.entries({
  'index of the same name': () => new FakeIndex('second'),
  generation: () => Object.assign(new FakeIndex(), { generation: 2 }),
  'configured ef': () => {
    const index = new FakeIndex()
    index.hnsw = { ...index.hnsw, efSearch: 50 }
    return index
  },
  promotion: () => {
    const index = new FakeIndex()
    index.steering.usePromoted({ hnsw: index.hnsw, source: 'promoted:t-1' })
    return index
  },
})) {
  it(`an ef that was found for another ${what} is not used`, async () => {
    const world = await raised()
    world.indexes.set('docs', change())
    world.open()
    await world.search(1)
    await world.round()
    assert.equal(world.index.steering.liveEf, null)
  })
}

it('a promotion and a new generation reset the ef and what was measured, and it is told', async () => {
  for (const change of [
    ({ steering, hnsw }: FakeIndex): void => {
      steering.usePromoted({ hnsw: { ...hnsw, efSearch: 60 }, source: 'promoted:t-1' })
    },
    (index: FakeIndex): void => {
      index.generation = 2
    },
  ]) {
    const world = await raised()
    change(world.index)
    await world.search(1)
    const { steering } = world.index
    assert.equal(steering.liveEf, null)
    assert.deepEqual([world.watch.report('docs').samples, world.status], [1, 'unknown'])
    assert.deepEqual(
      world.decisions.map(({ verdict, evidence }) => [verdict, evidence['to']]),
      [
        ['raise', 80],
        ['reset', steering.anchorEf],
      ],
    )
  }
})

it('a generation that is rolled back to, with a smaller number, is measured anew', async () => {
  const world = new RecallWorld(Object.assign(new FakeIndex(), { generation: 5 }))
  await world.search(120)
  world.index.generation = 3
  await world.search(10)
  assert.equal(world.watch.report('docs').samples, 10)
})

it('a sample that ends after its generation, its ef or its index has gone is not counted', async () => {
  for (const change of [
    (world: RecallWorld) => (world.index.generation = 2),
    (world: RecallWorld) => world.index.steering.useLiveEf(99),
    (world: RecallWorld) => world.indexes.set('docs', new FakeIndex('second')),
    (world: RecallWorld) => world.indexes.delete('docs'),
  ]) {
    const world = new RecallWorld()
    const gate = Promise.withResolvers<undefined>()
    world.index.gate = gate.promise
    await world.search(1)
    change(world)
    gate.resolve(undefined)
    await settled()
    assert.equal(world.watch.report('docs').samples, 0)
    assert.equal(world.watch.dropped.get('moved'), 1)
  }
})

it('an index that is deleted or out of service is forgotten', async () => {
  for (const change of [
    (world: RecallWorld) => world.indexes.delete('docs'),
    (world: RecallWorld) => (world.index.state = 'unavailable'),
    (world: RecallWorld) => (world.index.state = 'deleting'),
  ]) {
    const world = await raised()
    const before = (await collect(world.objects.list(''))).length
    change(world)
    await world.round()
    assert.deepEqual(world.watch.summaries(), [])
    assert.equal((await collect(world.objects.list(''))).length, before)
  }
})

it('a server that follows measures and leaves the ef alone', async () => {
  const world = new RecallWorld()
  world.index.role = 'follower'
  world.index.recallAt = rising
  await world.search(150)
  await world.round()
  assert.equal(world.status, 'violated')
  assert.deepEqual([world.index.steering.liveEf, world.decisions], [null, []])
  assert.equal((await collect(world.objects.list(''))).length, 0)
  world.index.role = 'owner'
  await world.round()
  assert.equal(world.index.steering.liveEf, 80)
})

it('where its settings forbid it the ef is left alone, and signs of drift are told all the same', async () => {
  const world = new RecallWorld()
  world.mayChangeEf = false
  world.pointsTuned = 5000
  world.index.recallAt = rising
  world.index.tombstones = 2000
  await world.search(150)
  await world.round()
  await world.round()
  assert.deepEqual([world.index.steering.liveEf, world.decisions], [null, []])
  const kinds = world.signals.map(({ kind }) => kind)
  assert.deepEqual(kinds.toSorted(), ['deletes', 'ef_over_promoted', 'growth'])
})

it('a sign of drift is told once, also across a restart', async () => {
  const world = new RecallWorld()
  world.index.tombstones = 2000
  await world.search(2)
  await world.round()
  const restarted = Object.assign(new FakeIndex(), { tombstones: 2000 })
  world.indexes.set('docs', restarted)
  world.open()
  await world.search(2)
  await world.round()
  assert.deepEqual(
    world.signals.map(({ kind }) => kind),
    ['deletes'],
  )
})

it('the ef is not lowered while another stratum is known to miss the goal', async () => {
  const lowered = async (isOtherGood: boolean): Promise<number | null> => {
    const world = new RecallWorld()
    world.index.recallAt = () => 1
    await world.search(400)
    world.index.recallAt = () => (isOtherGood ? 1 : 0.6)
    await world.search(150, { k: 20 })
    world.index.recallAt = () => 1
    for (let minute = 0; minute < 15; minute += 1) {
      await world.search(20)
      await world.round()
    }
    return world.index.steering.liveEf
  }
  assert.ok(((await lowered(true)) ?? 40) < 40)
  assert.equal(await lowered(false), null)
})

it('another goal is measured from nothing, and the ef stays', async () => {
  const world = await raised()
  world.goal = 0.8
  const { slo, ef } = world.watch.report('docs')
  assert.deepEqual([slo.goal, slo.status, ef], [0.8, 'unknown', 80])
})

it('a written ef that is damaged is told, and steers nothing', async () => {
  const world = await raised()
  const keys = await collect(world.objects.list('_indexes/docs/live_ef/'))
  const newest = keys.at(-1)?.key ?? ''
  const body = await world.objects.get(newest)
  await world.objects.put(newest, body.subarray(0, body.length - 9))
  world.indexes.set('docs', new FakeIndex())
  world.open()
  await world.search(1)
  assert.equal(world.index.steering.liveEf, null)
  assert.match(world.troubles.join(), /read the live ef of index "docs"/)
})

it('after close nothing is sampled any more', async () => {
  const world = new RecallWorld()
  await world.search(1)
  await world.watch.close()
  await world.search(2)
  assert.equal(world.index.requests.length, 1)
})
