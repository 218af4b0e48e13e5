/** The HTTP contract of streams: by status, and what is stored after each answer. */

import assert from 'node:assert/strict'
import { it, type TestContext } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { parseApiKeys } from '../../src/http/auth.ts'
import { HTTP_LIMITS } from '../../src/http/limits.ts'
import { VectordError } from '../../src/lib/errors.ts'
import { bearer, keyLine, openApp, type TestApp, type TestReply } from '../support/http-app.ts'

const INDEX = '/vectors/indexes/words'
const URL = `${INDEX}/stream`
const LETTERS = `${URL}/dead-letters`
const NDJSON = { 'content-type': 'application/x-ndjson' }

async function open(t: TestContext, stream?: object): Promise<TestApp> {
  const app = await openApp(t, { limits: { ...HTTP_LIMITS, rowsMax: 200 } })
  const body = { name: 'words', dimension: 2, ...(stream !== undefined && { stream }) }
  const created = await app.send('POST', '/vectors/indexes', body)
  assert.equal(created.status, 201, created.text)
  return app
}

const at = (id: string): object => ({ id, vector: [1, 2], metadata: { id } })
const points = (...ids: string[]): object => ({ points: ids.map(at) })

function details(reply: TestReply): Record<string, unknown> {
  return (reply.body as { error: { details: Record<string, unknown> } }).error.details
}

async function status(app: TestApp): Promise<Record<string, unknown>> {
  const reply = await app.send('GET', URL)
  assert.equal(reply.status, 200, reply.text)
  return reply.body as Record<string, unknown>
}

/** Waits until so many points are in the buffer. */
async function buffered(app: TestApp, points: number): Promise<void> {
  for (let look = 0; look < 1000; look += 1) {
    if ((await status(app))['buffered_points'] === points) return
    await nextTurn()
  }
  assert.fail('the points do not come into the buffer')
}

it('202: rows, columns and NDJSON are accepted, and stored by then', async (t) => {
  const { send, indexes } = await open(t, { flush_interval_ms: 1 })
  const bodies: [unknown, Record<string, string>?][] = [
    [points('a', 'b')],
    [{ ids: ['c', 'd'], vectors: [1, 2, 3, 4].map((n) => [n, 1]).slice(0, 2) }],
    [[at('e'), at('f')].map((point) => JSON.stringify(point)).join('\n'), NDJSON],
  ]
  for (const [n, [body, headers]] of bodies.entries()) {
    const reply = await send('POST', URL, body, headers)
    assert.deepEqual([reply.status, reply.body], [202, { accepted: 2, lsn: n + 1 }], reply.text)
    assert.equal(reply.headers['x-vectord-lsn'], String(n + 1))
    assert.equal(indexes.get('words').size, 2 * (n + 1))
  }
  assert.equal(indexes.get('words').lastWrite?.options.ack, 'logged')
})

it('400: one bad row refuses the request whole, before anything is queued', async (t) => {
  const app = await open(t, { batch_size: 1 })
  const cases: [unknown, string][] = [
    [{ points: [at('a'), { id: 'b', vector: [1, 2, 3] }] }, 'vector_dimension_mismatch'],
    ['{"points":[{"id":"a","vector":[1,1e999]}]}', 'invalid_points'],
    [{ points: [at('a'), { id: 'b', vector: [1, null] }] }, 'invalid_points'],
    [{ points: [at('a'), { id: 'b', vector: [0, 0] }] }, 'invalid_points'],
    [{ points: [at('a'), at('a')] }, 'invalid_points'],
    [{ points: [{ ...at('a'), id: 'x'.repeat(513) }] }, 'limit_exceeded'],
    [{ points: Array.from({ length: 201 }, (_, i) => at(`p${i}`)) }, 'limit_exceeded'],
    [{ points: [] }, 'bad_request'],
    [{}, 'bad_request'],
    ['{', 'malformed_body'],
    ['', 'bad_request'],
  ]
  for (const [body, code] of cases) {
    const reply = await app.send('POST', URL, body, { 'content-type': 'application/json' })
    assert.deepEqual([reply.status, reply.code], [400, code], reply.text)
  }
  assert.equal((await app.send('POST', `${URL}?ack=logged`, points('a'))).status, 400)
  assert.equal((await app.send('POST', `${URL}?deadline_ms=0`, points('a'))).status, 400)
  const { buffered_points, totals } = await status(app)
  assert.equal(buffered_points, 0)
  assert.equal((totals as { accepted: number }).accepted, 0)
  assert.equal(app.indexes.get('words').size, 0)
})

