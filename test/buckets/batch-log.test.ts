/** Batch logs: nothing is lost or read twice, and what is damaged is told, whatever fails when. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { crc32 } from 'node:zlib'
import fc from 'fast-check'
import { MemoryStore } from '../../src/buckets/memory-store.ts'
import type { ObjectStore } from '../../src/buckets/object-store.ts'
import { collect } from '../support/collect.ts'
import { FaultyStore } from '../support/faulty-store.ts'
import { openTextLog as open, TEXT_PREFIX as PREFIX, textsOf } from '../support/text-log.ts'

it('an entry is read at once, and after a restart once it was flushed', async () => {
  const store = new MemoryStore()
  const log = open(store)
  for (const text of ['a', 'b']) log.append(text)
  assert.deepEqual(await textsOf(log), ['a', 'b'])
  assert.deepEqual(await textsOf(open(store)), [])
  assert.equal(await log.flush(), 2)
  log.append('c')
  assert.deepEqual(await textsOf(log), ['a', 'b', 'c'])
  await log.close()
  assert.deepEqual(await textsOf(open(store)), ['a', 'b', 'c'])
  assert.throws(() => log.append('d'), { code: 'shutting_down' })
  await log.close()
})

it('the thirty-second entry that waits starts a flush of all of them as one object', async () => {
  const store = new MemoryStore()
  const log = open(store, { flushAt: 32 })
  for (let i = 0; i < 31; i += 1) log.append(String(i))
  await turnsOfTheLoop()
  assert.equal((await keysIn(store)).length, 0)
  log.append('31')
  await turnsOfTheLoop()
  assert.equal((await keysIn(store)).length, 1)
  assert.deepEqual(log.counts, { waiting: 0, dropped: 0 })
})

it('what was merged is not read or merged again while somebody else deletes it', async () => {
  const store = new MemoryStore()
  const replaced: string[] = []
  const log = open(store, {
    onReplaced: async (objects) => {
      replaced.push(...objects.map(({ key }) => key))
    },
  })
  for (const text of ['a', 'b', 'c']) {
    log.append(text)
    await log.flush()
  }
  const sources = await keysIn(store)
  assert.equal(await log.compact(), 3)
  assert.deepEqual(replaced, sources)
  assert.equal((await keysIn(store)).length, 4)
  assert.deepEqual(await textsOf(log), ['a', 'b', 'c'])
  assert.equal(log.objects, 1)
  assert.equal(await log.compact(), 1, 'there is one object to merge')
  assert.equal(replaced.length, 3)
  // A crash before they were deleted: they are there twice, read once, and merged again.
  const after = open(store)
  assert.deepEqual(await textsOf(after), ['a', 'b', 'c'])
  assert.equal(await after.compact(), 4)
  assert.deepEqual(await textsOf(after), ['a', 'b', 'c'])
  assert.equal((await keysIn(store)).length, 1)
})

it('each flush is one new object whose name grows, also with a clock that is set back', async () => {
  const store = new MemoryStore()
  const clocks = [2000, 2000, 1000, 500]
  for (const nowMs of clocks) {
    const log = open(store, { nowMs: () => nowMs })
    log.append(`at ${nowMs}`)
    await log.flush()
  }
  const keys = await keysIn(store)
  assert.equal(keys.length, 4)
  for (const key of keys) assert.match(key, /^log\/x\/batch_\d{16}\.jsonl$/)
  assert.deepEqual(await newestLineOf(store, keys.at(-1) ?? ''), 'at 500')
})

it('a name that another writer took is left to it', async () => {
  const inner = new MemoryStore()
  const log = open(inner, { nowMs: () => 5 })
  log.append('ours')
  const taken = Array.from({ length: 3 }, (_, i) => `${PREFIX}batch_000000000000500${i + 1}.jsonl`)
  const store = new FaultyStore(inner)
  const late = open(store, { nowMs: () => 5 })
  late.append('late')
  // The list does not show them yet.
  store.inject({ kind: 'stale_list', changes: 3 })
  for (const key of taken) await store.put(key, Buffer.from('theirs'))
  assert.equal(await late.flush(), 1)
  for (const key of taken) assert.equal(Buffer.from(await inner.get(key)).toString(), 'theirs')
  assert.deepEqual(await textsOf(open(inner)), ['late'])
})

it('a failed flush keeps what waits, tells, and a later one writes it', async () => {
  for (const when of ['before', 'after'] as const) {
    const store = new FaultyStore(new MemoryStore())
    const troubles: unknown[] = []
    const log = open(store, { flushAt: 2, onTrouble: (error) => troubles.push(error) })
    store.inject({ kind: 'error', code: 'bucket_unreachable', when, operations: ['putIfAbsent'] })
    log.append('a')
    log.append('b')
    await turnsOfTheLoop()
    assert.equal(troubles.length, 1)
    assert.deepEqual(await textsOf(log), ['a', 'b'])
    assert.equal(await log.flush(), 2)
    // Where the first was written after all, each is there twice and read once.
    assert.deepEqual(await textsOf(open(store)), ['a', 'b'])
    await open(store).compact()
    assert.deepEqual(await textsOf(open(store)), ['a', 'b'])
  }
})

it('what may wait is bounded: more is refused, or the oldest is dropped and counted', async () => {
  const refusing = open(new MemoryStore(), { waitingMax: 2 })
  refusing.append('a')
  refusing.append('b')
  assert.throws(() => refusing.append('c'), { code: 'journal_full' })
  assert.deepEqual(await textsOf(refusing), ['a', 'b'])
  const dropping = open(new MemoryStore(), { waitingMax: 2, whenFull: 'drop_oldest' })
  for (const text of ['a', 'b', 'c']) dropping.append(text)
  assert.deepEqual(await textsOf(dropping), ['b', 'c'])
  assert.deepEqual(dropping.counts, { waiting: 2, dropped: 1 })
})

it('a crash at any step of flushes and a compaction loses nothing and doubles nothing', async () => {
  for (const when of ['before', 'after'] as const) {
    for (let at = 1; ; at += 1) {
      const inner = new MemoryStore()
      const store = new FaultyStore(inner)
      store.crashAt(at, when)
      const log = open(store)
      const durable: string[] = []
      try {
        const write = async (text: string): Promise<void> => {
          log.append(text)
          await log.flush()
          durable.push(text)
        }
        await write('a')
        await write('b')
        await write('c')
        await log.compact()
      } catch {
        assert.ok(store.crashed)
      }
      await assertHolds(inner, durable, `${when} ${at}`)
      await open(inner).compact()
      await assertHolds(inner, durable, `${when} ${at}, compacted`)
      if (!store.crashed) break
    }
  }
})

it('a read while another server compacts sees every entry', async () => {
  const store = new MemoryStore()
  for (const text of ['a', 'b', 'c']) {
    const log = open(store)
    log.append(text)
    await log.flush()
  }
  const [texts] = await Promise.all([textsOf(open(store)), open(store).compact()])
  assert.deepEqual(texts, ['a', 'b', 'c'])
})

it('an object that is cut at any byte is told of, and every whole line of it is read', async () => {
  const store = new MemoryStore()
  const log = open(store)
  for (const text of ['first', 'second', 'third']) log.append(text)
  await log.flush()
  const [key = ''] = await keysIn(store)
  const body = await store.get(key)
  for (let bytes = 0; bytes < body.length; bytes += 1) {
    await store.put(key, body.subarray(0, bytes))
    const { entries, problems } = await open(store).read()
    const whole = Buffer.from(body.subarray(0, bytes)).toString().split('\n').length - 1
    // The last newline alone carries nothing.
    const expected = bytes === body.length - 1 ? 3 : whole + (isLineEnd(body, bytes) ? 1 : 0)
    assert.equal(entries.length, expected, `cut at ${bytes}`)
    if (bytes < body.length - 1) assert.equal(problems.length, 1, `cut at ${bytes}`)
  }
})

it('any flipped bit is found: no line is read other than it was written', async () => {
  const store = new MemoryStore()
  const log = open(store)
  for (const text of ['first', 'second']) log.append(text)
  await log.flush()
  const [key = ''] = await keysIn(store)
  const body = await store.get(key)
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 0, max: body.length * 8 - 1 }), async (bit) => {
      const flipped = new Uint8Array(body)
      flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      await store.put(key, flipped)
      const { entries, problems } = await open(store).read()
      for (const { record } of entries) assert.ok(['first', 'second'].includes(record))
      // The newline at the very end is the one byte that says nothing.
      if (bit >> 3 < body.length - 1) assert.ok(problems.length > 0, `bit ${bit}`)
    }),
    { numRuns: 300 },
  )
})

it('alien objects, newer lines and lines that are no record are told of and outlive compactions', async () => {
  const store = new MemoryStore()
  const log = open(store)
  const aliens = {
    [`${PREFIX}notes.txt`]: 'hello',
    [`${PREFIX}batch_0000000000000001.jsonl`]: sealed('{"format":2,"id":"1","new":true}'),
    [`${PREFIX}batch_0000000000000002.jsonl`]: sealed('{"format":1,"id":"1","left":0,"text":7}'),
    [`${PREFIX}batch_9999999999999999.jsonl`]: 'no json\n',
  }
  for (const [key, body] of Object.entries(aliens)) await store.put(key, Buffer.from(body))
  for (const text of ['a', 'b']) {
    log.append(text)
    await log.flush()
  }
  assert.equal(await log.compact(), 2)
  const { problems } = await open(store).read()
  assert.deepEqual(new Set(problems.map(({ key }) => key)), new Set(Object.keys(aliens)))
  const newer = problems.find(({ code }) => code === 'format_too_new')
  assert.match(newer?.message ?? '', /format 2.*up to 1/)
  assert.deepEqual(await textsOf(open(store)), ['a', 'b'])
  assert.equal((await keysIn(store)).length, 5)
})

it('a bucket that fails is an error of the read, never an empty log', async () => {
  for (const operation of ['list', 'get'] as const) {
    const inner = new MemoryStore()
    const log = open(inner)
    log.append('a')
    await log.flush()
    const store = new FaultyStore(inner)
    store.inject({
      kind: 'error',
      code: 'bucket_unreachable',
      when: 'before',
      operations: [operation],
    })
    await assert.rejects(open(store).read(), { code: 'bucket_unreachable' })
  }
})

it('whatever is appended, flushed, compacted and reopened, the log holds what it should', async () => {
  const step = fc.constantFrom('append', 'flush', 'compact', 'reopen', 'fail')
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
      const store = new FaultyStore(new MemoryStore())
      let log = open(store)
      const durable: string[] = []
      let waiting: string[] = []
      for (const [i, kind] of steps.entries()) {
        if (kind === 'append') waiting.push(String(i))
        if (kind === 'append') log.append(String(i))
        if (kind === 'fail') {
          store.inject({
            kind: 'error',
            code: 'storage_full',
            when: 'before',
            operations: ['putIfAbsent'],
          })
          const fails = waiting.length > 0
          await log.flush().then(
            () => assert.ok(!fails),
            () => assert.ok(fails),
          )
          store.heal()
        }
        if (kind === 'flush') await log.flush()
        if (kind === 'flush') durable.push(...waiting.splice(0))
        if (kind === 'compact') await log.compact()
        if (kind === 'reopen') [log, waiting] = [open(store), []]
        assert.deepEqual((await textsOf(log)).toSorted(), [...durable, ...waiting].toSorted())
      }
    }),
    { numRuns: 60 },
  )
})

async function assertHolds(store: ObjectStore, texts: readonly string[], when: string) {
  const found = await textsOf(open(store))
  assert.equal(new Set(found).size, found.length, when)
  for (const text of texts) assert.ok(found.includes(text), `${when}: ${text}`)
}

async function keysIn(store: ObjectStore): Promise<string[]> {
  return (await collect(store.list(PREFIX))).map(({ key }) => key)
}

async function newestLineOf(store: ObjectStore, key: string): Promise<unknown> {
  const line = JSON.parse(Buffer.from(await store.get(key)).toString()) as { text: string }
  return line.text
}

function isLineEnd(body: Uint8Array, bytes: number): boolean {
  return body[bytes] === 0x0a
}

/** A line as a program that knows the format would write it. */
function sealed(text: string): string {
  const crc = crc32(text).toString(16).padStart(8, '0')
  return `${text.slice(0, -1)},"crc":"${crc}"}\n`
}

/** Lets work that was started and not awaited end: memory stores need a few turns. */
async function turnsOfTheLoop(): Promise<void> {
  for (let i = 0; i < 5; i += 1) await new Promise((resolve) => setImmediate(resolve))
}
