/** The HTTP contract of /vectors/indexes: statuses and shapes, through the real front. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { parseApiKeys } from '../../src/http/auth.ts'
import { bearer, keyLine, openApp } from '../support/http-app.ts'

const URL = '/vectors/indexes'

it('201: the smallest body makes an index with the documented defaults', async (t) => {
  const { send } = await openApp(t)
  const reply = await send('POST', URL, { name: 'words', dimension: 3 })
  assert.equal(reply.status, 201)
  assert.equal(reply.headers['etag'], '"1"')
  assert.equal(reply.headers['location'], '/vectors/indexes/words')
  const { metric, bucket, backend, hnsw, shards, retention } = reply.body as Record<string, unknown>
  assert.deepEqual(
    { metric, bucket, backend, hnsw, shards, retention },
    {
      ...{ metric: 'cosine', bucket: 'primary', backend: 'hnsw', shards: 1 },
      hnsw: { m: 16, ef_construction: 200, ef_search: null, seed: 42 },
      retention: { keep_last_versions: 1 },
    },
  )
})

it('201: every setting is kept, and read back', async (t) => {
  const { send } = await openApp(t)
  const hnsw = { m: 32, ef_construction: 400, ef_search: 99, seed: 7 }
  const body = { name: 'a', dimension: 8, metric: 'l2', hnsw, shards: 4 }
  const retention = { keep_last_versions: 3 }
  assert.equal((await send('POST', URL, { ...body, retention })).status, 201)
  const read = await send('GET', `${URL}/a`)
  assert.equal(read.status, 200)
  const { name, dimension, metric, hnsw: kept, shards } = read.body as Record<string, unknown>
  assert.deepEqual({ name, dimension, metric, hnsw: kept, shards }, body)
})

it('400: what is wrong with a body is named, and nothing is created', async (t) => {
  const { send, indexes } = await openApp(t)
  const base = { name: 'a', dimension: 3 }
  const cases: [unknown, RegExp][] = [
    [{ name: 'a' }, /"dimension" in the body is missing/],
    [{ dimension: 3 }, /"name" in the body is missing/],
    [{ ...base, dimension: '3' }, /"dimension" in the body must be integer/],
    [{ ...base, dimension: 0 }, /"dimension" in the body must be >= 1/],
    [{ ...base, dimension: 2.5 }, /"dimension"/],
    [{ ...base, dimension: null }, /"dimension"/],
    [{ ...base, metric: 'cosin' }, /must be one of: cosine, l2, ip/],
    [{ ...base, hnsw: { m: 4096 } }, /"hnsw.m" in the body must be <= 128/],
    [{ ...base, hnsw: { ef_search: '64' } }, /"hnsw.ef_search"/],
    [{ ...base, hnsw: { efsearch: 64 } }, /not a known field; did you mean "ef_search"/],
    [{ ...base, shards: 65 }, /"shards" in the body must be <= 64/],
    [{ ...base, dimensions: 3 }, /"dimensions" in the body is not a known field/],
    [[], /The body must be object/],
    ['"a"', /The body must be object/],
  ]
  for (const [body, message] of cases) {
    const reply = await send('POST', URL, body)
    assert.equal(reply.status, 400, JSON.stringify(body))
    assert.equal(reply.code, 'bad_request', reply.text)
    assert.match((reply.body as { error: { message: string } }).error.message, message)
  }
  assert.equal(indexes.list().length, 0)
})

it('400: names that are no part of a key are refused as names', async (t) => {
  const { send } = await openApp(t)
  for (const name of ['', 'a/b', '../a', 'ä', 'a'.repeat(129), '.', 'a b']) {
    const reply = await send('POST', URL, { name, dimension: 3 })
    assert.deepEqual([reply.status, reply.code], [400, 'invalid_name'], name)
  }
  assert.equal((await send('GET', `${URL}/a%2Fb`)).code, 'invalid_name')
})

it('400: a dimension over the limit is answered by the name of the limit', async (t) => {
  const { send } = await openApp(t)
  const reply = await send('POST', URL, { name: 'a', dimension: 8193 })
  assert.deepEqual([reply.status, reply.code], [400, 'limit_exceeded'])
  assert.match(reply.text, /"max":8192/)
})

it('404: an unknown bucket comes with the list of valid ones', async (t) => {
  const { send } = await openApp(t)
  const reply = await send('POST', URL, { name: 'a', dimension: 3, bucket: 'cold' })
  assert.deepEqual([reply.status, reply.code], [404, 'bucket_not_found'])
  assert.match(reply.text, /"buckets":\["primary"\]/)
})

it('409: an index exists already; an embedder is not configured', async (t) => {
  const { send } = await openApp(t)
  const body = { name: 'a', dimension: 3 }
  await send('POST', URL, body)
  assert.equal((await send('POST', URL, body)).code, 'index_exists')
  const embedded = await send('POST', URL, { name: 'b', embedder: 'local' })
  assert.deepEqual([embedded.status, embedded.code], [409, 'not_configured'])
})

it('400: a Lance index has neither shards nor kept versions of single points', async (t) => {
  const { send } = await openApp(t)
  const body = { name: 'b', dimension: 3, backend: 'lance' }
  for (const wrong of [{ shards: 2 }, { retention: { keep_last_versions: 2 } }]) {
    const refused = await send('POST', URL, { ...body, ...wrong })
    assert.deepEqual([refused.status, refused.code], [400, 'bad_request'])
  }
})

it('404: an unknown index names near ones, but only those that the key may see', async (t) => {
  const keys = parseApiKeys([
    keyLine('all', 'admin', 'root'),
    keyLine('team', 'read', 'team', 'team_'),
  ])
  const { send } = await openApp(t, { keys })
  for (const name of ['team_words', 'teem_words']) {
    await send('POST', URL, { name, dimension: 3 }, bearer('root'))
  }
  const open = await send('GET', `${URL}/team_wrds`, undefined, bearer('root'))
  assert.deepEqual([open.status, open.code], [404, 'index_not_found'])
  assert.match(open.text, /teem_words/)
  const limited = await send('GET', `${URL}/team_wrds`, undefined, bearer('team'))
  assert.match(limited.text, /Did you mean \\"team_words\\"/)
  assert.doesNotMatch(limited.text, /teem_words/)
})

it('200: the list shows what the key may see', async (t) => {
  const keys = parseApiKeys([
    keyLine('all', 'admin', 'root'),
    keyLine('team', 'read', 'team', 'a|b'),
  ])
  const { send } = await openApp(t, { keys })
  for (const name of ['apple', 'bear', 'cat']) {
    await send('POST', URL, { name, dimension: 3 }, bearer('root'))
  }
  const names = async (secret: string): Promise<string[]> => {
    const { body } = await send('GET', URL, undefined, bearer(secret))
    return (body as { indexes: { name: string }[] }).indexes.map((index) => index.name)
  }
  assert.deepEqual(await names('root'), ['apple', 'bear', 'cat'])
  assert.deepEqual(await names('team'), ['apple', 'bear'])
})

it('200: a change of settings raises the revision; 412 with the ETag from before', async (t) => {
  const { send } = await openApp(t)
  await send('POST', URL, { name: 'a', dimension: 3 })
  const changed = await send(
    'PATCH',
    `${URL}/a`,
    { hnsw: { ef_search: 77 } },
    { 'if-match': '"1"' },
  )
  assert.equal(changed.status, 200)
  assert.equal(changed.headers['etag'], '"2"')
  assert.match(changed.text, /"ef_search":77/)
  for (const etag of ['"1"', 'W/"2"']) {
    const body = { retention: { keep_last_versions: 2 } }
    const late = await send('PATCH', `${URL}/a`, body, { 'if-match': etag })
    assert.deepEqual([late.status, late.code], [412, 'revision_mismatch'], etag)
  }
  const malformed = await send('PATCH', `${URL}/a`, { hnsw: { ef_search: 1 } }, { 'if-match': '2' })
  assert.deepEqual([malformed.status, malformed.code], [400, 'bad_request'])
  const cleared = await send('PATCH', `${URL}/a`, { hnsw: { ef_search: null } })
  assert.match(cleared.text, /"ef_search":null/)
})

it('400: a change of nothing, of what cannot change, or out of bounds', async (t) => {
  const { send } = await openApp(t)
  await send('POST', URL, { name: 'a', dimension: 3 })
  for (const body of [{}, { hnsw: { m: 8 } }, { hnsw: { ef_search: 0 } }, { dimension: 4 }]) {
    assert.equal((await send('PATCH', `${URL}/a`, body)).status, 400, JSON.stringify(body))
  }
})

it('202: a move is an operation; with wait it is 200 and the index; by the ETag that was seen', async (t) => {
  const { send, indexes } = await openApp(t)
  indexes.buckets.add('cold')
  await send('POST', URL, { name: 'a', dimension: 3 })
  const stale = await send('PATCH', `${URL}/a`, { bucket: 'cold' }, { 'if-match': '"9"' })
  assert.deepEqual([stale.status, stale.code], [412, 'revision_mismatch'])
  const begun = await send('PATCH', `${URL}/a`, { bucket: 'cold' }, { 'if-match': '"1"' })
  assert.equal(begun.status, 202)
  const operation = await send('GET', String(begun.headers['location']))
  assert.match(operation.text, /"kind":"move".*"state":"succeeded".*"bucket":"cold"/)
  const back = await send('PATCH', `${URL}/a?wait=true`, {
    bucket: 'primary',
    hnsw: { ef_search: 40 },
  })
  assert.equal(back.status, 200)
  assert.match(back.text, /"bucket":"primary".*"ef_search":40/)
  assert.match(String(back.headers['etag']), /^"\d+"$/)
})

it('200: an index that lives in the bucket stays; 404: no such bucket, with those there are', async (t) => {
  const { send } = await openApp(t)
  await send('POST', URL, { name: 'a', dimension: 3 })
  const stays = await send('PATCH', `${URL}/a`, { bucket: 'primary' })
  assert.deepEqual([stays.status, (stays.body as { bucket: string }).bucket], [200, 'primary'])
  const before = await send('GET', `${URL}/a`)
  const nowhere = await send('PATCH', `${URL}/a`, { bucket: 'cold', hnsw: { ef_search: 40 } })
  assert.deepEqual([nowhere.status, nowhere.code], [404, 'bucket_not_found'])
  assert.match(nowhere.text, /"buckets":\["primary"\]/)
  assert.equal((await send('GET', `${URL}/a`)).text, before.text, 'nothing of it was changed')
  assert.equal((await send('PATCH', `${URL}/a`, { bucket: '../x' })).status, 400)
})

it('204: an index is dropped, by the ETag that was seen; then it is 404', async (t) => {
  const { send } = await openApp(t)
  await send('POST', URL, { name: 'a', dimension: 3 })
  assert.equal((await send('DELETE', `${URL}/a`, undefined, { 'if-match': '"9"' })).status, 412)
  const dropped = await send('DELETE', `${URL}/a`, undefined, { 'if-match': '"1"' })
  assert.deepEqual([dropped.status, dropped.text], [204, ''])
  assert.equal((await send('DELETE', `${URL}/a`)).status, 404)
})

it('403: a key limited to prefixes creates and reads nothing outside them', async (t) => {
  const keys = parseApiKeys([keyLine('team', 'admin', 'team', 'team_')])
  const { send, indexes } = await openApp(t, { keys })
  const inside = await send('POST', URL, { name: 'team_a', dimension: 3 }, bearer('team'))
  assert.equal(inside.status, 201)
  const outside = await send('POST', URL, { name: 'other', dimension: 3 }, bearer('team'))
  assert.deepEqual([outside.status, outside.code], [403, 'forbidden'])
  assert.equal((await send('GET', `${URL}/other`, undefined, bearer('team'))).status, 403)
  assert.equal(indexes.list().length, 1)
})
