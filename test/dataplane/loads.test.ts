/**
 * How shards come into their cores: exactly what the log holds, and one that cannot does not keep
 * the others out.
 */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { VectordError } from '../../src/lib/errors.ts'
import type { LogRecord } from '../../src/log/log-store.ts'
import { FAILURE_WINDOW_MS } from '../../src/dataplane/core-watchdog.ts'
import { serving, TestPlane, refused, until } from './plane.ts'
import { IN_TIME, MemorySource, queryOf } from './specs.ts'

it('what is written while a shard loads is applied exactly once', async (t) => {
  const { plane } = new TestPlane(t)
  /** Grows while it is read, as a live log does, and each record is offered live as well. */
  class Growing extends MemorySource {
    offers: Promise<unknown>[] = []
    override async *replay(afterLsn: number): AsyncIterable<LogRecord> {
      for await (const record of super.replay(afterLsn)) {
        if (this.records.length < 400) this.write()
        yield record
      }
      if (this.records.length < 500) this.write()
    }
    write(): void {
      const { lsn, payload } = this.append()
      this.offers.push(shard.apply(lsn, payload).catch(() => undefined))
    }
  }
  const source = new Growing('a')
  const shard = await plane.attach(source)
  source.append()
  shard.onStateChange(() => {
    // In the very turn of the change: were it late, these would be in neither.
    for (let i = 0; i < 5; i += 1) source.write()
  })
  await shard.whenReady()
  for (let i = 0; i < 5; i += 1) source.write()
  await Promise.all(source.offers)
  assert.deepEqual(
    await shard.matchingIds('{}', 10_000, IN_TIME),
    source.records.map(({ lsn }) => `${lsn}:r${lsn}`),
  )
})

it('a record that is logged between the last look and the change to ready is not missed', async (t) => {
  const { plane } = new TestPlane(t)
  /** Each look at the end of the log starts a write that lands a few microtasks later. */
  class Racing extends MemorySource {
    refusals = 0
    override lastLsn(): number {
      const last = super.lastLsn()
      if (last < 40) this.#land(last % 8)
      return last
    }
    #land(ticks: number): void {
      if (ticks > 0) {
        queueMicrotask(() => this.#land(ticks - 1))
        return
      }
      const { lsn, payload } = this.append()
      shard.apply(lsn, payload).catch(() => (this.refusals += 1))
    }
  }
  const source = new Racing('a')
  const shard = await plane.attach(source)
  await shard.whenReady()
  const records = await shard.matchingIds('{}', 1000, IN_TIME)
  assert.deepEqual(
    records,
    source.records.map(({ lsn }) => `${lsn}:r${lsn}`),
  )
  assert.ok(source.refusals > 0)
})

it('a shard whose data is damaged keeps its error, leaves others alone, and is tried again', async (t) => {
  const test = new TestPlane(t, { loadRetryMs: 20 })
  const damaged = new MemorySource('damaged')
  damaged.change({ incarnation: 'open_corrupt' })
  const bad = await test.plane.attach(damaged)
  const good = await test.plane.attach(new MemorySource('good'))
  await assert.rejects(bad.whenReady(), { code: 'object_corrupt' })
  await good.whenReady()
  assert.deepEqual(bad.error?.details, { key: 'points-1' })
  const { details } = await refused(bad.search(queryOf(), IN_TIME), 'index_unavailable')
  assert.equal(details['reason'], 'object_corrupt')
  assert.match(JSON.stringify(test.events), /"object_corrupt".*A part is damaged/)
  await until(() => damaged.specs > 3)
  assert.equal(bad.state, 'unavailable')
  damaged.change({ incarnation: 'repaired' })
  await serving(bad)
  assert.equal(bad.error, null)
  assert.equal(test.status().deaths, 0)
})

it('what a shard found damaged and rebuilds is told to the log', async (t) => {
  const { plane, events } = new TestPlane(t)
  const source = new MemorySource('a')
  source.change({ incarnation: 'open_rebuilt' })
  await (await plane.attach(source)).whenReady()
  const told = events.find(({ message }) => message === 'shard rebuilds what was damaged')
  assert.deepEqual(told?.fields, { shard: 'a/open_rebuilt/0', notice: 'the graph was damaged' })
})

