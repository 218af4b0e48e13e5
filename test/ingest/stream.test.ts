/** A stream answers when points are durable, writes in batches, and takes no more than it holds. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { VectordError } from '../../src/lib/errors.ts'
import { names, openStream } from '../support/stream-world.ts'

const deltaFull = new VectordError('delta_full', 'Full.', { retryAfterS: 1 })

/** Notes when a promise is settled. */
function watch<T>(promise: Promise<T>): { value: T | undefined } {
  const seen: { value: T | undefined } = { value: undefined }
  void promise.then((value) => {
    seen.value = value
  })
  return seen
}

it('points of many requests are one write, as soon as they fill a batch', async (t) => {
  const { take, target, pass, record } = openStream(t, { batchSize: 4 })
  const first = watch(take(['a', 'b']))
  await pass(10)
  assert.deepEqual(target.writes, [])
  const second = watch(take(['c', 'd']))
  await pass(0)
  assert.deepEqual(target.writes, [['a', 'b', 'c', 'd']])
  const logged = { accepted: 2, lsn: 1, deadLettered: 0, error: null }
  assert.deepEqual([first.value, second.value], [logged, logged])
  assert.deepEqual(record.totals.flushes, { size: 1, time: 0, drain: 0 })
})

it('what does not fill a batch is written when the first of it has waited the interval', async (t) => {
  const { take, target, pass, record } = openStream(t, { flushIntervalMs: 50 })
  void take(['a'])
  await pass(30)
  void take(['b'])
  await pass(19)
  assert.deepEqual(target.writes, [])
  await pass(1)
  assert.deepEqual(target.writes, [['a', 'b']])
  assert.deepEqual(record.totals.flushes, { size: 0, time: 1, drain: 0 })
})

it('a full batch resets the interval of the points that it leaves behind', async (t) => {
  const { take, target, pass } = openStream(t, { batchSize: 3, flushIntervalMs: 50 })
  void take(['a', 'b'])
  await pass(40)
  void take(['c', 'd'])
  await pass(0)
  assert.deepEqual(target.writes, [['a', 'b', 'c']])
  await pass(49)
  assert.equal(target.writes.length, 1)
  await pass(1)
  assert.deepEqual(target.writes[1], ['d'])
})

it('a request larger than a batch is written at once, to its end', async (t) => {
  const { take, target, pass } = openStream(t, { batchSize: 3 })
  const outcome = watch(take(names('p', 8)))
  await pass(0)
  assert.deepEqual(
    target.writes.map((ids) => ids.length),
    [3, 3, 2],
  )
  assert.deepEqual(outcome.value, { accepted: 8, lsn: 3, deadLettered: 0, error: null })
})

it('an id that comes again belongs to the next batch, so that the later point wins', async (t) => {
  const { take, target, pass } = openStream(t, { batchSize: 10 })
  void take(['a', 'b'])
  void take(['b', 'c'])
  await pass(100)
  assert.deepEqual(target.writes, [
    ['a', 'b'],
    ['b', 'c'],
  ])
})

it('a clock that is set back delays nothing', async (t) => {
  const world = openStream(t, { flushIntervalMs: 50 })
  const { take, target, pass } = world
  void take(['a'])
  await pass(10)
  void take(['b'])
  world.skewMs = -3_600_000
  await pass(40)
  assert.deepEqual(target.writes, [['a', 'b']])
  void take(['c'])
  await pass(50)
  assert.deepEqual(target.writes[1], ['c'])
})

it('takes what fits, and says how much that was when it is durable', async (t) => {
  const { take, target, pass, record } = openStream(t, { bufferSize: 5, batchSize: 5 })
  void take(names('a', 3))
  const partly = watch(take(names('b', 4)))
  await pass(0)
  assert.deepEqual(target.logged, [...names('a', 3), 'b0', 'b1'])
  assert.deepEqual([partly.value?.accepted, partly.value?.lsn], [2, 1])
  assert.equal(partly.value?.error?.code, 'stream_buffer_full')
  assert.deepEqual(partly.value.error.details, {
    ...{ index: 'docs', waiting: 0, buffer_size: 5 },
    ...{ accepted: 2, lsn: 1, first_refused: 2 },
  })
  assert.equal(record.totals.refused, 2)
})

it('what is logged and not applied fills the buffer too', async (t) => {
  const { take, target, pass, stream } = openStream(t, { bufferSize: 4, batchSize: 4 })
  target.appliesAtOnce = false
  void take(names('a', 4))
  await pass(0)
  assert.deepEqual([stream.fill.buffered, stream.fill.unapplied], [0, 4])
  const refused = await take(['b'])
  assert.deepEqual([refused.accepted, refused.lsn], [0, null])
  assert.equal(refused.error?.code, 'stream_buffer_full')
  assert.throws(() => stream.check(), { code: 'stream_buffer_full' })
  target.applyAll()
  stream.check()
  const taken = watch(take(['b']))
  await pass(50)
  assert.equal(taken.value?.accepted, 1)
})

