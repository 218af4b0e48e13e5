/** The HTTP contract of search: answers, faults by field, batches. */

import assert from 'node:assert/strict'
import { it, type TestContext } from 'node:test'
import { VectordError } from '../../src/lib/errors.ts'
import { NOW_MS, openApp, type TestApp } from '../support/http-app.ts'

const URL = '/vectors/indexes/words/search'

const POINTS = [
  { id: 'x', vector: [1, 0, 0], metadata: { lang: 'en', year: 2020 }, text: 'first "quoted"' },
  { id: 'y', vector: [0, 1, 0], metadata: { lang: 'de' } },
  { id: 'z\u2028"\\', vector: [1, 1, 0] },
]

async function open(t: TestContext, metric = 'cosine'): Promise<TestApp> {
  const app = await openApp(t)
  await app.send('POST', '/vectors/indexes', { name: 'words', dimension: 3, metric })
  await app.send('POST', '/vectors/indexes/words/points', { points: POINTS })
  return app
}

interface Answer {
  readonly results: readonly Readonly<Record<string, unknown>>[]
  readonly [name: string]: unknown
}

it('200: the nearest first, with score and distance by the metric', async (t) => {
  const { send } = await open(t)
  const reply = await send('POST', URL, { vector: [1, 0, 0], k: 2 })
  assert.equal(reply.status, 200)
  assert.equal(reply.headers['x-vectord-lsn'], '1')
  const { results, took_ms, ...rest } = reply.body as Answer
  assert.ok(typeof took_ms === 'number' && took_ms >= 0)
  assert.deepEqual(rest, {
    ...{ path: 'exact', ef_used: 0, generation: 1, config_source: 'default' },
    ...{ exhausted: false, lsn: 1 },
  })
  const expected = { id: 'x', score: 1, distance: 0, version: 1, metadata: POINTS[0]?.metadata }
  assert.deepEqual(results[0], expected)
  const { id, metadata, score } = results[1] ?? {}
  assert.deepEqual([id, metadata], ['z\u2028"\\', null])
  assert.ok(Math.abs(Number(score) - Math.SQRT1_2) < 1e-6)
  const far = await (await open(t, 'l2')).send('POST', URL, { vector: [3, 0, 0], k: 1 })
  const [hit] = (far.body as Answer).results
  assert.deepEqual([hit?.['distance'], hit?.['score']], [4, 0.2])
})

it('200: by id leaves the point itself out; include chooses what comes', async (t) => {
  const { send } = await open(t)
  const include = ['vector', 'text']
  const reply = await send('POST', URL, { id: 'y', include, k: 10 })
  const { results, exhausted } = reply.body as Answer
  assert.deepEqual(
    results.map((hit) => hit['id']),
    ['z\u2028"\\', 'x'],
  )
  assert.equal(exhausted, true)
  assert.deepEqual(results[1]?.['vector'], [1, 0, 0])
  assert.equal(results[1]['text'], 'first "quoted"')
  assert.ok(!('metadata' in results[1]))
  const bare = await send('POST', URL, { id: 'y', include: [] })
  assert.deepEqual(Object.keys((bare.body as Answer).results[0] ?? {}).sort(), [
    ...['distance', 'id', 'score', 'version'],
  ])
  const packed = { id: 'y', include, vector_encoding: 'base64' }
  const [, x] = ((await send('POST', URL, packed)).body as Answer).results
  assert.deepEqual(
    [...Buffer.from(String(x?.['vector']), 'base64')],
    [0, 0, 128, 63, 0, 0, 0, 0, 0, 0, 0, 0],
  )
})

it('200: base64 and array find the same; filters, min_lsn and deadline reach the index', async (t) => {
  const { send, indexes } = await open(t)
  const vector = Buffer.from(Float32Array.of(0, 1, 0).buffer).toString('base64')
  const body = { vector, filter: { lang: 'de' }, min_lsn: 1, deadline_ms: 250, ef: 64, exact: true }
  const reply = await send('POST', URL, body)
  assert.deepEqual(
    (reply.body as Answer).results.map((hit) => hit['id']),
    ['y'],
  )
  const { minLsn, deadlineMs } = indexes.get('words').lastRead ?? {}
  assert.deepEqual([minLsn, deadlineMs], [1, NOW_MS + 250])
})

