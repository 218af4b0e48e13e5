/**
 * Following a log that another server writes: each record once and in order, whatever the writer
 * appends, gives up or hands over meanwhile, or the word that some are gone.
 */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import fc from 'fast-check'
import { MemoryStore } from '../../src/buckets/memory-store.ts'
import type { ObjectInfo, ObjectStore } from '../../src/buckets/object-store.ts'
import { hasCode } from '../../src/lib/errors.ts'
import { GroupFollower } from '../../src/log/group-follower.ts'
import { LOG_HEADER_BYTES } from '../../src/log/log-header.ts'
import type { LogStore } from '../../src/log/log-store.ts'
import { openObjectLog } from '../../src/log/object-log.ts'
import { collect } from '../support/collect.ts'
import { FaultyStore } from '../support/faulty-store.ts'
import { bytesOf, textOf } from './log-store.suite.ts'

const PREFIX = '_indexes/x/log/'

function open(store: ObjectStore, epoch: number, incarnation = 'one'): Promise<LogStore> {
  const owner = `server ${epoch}`
  const bounds = { groupBytesMax: 1000, retryWaitsMs: [0, 0, 0] }
  return openObjectLog({ store, prefix: PREFIX, incarnation, owner, epoch, ...bounds })
}

async function follow(store: ObjectStore): Promise<GroupFollower> {
  const options = { store, prefix: PREFIX, incarnation: 'one', missesPerList: 1 }
  return (await GroupFollower.open(options)) ?? assert.fail('the log has groups')
}

/** Everything that is there to be taken. */
async function poll(follower: GroupFollower): Promise<string[]> {
  const seen: string[] = []
  for (let next = await follower.peek(); next !== null; next = await follower.peek()) {
    follower.take()
    seen.push(textOf(next))
  }
  return seen
}

async function lastKey(store: ObjectStore): Promise<string> {
  return (await collect(store.list(PREFIX))).at(-1)?.key ?? ''
}

const gone = { code: 'object_not_found', message: /not there any more/ }

it('a follower starts at the end of the log, and can read back from there', async () => {
  const store = new MemoryStore()
  const options = { store, prefix: PREFIX, incarnation: 'one' }
  assert.equal(await GroupFollower.open(options), null, 'a log without a group is no log')
  const log = await open(store, 1)
  for (const text of ['a', 'b']) await log.append(bytesOf(text))
  const follower = await follow(store)
  assert.equal(follower.lastLsn, 2)
  assert.deepEqual(await poll(follower), [])
  assert.deepEqual((await collect(follower.read(0))).map(textOf), ['1:a', '2:b'])
  await log.append(bytesOf('c'))
  assert.equal(follower.lastLsn, 2, 'what was not looked for is not seen')
  assert.deepEqual(await poll(follower), ['3:c'])
  assert.equal(follower.lastLsn, 3)
  assert.deepEqual((await collect(follower.read(1))).map(textOf), ['2:b', '3:c'])
})

it('a record stays the next one until it is taken', async () => {
  const store = new MemoryStore()
  const log = await open(store, 1)
  const follower = await follow(store)
  await Promise.all(['a', 'b', 'c'].map((text) => log.append(bytesOf(text))))
  for (const expected of ['1:a', '1:a']) {
    assert.equal(textOf((await follower.peek()) ?? assert.fail('there is one')), expected)
  }
  assert.equal(follower.lastLsn, 0)
  follower.take()
  assert.equal(follower.lastLsn, 1)
  assert.deepEqual(await poll(follower), ['2:b', '3:c'])
  assert.throws(() => {
    follower.take()
  }, /taken after it was seen/)
})

it('a takeover of the log is followed like everything else', async () => {
  const store = new MemoryStore()
  const first = await open(store, 1)
  const follower = await follow(store)
  await first.append(bytesOf('a'))
  const second = await open(store, 2)
  await assert.rejects(first.append(bytesOf('late')), { code: 'log_fenced' })
  await second.append(bytesOf('b'))
  assert.deepEqual(await poll(follower), ['1:a', '2:b'])
})