it('Retry-After is what must drain at the rate at which it drained', async (t) => {
  const { take, target, pass, stream } = openStream(t, { bufferSize: 1000, batchSize: 100 })
  target.appliesAtOnce = false
  void take(names('a', 1000))
  await pass(0)
  // 100 points each 500 ms: 200 a second.
  for (let lsn = 1; lsn <= 5; lsn += 1) {
    await pass(500)
    target.appliedLsn = lsn
    assert.equal(stream.fill.unapplied, 1000 - 100 * lsn)
  }
  const partly = watch(take(names('b', 800)))
  await pass(0)
  // 500 were taken; for the other 300 as many must go, which takes 1.5 seconds.
  assert.deepEqual([partly.value?.accepted, partly.value?.error?.retryAfterS], [500, 2])
})

it('where the log says no for now, points wait and are tried again', async (t) => {
  const { take, target, pass, record } = openStream(t, { batchSize: 2 })
  target.refuse = () => deltaFull
  const waiting = watch(take(['a', 'b']))
  await pass(200)
  assert.equal(waiting.value, undefined)
  assert.ok(target.attempts.length > 2, 'it tries again')
  assert.ok(target.attempts.length < 10, 'it backs off')
  target.refuse = () => null
  await pass(1000)
  assert.deepEqual(waiting.value, { accepted: 2, lsn: 1, deadLettered: 0, error: null })
  assert.deepEqual(target.writes, [['a', 'b']])
  assert.equal(record.lastFault?.code, 'delta_full')
})

it('at its deadline a request gets the error that held it up, and its points are gone', async (t) => {
  const { take, target, pass, stream } = openStream(t, { batchSize: 2 })
  target.refuse = () => deltaFull
  const short = watch(take(['a', 'b'], Date.now() + 300))
  const long = watch(take(['c', 'd']))
  await pass(300)
  const { accepted, error } = short.value ?? {}
  assert.deepEqual([accepted, error?.code, error?.retryAfterS], [0, 'delta_full', 1])
  assert.deepEqual(error?.details, { accepted: 0, lsn: null, first_refused: 0 })
  assert.equal(stream.fill.buffered, 2)
  target.refuse = () => null
  await pass(1000)
  assert.deepEqual(target.logged, ['c', 'd'])
  assert.equal(long.value?.accepted, 2)
})

it('a deadline during a write leaves open whether it becomes durable, and says so', async (t) => {
  const { take, target, pass } = openStream(t, { batchSize: 2 })
  const gate = Promise.withResolvers<undefined>()
  target.gate = gate.promise
  const late = watch(take(['a', 'b'], Date.now() + 100))
  await pass(100)
  const error = late.value?.error ?? null
  assert.equal(error?.code, 'deadline_exceeded')
  assert.match(error.message, /may still become durable/)
  gate.resolve(undefined)
  const next = watch(take(['c', 'd']))
  await pass(0)
  assert.deepEqual(target.writes, [
    ['a', 'b'],
    ['c', 'd'],
  ])
  assert.equal(next.value?.lsn, 2)
})

it('of a request that fails half-way the answer says which prefix is durable', async (t) => {
  const { take, target, pass } = openStream(t, { batchSize: 2 })
  target.refuse = (ids) => (ids.includes('p4') ? deltaFull : null)
  const outcome = watch(take(names('p', 6), Date.now() + 500))
  await pass(500)
  const { accepted, lsn, error } = outcome.value ?? {}
  assert.deepEqual([accepted, lsn, error?.code], [4, 2, 'delta_full'])
  assert.deepEqual(error?.details, { accepted: 4, lsn: 2, first_refused: 4 })
  assert.deepEqual(target.logged, names('p', 4))
})

it('bad points are found by halving: the good ones are logged, the bad ones are dead letters', async (t) => {
  const { take, target, pass, buried, record } = openStream(t, { batchSize: 8 })
  const bad = new VectordError('limit_exceeded', 'Too large.')
  target.refuse = (ids) => (ids.includes('p2') || ids.includes('p7') ? bad : null)
  const outcome = watch(take(names('p', 8)))
  await pass(0)
  assert.deepEqual(
    buried.map(({ id }) => id),
    ['p2', 'p7'],
  )
  assert.equal(buried[0]?.reason, bad)
  assert.deepEqual(target.logged, ['p0', 'p1', 'p3', 'p4', 'p5', 'p6'])
  assert.deepEqual(outcome.value, { accepted: 8, lsn: 4, deadLettered: 2, error: null })
  assert.deepEqual([record.totals.logged, record.totals.deadLettered], [6, 2])
})