it('404 and 409: no such index; an index that takes no stream', async (t) => {
  const { send } = await open(t)
  assert.equal((await send('POST', '/vectors/indexes/nope/stream', points('a'))).status, 404)
  for (const method of ['GET', 'POST']) {
    const reply = await send(method, URL, method === 'POST' ? points('a') : undefined)
    assert.deepEqual([reply.status, reply.code], [409, 'stream_not_enabled'])
  }
  const requeue = await send('POST', `${LETTERS}/requeue`, {})
  assert.equal(requeue.status, 200, 'there is nothing to requeue')
  assert.equal((await send('GET', LETTERS)).status, 200)
})

it('415: a body of another kind', async (t) => {
  const { send } = await open(t, {})
  const reply = await send('POST', URL, 'a,b', { 'content-type': 'text/csv' })
  assert.equal(reply.status, 415)
})

it('429: what did not fit is told, with the seconds to wait; what fitted is stored', async (t) => {
  const { send, indexes } = await open(t, { buffer_size: 2, batch_size: 2 })
  const reply = await send('POST', URL, points('a', 'b', 'c'))
  assert.deepEqual([reply.status, reply.code], [429, 'stream_buffer_full'])
  assert.equal(reply.headers['retry-after'], '1')
  const { accepted, lsn, first_refused } = details(reply)
  assert.deepEqual({ accepted, lsn, first_refused }, { accepted: 2, lsn: 1, first_refused: 2 })
  assert.equal(indexes.get('words').size, 2)
})

it('429: a full buffer refuses before the body is read', async (t) => {
  const app = await open(t, { buffer_size: 2, batch_size: 2 })
  const { send, indexes } = app
  indexes.get('words').failure = new VectordError('delta_full', 'Full.', { retryAfterS: 1 })
  const waiting = send('POST', URL, points('a', 'b'))
  await buffered(app, 2)
  const refused = await send('POST', URL, '{', { 'content-type': 'application/json' })
  assert.deepEqual([refused.status, refused.code], [429, 'stream_buffer_full'])
  assert.deepEqual(details(refused)['accepted'], 0)
  indexes.get('words').failure = null
  assert.equal((await waiting).status, 202)
})

it('503 and 507: what holds the log up is the answer once the deadline has passed', async (t) => {
  const { send, indexes } = await open(t, { batch_size: 1 })
  for (const [code, expected] of [
    ['core_degraded', 503],
    ['storage_full', 507],
    ['bucket_unreachable', 503],
  ] as const) {
    indexes.get('words').failure = new VectordError(code, 'Not now.', { retryAfterS: 7 })
    const reply = await send('POST', `${URL}?deadline_ms=30`, points('a'))
    assert.deepEqual([reply.status, reply.code], [expected, code])
    assert.deepEqual([details(reply)['accepted'], details(reply)['lsn']], [0, null])
    if (expected === 503) assert.equal(reply.headers['retry-after'], '7')
  }
})

it('200: settings, fill and totals', async (t) => {
  const app = await open(t, { batch_size: 2, flush_interval_ms: 7 })
  const idle = await status(app)
  assert.deepEqual(idle, {
    index: 'words',
    settings: { buffer_size: 10_000, batch_size: 2, flush_interval_ms: 7 },
    ...{ state: 'running', buffered_points: 0, unapplied_points: 0, waiting_requests: 0 },
    ...{ oldest_ms: null, drain_rate: null, dead_letters: 0, last_error: null },
    totals: { accepted: 0, logged: 0, dead_lettered: 0, refused: 0, failed: 0, retries: 0 },
    flushes: { size: 0, time: 0, drain: 0 },
  })
  await app.send('POST', URL, points('a', 'b', 'c'))
  const { totals, flushes } = await status(app)
  const none = { dead_lettered: 0, refused: 0, failed: 0, retries: 0 }
  assert.deepEqual(totals, { accepted: 3, logged: 3, ...none })
  assert.deepEqual(flushes, { size: 2, time: 0, drain: 0 })
})

