/**
 * The drop worker: merging, the bound of its queue, batches, slices, retries, pins, honest counts.
 *
 * How: handlers over maps, timers of the test.
 */

import assert from 'node:assert/strict'
import { it, type TestContext } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { VectordError } from '../../src/lib/errors.ts'
import type { DropKind, DropRequest } from '../../src/versions/drop-request.ts'
import type { DropWork } from '../../src/versions/drop-work.ts'
import { DropWorker, type DropWorkerOptions } from '../../src/versions/drop-worker.ts'
import { Pins } from '../../src/versions/pins.ts'

interface Bench {
  readonly worker: DropWorker
  readonly pins: Pins
  /** By key: the versions that are there, each of 10 bytes. */
  readonly there: Map<string, Set<number>>
  /** Keys in the order in which drops began. */
  readonly begun: string[]
  /** Deletions that fail from now on. */
  failures: number
  /** What drops wait for before they look. */
  gate: Promise<unknown>
  readonly troubles: string[]
  /** Lets so many milliseconds of timers pass, and all that follows. */
  pass(ms: number): Promise<void>
}

async function settle(): Promise<void> {
  for (let turns = 0; turns < 20; turns += 1) await turn()
}

function open(t: TestContext, options: Partial<DropWorkerOptions> = {}): Bench {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const pins = new Pins()
  const there = new Map<string, Set<number>>()
  const begun: string[] = []
  const troubles: string[] = []
  const drop = async (work: DropWork): Promise<void> => {
    begun.push(work.key)
    await bench.gate
    const versions = there.get(work.key) ?? new Set()
    for (const version of work.doomed([...versions])) {
      await work.turn()
      if (bench.failures > 0) {
        bench.failures -= 1
        throw new VectordError('bucket_unreachable', 'It does not answer.')
      }
      versions.delete(version)
      work.deleted(10)
    }
  }
  const worker = new DropWorker({
    handlers: { checkpoints: { drop }, generations: { drop } },
    pins,
    ...{ queueMax: 256, batchMax: 100, batchMs: 50, sliceDeletes: 64, tickMs: 10 },
    nowMs: () => 7,
    onTrouble: (_, what) => troubles.push(what),
    ...options,
  })
  t.after(() => worker.close())
  const pass = async (ms: number): Promise<void> => {
    await settle()
    t.mock.timers.tick(ms)
    await settle()
  }
  const bench: Bench = {
    ...{ worker, pins, there, begun, failures: 0, gate: Promise.resolve(), troubles, pass },
  }
  return bench
}

const ask = (key: string, rule: Partial<DropRequest> = {}): DropRequest => ({
  ...{ kind: 'checkpoints', key, commitVersion: 100 },
  ...rule,
})

it('fewer requests than a batch wait for more, and those for one thing are one drop', async (t) => {
  const bench = open(t)
  bench.there.set('a', new Set([1, 5, 10, 20, 100]))
  await bench.worker.send(ask('a', { upToVersion: 3 }))
  await bench.pass(49)
  assert.deepEqual(bench.begun, [])
  await bench.worker.send(ask('a', { keepLastVersions: 2 }))
  assert.equal(bench.worker.status.waiting, 1)
  await bench.pass(1)
  assert.deepEqual(bench.begun, ['a'])
  assert.deepEqual([...(bench.there.get('a') ?? [])], [20, 100])
  assert.deepEqual(bench.worker.status.dropped.checkpoints, { objects: 3, bytes: 30 })
})

it('kinds of one key do not mix', async (t) => {
  const bench = open(t)
  bench.there.set('a', new Set([1, 2]))
  await bench.worker.send(ask('a', { kind: 'generations', upToVersion: 2 }))
  await bench.worker.send(ask('a', { upToVersion: 1 }))
  await bench.pass(50)
  assert.equal(bench.worker.status.dropped.generations.objects, 1)
  assert.equal(bench.worker.status.dropped.checkpoints.objects, 0)
  assert.equal(bench.worker.droppedOf('a').generations.bytes, 10)
})

it('a full batch starts at once', async (t) => {
  const bench = open(t, { batchMax: 3 })
  for (const key of ['a', 'b', 'c']) await bench.worker.send(ask(key))
  await settle()
  assert.deepEqual(bench.begun, ['a', 'b', 'c'])
})

