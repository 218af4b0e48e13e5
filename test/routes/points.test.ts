/** The HTTP contract of points: upsert in every form, delete, fetch, scroll. */

import assert from 'node:assert/strict'
import { it, type TestContext } from 'node:test'
import { HTTP_LIMITS } from '../../src/http/limits.ts'
import { NOW_MS, openApp, type TestApp, type TestReply } from '../support/http-app.ts'

const URL = '/vectors/indexes/words/points'
const NDJSON = { 'content-type': 'application/x-ndjson' }

async function open(t: TestContext, metric = 'cosine'): Promise<TestApp> {
  const limits = { ...HTTP_LIMITS, bodyBytesMax: 1 << 20, rowsMax: 200 }
  const app = await openApp(t, { limits })
  await app.send('POST', '/vectors/indexes', { name: 'words', dimension: 3, metric })
  return app
}

function base64(...numbers: number[]): string {
  return Buffer.from(Float32Array.from(numbers).buffer).toString('base64')
}

interface Rejected {
  readonly row: number
  readonly id: string | null
  readonly field: string
  readonly problem: string
}

function rejected(reply: TestReply): readonly Rejected[] {
  const { error } = reply.body as { error: { details: { rejected: readonly Rejected[] } } }
  return error.details.rejected
}

it('200: rows, columns, NDJSON and base64 store the same points', async (t) => {
  const { send, indexes } = await open(t)
  const point = { id: 'a', vector: [1, 0.5, 0], text: 'hello', metadata: { year: 2020, tag: null } }
  const packed = { ...point, vector: base64(1, 0.5, 0) }
  const columns = { ids: ['a'], vectors: [[1, 0.5, 0]], texts: ['hello'] }
  const metadata = [{ year: 2020, tag: null }]
  const bodies: [unknown, Record<string, string>?][] = [
    [{ points: [point] }],
    [{ points: [packed] }],
    [{ points: [{ ...packed, vector: packed.vector.replace(/=+$/, '') }] }],
    [{ ...columns, metadata }],
    [{ ...columns, vectors: base64(1, 0.5, 0), metadata }],
    [`\n${JSON.stringify(point)}\r\n\n`, NDJSON],
    [JSON.stringify(packed), NDJSON],
  ]
  for (const [n, [body, headers]] of bodies.entries()) {
    const reply = await send('POST', URL, body, headers)
    assert.deepEqual(reply.body, { lsn: n + 1, accepted: 1 }, reply.text)
    assert.equal(reply.headers['x-vectord-lsn'], String(n + 1))
    const stored = await send('GET', `${URL}/a?include=metadata,vector,text`)
    assert.deepEqual(stored.body, { ...point, version: n + 1 })
    indexes.get('words').restart(n + 1)
  }
})

it('200: ack and deadline reach the index', async (t) => {
  const { send, indexes } = await open(t)
  const body = { points: [{ id: 'a', vector: [1, 0, 0] }] }
  await send('POST', `${URL}?ack=logged&deadline_ms=500`, body)
  const logged = { ack: 'logged', deadlineMs: NOW_MS + 500 }
  assert.deepEqual(indexes.get('words').lastWrite?.options, logged)
  await send('POST', URL, body)
  const applied = { ack: 'applied', deadlineMs: NOW_MS + HTTP_LIMITS.requestDeadlineMs }
  assert.deepEqual(indexes.get('words').lastWrite?.options, applied)
})