it('400: the field is named, whatever is wrong with it', async (t) => {
  const { send } = await open(t)
  const vector = [1, 0, 0]
  const cases: [unknown, string, RegExp][] = [
    [{}, 'bad_request', /one of them/],
    [{ vector, id: 'x' }, 'bad_request', /one of them/],
    [{ vector: [1, 0] }, 'vector_dimension_mismatch', /"vector" in the body has 2 numbers/],
    [{ vector: [1, null, 0] }, 'invalid_vector', /vector\[1\]/],
    [{ vector: [0, 0, 0] }, 'invalid_vector', /zero/],
    [{ vector: 'AAA' }, 'invalid_vector', /no number of float32/],
    [{ vector: '****************' }, 'invalid_vector', /base64/],
    [{ vector: { 0: 1 } }, 'invalid_vector', /must be an array/],
    [{ id: 7 }, 'bad_request', /"id"/],
    [{ id: '' }, 'bad_request', /"id"/],
    [{ vector, k: 0 }, 'bad_request', /"k" in the body must be an integer of at least 1/],
    [{ vector, k: -3 }, 'bad_request', /"k"/],
    [{ vector, k: 1.5 }, 'bad_request', /"k"/],
    [{ vector, k: '10' }, 'bad_request', /"k"/],
    [{ vector, k: null }, 'bad_request', /"k"/],
    [{ vector, k: 1001 }, 'limit_exceeded', /at most 1000/],
    [{ vector, ef: 0 }, 'bad_request', /"ef"/],
    [{ vector, ef: 10_001 }, 'limit_exceeded', /"ef"/],
    [{ vector, exact: 'true' }, 'bad_request', /"exact"/],
    [{ vector, include: 'vector' }, 'bad_request', /"include"/],
    [{ vector, include: ['all'] }, 'bad_request', /"include"/],
    [{ vector, vector_encoding: 'hex' }, 'bad_request', /"vector_encoding"/],
    [{ vector, min_lsn: -1 }, 'bad_request', /"min_lsn"/],
    [{ vector, min_lsn: 2 ** 60 }, 'bad_request', /"min_lsn"/],
    [{ vector, deadline_ms: 0 }, 'bad_request', /"deadline_ms"/],
    [{ vector, filter: 'x' }, 'invalid_filter', /filter/],
    [{ vector, filter: { a: { $near: 1 } } }, 'invalid_filter', /filter.a.\$near/],
    [{ vector, fliter: {} }, 'bad_request', /did you mean "filter"/],
    [{ vector, top_k: 5 }, 'bad_request', /not a known field/],
    [[], 'bad_request', /object/],
  ]
  for (const [body, code, message] of cases) {
    const reply = await send('POST', URL, body)
    assert.deepEqual([reply.status, reply.code], [400, code], JSON.stringify(body))
    assert.match((reply.body as { error: { message: string } }).error.message, message)
  }
})

it('404 and 409: an unknown point to search from; text without an embedder', async (t) => {
  const { send } = await open(t)
  assert.equal((await send('POST', URL, { id: 'nope' })).code, 'point_not_found')
  const text = await send('POST', URL, { text: 'hello', mode: 'vector' })
  assert.deepEqual([text.status, text.code], [409, 'not_configured'])
})

it('429, 503, 504: what the index throws is answered with its code and a time to wait', async (t) => {
  const { send, indexes } = await open(t)
  const index = indexes.get('words')
  const body = { vector: [1, 0, 0] }
  index.failure = new VectordError('core_suspended', 'Full.', { retryAfterS: 2.1 })
  const full = await send('POST', URL, body)
  assert.deepEqual([full.status, full.headers['retry-after']], [429, '3'])
  index.failure = new VectordError('core_degraded', 'Cooling.', { retryAfterS: 0 })
  const degraded = await send('POST', URL, body)
  assert.deepEqual([degraded.status, degraded.headers['retry-after']], [503, '1'])
  index.failure = new VectordError('deadline_exceeded', 'Late.')
  const late = await send('POST', URL, body)
  assert.deepEqual([late.status, late.headers['retry-after']], [504, undefined])
})

it('500: an unexpected failure says its request id and nothing of itself', async (t) => {
  const { send, indexes } = await open(t)
  indexes.get('words').failure = new Error('secret path')
  const headers = { 'x-request-id': 'trace-7' }
  const reply = await send('POST', URL, { vector: [1, 0, 0] }, headers)
  assert.deepEqual([reply.status, reply.code], [500, 'internal'])
  assert.match(reply.text, /"request_id":"trace-7"/)
  assert.doesNotMatch(reply.text, /secret/)
})

it('200: a batch answers in order, each error in its place', async (t) => {
  const { send } = await open(t)
  const queries = [{ vector: [0, 1, 0], k: 1 }, { vector: [1] }, { id: 'nope' }, { id: 'y', k: 1 }]
  const reply = await send('POST', `${URL}/batch`, { queries })
  assert.equal(reply.status, 200)
  const { answers } = reply.body as { answers: (Answer & { error?: { code: string } })[] }
  const short = answers.map((answer) => answer.error?.code ?? answer.results[0]?.['id'])
  const expected = ['y', 'vector_dimension_mismatch', 'point_not_found', 'z\u2028"\\']
  assert.deepEqual(short, expected)
  assert.equal(answers[1]?.['status'], 400)
})

it('200: a batch hides what failed unexpectedly, and tells when to retry the rest', async (t) => {
  const { send, indexes } = await open(t)
  const queries = [{ vector: [0, 1, 0] }]
  indexes.get('words').failure = new Error('secret path')
  const broken = await send('POST', `${URL}/batch`, { queries })
  assert.match(broken.text, /"code":"internal"/)
  assert.doesNotMatch(broken.text, /secret/)
  indexes.get('words').failure = new VectordError('core_suspended', 'Full.', { retryAfterS: 2.1 })
  const full = await send('POST', `${URL}/batch`, { queries })
  assert.match(full.text, /"retry_after_s":3/)
})

it('400: a batch of none, of too many, of something else', async (t) => {
  const { send } = await open(t)
  const query = { vector: [0, 1, 0] }
  const bodies = [{}, { queries: [] }, { queries: query }, [query], { queries: [query], k: 1 }]
  for (const body of bodies) {
    assert.equal((await send('POST', `${URL}/batch`, body)).code, 'bad_request')
  }
  const many = { queries: Array.from({ length: 101 }, () => query) }
  assert.equal((await send('POST', `${URL}/batch`, many)).code, 'limit_exceeded')
})
