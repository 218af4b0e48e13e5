/** `Idempotency-Key`: what runs once, what runs again, and who shares what. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { parseApiKeys } from '../../src/http/auth.ts'
import { VectordError } from '../../src/lib/errors.ts'
import { bearer, keyLine, openApp } from '../support/http-app.ts'

const URL = '/vectors/indexes'
const KEY = { 'idempotency-key': 'once-7' }
const BODY = { name: 'a', dimension: 3 }

it('the same request again gets the first answer, and runs once', async (t) => {
  const { send, indexes } = await openApp(t)
  const first = await send('POST', URL, BODY, KEY)
  const again = await send('POST', URL, BODY, KEY)
  assert.deepEqual([again.status, again.text], [201, first.text])
  assert.equal(again.headers['etag'], first.headers['etag'])
  assert.equal(again.headers['content-type'], first.headers['content-type'])
  assert.equal(first.headers['idempotent-replayed'], undefined)
  assert.equal(again.headers['idempotent-replayed'], 'true')
  assert.equal(indexes.created, 1)
})

it('requests that arrive together run once', async (t) => {
  const { send, indexes } = await openApp(t)
  const replies = await Promise.all([1, 2, 3].map(() => send('POST', URL, BODY, KEY)))
  assert.deepEqual(
    replies.map((reply) => reply.status),
    [201, 201, 201],
  )
  assert.equal(indexes.created, 1)
})

it('422: another body or another route under the same key', async (t) => {
  const { send, indexes } = await openApp(t)
  await send('POST', URL, BODY, KEY)
  const other = await send('POST', URL, { ...BODY, dimension: 4 }, KEY)
  assert.deepEqual([other.status, other.code], [422, 'idempotency_key_reused'])
  const bucket = { name: 'b', backend: 'local', root: '/b' }
  assert.equal((await send('POST', '/storage/buckets', bucket, KEY)).status, 422)
  assert.equal(indexes.created, 1)
})

it('a final refusal is an answer too; a passing failure is not', async (t) => {
  const { send, indexes } = await openApp(t)
  await send('POST', URL, BODY)
  assert.equal((await send('POST', URL, BODY, KEY)).code, 'index_exists')
  await send('DELETE', `${URL}/a`)
  assert.equal((await send('POST', URL, BODY, KEY)).code, 'index_exists')

  const create = indexes.create.bind(indexes)
  const retry = { 'idempotency-key': 'retry' }
  for (const code of ['bucket_unreachable', 'rate_limited', 'storage_full', 'internal'] as const) {
    indexes.create = () => Promise.reject(new VectordError(code, 'Not now.'))
    assert.equal((await send('POST', URL, BODY, retry)).code, code)
  }
  indexes.create = create
  assert.equal((await send('POST', URL, BODY, retry)).status, 201)
})

it('keys of different callers never meet', async (t) => {
  const keys = parseApiKeys([keyLine('a', 'admin', 'a'), keyLine('b', 'admin', 'b')])
  const { send } = await openApp(t, { keys })
  assert.equal((await send('POST', URL, BODY, { ...KEY, ...bearer('a') })).status, 201)
  const other = await send('POST', URL, { ...BODY, name: 'b' }, { ...KEY, ...bearer('b') })
  assert.equal(other.status, 201)
})

it('memory is bounded: the answers that nobody asked for longest are forgotten', async (t) => {
  const { send, indexes } = await openApp(t)
  await send('POST', URL, BODY, { 'idempotency-key': 'kept' })
  await send('POST', URL, { ...BODY, name: 'b' }, { 'idempotency-key': 'forgotten' })
  for (let n = 0; n < 999; n += 1) {
    await send('POST', URL, BODY, { 'idempotency-key': `other-${n}` })
    if (n === 500) await send('POST', URL, BODY, { 'idempotency-key': 'kept' })
  }
  const before = indexes.created
  assert.equal((await send('POST', URL, BODY, { 'idempotency-key': 'kept' })).status, 201)
  assert.equal(indexes.created, before)
  const again = await send('POST', URL, { ...BODY, name: 'b' }, { 'idempotency-key': 'forgotten' })
  assert.equal(again.status, 409)
})

it('400: a key that is none', async (t) => {
  const { send } = await openApp(t)
  for (const key of ['', 'a b', 'x'.repeat(256)]) {
    const reply = await send('POST', URL, BODY, { 'idempotency-key': key })
    assert.equal(reply.status, 400, key)
  }
})