it('400: every refused row is listed with its reason, and nothing is written', async (t) => {
  const { send, indexes } = await open(t)
  const points = [
    { id: 'good', vector: [1, 0, 0] },
    { id: 'null', vector: [1, null, 0] },
    { id: 'text', vector: [1, '0', 0] },
    { id: 'zero', vector: [0, 0, 0] },
    { id: 'good', vector: [1, 0, 0] },
    { id: 7, vector: [1, 0, 0] },
    { vector: [1, 0, 0] },
    { id: 'none' },
    { id: 'embed', text: 'hello' },
    { id: 'meta', vector: [1, 0, 0], metadata: [1] },
    { id: 'typo', vector: [1, 0, 0], metdata: {} },
    { id: '', vector: [1, 0, 0] },
    null,
    { id: '\ud800', vector: [1, 0, 0] },
    { id: 'base', vector: '!!!!' },
    { id: 'short', vector: [1, 0] },
  ]
  const reply = await send('POST', URL, { points })
  assert.deepEqual([reply.status, reply.code], [400, 'invalid_points'])
  assert.deepEqual(
    rejected(reply).map(({ row, field, problem }) => `${row} ${field}: ${problem}`),
    [
      '1 vector[1]: is not a number',
      '2 vector[1]: is not a number',
      '3 vector: is zero, which has no direction under cosine',
      '4 id: comes twice in this request',
      '5 id: must be a string',
      '6 id: is missing',
      '7 vector: is missing',
      '8 vector: is missing: a point with text alone needs an index with an embedder',
      '9 metadata: must be an object',
      '10 metdata: is not a known field',
      '11 id: must not be empty',
      '12 : must be an object',
      '13 id: has half of a surrogate pair',
      '14 vector: holds 3 bytes, which is no number of float32',
      '15 vector: has 2 numbers, the index has 3',
    ],
  )
  assert.equal(indexes.get('words').size, 0)
})

it('429: a body whose turn comes when the index has become full is not parsed', async (t) => {
  const { send, indexes } = await open(t)
  indexes.get('words').writableLooks = 1
  const refused = await send('POST', URL, '{', { 'content-type': 'application/json' })
  assert.deepEqual([refused.status, refused.code], [429, 'delta_full'])
  assert.equal(refused.headers['retry-after'], '1')
  indexes.get('words').writableLooks = Infinity
  const parsed = await send('POST', URL, '{', { 'content-type': 'application/json' })
  assert.deepEqual([parsed.status, parsed.code], [400, 'malformed_body'])
  const empty = await send('POST', URL, '', { 'content-type': 'application/json' })
  assert.deepEqual([empty.status, empty.code], [400, 'bad_request'])
})

it('400: a batch whose only fault is the dimension says so', async (t) => {
  const { send } = await open(t)
  const reply = await send('POST', URL, { points: [{ id: 'a', vector: [1, 2] }] })
  assert.deepEqual([reply.status, reply.code], [400, 'vector_dimension_mismatch'])
  const packed = await send('POST', URL, { ids: ['a', 'b'], vectors: base64(1, 2, 3, 4) })
  assert.equal(packed.code, 'vector_dimension_mismatch')
})

it('400: numbers that are no float32 never get in', async (t) => {
  const { send, indexes } = await open(t, 'l2')
  for (const number of ['1e39', '-1e39', '1e400', '"NaN"', '"1"', 'null', 'true', '[1]', '{}']) {
    const reply = await send('POST', URL, `{"points":[{"id":"a","vector":[1,${number},0]}]}`)
    assert.equal(reply.status, 400, number)
    assert.equal(rejected(reply)[0]?.field, 'vector[1]', number)
  }
  for (const number of [NaN, Infinity, -Infinity]) {
    const reply = await send('POST', URL, { points: [{ id: 'a', vector: base64(1, number, 0) }] })
    assert.equal(rejected(reply)[0]?.problem, 'is not a finite float32')
  }
  const long = await send('POST', URL, { points: [{ id: 'a', vector: [3e38, 0, 0] }] })
  assert.match(rejected(long)[0]?.problem ?? '', /too long/)
  const zero = await send('POST', URL, { points: [{ id: 'a', vector: [0, 0, 0] }] })
  assert.equal(zero.status, 200, 'zero is a place like any other under l2')
  assert.equal(indexes.get('words').size, 1)
})

