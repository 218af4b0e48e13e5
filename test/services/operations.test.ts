/** Long work: one at a time, told truly, cancelled honestly, kept within bounds. */

import assert from 'node:assert/strict'
import { setImmediate as turn } from 'node:timers/promises'
import { it } from 'node:test'
import { VectordError } from '../../src/lib/errors.ts'
import { KeyedMutex } from '../../src/lib/keyed-mutex.ts'
import type { OperationControl } from '../../src/services/operation.ts'
import { ENDED_AGE_MS, ENDED_MAX, Operations } from '../../src/services/operations.ts'

const START_MS = 1_700_000_000_000
const ALL = { after: null, limit: 10_000 }

interface Setup {
  readonly operations: Operations
  readonly clock: { nowMs: number }
  readonly troubles: { readonly error: unknown; readonly what: string }[]
}

function setUp(): Setup {
  const clock = { nowMs: START_MS }
  const troubles: { error: unknown; what: string }[] = []
  const operations = new Operations({
    nowMs: () => clock.nowMs,
    onTrouble: (error, what) => troubles.push({ error, what }),
  })
  return { operations, clock, troubles }
}

/** Work that a test ends by hand. */
function manual(): {
  readonly work: (control: OperationControl) => Promise<{ readonly n: number }>
  readonly begun: Promise<OperationControl>
  readonly end: (result: { readonly n: number }) => void
  readonly fail: (error: unknown) => void
} {
  const begun = Promise.withResolvers<OperationControl>()
  const { promise, resolve, reject } = Promise.withResolvers<{ readonly n: number }>()
  const work = (control: OperationControl): Promise<{ readonly n: number }> => {
    begun.resolve(control)
    return promise
  }
  return { work, begun: begun.promise, end: resolve, fail: reject }
}

it('it is queued, runs, tells stage, count and the time that is left, and keeps its result', async () => {
  const { operations, clock } = setUp()
  const job = manual()
  const operation = operations.ofKind<{ readonly n: number }>('rebuild').start('a', job.work)
  const { state, stage, count, etaS, createdMs } = operation.info
  assert.deepEqual([state, stage, count, etaS, createdMs], ['queued', null, null, null, START_MS])
  const { progress } = await job.begun
  progress('reading')
  assert.deepEqual([operation.info.state, operation.info.stage], ['running', 'reading'])
  assert.equal(operation.info.etaS, null, 'without a count there is no estimate')
  progress('building', { done: 0, total: 10 })
  assert.equal(operation.info.etaS, null, 'nor before anything is done')
  clock.nowMs += 3000
  progress('building', { done: 4, total: 10 })
  assert.deepEqual([operation.info.count, operation.info.etaS], [{ done: 4, total: 10 }, 5])
  progress('saving', { done: 0, total: 2 })
  clock.nowMs += 1000
  progress('saving', { done: 1, total: 2 })
  assert.equal(operation.info.etaS, 1, 'each stage has its own pace')
  job.end({ n: 7 })
  assert.deepEqual(await operation.result(), { n: 7 })
  const ended = operations.get(operation.id)
  assert.deepEqual([ended.state, ended.result, ended.error], ['succeeded', { n: 7 }, null])
  assert.deepEqual([ended.endedMs, ended.etaS], [START_MS + 4000, null])
})

it('of one kind one runs on an index, and those who ask meanwhile share the next', async () => {
  const { operations } = setUp()
  const kind = operations.ofKind<{ readonly n: number }>('checkpoint')
  const [first, second, third] = [manual(), manual(), manual()]
  const one = kind.start('a', first.work)
  await first.begun
  const two = kind.start('a', second.work)
  assert.notEqual(two.id, one.id, 'one that has begun may have missed what the asker did before')
  assert.equal(kind.start('a', third.work), two)
  const elsewhere = manual()
  kind.start('b', elsewhere.work)
  await elsewhere.begun
  assert.equal(two.state, 'queued')
  first.end({ n: 1 })
  await second.begun
  second.end({ n: 2 })
  assert.deepEqual([await one.result(), await two.result()], [{ n: 1 }, { n: 2 }])
  const after = kind.start('a', third.work)
  await third.begun
  assert.notEqual(after.id, two.id)
  assert.throws(() => operations.ofKind('checkpoint'), /one starter/)
})