it('groups that were given up before they were read are told, at every call', async () => {
  const store = new MemoryStore()
  const log = await open(store, 1)
  await log.append(bytesOf('a'))
  const follower = await follow(store)
  for (let i = 0; i < 9; i += 1) await log.append(bytesOf('x'))
  await log.truncate(8)
  await assert.rejects(poll(follower), gone)
  await assert.rejects(poll(follower), gone)
  await assert.rejects(collect(follower.read(0)), gone, 'also what it has seen')
  assert.equal(follower.lastLsn, 1)
})

it('only a list tells what is gone from what is yet to come, and it is rare', async () => {
  const store = new FaultyStore(new MemoryStore())
  const log = await open(store, 1)
  const options = { store, prefix: PREFIX, incarnation: 'one' }
  const follower = (await GroupFollower.open(options)) ?? assert.fail('there is a group')
  const before = store.operations
  for (let i = 0; i < 10; i += 1) assert.deepEqual(await poll(follower), [])
  const asked = store.log.slice(before).map(({ operation }) => operation)
  assert.deepEqual(asked, [...Array.from({ length: 10 }, () => 'get'), 'list'])
  for (let i = 0; i < 9; i += 1) await log.append(bytesOf('x'))
  await log.truncate(8)
  for (let i = 0; i < 9; i += 1) assert.deepEqual(await poll(follower), [])
  await assert.rejects(poll(follower), gone)
})

it('groups that come between the question and the list are not taken for gone', async () => {
  class HurriedStore extends MemoryStore {
    beforeList: (() => Promise<void>) | null = null

    override async *list(...args: Parameters<MemoryStore['list']>): AsyncGenerator<ObjectInfo> {
      await this.beforeList?.()
      yield* super.list(...args)
    }
  }
  const store = new HurriedStore()
  const log = await open(store, 1)
  const follower = await follow(store)
  store.beforeList = async () => {
    store.beforeList = null
    for (const text of ['a', 'b']) await log.append(bytesOf(text))
  }
  assert.deepEqual(await poll(follower), ['1:a', '2:b'])
})

it('what is not needed any more is forgotten, and the rest can still be read', async () => {
  const store = new MemoryStore()
  const log = await open(store, 1)
  const follower = await follow(store)
  for (const text of ['a', 'b', 'c', 'd']) await log.append(bytesOf(text.repeat(100)))
  await poll(follower)
  const before = follower.bytes
  follower.forget(2)
  assert.ok(follower.bytes < before)
  assert.equal((await collect(follower.read(2))).length, 2)
  follower.forget(1000)
  assert.ok(follower.bytes > LOG_HEADER_BYTES, 'the last group stays')
  await log.append(bytesOf('e'))
  assert.deepEqual(await poll(follower), ['5:e'])
})

it('a damaged, torn or foreign group is never gone past', async () => {
  const store = new MemoryStore()
  const log = await open(store, 1)
  await log.append(bytesOf('a'))
  const follower = await follow(store)
  await log.append(bytesOf('b'))
  const key = await lastKey(store)
  const whole = await store.get(key)

  const flipped = Buffer.from(whole)
  flipped[LOG_HEADER_BYTES + 30] = (flipped[LOG_HEADER_BYTES + 30] ?? 0) ^ 1
  const bodies: Uint8Array[] = [flipped]
  for (const cut of [0, 100, LOG_HEADER_BYTES, whole.length - 1]) bodies.push(whole.slice(0, cut))
  // A group of an index of the same name from before, of another place, and of an older epoch.
  for (const { incarnation, epoch, before } of [
    { incarnation: 'other', epoch: 1, before: 1 },
    { incarnation: 'one', epoch: 1, before: 2 },
    { incarnation: 'one', epoch: 0, before: 1 },
  ]) {
    const other = new MemoryStore()
    const stranger = await open(other, epoch, incarnation)
    const rows = Array.from({ length: before }, () => stranger.append(bytesOf('x')))
    await Promise.all(rows)
    await stranger.append(bytesOf('y'))
    bodies.push(await other.get(await lastKey(other)))
  }
  for (const body of bodies) {
    await store.put(key, body)
    await assert.rejects(poll(follower), { code: 'log_corrupt' })
    assert.equal(follower.lastLsn, 1)
  }
  await store.put(key, whole)
  assert.deepEqual(await poll(follower), ['2:b'])
})

