/**
 * What happens when a core or a request fails: it fails alone, it is answered, nothing is lost.
 */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { VectordError } from '../../src/lib/errors.ts'
import { COOLDOWN_MS, FAILURE_WINDOW_MS } from '../../src/dataplane/core-watchdog.ts'
import { serving, TestPlane, refused, until } from './plane.ts'
import { IN_TIME, MemorySource, queryOf } from './specs.ts'

it('a request that throws is answered at once with an id, and others are not touched', async (t) => {
  const { plane, events } = new TestPlane(t)
  const shard = await plane.attach(new MemorySource('a'))
  await shard.whenReady()
  const all = [queryOf(), queryOf({ do: 'throw' }), queryOf()].map((query) =>
    shard.search(query, IN_TIME),
  )
  const [before, failed, after] = await Promise.allSettled(all)
  assert.deepEqual(
    [before?.status, failed?.status, after?.status],
    ['fulfilled', 'rejected', 'fulfilled'],
  )
  const error = await refused(all[1] ?? Promise.resolve(), 'internal')
  assert.match(JSON.stringify(error.details), /^\{"request_id":"core-0-\d+"\}$/)
  assert.doesNotMatch(JSON.stringify([error.message, error.details]), /secret/)
  assert.match(JSON.stringify(events), /TypeError: a bug with a secret/)
})

it('the third failure within a minute degrades the core; successes in between do not help', async (t) => {
  const test = new TestPlane(t)
  const source = new MemorySource('a')
  const shard = await test.plane.attach(source)
  await shard.whenReady()
  for (let i = 0; i < 3; i += 1) {
    await shard.search(queryOf(), IN_TIME)
    await refused(shard.search(queryOf({ do: 'throw', spin_ms: i }), IN_TIME), 'internal')
    test.nowMs += 1000
  }
  assert.equal(test.status().state, 'degraded')
  const { retryAfterS, details } = await refused(shard.search(queryOf(), IN_TIME), 'core_degraded')
  assert.equal(retryAfterS, COOLDOWN_MS / 1000 - 1)
  assert.equal(details['cooldown_ms'], COOLDOWN_MS - 1000)
  assert.throws(() => shard.admit(), { code: 'core_degraded' })
  // What is logged is applied, and checkpoints go on.
  await shard.apply(source.append().lsn, Buffer.from('x'))
  assert.equal((await shard.checkpoint('always')).lsn, 1)
  test.nowMs += COOLDOWN_MS
  assert.equal((await shard.search(queryOf(), IN_TIME)).lsn, 1)
  assert.equal(test.status().state, 'running')
})

it('what waits in a core when it is degraded is answered at once, and never run', async (t) => {
  const { plane } = new TestPlane(t)
  const source = new MemorySource('a')
  const shard = await plane.attach(source)
  await shard.whenReady()
  const failing = [1, 2, 3].map((i) => shard.search(queryOf({ do: 'throw', spin_ms: i }), IN_TIME))
  const slow = shard.search(queryOf({ spin_ms: 300 }), IN_TIME)
  const waiting = shard.search(queryOf({ do: 'abort' }), IN_TIME)
  const applied = shard.apply(source.append().lsn, Buffer.from('x'))
  await Promise.all([
    ...failing.map((one) => refused(one, 'internal')),
    refused(slow, 'core_degraded'),
    refused(waiting, 'core_degraded'),
  ])
  await applied
  assert.equal(plane.cores()[0]?.deaths, 0)
  assert.equal(plane.cores()[0]?.queue, 0)
})

it('a request that failed the core twice is refused, and only that one', async (t) => {
  const test = new TestPlane(t)
  const shard = await test.plane.attach(new MemorySource('a'))
  await shard.whenReady()
  const poison = queryOf({ do: 'throw' })
  await refused(shard.search(poison, IN_TIME), 'internal')
  await refused(shard.search(poison, IN_TIME), 'internal')
  await refused(shard.search(poison, IN_TIME), 'request_quarantined')
  await refused(shard.search(queryOf({ do: 'throw', spin_ms: 1 }), IN_TIME), 'internal')
  assert.equal(test.status().state, 'degraded')
  test.nowMs += COOLDOWN_MS
  await refused(shard.search(poison, IN_TIME), 'request_quarantined')
  await shard.search(queryOf(), IN_TIME)
})