it('a full queue makes senders wait in their order and loses none', async (t) => {
  const bench = open(t, { queueMax: 2, batchMax: 2, batchMs: 50 })
  const gate = Promise.withResolvers<null>()
  bench.gate = gate.promise
  const sent: string[] = []
  // The first two fill a batch; four lanes take up to four in all, then the queue fills.
  const keys = Array.from({ length: 12 }, (_, i) => `k${i}`)
  for (const key of keys) {
    bench.there.set(key, new Set([1]))
    void bench.worker.send(ask(key)).then(() => sent.push(key))
  }
  await settle()
  const { waiting, senders } = bench.worker.status
  assert.equal(waiting, 2)
  assert.ok(senders > 0, 'senders wait')
  assert.equal(sent.length, 12 - senders)
  // One that waits already is merged, but not past those who came first.
  void bench.worker.send(ask('k11', { upToVersion: 1 }))
  assert.equal(bench.worker.status.senders, senders + 1)
  gate.resolve(null)
  for (let i = 0; i < 10; i += 1) await bench.pass(50)
  assert.deepEqual(sent, keys)
  assert.equal(bench.worker.status.senders, 0)
  assert.equal(bench.worker.status.dropped.checkpoints.objects, 12)
})

it('deletions come in slices with a pause between them', async (t) => {
  const bench = open(t, { sliceDeletes: 4, tickMs: 10, batchMs: 0 })
  bench.there.set('a', new Set(Array.from({ length: 10 }, (_, i) => i)))
  const left = (): number => bench.there.get('a')?.size ?? 0
  await bench.worker.send(ask('a'))
  await bench.pass(0)
  assert.equal(left(), 6)
  await bench.pass(9)
  assert.equal(left(), 6)
  await bench.pass(1)
  assert.equal(left(), 2)
  await bench.pass(10)
  assert.equal(left(), 0)
})

it('what fails stays pending, is shown, and is tried again later and later', async (t) => {
  const bench = open(t)
  bench.there.set('a', new Set([1, 2, 3]))
  bench.failures = 3
  await bench.worker.send(ask('a'))
  await bench.pass(50)
  const [fault] = bench.worker.status.failing
  assert.deepEqual(fault, {
    ...{ kind: 'checkpoints', key: 'a', attempts: 1, message: 'It does not answer.', atMs: 7 },
  })
  assert.equal(bench.worker.status.pending.checkpoints, 1)
  await bench.pass(999)
  assert.equal(bench.begun.length, 1)
  await bench.pass(1)
  assert.equal(bench.begun.length, 2)
  await bench.pass(1999)
  assert.equal(bench.begun.length, 2)
  await bench.pass(1)
  assert.equal(bench.worker.status.failing[0]?.attempts, 3)
  await bench.pass(4000)
  assert.equal(bench.there.get('a')?.size, 0)
  assert.deepEqual(bench.worker.status.failing, [])
  assert.equal(bench.worker.status.pending.checkpoints, 0)
  assert.deepEqual(bench.troubles, ['drop checkpoints of "a"'], 'told once')
})

it('statistics count what was deleted before a failure, and nothing that was not', async (t) => {
  const bench = open(t)
  bench.there.set('a', new Set([1, 2, 3]))
  await bench.worker.send(ask('a'))
  const versions = bench.there.get('a')
  versions?.add(4)
  // The third deletion fails.
  const remove = versions?.delete.bind(versions)
  if (versions !== undefined && remove !== undefined) {
    versions.delete = (version) => {
      if (version === 2) bench.failures = 1
      return remove(version)
    }
  }
  await bench.pass(50)
  assert.deepEqual(bench.worker.status.dropped.checkpoints, { objects: 2, bytes: 20 })
  await bench.pass(1000)
  assert.deepEqual(bench.worker.status.dropped.checkpoints, { objects: 4, bytes: 40 })
})

it('a request for what fails joins it and does not take room in the queue', async (t) => {
  const bench = open(t, { queueMax: 1 })
  bench.there.set('a', new Set([1, 2, 3]))
  bench.failures = 1
  await bench.worker.send(ask('a', { upToVersion: 2 }))
  await bench.pass(50)
  await bench.worker.send(ask('a', { upToVersion: 3 }))
  assert.equal(bench.worker.status.waiting, 0)
  await bench.worker.send(ask('b'))
  assert.equal(bench.worker.status.senders, 0)
  await bench.pass(1000)
  assert.deepEqual([...(bench.there.get('a') ?? [])], [3])
})