it('a fault that is no operating error is bisected too, and never shown', async (t) => {
  const { take, target, pass, buried, record } = openStream(t, { batchSize: 2 })
  target.refuse = (ids) => (ids.includes('b') ? new TypeError('secret') : null)
  void take(['a', 'b'])
  await pass(0)
  assert.deepEqual([target.logged, buried.map(({ id }) => id)], [['a'], ['b']])
  assert.equal(record.lastFault?.message.includes('secret'), false)
})

it('where dead letters find no room, only the request of the bad point fails', async (t) => {
  const world = openStream(t, { batchSize: 4 })
  const { take, target, pass } = world
  world.burial = new VectordError('dead_letters_full', 'Full.')
  target.refuse = (ids) => (ids.includes('b') ? new VectordError('limit_exceeded', 'No.') : null)
  const first = watch(take(['a', 'b']))
  const second = watch(take(['c', 'd']))
  await pass(0)
  assert.deepEqual([first.value?.accepted, first.value?.error?.code], [1, 'dead_letters_full'])
  assert.deepEqual([second.value?.accepted, second.value?.error], [2, null])
})

it('an unreachable bucket of dead letters is waited for like one of the log', async (t) => {
  const world = openStream(t, { batchSize: 2 })
  const { take, target, pass, buried } = world
  world.burial = new VectordError('bucket_unreachable', 'Down.')
  target.refuse = (ids) => (ids.includes('a') ? new VectordError('limit_exceeded', 'No.') : null)
  const outcome = watch(take(['a', 'b']))
  await pass(100)
  assert.equal(outcome.value, undefined)
  world.burial = null
  await pass(1000)
  assert.deepEqual(
    buried.map(({ id }) => id),
    ['a'],
  )
  assert.deepEqual(outcome.value, { accepted: 2, lsn: 1, deadLettered: 1, error: null })
})

it('what waiting does not help is answered at once', async (t) => {
  for (const code of ['not_owner', 'log_fenced', 'log_corrupt'] as const) {
    await t.test(code, async (part) => {
      const { take, target, pass, buried } = openStream(part, { batchSize: 2 })
      target.refuse = () => new VectordError(code, 'No.')
      const outcome = watch(take(['a', 'b']))
      await pass(0)
      assert.deepEqual([outcome.value?.accepted, outcome.value?.error?.code], [0, code])
      assert.equal(target.attempts.length, 1)
      assert.deepEqual(buried, [])
    })
  }
})

it('draining writes at once what waits, answers it, and takes nothing more', async (t) => {
  const { take, target, pass, stream, record } = openStream(t)
  const waiting = watch(take(['a']))
  const drained = watch(stream.drain().then(() => true))
  assert.throws(() => void take(['b']), { code: 'stream_draining' })
  await pass(0)
  assert.deepEqual([target.logged, waiting.value?.accepted, drained.value], [['a'], 1, true])
  assert.deepEqual(record.totals.flushes, { size: 0, time: 0, drain: 1 })
  await stream.drain()
})

it('draining ends also where the log never takes the rest', async (t) => {
  const { take, target, pass, stream } = openStream(t)
  target.refuse = () => deltaFull
  const waiting = watch(take(['a'], Date.now() + 5000))
  const drained = watch(stream.drain().then(() => true))
  await pass(4000)
  assert.equal(drained.value, undefined)
  await pass(2500)
  assert.deepEqual([waiting.value?.error?.code, drained.value], ['delta_full', true])
})

it('a bug stops the stream: whoever waits and whoever comes is told, nobody hangs', async (t) => {
  const world = openStream(t, { batchSize: 2 })
  const { take, target, pass, troubles, stream } = world
  world.burial = new RangeError('a bug')
  target.refuse = (ids) => (ids.includes('a') ? new VectordError('limit_exceeded', 'No.') : null)
  const first = watch(take(['a', 'b']))
  const second = watch(take(['c']))
  await pass(0)
  assert.deepEqual(
    [first.value?.error?.code, second.value?.error?.code],
    ['stream_stopped', 'stream_stopped'],
  )
  assert.throws(() => void take(['d']), { code: 'stream_stopped' })
  assert.equal(troubles.length, 1)
  assert.equal(stream.fill.state, 'stopped')
  await stream.drain()
})

it('a stream that was idle starts again with the next request', async (t) => {
  const { take, target, pass } = openStream(t)
  for (const id of ['a', 'b', 'c']) {
    const outcome = watch(take([id]))
    await pass(50)
    assert.equal(outcome.value?.accepted, 1)
  }
  assert.deepEqual(target.writes, [['a'], ['b'], ['c']])
})
