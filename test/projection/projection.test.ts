/** Texts come by their vectors: in order, fairly, whatever happens meanwhile. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { VectordError } from '../../src/lib/errors.ts'
import { FakeTextIndex } from './fake-index-texts.ts'
import {
  FakeEmbedder,
  gate,
  OLD,
  openProjection,
  RULES,
  STAMP,
  textsOf,
  turns,
  UNAVAILABLE,
} from './projection-world.ts'

const NOTHING = { incremental: 0, backfill: 0, failed: 0, discarded: 0 }

it('a write is embedded at once, without waiting for a tick', async (t) => {
  const { projection, index, embedder, pass } = openProjection(t)
  projection.start()
  await pass(0)
  index.write({ a: 'one', b: 'two' })
  await pass(0)
  assert.deepEqual(index.embedded, ['a', 'b'])
  assert.deepEqual(embedder.calls, [['one', 'two']])
})

it('new points go before backfill: up to 64 of them, else up to 32 of any, oldest first', async (t) => {
  const { projection, index, embedder, pass } = openProjection(t)
  index.writeOld(textsOf('old', 40), OLD)
  index.write(textsOf('new', 70))
  projection.start()
  await pass(0)
  const shown = embedder.calls.map((texts) => [texts.length, texts[0]])
  assert.deepEqual(shown, [
    [64, 'text new0'],
    [6, 'text new64'],
    [32, 'text old0'],
    [8, 'text old32'],
  ])
  assert.deepEqual(index.waiting, [])
  const [status] = await projection.status(() => true)
  assert.deepEqual(status?.totals, { ...NOTHING, incremental: 70, backfill: 40 })
  assert.equal(status.state, 'idle')
})

it('old backfill has one batch in eight, however many new points come', async (t) => {
  const { projection, index, embedder, pass } = openProjection(t, {
    rules: { ...RULES, backfillAfterMs: 0 },
  })
  index.writeOld(textsOf('old', 1000), OLD)
  index.write(textsOf('new', 64 * 30))
  projection.start()
  await pass(0)
  const kinds = embedder.calls.map(([first]) => first?.includes('old') === true)
  const writes = kinds.lastIndexOf(false)
  for (let from = 0; from + 8 <= writes; from += 1) {
    assert.ok(kinds.slice(from, from + 8).includes(true), `batches ${from} to ${from + 7}`)
  }
  assert.deepEqual(index.waiting, [])
})

it('a long queue of one index delays another one by a batch at most', async (t) => {
  const { projection, index, indexes, embedder, pass } = openProjection(t)
  const other = new FakeTextIndex('other', STAMP)
  indexes.push(other)
  index.write(textsOf('a', 64 * 10))
  projection.start()
  let calls = 0
  embedder.at = async () => {
    calls = embedder.calls.length
    if (calls === 3) other.write({ b: 'urgent' })
  }
  await pass(0)
  const place = embedder.calls.findIndex(([first]) => first === 'urgent')
  assert.ok(place >= 3 && place <= 4, `it came as call ${place}`)
})

it('a slow embedder holds up nobody but its own indexes', async (t) => {
  const { projection, index, indexes, embedder, embedders, pass } = openProjection(t)
  const stamp = { ...STAMP, name: 'other' }
  const other = new FakeTextIndex('other', stamp)
  indexes.push(other)
  embedders.set('other', new FakeEmbedder())
  const slow = gate()
  embedder.at = (stage) => (stage === 'embed' ? slow.opened : Promise.resolve())
  index.write({ a: 'one' })
  other.write({ b: 'two' })
  projection.start()
  await pass(10_000)
  assert.deepEqual([index.embedded, other.embedded], [[], ['b']])
  slow.open()
  await pass(0)
  assert.deepEqual(index.embedded, ['a'])
})

it('what is edited or deleted while the model works never gets the vector of before', async (t) => {
  const { projection, index, embedder, pass } = openProjection(t)
  const slow = gate()
  embedder.at = (stage) => (stage === 'embed' ? slow.opened : Promise.resolve())
  index.write({ a: 'one', b: 'two', c: 'three' })
  projection.start()
  await pass(0)
  index.write({ a: 'another' })
  index.delete('b')
  embedder.at = () => Promise.resolve()
  slow.open()
  await pass(0)
  assert.deepEqual(index.embedded.toSorted(), ['a', 'c'])
  assert.deepEqual(index.points.get('a')?.vector, Float32Array.of('another'.length, 1))
  assert.deepEqual(embedder.calls, [['one', 'two', 'three'], ['another']])
  assert.deepEqual(projection.summary.totals, { ...NOTHING, incremental: 2, discarded: 2 })
})

it('what is edited or deleted while it waits is not embedded', async (t) => {
  const { projection, index, embedder, pass } = openProjection(t)
  embedder.at = () => Promise.reject(UNAVAILABLE)
  index.write({ a: 'one', b: 'two', c: 'three' })
  projection.start()
  await pass(0)
  index.write({ a: 'another' })
  index.delete('b')
  embedder.at = () => Promise.resolve()
  await pass(2000)
  assert.deepEqual(embedder.calls.flat().sort(), ['another', 'three'])
  assert.deepEqual(projection.summary.totals, { ...NOTHING, incremental: 2, discarded: 2 })
})

it('an embedder that is gone for a minute fails no text, and is asked less and less', async (t) => {
  const { projection, index, embedder, pass } = openProjection(t)
  let isGone = true
  embedder.at = async (stage) => {
    if (isGone && stage === 'embed') throw UNAVAILABLE
  }
  index.write(textsOf('a', 200))
  projection.start()
  await pass(60_000)
  assert.equal(projection.summary.failed, 0)
  const ticks = projection.summary.unavailableTicks
  assert.ok(ticks >= 5 && ticks <= 7, `${ticks} ticks`)
  const [status] = await projection.status(() => true)
  assert.deepEqual(
    [status?.state, status?.fault?.code],
    ['embedder_unavailable', 'embedder_unavailable'],
  )
  assert.ok((status?.freshnessS ?? 0) >= 60)
  isGone = false
  await pass(30_000)
  assert.deepEqual(index.waiting, [])
  assert.deepEqual(projection.summary.totals, { ...NOTHING, incremental: 200 })
})

it('one bad text fails alone after its backoff, the others of its batch are embedded', async (t) => {
  const { projection, index, embedder, pass, drain } = openProjection(t)
  index.write(textsOf('a', 64))
  index.write({ later: 'fine' })
  embedder.poison.add('text a17')
  projection.start()
  await pass(900)
  assert.deepEqual(index.embedded, ['later'], 'nobody waits for the backoff of others')
  await pass(25_000)
  assert.deepEqual(index.waiting, ['a17'])
  const whole = embedder.calls.filter((texts) => texts.length === 64)
  assert.equal(whole.length, 4)
  const { failed } = await projection.failed('docs', null, 10)
  assert.deepEqual(
    failed.map(({ item, reason }) => [item.id, reason.code]),
    [['a17', 'embedder_failed']],
  )
  const calls = embedder.calls.length
  await drain()
  await pass(120_000)
  assert.equal(embedder.calls.length, calls, 'it is not tried again by itself')
})

it('a failed text is tried again when it is requeued, or changed; a deleted one is forgotten', async (t) => {
  const { projection, index, embedder, pass } = openProjection(t)
  for (const text of ['a', 'b', 'c', 'd']) embedder.poison.add(text)
  index.write({ a: 'a', b: 'b', c: 'c', d: 'd' })
  projection.start()
  await pass(30_000)
  assert.equal(projection.summary.failed, 4)
  index.write({ a: 'good' })
  await pass(0)
  assert.deepEqual(index.embedded, ['a'])
  assert.equal(projection.summary.failed, 3)
  embedder.poison.clear()
  assert.deepEqual(projection.requeue('docs', ['b', 'nope']), { requeued: 1, unknown: ['nope'] })
  await pass(0)
  assert.deepEqual(index.waiting, ['c', 'd'])
  index.delete('c')
  await pass(60_000)
  assert.equal(projection.summary.failed, 1, 'the index counts fewer than have failed')
  assert.deepEqual(projection.requeue('docs', null), { requeued: 1, unknown: [] })
  await pass(0)
  assert.deepEqual(index.waiting, [])
})

it('another number of vectors than of texts is believed for none of them', async (t) => {
  const { projection, index, embedder, pass } = openProjection(t)
  const { answer } = embedder
  embedder.answer = (texts) => answer(texts).slice(1)
  index.write(textsOf('a', 10))
  projection.start()
  await pass(4000)
  assert.deepEqual(index.applies, [])
  embedder.answer = answer
  await pass(20_000)
  assert.deepEqual(index.waiting, [])
  assert.equal(projection.summary.failed, 0)
})

it('a vector that the index cannot hold fails its text alone', async (t) => {
  const { projection, index, embedder, pass } = openProjection(t)
  const odd: Record<string, Float32Array> = {
    short: Float32Array.of(1),
    nan: Float32Array.of(1, NaN),
    endless: Float32Array.of(1, -Infinity),
    zero: new Float32Array(2),
  }
  const { answer } = embedder
  embedder.answer = (texts) =>
    texts.map((text) => odd[text] ?? answer([text])[0] ?? odd['zero'] ?? new Float32Array())
  index.write({ ...Object.fromEntries(Object.keys(odd).map((key) => [key, key])), fine: 'fine' })
  projection.start()
  await pass(0)
  assert.deepEqual(index.embedded, ['fine'])
  const { failed } = await projection.failed('docs', null, 10)
  assert.deepEqual(
    failed.map(({ item, attempts }) => [item.id, attempts]),
    Object.keys(odd).map((id) => [id, 1]),
  )
  assert.equal(embedder.calls.length, 1)
})

it('an embedder that is another one than that of the index embeds nothing for it', async (t) => {
  const { projection, index, embedder, pass, drain } = openProjection(t)
  embedder.is = { ...STAMP, version: '2' }
  index.write({ a: 'one' })
  projection.start()
  await pass(1000)
  assert.deepEqual(embedder.calls, [])
  const [status] = await projection.status(() => true)
  assert.deepEqual([status?.state, status?.fault?.code], ['embedder_mismatch', 'embedder_mismatch'])
  await assert.rejects(drain('docs'), { code: 'embedder_mismatch' })
  embedder.is = STAMP
  await pass(30_000)
  assert.deepEqual(index.embedded, ['a'], 'it is looked at again')
})

it('vectors of the embedder of before are thrown away when the index gets another one', async (t) => {
  const { projection, index, embedder, embedders, pass } = openProjection(t)
  const slow = gate()
  embedder.at = (stage) => (stage === 'embed' ? slow.opened : Promise.resolve())
  index.write({ a: 'one' })
  projection.start()
  await pass(0)
  const next = new FakeEmbedder()
  next.is = { ...STAMP, model: 'large' }
  embedders.set('next', next)
  index.embedder = { ...STAMP, ...next.is, name: 'next' }
  await pass(250)
  assert.deepEqual(next.calls, [['one']])
  slow.open()
  await pass(250)
  assert.deepEqual(index.applies, [['a']])
  assert.equal(index.points.get('a')?.embedder?.name, 'next')
  assert.equal(projection.summary.totals.discarded, 1)
})

it('only the server that owns an index embeds its texts', async (t) => {
  const { projection, index, embedder, pass, drain } = openProjection(t)
  index.info.role = 'follower'
  index.write({ a: 'one' })
  projection.start()
  await pass(1000)
  assert.deepEqual(embedder.calls, [])
  await assert.rejects(drain('docs'), { code: 'not_owner' })
  index.info.role = 'owner'
  await pass(250)
  assert.deepEqual(index.embedded, ['a'])
})

it('an embedder that nobody configured is told, and works once it is there', async (t) => {
  const { projection, index, embedder, embedders, pass, drain } = openProjection(t)
  embedders.clear()
  index.write({ a: 'one' })
  projection.start()
  await pass(500)
  const [status] = await projection.status(() => true)
  assert.equal(status?.state, 'not_configured')
  await assert.rejects(drain('docs'), { code: 'not_configured' })
  embedders.set('local', embedder)
  await pass(30_000)
  assert.deepEqual(index.embedded, ['a'])
})

it('where the index takes nothing, texts wait and are tried with longer and longer pauses', async (t) => {
  const { projection, index, embedder, pass } = openProjection(t)
  index.at = async (stage) => {
    if (stage === 'apply') throw new VectordError('delta_full', 'Full.')
  }
  index.write({ a: 'one' })
  projection.start()
  await pass(60_000)
  assert.ok(embedder.calls.length >= 5 && embedder.calls.length <= 7, String(embedder.calls.length))
  assert.equal(projection.summary.failed, 0)
  index.at = () => Promise.resolve()
  await pass(30_000)
  assert.deepEqual(index.embedded, ['a'])
})

it('a drain says what was done until nothing waits, and that the embedder does not answer', async (t) => {
  const { projection, index, embedder, pass, drain } = openProjection(t)
  projection.start()
  await pass(0)
  index.write(textsOf('a', 100))
  index.writeOld(textsOf('b', 5), OLD)
  const report = drain()
  await pass(100)
  assert.deepEqual(await report, {
    ...{ outcome: 'idle', unavailableTicks: 0 },
    totals: { ...NOTHING, incremental: 100, backfill: 5 },
  })
  embedder.at = () => Promise.reject(UNAVAILABLE)
  index.write({ c: 'three' })
  const silent = drain('docs')
  await pass(100)
  const { outcome, unavailableTicks } = await silent
  assert.equal(outcome, 'embedder_unavailable')
  assert.ok(unavailableTicks >= 1)
  const slow = gate()
  embedder.at = (stage) => (stage === 'embed' ? slow.opened : Promise.resolve())
  const late = drain('docs', 500)
  await pass(600)
  assert.equal((await late).outcome, 'deadline')
  await assert.rejects(drain('nope'), { code: 'index_not_found' })
})

it('texts that an index brings without telling are found where it counts more than is known', async (t) => {
  const { projection, index, pass } = openProjection(t)
  projection.start()
  await pass(0)
  const { at } = index
  index.writeOld(textsOf('silent', 3), OLD)
  index.at = at
  await pass(31_000)
  assert.deepEqual(index.waiting, [])
})

it('a close ends the call under way, and what it was about waits in the index', async (t) => {
  const { projection, index, embedder, restart, pass } = openProjection(t)
  embedder.at = (stage) => (stage === 'embed' ? new Promise(() => undefined) : Promise.resolve())
  index.write({ a: 'one' })
  projection.start()
  await pass(0)
  const draining = projection.drain({
    ...{ index: null, isSeen: () => true, deadlineMs: Date.now() + 60_000 },
  })
  await turns()
  await projection.close()
  await projection.close()
  assert.equal((await draining).outcome, 'closed')
  assert.equal(embedder.aborts, 1)
  assert.equal(index.listeners, 0)
  assert.throws(() => projection.requeue('docs', null), { code: 'shutting_down' })
  embedder.at = () => Promise.resolve()
  restart().start()
  await pass(0)
  assert.deepEqual(index.embedded, ['a'])
})

it('an index that is deleted is let go, and its counts stay', async (t) => {
  const { projection, index, indexes, pass } = openProjection(t)
  index.write({ a: 'one' })
  projection.start()
  await pass(0)
  indexes.length = 0
  await pass(250)
  assert.equal(index.listeners, 0)
  assert.deepEqual(await projection.status(() => true), [])
  assert.equal(projection.summary.totals.incremental, 1)
})