it('the stream is set when an index is made, changed, and taken away', async (t) => {
  const { send, indexes } = await open(t, { batch_size: 7 })
  const streamOf = (reply: TestReply): unknown => (reply.body as { stream: unknown }).stream
  const settings = { buffer_size: 10_000, batch_size: 7, flush_interval_ms: 50 }
  assert.deepEqual(streamOf(await send('GET', INDEX)), settings)
  const changed = await send('PATCH', INDEX, { stream: { flush_interval_ms: 1 } })
  assert.deepEqual(streamOf(changed), { ...settings, flush_interval_ms: 1 })
  assert.equal((await send('POST', URL, points('a'))).status, 202)
  const other = await send('PATCH', INDEX, { hnsw: { ef_search: 50 } })
  assert.deepEqual(streamOf(other), { ...settings, flush_interval_ms: 1 })
  const gone = await send('PATCH', INDEX, { stream: null })
  assert.equal(streamOf(gone), null)
  assert.equal((await send('POST', URL, points('b'))).code, 'stream_not_enabled')
  const back = await send('PATCH', INDEX, { stream: {} })
  assert.deepEqual(streamOf(back), { ...settings, batch_size: 128 })
  assert.equal(indexes.get('words').size, 1)
})

it('400: settings out of their bounds are refused by name', async (t) => {
  const { send } = await open(t, {})
  const cases: [unknown, RegExp][] = [
    [{ buffer_size: 0 }, /"stream.buffer_size" in the body must be >= 1/],
    [{ batch_size: 10_001 }, /"stream.batch_size" in the body must be <= 10000/],
    [{ batch_size: 100, buffer_size: 99 }, /"stream.batch_size".*at most stream.buffer_size/],
    [{ flush_interval_ms: '5' }, /"stream.flush_interval_ms"/],
    [{ size: 5 }, /not a known field/],
    [5, /"stream"/],
  ]
  for (const [stream, message] of cases) {
    const patched = await send('PATCH', INDEX, { stream })
    assert.deepEqual([patched.status, patched.code], [400, 'bad_request'], patched.text)
    const created = await send('POST', '/vectors/indexes', { name: 'x', dimension: 2, stream })
    assert.equal(created.status, 400)
    assert.match((created.body as { error: { message: string } }).error.message, message)
  }
  assert.equal(
    (await send('POST', '/vectors/indexes', { name: 'x', dimension: 2, stream: null })).status,
    400,
  )
})

it('a change of the settings answers what waits first, and keeps the totals', async (t) => {
  const app = await open(t, { flush_interval_ms: 60_000 })
  const { send, indexes } = app
  const waiting = send('POST', URL, points('a'))
  await buffered(app, 1)
  const changed = await send('PATCH', INDEX, { stream: { batch_size: 1 } })
  assert.equal(changed.status, 200)
  assert.equal((await waiting).status, 202)
  assert.equal((await send('POST', URL, points('b'))).status, 202)
  assert.equal(indexes.get('words').size, 2)
  const { totals, flushes } = await status(app)
  assert.equal((totals as { logged: number }).logged, 2)
  assert.deepEqual(flushes, { size: 1, time: 0, drain: 1 })
})

it('412: a refused change leaves the stream as it was, and open', async (t) => {
  const { send } = await open(t, { batch_size: 1 })
  assert.equal((await send('POST', URL, points('a'))).status, 202)
  const refused = await send('PATCH', INDEX, { stream: null }, { 'if-match': '"9"' })
  assert.equal(refused.status, 412)
  assert.equal((await send('POST', URL, points('b'))).status, 202)
})

it('deleting an index answers what its stream has taken', async (t) => {
  const app = await open(t, { flush_interval_ms: 60_000 })
  const waiting = app.send('POST', URL, points('a'))
  await buffered(app, 1)
  assert.equal((await app.send('DELETE', INDEX)).status, 204)
  assert.equal((await waiting).status, 202)
  assert.equal((await app.send('POST', URL, points('b'))).status, 404)
})