it('400: metadata that could not be given back unchanged is refused', async (t) => {
  const { send } = await open(t)
  const post = (metadata: string): Promise<TestReply> =>
    send('POST', URL, `{"points":[{"id":"a","vector":[1,0,0],"metadata":${metadata}}]}`)
  const deep = `${'{"a":'.repeat(17)}1${'}'.repeat(17)}`
  for (const metadata of ['"x"', '7', '[]', '{"a":1e400}', '{"a":"\\ud800"}', deep]) {
    assert.equal((await post(metadata)).code, 'invalid_points', metadata)
  }
  const big = await post(JSON.stringify({ a: 'x'.repeat(41_000) }))
  assert.deepEqual([big.status, big.code], [400, 'limit_exceeded'])
  const kept = { n: null, list: [1, 'a', true, null], nested: { b: { c: -0.5 } } }
  assert.equal((await post(JSON.stringify(kept))).status, 200)
  const { body } = await send('GET', `${URL}/a`)
  assert.deepEqual((body as { metadata: unknown }).metadata, kept)
})

it('400: limits are answered by name', async (t) => {
  const { send } = await open(t)
  const many = Array.from({ length: 201 }, (_, i) => ({ id: `p${i}`, vector: [1, 0, 0] }))
  const over = await send('POST', URL, { points: many })
  assert.equal(over.code, 'limit_exceeded')
  assert.match(over.text, /"limit":"rows_per_request","max":200/)
  const lines = many.map((point) => JSON.stringify(point)).join('\n\n')
  assert.equal((await send('POST', URL, lines, NDJSON)).code, 'limit_exceeded')
  const long = await send('POST', URL, { points: [{ id: 'ä'.repeat(257), vector: [1, 0, 0] }] })
  assert.equal(long.code, 'limit_exceeded')
  const edge = await send('POST', URL, { points: [{ id: 'ä'.repeat(256), vector: [1, 0, 0] }] })
  assert.equal(edge.status, 200)
})

it('400: at most a hundred rows are listed, and all are counted', async (t) => {
  const { send } = await open(t)
  const points = Array.from({ length: 150 }, (_, i) => ({ id: `p${i}`, vector: [] }))
  const reply = await send('POST', URL, { points })
  assert.equal(rejected(reply).length, 100)
  assert.match(reply.text, /"rejected_total":150/)
})

it('400: a body of the wrong shape is refused as a whole', async (t) => {
  const { send } = await open(t)
  const bodies: unknown[] = [
    ...[{}, [], { points: [] }, { points: {} }, { points: [], more: 1 }, { ids: [] }],
    ...[{ ids: 'a', vectors: [] }, { ids: ['a'] }, { ids: ['a'], vectors: [[1, 0, 0]], texts: [] }],
    ...[{ ids: ['a'], vectors: [] }, { ids: ['a'], vectors: 7 }, 'null', '7', '"x"'],
  ]
  for (const body of bodies) {
    const reply = await send('POST', URL, body)
    assert.deepEqual([reply.status, reply.code], [400, 'bad_request'], JSON.stringify(body))
  }
  assert.equal((await send('POST', URL)).status, 400)
  assert.equal((await send('POST', URL, '')).status, 400)
  assert.equal((await send('POST', URL, '\n \n', NDJSON)).status, 400)
  const line = await send('POST', URL, '{"id":"a","vector":[1,0,0]}\n{"id":', NDJSON)
  assert.deepEqual(rejected(line)[0], { row: 1, id: null, field: '', problem: 'is not valid JSON' })
})

it('413 and 415: too large a body, and one of another type', async (t) => {
  const { send } = await open(t)
  const large = await send('POST', URL, `{"points":"${'x'.repeat(1 << 20)}"}`)
  assert.deepEqual([large.status, large.code], [413, 'body_too_large'])
  for (const type of ['text/plain', 'application/xml', 'multipart/form-data', 'nonsense']) {
    const reply = await send('POST', URL, '{}', { 'content-type': type })
    assert.deepEqual([reply.status, reply.code], [415, 'unsupported_media_type'], type)
  }
  const packed = await send('POST', URL, '{}', { 'content-encoding': 'gzip' })
  assert.equal(packed.code, 'unsupported_media_type')
})