it('an unreachable bucket changes nothing', async () => {
  const store = new FaultyStore(new MemoryStore())
  const log = await open(store, 1)
  const follower = await follow(store)
  await log.append(bytesOf('a'))
  for (const operation of ['get', 'list'] as const) {
    const fault = { kind: 'error', code: 'bucket_unreachable', when: 'before' } as const
    store.inject({ ...fault, operations: [operation] })
    await assert.rejects(poll(follower), { code: 'bucket_unreachable' })
    if (operation === 'get') assert.deepEqual(await poll(follower), ['1:a'])
  }
  assert.deepEqual(await poll(follower), [])
})

type Step =
  | { readonly kind: 'append'; readonly records: number }
  | { readonly kind: 'truncate'; readonly behind: number }
  | { readonly kind: 'poll'; readonly records: number }
  | { readonly kind: 'forget'; readonly behind: number }
  | { readonly kind: 'takeover' }

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 5, arbitrary: fc.record({ kind: fc.constant('append'), records: fc.nat(4) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('truncate'), behind: fc.nat(6) }) },
  { weight: 5, arbitrary: fc.record({ kind: fc.constant('poll'), records: fc.nat(5) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('forget'), behind: fc.nat(6) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('takeover') }) },
)

it('a follower sees every record once and in order, or says that some are gone', async () => {
  let reloads = 0
  let seenInAll = 0
  const run = async (steps: readonly Step[]): Promise<void> => {
    const store = new MemoryStore()
    let epoch = 1
    let log = await open(store, epoch)
    const written: string[] = []
    let truncated = 0
    let follower = await follow(store)
    const seen: string[] = []
    const take = async (records: number): Promise<void> => {
      for (let i = 0; i < records; i += 1) {
        const next = await follower.peek()
        if (next === null) {
          assert.deepEqual(seen, written, 'at the end everything was seen')
          return
        }
        follower.take()
        seen.push(textOf(next))
        assert.deepEqual(seen, written.slice(0, seen.length))
        assert.equal(follower.lastLsn, seen.length)
      }
    }
    const pollSome = async (records: number): Promise<void> => {
      try {
        await take(records)
      } catch (error) {
        if (!hasCode(error, 'object_not_found')) throw error
        assert.ok(truncated > seen.length, 'nothing is said to be gone that is there')
        reloads += 1
        follower = await follow(store)
        // As from a checkpoint up to the end that the new follower starts at.
        seen.push(...written.slice(seen.length, follower.lastLsn))
        assert.equal(seen.length, follower.lastLsn)
      }
    }
    for (const [number, what] of steps.entries()) {
      if (what.kind === 'append') {
        const texts = Array.from({ length: what.records }, (_, i) => `${number}.${i}`)
        const lsns = await Promise.all(texts.map((text) => log.append(bytesOf(text))))
        written.push(...texts.map((text, i) => `${lsns[i] ?? 0}:${text}`))
      } else if (what.kind === 'truncate') {
        truncated = Math.max(truncated, log.lastLsn - what.behind)
        await log.truncate(truncated)
      } else if (what.kind === 'forget') {
        follower.forget(follower.lastLsn - what.behind)
      } else if (what.kind === 'takeover') {
        epoch += 1
        log = await open(store, epoch)
      } else await pollSome(what.records)
    }
    for (let tries = 0; seen.length < written.length && tries < 3; tries += 1) {
      await pollSome(Infinity)
    }
    assert.deepEqual(seen, written)
    seenInAll += seen.length
  }
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 60, size: 'max' }), (steps) =>
      run(steps),
    ),
    { numRuns: 200 },
  )
  assert.ok(reloads > 10, `${reloads} reloads: the bounds are reached`)
  assert.ok(seenInAll > 1000)
})
