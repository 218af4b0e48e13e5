/** Dead letters: kept whole, in order, bounded, and gone only when somebody says so. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { MemoryStore } from '../../src/buckets/memory-store.ts'
import { DeadLetters } from '../../src/ingest/dead-letters.ts'
import { requeue } from '../../src/ingest/requeue.ts'
import { VectordError } from '../../src/lib/errors.ts'
import { FaultyStore } from '../support/faulty-store.ts'

const REASON = new VectordError('limit_exceeded', 'Too large.')
const WHOLE = { after: null, limit: 100 }

function open(lettersMax = 100, store = new MemoryStore()) {
  const options = { store: () => store, index: 'docs', nowMs: () => 1_700_000_000_000, lettersMax }
  return { store, letters: new DeadLetters(options), again: () => new DeadLetters(options) }
}

function point(id: string, vector: readonly number[] = [1, 2]) {
  return { id, vector: Float32Array.from(vector), text: 'täxt', metadata: '{"a":1}' }
}

it('a letter comes back as it went in, after a restart, in the order of its coming', async () => {
  const { letters, again } = open()
  for (const id of ['c', 'a', 'b']) await letters.add(point(id), REASON)
  const { letters: found, next } = await again().list(WHOLE)
  assert.deepEqual(
    found.map((letter) => letter.point.id),
    ['c', 'a', 'b'],
  )
  assert.equal(next, null)
  const { index, atMs, reason, point: kept } = found[0] ?? {}
  assert.deepEqual([index, atMs], ['docs', 1_700_000_000_000])
  assert.deepEqual(reason, { code: 'limit_exceeded', message: 'Too large.' })
  assert.deepEqual(kept, point('c'))
  assert.equal(await again().count(), 3)
})

it('pages go on where the last one ended', async () => {
  const { letters } = open()
  for (const id of ['a', 'b', 'c']) await letters.add(point(id), REASON)
  const first = await letters.list({ after: null, limit: 2 })
  assert.equal(first.letters.length, 2)
  const second = await letters.list({ after: first.next, limit: 2 })
  assert.deepEqual([second.letters[0]?.point.id, second.next], ['c', null])
  await assert.rejects(letters.list({ after: '../x', limit: 2 }), { code: 'invalid_cursor' })
})

it('a full list refuses the next letter, drops none, and takes one again after a delete', async () => {
  const { letters } = open(2)
  await letters.add(point('a'), REASON)
  await letters.add(point('b'), REASON)
  await assert.rejects(letters.add(point('c'), REASON), { code: 'dead_letters_full' })
  const { letters: kept } = await letters.list(WHOLE)
  assert.equal(kept.length, 2)
  await letters.delete(kept[0]?.id ?? '')
  await letters.add(point('c'), REASON)
  assert.equal(await letters.count(), 2)
})

it('what is not there is said so, whatever its name looks like', async () => {
  const { letters } = open()
  for (const id of ['1700000000000-00000000', '../meta/1', 'x', '']) {
    await assert.rejects(letters.delete(id), { code: 'dead_letter_not_found' }, id)
    await assert.rejects(letters.get([id]), { code: 'dead_letter_not_found' }, id)
  }
})

it('a fault that nobody expected is kept without its message', async () => {
  const { letters } = open()
  await letters.add(point('a'), new TypeError('/secret/path'))
  const [letter] = (await letters.list(WHOLE)).letters
  assert.equal(letter?.reason.code, 'internal')
  assert.equal(letter.reason.message.includes('secret'), false)
})

it('a flipped byte is corrupt, a newer format is named', async () => {
  const { letters, store } = open()
  await letters.add(point('a'), REASON)
  const [letter] = (await letters.list(WHOLE)).letters
  const key = `_indexes/docs/dead/${letter?.id ?? ''}.json`
  const body = await store.get(key)
  body[20] = (body[20] ?? 0) ^ 1
  await store.put(key, body)
  await assert.rejects(letters.list(WHOLE), { code: 'object_corrupt' })
})

it('where the bucket fails no letter is claimed to be kept', async () => {
  const faulty = new FaultyStore(new MemoryStore())
  const letters = new DeadLetters({ store: () => faulty, index: 'docs', nowMs: () => 5 })
  const operations = ['putIfAbsent'] as const
  faulty.inject({ kind: 'error', code: 'bucket_unreachable', when: 'before', operations })
  await assert.rejects(letters.add(point('a'), REASON), { code: 'bucket_unreachable' })
  assert.equal(await letters.count(), 0)
  await letters.add(point('a'), REASON)
  assert.equal((await letters.list(WHOLE)).letters.length, 1)
})

it('a requeue deletes what was logged, and leaves what failed or had no room', async () => {
  const { letters } = open()
  for (const id of ['a', 'b', 'c', 'd']) await letters.add(point(id), REASON)
  await letters.add(point('long', [1, 2, 3]), REASON)
  const wanted = (await letters.list(WHOLE)).letters
  const full = new VectordError('stream_buffer_full', 'Full.')
  const done = await requeue({
    ...{ letters, wanted, dimension: 2 },
    take: async (batch, bury) => {
      assert.deepEqual(batch.ids, ['a', 'b', 'c', 'd'])
      assert.deepEqual([...batch.vectors], [1, 2, 1, 2, 1, 2, 1, 2])
      await bury(batch, 1, REASON)
      return { accepted: 3, lsn: 7, deadLettered: 1, error: full }
    },
  })
  const idOf = (id: string): string => wanted.find(({ point: { id: own } }) => own === id)?.id ?? ''
  assert.deepEqual([done.requeued, done.lsn, done.error], [2, 7, full])
  assert.deepEqual([...done.failed].sort(), [idOf('b'), idOf('long')].sort())
  const left = (await letters.list(WHOLE)).letters.map((letter) => letter.point.id)
  assert.deepEqual(left, ['b', 'd', 'long'])
})

it('a text without a vector comes back without one, in a format of its own, and is requeued so', async () => {
  const { letters, store } = open()
  const text = { ...point('a'), vector: null }
  await letters.add(text, REASON)
  await letters.add(point('b'), REASON)
  const wanted = (await letters.list(WHOLE)).letters
  assert.deepEqual(
    wanted.map((letter) => letter.point),
    [text, point('b')],
  )
  const formats: unknown[] = []
  for (const { id } of wanted) {
    const body = Buffer.from(await store.get(`_indexes/docs/dead/${id}.json`)).toString()
    formats.push((JSON.parse(body) as { format: unknown }).format)
  }
  assert.deepEqual(formats, [2, 1])
  const done = await requeue({
    ...{ letters, wanted, dimension: 2 },
    take: (batch) => {
      assert.deepEqual(
        [batch.ids, [...(batch.places ?? [])]],
        [
          ['a', 'b'],
          [-1, 0],
        ],
      )
      assert.deepEqual([...batch.vectors], [1, 2])
      return Promise.resolve({ accepted: 2, lsn: 1, deadLettered: 0, error: null })
    },
  })
  assert.equal(done.requeued, 2)
})