it('a request that ended its core twice is refused, those that waited beside it are not', async (t) => {
  const test = new TestPlane(t)
  const shard = await test.plane.attach(new MemorySource('a'))
  await shard.whenReady()
  const poison = queryOf({ do: 'abort' })
  const beside = [1, 2, 3].map((i) => queryOf(null, [i]))
  for (let round = 0; round < 2; round += 1) {
    test.nowMs += FAILURE_WINDOW_MS
    const sent = [...beside, poison, ...beside].map((query) => shard.search(query, IN_TIME))
    const ends = await Promise.allSettled(sent)
    assert.equal(ends[3]?.status, 'rejected')
    await until(() => test.events.filter((e) => e.message === 'core died').length > round)
    await serving(shard)
  }
  const { details } = await refused(shard.search(poison, IN_TIME), 'request_quarantined')
  assert.equal(details['failures'], 2)
  for (const query of beside) await shard.search(query, IN_TIME)
})

it('a core that hangs is found out, killed and replaced; its requests are answered', async (t) => {
  const test = new TestPlane(t, { silenceMaxMs: 1000 })
  const shard = await test.plane.attach(new MemorySource('a'))
  await shard.whenReady()
  const bounded = shard.search(queryOf({ do: 'hang' }), { deadlineMs: Date.now() + 100 })
  const unbounded = shard.search(queryOf(), IN_TIME)
  await Promise.all([refused(bounded, 'deadline_exceeded'), refused(unbounded, 'core_unavailable')])
  await until(() => test.events.some((e) => e.message === 'core died' && e.fields['hung'] === true))
  await serving(shard)
  await shard.search(queryOf(), IN_TIME)
})

it('20 aborts while serving: answered at once, other cores untouched, nothing lost or doubled', async (t) => {
  const test = new TestPlane(t, { cores: 2 })
  const [hit, calm] = [new MemorySource('hit'), new MemorySource('calm')]
  const victim = await test.plane.attach(hit)
  const bystander = await test.plane.attach(calm)
  await Promise.all([victim.whenReady(), bystander.whenReady()])
  assert.notEqual(victim.core, bystander.core)
  const calmPid = test.status(bystander.core).pid
  let running = true
  const codes = new Map<string, number>()
  const count = (outcome: string): void => void codes.set(outcome, (codes.get(outcome) ?? 0) + 1)
  let n = 0
  const reader = async (): Promise<void> => {
    while (running) {
      n += 1
      const query = queryOf(null, [n])
      await victim.search(query, { deadlineMs: Date.now() + 2000 }).then(
        () => count('served'),
        (error: unknown) => count(error instanceof VectordError ? error.code : String(error)),
      )
      if (victim.state !== 'ready') await delay(1)
    }
  }
  const writer = async (): Promise<void> => {
    while (running) {
      const { lsn, payload } = hit.append()
      // It is in the log: whether this succeeds only says when it is searchable.
      await victim.apply(lsn, payload).catch(() => delay(1))
    }
  }
  let bystanderServed = 0
  const other = async (): Promise<void> => {
    while (running) {
      await bystander.search(queryOf(), { deadlineMs: Date.now() + 5000 })
      bystanderServed += 1
    }
  }
  const all = [reader(), reader(), reader(), writer(), other()]
  for (let aborts = 1; aborts <= 20; aborts += 1) {
    await serving(victim)
    const before = codes.get('served') ?? 0
    await until(() => (codes.get('served') ?? 0) > before + 20)
    test.nowMs += FAILURE_WINDOW_MS
    test.abort(victim.core)
    await until(() => test.status(victim.core).deaths === aborts)
    assert.notEqual(victim.state, 'ready')
  }
  await serving(victim)
  running = false
  await Promise.all(all)
  assert.equal(test.status(bystander.core).pid, calmPid)
  assert.equal(test.status(bystander.core).deaths, 0)
  assert.ok(bystanderServed > 0)
  assert.deepEqual(
    [...codes.keys()].filter(
      (code) => !['served', 'core_unavailable', 'index_loading'].includes(code),
    ),
    [],
  )
  assert.ok((codes.get('core_unavailable') ?? 0) > 0)
  assert.deepEqual(
    await victim.matchingIds('{}', 1_000_000, IN_TIME),
    hit.records.map(({ lsn }) => `${lsn}:r${lsn}`),
  )
})

it('the third death within a minute degrades the core while it is loaded again', async (t) => {
  const test = new TestPlane(t)
  const source = new MemorySource('a')
  const shard = await test.plane.attach(source)
  for (let deaths = 1; deaths <= 3; deaths += 1) {
    await serving(shard)
    test.nowMs += 1000
    test.abort()
    await until(() => test.status().deaths === deaths)
  }
  await refused(shard.search(queryOf(), IN_TIME), 'index_loading')
  await serving(shard)
  assert.equal(test.status().state, 'degraded')
  await refused(shard.search(queryOf(), IN_TIME), 'core_degraded')
  await shard.apply(source.append().lsn, Buffer.from('x'))
  test.nowMs += COOLDOWN_MS
  assert.equal((await shard.search(queryOf(), IN_TIME)).lsn, 1)
})