it('200: deletes by id take unknown and repeated ids; by filter they count', async (t) => {
  const { send, indexes } = await open(t)
  const points = [1, 2, 3, 4].map((n) => ({ id: `p${n}`, vector: [n, 1, 0], metadata: { n } }))
  await send('POST', URL, { points })
  const byId = await send('POST', `${URL}/delete`, { ids: ['p1', 'p1', 'unknown'] })
  assert.deepEqual(byId.body, { lsn: 2, accepted: 2 })
  const byFilter = await send('POST', `${URL}/delete`, { filter: { n: { $gte: 3 } } })
  assert.deepEqual(byFilter.body, { lsn: 3, deleted: 2 })
  assert.equal(indexes.get('words').size, 1)
})

it('400: a delete of something else deletes nothing', async (t) => {
  const { send, indexes } = await open(t)
  await send('POST', URL, { points: [{ id: 'a', vector: [1, 0, 0] }] })
  const bodies = [
    {},
    { ids: [] },
    { ids: ['a'], filter: {} },
    { ids: 'a' },
    { ids: [1] },
    { id: 'a' },
  ]
  for (const body of bodies) {
    assert.equal((await send('POST', `${URL}/delete`, body)).status, 400, JSON.stringify(body))
  }
  for (const filter of [null, [], 7, { $where: '1' }, { n: { $gt: null } }, { $and: [] }]) {
    const reply = await send('POST', `${URL}/delete`, { filter })
    assert.deepEqual([reply.status, reply.code], [400, 'invalid_filter'], JSON.stringify(filter))
  }
  assert.equal(indexes.get('words').size, 1)
})

it('200: any id can be fetched by its path; 404 where there is no such point', async (t) => {
  const { send } = await open(t)
  for (const id of ['a/b', '../x', 'ä ö', '%', '?k=1#', 'delete', '...', '😀'.repeat(128)]) {
    await send('POST', URL, { points: [{ id, vector: [1, 0, 0] }] })
    const reply = await send('GET', `${URL}/${encodeURIComponent(id)}`)
    assert.equal(reply.status, 200, id)
    assert.equal((reply.body as { id: string }).id, id)
  }
  const none = await send('GET', `${URL}/nope`)
  assert.deepEqual([none.status, none.code], [404, 'point_not_found'])
})

it('200: a scroll visits every point once, page by page', async (t) => {
  const { send } = await open(t)
  const points = Array.from({ length: 25 }, (_, i) => ({ id: `p${i}`, vector: [1, i, 0] }))
  await send('POST', URL, { points })
  const seen: string[] = []
  let cursor: string | null = ''
  while (cursor !== null) {
    const reply = await send('GET', `${URL}?limit=10${cursor && `&cursor=${cursor}`}`)
    assert.equal(reply.status, 200)
    const page = reply.body as { points: { id: string }[]; next_cursor: string | null }
    seen.push(...page.points.map((point) => point.id))
    cursor = page.next_cursor
  }
  assert.deepEqual(
    seen,
    points.map((point) => point.id),
  )
})

it('400: a bad cursor, page size, filter or include of a scroll', async (t) => {
  const { send } = await open(t)
  const cases: [string, string][] = [
    ['cursor=AAAA', 'invalid_cursor'],
    [`cursor=${Buffer.from('1:1:99999999999').toString('base64url')}`, 'invalid_cursor'],
    ['limit=0', 'bad_request'],
    ['limit=1001', 'limit_exceeded'],
    ['limit=ten', 'bad_request'],
    ['limit=1&limit=2', 'bad_request'],
    ['filter={', 'invalid_filter'],
    ['filter=[]', 'invalid_filter'],
    ['include=all', 'bad_request'],
    ['min_lsn=-1', 'bad_request'],
    ['deadline_ms=99999999', 'limit_exceeded'],
    ['offset=3', 'bad_request'],
  ]
  for (const [query, code] of cases) {
    const reply = await send('GET', `${URL}?${query}`)
    assert.deepEqual([reply.status, reply.code], [400, code], query)
  }
})

it('404: points of an index that is not there', async (t) => {
  const { send } = await open(t)
  const body = { points: [{ id: 'a', vector: [1, 0, 0] }] }
  const reply = await send('POST', '/vectors/indexes/wordz/points', body)
  assert.deepEqual([reply.status, reply.code], [404, 'index_not_found'])
})
