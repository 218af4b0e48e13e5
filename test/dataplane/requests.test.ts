/**
 * What a core answers while it is well: order, deadlines, priorities, errors, statistics, closing.
 */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { serving, TestPlane, refused, until } from './plane.ts'
import { IN_TIME, MemorySource, queryOf } from './specs.ts'

it('a shard is loaded from its log, and a read sees every write that was answered before', async (t) => {
  const { plane } = new TestPlane(t)
  const source = new MemorySource('a')
  for (let i = 0; i < 700; i += 1) source.append()
  const shard = await plane.attach(source)
  assert.equal(shard.state, 'loading')
  await refused(shard.search(queryOf(), IN_TIME), 'index_loading')
  await refused(shard.apply(1, Buffer.from('too early')), 'core_unavailable')
  await shard.whenReady()
  assert.equal(shard.progress, 1)
  assert.equal(await shard.count(null, IN_TIME), 700)
  let missed = 0
  const write = async (background: boolean): Promise<void> => {
    const { lsn, payload } = source.append()
    await shard.apply(lsn, payload)
    const seen = await shard.search(queryOf(), { ...IN_TIME, background })
    if (seen.lsn < lsn) missed += 1
  }
  await Promise.all(Array.from({ length: 50 }, (_, i) => write(i % 2 === 0)))
  assert.equal(missed, 0)
  assert.equal((await shard.checkpoint('always')).lsn, 750)
  assert.deepEqual(await shard.verify(), [])
})

it('a search does not wait for the writes that wait', async (t) => {
  const { plane } = new TestPlane(t)
  const source = new MemorySource('a')
  const shard = await plane.attach(source)
  await shard.whenReady()
  const writes = 20
  const applied: Promise<void>[] = []
  for (let i = 0; i < writes; i += 1) {
    applied.push(shard.apply(source.append().lsn, Buffer.from('slow')))
  }
  const { lsn } = await shard.search(queryOf(), IN_TIME)
  // All were sent before it. Where the frames came in two pieces, one turn ran between them.
  assert.ok(lsn <= 1, `${lsn} writes went first`)
  await Promise.all(applied)
  assert.equal((await shard.search(queryOf(), IN_TIME)).lsn, writes)
})

it('writes go on beside searches that never end', async (t) => {
  const { plane } = new TestPlane(t)
  const source = new MemorySource('a')
  const shard = await plane.attach(source)
  await shard.whenReady()
  // Each takes a turn to itself.
  const searches = Array.from({ length: 15 }, () => shard.search(queryOf({ spin_ms: 25 }), IN_TIME))
  const applied = Array.from({ length: 5 }, () =>
    shard.apply(source.append().lsn, Buffer.from('slow')),
  )
  await Promise.all(applied)
  const lsns = (await Promise.all(searches)).map(({ lsn }) => lsn)
  // One write a turn: the sixth search at the latest sees all of them.
  assert.deepEqual(
    lsns.slice(6).filter((lsn) => lsn < applied.length),
    [],
  )
})

it('a record that the load has seen already is not applied again', async (t) => {
  const { plane } = new TestPlane(t)
  const source = new MemorySource('a')
  const record = source.append()
  const shard = await plane.attach(source)
  await shard.whenReady()
  await shard.apply(record.lsn, record.payload)
  assert.equal(await shard.count(null, IN_TIME), 1)
})

it('records over the size of a chunk arrive whole and in order', async (t) => {
  const { plane } = new TestPlane(t)
  const source = new MemorySource('a')
  const shard = await plane.attach(source)
  await shard.whenReady()
  const sizes = [10, 100_000, 3, 5_000_000, 65_536]
  await Promise.all(
    sizes.map((size) => {
      const { lsn, payload } = source.append(`${size}`.padEnd(size, '.'))
      return shard.apply(lsn, payload)
    }),
  )
  assert.deepEqual(
    (await shard.matchingIds('{}', 10, IN_TIME)).map((record) => record.replaceAll('.', '')),
    sizes.map((size, i) => `${i + 1}:${size}`),
  )
})

it('a request past its deadline is answered without being run', async (t) => {
  const { plane } = new TestPlane(t)
  const shard = await plane.attach(new MemorySource('a'))
  await shard.whenReady()
  const slow = shard.search(queryOf({ spin_ms: 150 }), IN_TIME)
  // It would fail as a bug, and so degrade the core, if it ran.
  const late = shard.search(queryOf({ do: 'throw' }), { deadlineMs: Date.now() + 50 })
  const { retryAfterS } = await refused(late, 'deadline_exceeded')
  assert.ok(retryAfterS !== null)
  await slow
  assert.equal(plane.cores()[0]?.failures, 0)
})

it('interactive requests overtake background ones', async (t) => {
  const { plane } = new TestPlane(t)
  const shard = await plane.attach(new MemorySource('a'))
  await shard.whenReady()
  const order: string[] = []
  const ask = async (name: string, background: boolean): Promise<void> => {
    await shard.search(queryOf(), { ...IN_TIME, background })
    order.push(name)
  }
  const sent = Array.from({ length: 100 }, (_, i) => i < 50)
  await Promise.all(sent.map((background) => ask(background ? 'background' : 'yes', background)))
  // Each turn lets one of them go first; all the others wait for what was sent after them.
  assert.equal(order.at(-1), 'background')
})