it('a log that breaks off is reported as such, and replayed once it is whole', async (t) => {
  const { plane } = new TestPlane(t, { loadRetryMs: 20 })
  class Broken extends MemorySource {
    broken = true
    override async *replay(afterLsn: number): AsyncIterable<LogRecord> {
      for await (const record of super.replay(afterLsn)) {
        if (this.broken && record.lsn === 3) {
          throw new VectordError('log_corrupt', 'A record is damaged.', { details: { offset: 12 } })
        }
        yield record
      }
    }
  }
  const source = new Broken('a')
  for (let i = 0; i < 5; i += 1) source.append()
  const shard = await plane.attach(source)
  await assert.rejects(shard.whenReady(), { code: 'log_corrupt' })
  source.broken = false
  await serving(shard)
  assert.equal(await shard.count(null, IN_TIME), 5)
})

it('a log that holds less than it says does not become ready', async (t) => {
  const { plane } = new TestPlane(t, { loadRetryMs: 60_000 })
  class Short extends MemorySource {
    override lastLsn(): number {
      return 2
    }
  }
  const source = new Short('a')
  source.append()
  const shard = await plane.attach(source)
  await assert.rejects(shard.whenReady(), { code: 'log_corrupt' })
})

it('a record that cannot be applied stops its shard: no later one is applied over the hole', async (t) => {
  const { plane } = new TestPlane(t, { loadRetryMs: 20 })
  const source = new MemorySource('a')
  const shard = await plane.attach(source)
  await shard.whenReady()
  const texts = ['r1', 'throw', 'r3', 'r4']
  const results = await Promise.allSettled(
    texts.map((text) => {
      const { lsn, payload } = source.append(text)
      return shard.apply(lsn, payload)
    }),
  )
  assert.deepEqual(
    results.map(({ status }) => status),
    ['fulfilled', 'rejected', 'rejected', 'rejected'],
  )
  assert.equal(shard.state, 'unavailable')
  await refused(shard.checkpoint('always'), 'index_unavailable')
  // Not even a replay gets past it.
  const specs = source.specs
  await until(() => source.specs > specs + 2)
  assert.equal(shard.state, 'unavailable')
  source.records[1] = { lsn: 2, payload: Buffer.from('r2') }
  await serving(shard)
  assert.deepEqual(await shard.matchingIds('{}', 10, IN_TIME), ['1:r1', '2:r2', '3:r3', '4:r4'])
})

it('a shard that ends its core while it is loaded is left out after the second time', async (t) => {
  const test = new TestPlane(t, { loadRetryMs: 1500 })
  const poison = new MemorySource('poison')
  const good = new MemorySource('good')
  good.append()
  const before = await test.plane.attach(good)
  await before.whenReady()
  poison.change({ incarnation: 'open_abort' })
  const bad = await test.plane.attach(poison)
  await until(() => {
    test.nowMs += FAILURE_WINDOW_MS
    return bad.state === 'unavailable'
  })
  assert.equal(test.status().deaths, 2)
  await serving(before)
  assert.equal(await before.count(null, IN_TIME), 1)
  assert.equal(bad.error?.code, 'core_unavailable')
  poison.change({ incarnation: 'repaired' })
  await serving(bad)
  assert.equal(test.status().deaths, 2)
})

it('the death of a core while it replays loses nothing', async (t) => {
  const test = new TestPlane(t)
  class Slow extends MemorySource {
    abortAt = 0
    override async *replay(afterLsn: number): AsyncIterable<LogRecord> {
      for await (const record of super.replay(afterLsn)) {
        if (record.lsn === this.abortAt) {
          this.abortAt = 0
          test.abort()
          await until(() => test.status().state !== 'running')
        }
        yield record
      }
    }
  }
  const source = new Slow('a')
  for (let i = 0; i < 300; i += 1) source.append()
  source.abortAt = 150
  const shard = await test.plane.attach(source)
  await serving(shard)
  assert.equal(test.status().deaths, 1)
  assert.equal(await shard.count(null, IN_TIME), 300)
})
