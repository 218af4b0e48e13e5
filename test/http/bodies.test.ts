/** Hostile bodies and headers: each gets its code, and none of them gets in. */

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { it } from 'node:test'
import { HTTP_LIMITS } from '../../src/http/limits.ts'
import { openApp, type TestApp } from '../support/http-app.ts'

const SEARCH = '/vectors/indexes/words/search'

async function open(t: Parameters<typeof openApp>[0]): Promise<TestApp> {
  const app = await openApp(t, { limits: { ...HTTP_LIMITS, bodyBytesMax: 4 << 20 } })
  await app.send('POST', '/vectors/indexes', { name: 'words', dimension: 2 })
  return app
}

it('400: what is no JSON, or no UTF-8', async (t) => {
  const { send } = await open(t)
  const bodies = [
    ...['{', '{"k":1,}', "{'k':1}", 'NaN', '{"vector":[NaN,1]}', '{"vector":[Infinity,1]}'],
    ...['{"vector":[1,2]}x', '{"k":01}', '\ufeff{}', '{"a":"\u0001"}'],
    Buffer.from([0x22, 0xff, 0xfe, 0x22]),
    Buffer.from([0x22, 0xc0, 0xaf, 0x22]),
    Buffer.from('{"id":"\u00e4"}', 'latin1'),
  ]
  for (const body of bodies) {
    const reply = await send('POST', SEARCH, body)
    assert.deepEqual([reply.status, reply.code], [400, 'malformed_body'], String(body))
  }
})

it('400: fields that poison prototypes, however they are spelt', async (t) => {
  const { send } = await open(t)
  const bodies = [
    ...['{"__proto__":{"k":1}}', '{"\\u005f_proto__":{}}', '{"\\u005F\\u005Fproto\\u005f_":1}'],
    ...['{"filter":{"__proto__":{}}}', '[[{"__proto__":1}]]', '{"constructor":{"prototype":{}}}'],
  ]
  for (const body of bodies) {
    const reply = await send('POST', SEARCH, body)
    assert.deepEqual([reply.status, reply.code], [400, 'malformed_body'], body)
  }
  const points = [
    { id: '__proto__', vector: [1, 0], metadata: { constructor: 'x', a: '__proto__' } },
  ]
  const stored = await send('POST', '/vectors/indexes/words/points', { points })
  assert.equal(stored.status, 200, 'as values they are words like any other')
  assert.equal(Object.hasOwn(Object.prototype, 'k'), false)
})

it('400: a million levels deep, in any place', async (t) => {
  const { send } = await open(t)
  const deep = (open: string, close: string): string =>
    `${open.repeat(200_000)}1${close.repeat(200_000)}`
  const places = ['[', '{"filter":[', '{"vector":[', '{"id":['].map(
    (start) => start + deep('[', ']') + (start === '[' ? ']' : ']}'),
  )
  const nested = deep('{"$not":', '}')
  const metadata = `{"points":[{"id":"a","vector":[1,0],"metadata":${deep('{"a":', '}')}}]}`
  for (const body of [...places, `{"vector":[1,0],"filter":${nested}}`, deep('{"a":', '}')]) {
    assert.equal((await send('POST', SEARCH, body)).status, 400)
  }
  assert.equal((await send('POST', '/vectors/indexes/words/points', metadata)).status, 400)
  assert.equal((await send('POST', '/vectors/indexes', `{"name":${deep('[', ']')}}`)).status, 400)
  const poisoned = `{"__proto__":1,"a":${deep('{"a":', '}')}}`
  assert.equal((await send('POST', SEARCH, poisoned)).status, 400)
})

it('of two fields of one name the last counts, as in JSON.parse', async (t) => {
  const { send } = await open(t)
  const reply = await send('POST', SEARCH, '{"k":0,"vector":[1],"vector":[1,0],"k":3}')
  assert.equal(reply.status, 200)
})

it('a request id is taken over when it is well formed, and replaced when it is not', async (t) => {
  const { send } = await open(t)
  const kept = await send('GET', '/livez', undefined, { 'x-request-id': 'abc.DEF:1_2-3' })
  assert.equal(kept.headers['x-request-id'], 'abc.DEF:1_2-3')
  const ids = new Set<unknown>()
  for (const id of ['', 'a b', 'a"b', 'ä', '<x>', 'x'.repeat(65), 'a,b']) {
    const reply = await send('GET', '/nope', undefined, { 'x-request-id': id })
    const own = reply.headers['x-request-id']
    assert.match(String(own), /^[0-9a-f]{12}-[0-9a-z]+$/)
    assert.equal((reply.body as { request_id: string }).request_id, own)
    ids.add(own)
  }
  assert.equal(ids.size, 7)
})

it('400 and 404: paths that cannot be decoded, that climb, or that are endless', async (t) => {
  const { send } = await open(t)
  const paths = ['/%zz', '/vectors/indexes/%', `/vectors/indexes/${'a'.repeat(9000)}`, '/%00']
  const more = [
    '/vectors/indexes/words%00',
    '/../../etc/passwd',
    '/docs/static/..%2f..%2fpackage.json',
  ]
  for (const path of [...paths, ...more]) {
    const reply = await send('GET', path)
    assert.ok([400, 403, 404].includes(reply.status), `${path}: ${reply.status} ${reply.text}`)
    assert.ok(!reply.text.includes('node_modules'), reply.text)
  }
})

it('over a real socket: nonsense, smuggled headers, a cut body, and then the service still serves', async (t) => {
  const { app } = await open(t)
  const address = new URL(await app.listen({ port: 0, host: '127.0.0.1' }))
  const raw = async (text: string): Promise<string> => {
    const socket = connect(Number(address.port), address.hostname)
    let answer = ''
    socket.on('data', (chunk: Buffer) => (answer += chunk.toString()))
    socket.end(text)
    await once(socket, 'close')
    return answer
  }
  const head = `POST ${SEARCH} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n`
  const json = 'Content-Type: application/json\r\n'
  assert.match(await raw('nonsense\r\n\r\n'), /^HTTP\/1\.1 400 .*"code":"bad_request"/s)
  const smuggled = `${head}${json}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`
  assert.match(await raw(smuggled), /^HTTP\/1\.1 400/)
  assert.match(await raw(`${head}X: ${'x'.repeat(40_000)}\r\n\r\n`), /^HTTP\/1\.1 400/)
  const chunk = `${(5 << 20).toString(16)}\r\n${'x'.repeat(5 << 20)}\r\n0\r\n\r\n`
  const large = await raw(`${head}${json}Transfer-Encoding: chunked\r\n\r\n${chunk}`)
  assert.ok(large === '' || /^HTTP\/1\.1 413/.test(large), large)
  const declared = await raw(`${head}${json}Content-Length: 99999999\r\n\r\n{}`)
  assert.match(declared, /^HTTP\/1\.1 413 .*"code":"body_too_large"/s)
  await raw(`${head}${json}Content-Length: 50\r\n\r\n{"vector"`)
  const body = '{"vector":[1,0]}'
  const good = await raw(`${head}${json}Content-Length: ${body.length}\r\n\r\n${body}`)
  assert.match(good, /^HTTP\/1\.1 200/)
})