it('an operating error of a shard keeps its code and details and counts against nobody', async (t) => {
  const { plane } = new TestPlane(t)
  const shard = await plane.attach(new MemorySource('a'))
  await shard.whenReady()
  for (let i = 0; i < 5; i += 1) {
    const error = await refused(shard.search(queryOf({ do: 'refuse' }), IN_TIME), 'invalid_filter')
    assert.deepEqual(error.details, { path: 'filter' })
  }
  assert.equal(plane.cores()[0]?.state, 'running')
})

// At the pace of beats alone, maintenance would take far longer than the bound.
it(
  'statistics come by themselves, and maintenance goes on by itself',
  { timeout: 10_000 },
  async (t) => {
    const { plane } = new TestPlane(t)
    const source = new MemorySource('a')
    const shard = await plane.attach(source)
    await shard.whenReady()
    for (let i = 0; i < 1000; i += 1) void shard.apply(source.append().lsn, Buffer.from('x'))
    // The fake moves ten points a slice.
    await until(() => shard.lastStats?.appliedLsn === 1000 && shard.lastStats.deltaPoints === 0)
    await until(() => (plane.cores()[0]?.rssBytes ?? 0) > 0)
    assert.ok((plane.cores()[0]?.cpuS ?? 0) > 0)
  },
)

it('shards go to the core with the fewest points, then the fewest shards', async (t) => {
  const { plane } = new TestPlane(t, { cores: 2 })
  const heavy = new MemorySource('heavy')
  for (let i = 0; i < 10; i += 1) heavy.append()
  const first = await plane.attach(heavy)
  const second = await plane.attach(new MemorySource('b'))
  assert.notEqual(first.core, second.core)
  await first.whenReady()
  await until(() => first.lastStats?.livePoints === 10)
  const third = await plane.attach(new MemorySource('c'))
  assert.equal(third.core, second.core)
  await Promise.all([second.whenReady(), third.whenReady()])
  assert.deepEqual(
    plane.cores().map(({ shards }) => shards),
    first.core === 0 ? [1, 2] : [2, 1],
  )
})

it('a detached shard answers what was sent before, and then is gone', async (t) => {
  const { plane } = new TestPlane(t)
  const shard = await plane.attach(new MemorySource('a'))
  await shard.whenReady()
  const before = shard.search(queryOf(), IN_TIME)
  const detached = shard.detach()
  await before
  await detached
  await shard.detach()
  await refused(shard.search(queryOf(), IN_TIME), 'index_unavailable')
  assert.equal(plane.cores()[0]?.shards, 0)
  const again = await plane.attach(new MemorySource('a'))
  await serving(again)
})

it('a shard can be detached while it is being opened', async (t) => {
  const { plane } = new TestPlane(t)
  const source = new MemorySource('a')
  source.change({ incarnation: 'open_slow' })
  const shard = await plane.attach(source)
  await until(() => shard.progress > 0)
  await shard.detach()
  assert.equal(shard.state, 'unavailable')
  const slow = new MemorySource('b')
  slow.change({ incarnation: 'open_slow' })
  const next = await plane.attach(slow)
  await next.whenReady()
  assert.equal(next.lastStats?.graphElements, 1, 'the core holds one shard')
})

it('a full queue refuses reads, background ones first, and never a logged write', async (t) => {
  const { plane } = new TestPlane(t, { queueMax: 20 })
  const source = new MemorySource('a')
  const shard = await plane.attach(source)
  await shard.whenReady()
  const waiting: Promise<unknown>[] = [shard.search(queryOf({ spin_ms: 100 }), IN_TIME)]
  while (waiting.length < 17) waiting.push(shard.search(queryOf(), IN_TIME))
  await refused(shard.search(queryOf(), { ...IN_TIME, background: true }), 'overloaded')
  shard.admit()
  while (waiting.length < 19) waiting.push(shard.search(queryOf(), IN_TIME))
  const { retryAfterS } = await refused(shard.search(queryOf(), IN_TIME), 'core_suspended')
  assert.equal(retryAfterS, 1)
  assert.throws(() => shard.admit(), { code: 'core_suspended' })
  for (let i = 0; i < 10; i += 1) waiting.push(shard.apply(source.append().lsn, Buffer.from('x')))
  await Promise.all(waiting)
  assert.equal(plane.cores()[0]?.pressure, 'normal')
  assert.equal(await shard.count(null, IN_TIME), 10)
})

it('closing answers what is in flight and ends the processes', async (t) => {
  const { plane } = new TestPlane(t, { cores: 2 })
  const shard = await plane.attach(new MemorySource('a'))
  await shard.whenReady()
  const { pid } = plane.cores()[shard.core] ?? {}
  assert.ok(typeof pid === 'number')
  const inFlight = shard.search(queryOf({ spin_ms: 50 }), IN_TIME)
  const closed = plane.close(5000)
  await refused(shard.search(queryOf(), IN_TIME), 'shutting_down')
  await inFlight
  await closed
  await plane.close()
  assert.throws(() => process.kill(pid, 0), { code: 'ESRCH' })
  await refused(plane.attach(new MemorySource('b')), 'shutting_down')
})

it('closing ends a core that hangs by force, and answers what it held', async (t) => {
  const { plane } = new TestPlane(t)
  const shard = await plane.attach(new MemorySource('a'))
  await shard.whenReady()
  const { pid } = plane.cores()[0] ?? {}
  assert.ok(typeof pid === 'number')
  const stuck = refused(shard.search(queryOf({ do: 'hang' }), IN_TIME), 'shutting_down')
  await plane.close(50)
  await stuck
  assert.throws(() => process.kill(pid, 0), { code: 'ESRCH' })
})