it('a failure keeps its error, is thrown to who waits, and is told where nobody does', async () => {
  const { operations, troubles } = setUp()
  const kind = operations.ofKind<{ readonly n: number }>('verify')
  const error = new VectordError('index_loading', 'It loads.')
  const fails = (): Promise<never> => Promise.reject(error)
  const awaited = kind.start('a', fails)
  await assert.rejects(awaited.result(), error)
  assert.deepEqual([awaited.info.state, awaited.info.error], ['failed', error])
  assert.deepEqual(troubles, [])
  const alone = kind.start('b', fails)
  await alone.ended()
  const what = `verify of index "b", operation ${alone.id}`
  assert.deepEqual(troubles, [{ error, what }])
  const unasked = kind.start('c', () => Promise.reject(new DOMException('x', 'AbortError')))
  await unasked.ended()
  assert.equal(unasked.state, 'failed', 'nobody had cancelled it')
  const next = kind.start('b', async () => ({ n: 1 }))
  assert.deepEqual(await next.result(), { n: 1 }, 'the next one has its turn all the same')
})

it('cancelling takes out of the queue, and what was taken out never runs', async () => {
  const { operations, troubles } = setUp()
  const kind = operations.ofKind<{ readonly n: number }>('verify')
  const [first, second, third] = [manual(), manual(), manual()]
  const one = kind.start('a', first.work)
  await first.begun
  const two = kind.start('a', async (control) => {
    assert.fail('cancelled before it began')
    return second.work(control)
  })
  const waited = assert.rejects(two.result(), { code: 'operation_cancelled' })
  assert.equal(operations.cancel(two.id).state, 'cancelled')
  await waited
  const three = kind.start('a', third.work)
  assert.notEqual(three.id, two.id, 'nobody joins one that was cancelled')
  first.end({ n: 1 })
  await one.ended()
  await third.begun
  assert.equal(operations.cancel(one.id).state, 'succeeded', 'what has ended stays as it was')
  assert.equal(operations.cancel(two.id).state, 'cancelled')
  assert.deepEqual(troubles, [])
})

it('running work is asked to stop, and called by what came of it', async () => {
  const { operations, troubles } = setUp()
  const outcome = async (
    kind: string,
    end: (job: ReturnType<typeof manual>, signal: AbortSignal) => void,
  ): Promise<string> => {
    const job = manual()
    const operation = operations.ofKind<{ readonly n: number }>(kind).start('a', job.work)
    const { signal, progress } = await job.begun
    progress('building', { done: 1, total: 2 })
    const asked = operations.cancel(operation.id)
    assert.deepEqual([asked.state, asked.stage, signal.aborted], ['running', 'cancelling', true])
    end(job, signal)
    await operation.ended()
    const { state, error } = operations.get(operation.id)
    return `${state} ${error instanceof VectordError ? error.code : String(error)}`
  }
  const stops = await outcome('1', (job, signal) => {
    job.fail(signal.reason)
  })
  assert.equal(stops, 'cancelled operation_cancelled')
  const aborts = await outcome('2', (job) => {
    job.fail(new DOMException('aborted', 'AbortError'))
  })
  assert.equal(aborts, 'cancelled operation_cancelled')
  const finishes = await outcome('3', (job) => {
    job.end({ n: 1 })
  })
  assert.equal(finishes, 'succeeded null', 'what took effect is not called cancelled')
  assert.equal(troubles.length, 0)
  const breaks = await outcome('4', (job) => {
    job.fail(new VectordError('storage_full', 'Full.'))
  })
  assert.equal(breaks, 'failed storage_full', 'another fault stays one')
  assert.equal(troubles.length, 1)
})