it('202: a point that cannot be written is a dead letter, listed, requeued and gone', async (t) => {
  const app = await open(t, { batch_size: 1 })
  const { send, indexes } = app
  indexes.get('words').failure = new VectordError('limit_exceeded', 'Too large.')
  const reply = await send('POST', URL, points('a', 'b'))
  assert.deepEqual([reply.status, reply.body], [202, { accepted: 2, lsn: null, dead_lettered: 2 }])
  const page = await send('GET', `${LETTERS}?limit=1`)
  const { dead_letters, next_cursor } = page.body as {
    dead_letters: { id: string; reason: object; point: object }[]
    next_cursor: string
  }
  assert.deepEqual(dead_letters[0]?.point, {
    id: 'a',
    vector: [1, 2],
    text: null,
    metadata: { id: 'a' },
  })
  assert.deepEqual(dead_letters[0].reason, { code: 'limit_exceeded', message: 'Too large.' })
  const second = await send('GET', `${LETTERS}?limit=1&cursor=${next_cursor}`)
  assert.match(second.text, /"next_cursor":null/)
  assert.equal((await status(app))['dead_letters'], 2)

  const again = await send('POST', `${LETTERS}/requeue`, {})
  assert.equal((again.body as { failed: string[] }).failed.length, 2)
  indexes.get('words').failure = null
  const one = await send('POST', `${LETTERS}/requeue`, { ids: [dead_letters[0].id] })
  assert.deepEqual(one.body, { requeued: 1, failed: [], lsn: 1 })
  assert.equal(
    (await send('POST', `${LETTERS}/requeue`, { ids: [dead_letters[0].id] })).status,
    404,
  )
  const rest = await send('POST', `${LETTERS}/requeue`, {})
  assert.deepEqual(rest.body, { requeued: 1, failed: [], lsn: 2 })
  assert.equal((await status(app))['dead_letters'], 0)
  assert.equal(indexes.get('words').size, 2)
})

it('204 and 404: a dead letter is deleted once', async (t) => {
  const { send, indexes } = await open(t, { batch_size: 1 })
  indexes.get('words').failure = new VectordError('limit_exceeded', 'Too large.')
  await send('POST', URL, points('a'))
  const page = await send('GET', LETTERS)
  const [letter] = (page.body as { dead_letters: { id: string }[] }).dead_letters
  const url = `${LETTERS}/${letter?.id ?? ''}`
  assert.equal((await send('DELETE', url)).status, 204)
  assert.deepEqual((await send('DELETE', url)).code, 'dead_letter_not_found')
  assert.equal((await send('GET', `${LETTERS}?cursor=nonsense`)).code, 'invalid_cursor')
  assert.equal((await send('POST', `${LETTERS}/requeue`, { ids: [] })).status, 400)
})

it('503: after shutdown began nothing is taken any more, and what was is answered', async (t) => {
  const app = await open(t, { flush_interval_ms: 60_000 })
  const waiting = app.send('POST', URL, points('a'))
  await buffered(app, 1)
  await app.streams.close()
  assert.equal((await waiting).status, 202)
  assert.equal((await app.send('POST', URL, points('b'))).code, 'shutting_down')
})

it('401 and 403: reading and writing need their roles, within the prefixes of the key', async (t) => {
  const keys = parseApiKeys([
    keyLine('all', 'admin', 'root'),
    keyLine('reader', 'read', 'reader'),
    keyLine('other', 'write', 'other', 'team_'),
  ])
  const { send } = await openApp(t, { keys })
  await send(
    'POST',
    '/vectors/indexes',
    { name: 'words', dimension: 2, stream: {} },
    bearer('root'),
  )
  assert.equal((await send('POST', URL, points('a'))).status, 401)
  assert.equal((await send('POST', URL, points('a'), bearer('reader'))).status, 403)
  assert.equal((await send('POST', URL, points('a'), bearer('other'))).status, 403)
  assert.equal((await send('POST', `${LETTERS}/requeue`, {}, bearer('reader'))).status, 403)
  assert.equal((await send('GET', URL, undefined, bearer('reader'))).status, 200)
})

it('202: a stream of an index with an embedder takes texts without vectors', async (t) => {
  const stamp = { name: 'local', model: 'm', version: '1', dimension: 2, normalised: false }
  const { send } = await openApp(t, { embedders: [stamp] })
  const body = { name: 'words', embedder: 'local', stream: { flush_interval_ms: 1 } }
  assert.equal((await send('POST', '/vectors/indexes', body)).status, 201)
  const mixed = [
    { id: 'a', text: 'one' },
    { id: 'b', vector: [1, 2] },
  ]
  assert.equal((await send('POST', URL, { points: mixed })).status, 202)
  const stored = await send('GET', `${INDEX}/points/a?include=text,vector`)
  assert.deepEqual(stored.body, { id: 'a', version: 1, text: 'one', vector: null })
})