it('a failing thing does not stop others', async (t) => {
  const bench = open(t)
  bench.there.set('a', new Set([1]))
  bench.there.set('b', new Set([1]))
  bench.failures = 1
  await bench.worker.send(ask('a'))
  await bench.worker.send(ask('b'))
  await bench.pass(50)
  assert.equal(bench.there.get('a')?.size, 1)
  assert.equal(bench.there.get('b')?.size, 0)
})

it('what a reader has open is spared, and dropped when the last reader lets it go', async (t) => {
  const bench = open(t)
  bench.there.set('a', new Set([1, 2, 3]))
  const pin = { kind: 'checkpoints' as DropKind, key: 'a', version: 2 }
  const releases = [bench.pins.pin(pin), bench.pins.pin(pin)]
  await bench.worker.send(ask('a'))
  await bench.pass(50)
  assert.deepEqual([...(bench.there.get('a') ?? [])], [2])
  assert.equal(bench.worker.status.pending.checkpoints, 1)
  assert.deepEqual(bench.worker.status.pins, [{ ...pin, readers: 2 }])
  releases[0]?.()
  releases[0]?.()
  await bench.pass(0)
  assert.equal(bench.there.get('a')?.size, 1, 'a release counts once')
  releases[1]?.()
  await bench.pass(0)
  assert.equal(bench.there.get('a')?.size, 0)
  assert.deepEqual(bench.worker.status.pins, [])
  assert.equal(bench.worker.status.pending.checkpoints, 0)
})

it('a pin of another thing, kind or version holds nothing back', async (t) => {
  const bench = open(t)
  bench.there.set('a', new Set([1]))
  bench.pins.pin({ kind: 'checkpoints', key: 'b', version: 1 })
  bench.pins.pin({ kind: 'generations', key: 'a', version: 1 })
  bench.pins.pin({ kind: 'checkpoints', key: 'a', version: 9 })
  await bench.worker.send(ask('a'))
  await bench.pass(50)
  assert.equal(bench.there.get('a')?.size, 0)
})

it('a pin that is let go while its drop is under way is not forgotten', async (t) => {
  const bench = open(t)
  bench.there.set('a', new Set([1, 2]))
  const release = bench.pins.pin({ kind: 'checkpoints', key: 'a', version: 1 })
  const gate = Promise.withResolvers<null>()
  await bench.worker.send(ask('a'))
  bench.gate = gate.promise
  await bench.pass(50)
  const versions = bench.there.get('a')
  const remove = versions?.delete.bind(versions)
  if (versions !== undefined && remove !== undefined) {
    versions.delete = (version) => {
      release()
      return remove(version)
    }
  }
  gate.resolve(null)
  await bench.pass(0)
  assert.equal(bench.there.get('a')?.size, 0)
})

it('closing ends at the next deletion, lets senders go and starts nothing more', async (t) => {
  const bench = open(t, { queueMax: 1, sliceDeletes: 1, tickMs: 10 })
  bench.there.set('a', new Set([1, 2, 3]))
  bench.there.set('b', new Set([1]))
  await bench.worker.send(ask('a'))
  await bench.pass(50)
  assert.equal(bench.there.get('a')?.size, 2)
  const senders = [bench.worker.send(ask('b')), bench.worker.send(ask('c'))]
  await settle()
  assert.equal(bench.worker.status.senders, 1)
  await bench.worker.close()
  await Promise.all(senders)
  await bench.worker.send(ask('late'))
  await bench.worker.close()
  await bench.pass(60_000)
  assert.equal(bench.there.get('a')?.size, 2)
  assert.equal(bench.there.get('b')?.size, 1)
  assert.deepEqual(bench.troubles, [])
})

for (const [what, request] of [
  ['an empty key', ask('')],
  ['a version that is no whole number', ask('a', { upToVersion: 1.5 })],
  ['a version below 0', ask('a', { pendingVersion: -1 })],
  ['a count that is not finite', ask('a', { keepLastVersions: Infinity })],
  ['a commit that is not a number', ask('a', { commitVersion: NaN })],
  ['a kind without a handler', ask('a', { kind: 'moved_copies' })],
] as const) {
  it(`a request with ${what} is a bug of its sender and is refused`, async (t) => {
    const bench = open(t)
    await assert.rejects(bench.worker.send(request))
    assert.equal(bench.worker.status.waiting, 0)
  })
}