it('pages go from the newest to the oldest and show what the caller may see', async () => {
  const { operations, clock } = setUp()
  const kind = operations.ofKind('verify')
  const ids: string[] = []
  for (let i = 0; i < 6; i += 1) {
    clock.nowMs += 1
    const operation = kind.start(i % 2 === 0 ? 'mine' : 'other', async () => ({ i }))
    await operation.ended()
    ids.unshift(operation.id)
  }
  const running = manual()
  clock.nowMs += 1
  ids.unshift(kind.start('other', running.work).id)
  const idsOf = (page: ReturnType<Operations['list']>): string[] =>
    page.operations.map(({ id }) => id)
  const first = operations.list(() => true, { after: null, limit: 4 })
  clock.nowMs += 1
  kind.start('mine', running.work)
  const second = operations.list(() => true, { after: first.next, limit: 4 })
  assert.deepEqual([...idsOf(first), ...idsOf(second)], ids, 'a new one shifts no page')
  assert.equal(second.next, null)
  const mine = operations.list(({ index }) => index === 'mine', ALL)
  assert.equal(mine.operations.length, 4)
  assert.throws(() => operations.list(() => true, { after: 'x', limit: 1 }), {
    code: 'invalid_cursor',
  })
})

it('the ended ones are kept for a day, and at most a thousand of them', async () => {
  const { operations, clock } = setUp()
  const kind = operations.ofKind('verify')
  const job = manual()
  const open = kind.start('open', job.work)
  const oldest = kind.start('a', async () => ({}))
  await oldest.ended()
  for (let i = 1; i < ENDED_MAX; i += 1) await kind.start('a', async () => ({})).ended()
  assert.equal(operations.get(oldest.id).state, 'succeeded')
  const newest = kind.start('a', async () => ({}))
  await newest.ended()
  assert.throws(() => operations.get(oldest.id), { code: 'operation_not_found' })
  assert.equal(operations.list(() => true, ALL).operations.length, ENDED_MAX + 1)
  clock.nowMs += ENDED_AGE_MS - 1
  assert.equal(operations.get(newest.id).state, 'succeeded')
  clock.nowMs += 1
  assert.throws(() => operations.cancel(newest.id), { code: 'operation_not_found' })
  const left = operations.list(() => true, ALL).operations.map(({ id }) => id)
  assert.deepEqual(left, [open.id], 'an open one is never forgotten')
})

it('closing refuses new work, cancels what waits, and waits for what runs', async () => {
  const { operations } = setUp()
  const kind = operations.ofKind<{ readonly n: number }>('checkpoint')
  const job = manual()
  const running = kind.start('a', job.work)
  const { signal } = await job.begun
  const queued = kind.start('a', async () => ({ n: 2 }))
  const refused = assert.rejects(queued.result(), { code: 'shutting_down' })
  let isClosed = false
  const closed = operations.close().then(() => {
    isClosed = true
  })
  await refused
  assert.throws(() => kind.start('b', job.work), { code: 'shutting_down' })
  assert.equal(signal.aborted, true)
  await turn()
  assert.equal(isClosed, false)
  job.end({ n: 1 })
  await closed
  assert.deepEqual([running.state, queued.state], ['succeeded', 'cancelled'])
})

it('kinds that share their turns run one at a time on an index, and tell whether one is open', async () => {
  const { operations } = setUp()
  const turns = new KeyedMutex()
  const rebuilds = operations.ofKind<{ readonly n: number }>('rebuild', turns)
  const compactions = operations.ofKind<{ readonly n: number }>('compaction', turns)
  const [first, second, third] = [manual(), manual(), manual()]
  const one = rebuilds.start('a', first.work)
  const two = compactions.start('a', second.work)
  const other = compactions.start('b', third.work)
  await first.begun
  await third.begun
  assert.deepEqual([one.state, two.state, other.state], ['running', 'queued', 'running'])
  assert.deepEqual([rebuilds.isOpen('a'), compactions.isOpen('a')], [true, true])
  assert.equal(rebuilds.isOpen('b'), false)
  first.end({ n: 1 })
  await second.begun
  await turn()
  assert.deepEqual([rebuilds.isOpen('a'), compactions.isOpen('a')], [false, true])
  second.end({ n: 2 })
  third.end({ n: 3 })
  assert.deepEqual([await two.result(), await other.result()], [{ n: 2 }, { n: 3 }])
  await turn()
  assert.equal(compactions.isOpen('a'), false)
})
