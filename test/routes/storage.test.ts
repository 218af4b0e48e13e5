/** The HTTP contract of /storage: buckets, objects, failures. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { parseApiKeys } from '../../src/http/auth.ts'
import { bearer, keyLine, openApp } from '../support/http-app.ts'

const OBJECTS = '/storage/buckets/primary/objects'

it('200: buckets and their health are listed', async (t) => {
  const { send } = await openApp(t)
  const list = await send('GET', '/storage/buckets')
  assert.equal(list.status, 200)
  assert.match(list.text, /"name":"primary".*"protected":true.*"conditional_writes":"verified"/)
  const health = await send('GET', '/storage/bucket-health')
  assert.match(health.text, /"reachable":true,"latency_ms":0.5/)
})

it('201: a local and an S3 bucket are registered, and no secret comes back', async (t) => {
  const { send, buckets } = await openApp(t)
  const local = { name: 'cold', backend: 'local', root: '/srv/cold' }
  assert.equal((await send('POST', '/storage/buckets', local)).status, 201)
  const s3 = { name: 'far', backend: 's3', bucket: 'data', endpoint: 'http://127.0.0.1:9000' }
  const reply = await send('POST', '/storage/buckets', { ...s3, credentials: { profile: 'ops' } })
  assert.equal(reply.status, 201)
  assert.deepEqual(buckets.lastAdded, {
    ...{ ...s3, prefix: '', region: 'us-east-1' },
    credentials: { kind: 'profile', profile: 'ops' },
  })
  const credentials = { access_key_id: 'AKIA', secret_access_key: 'hush-hush' }
  const inline = await send('POST', '/storage/buckets', { ...s3, name: 'own', credentials })
  assert.equal(inline.status, 201)
  assert.doesNotMatch(inline.text, /hush|AKIA/)
  assert.match(JSON.stringify(buckets.lastAdded), /"kind":"inline".*"secretAccessKey":"hush-hush"/)
})

it('400: a bucket that is not described by its backend', async (t) => {
  const { send, buckets } = await openApp(t)
  const bodies = [
    { name: 'a', backend: 'local' },
    { name: 'a', backend: 's3' },
    { name: 'a', backend: 'gcs', root: '/x' },
    { name: 'a', backend: 'local', root: '/x', bucket: 'abc' },
    { name: 'a', backend: 's3', bucket: 'abc', root: '/x' },
    { name: 'a', backend: 's3', bucket: 'abc', prefix: 'no-slash' },
    { name: 'a', backend: 's3', bucket: 'abc', endpoint: 'http://key:hush@host' },
    { name: 'a', backend: 's3', bucket: 'abc', credentials: { secret_access_key: 'hush' } },
    { name: 'a', backend: 's3', bucket: 'abc', credentials: { profile: 'a', file: 'b' } },
    { name: 'a/b', backend: 'local', root: '/x' },
  ]
  for (const body of bodies) {
    const reply = await send('POST', '/storage/buckets', body)
    assert.equal(reply.status, 400, JSON.stringify(body))
    assert.doesNotMatch(reply.text, /hush/)
  }
  assert.equal(buckets.lastAdded, null)
})

it('204, 403, 404, 409: removing and adding buckets', async (t) => {
  const { send } = await openApp(t)
  const body = { name: 'cold', backend: 'local', root: '/srv/cold' }
  await send('POST', '/storage/buckets', body)
  assert.equal((await send('POST', '/storage/buckets', body)).code, 'bucket_exists')
  assert.equal((await send('DELETE', '/storage/buckets/cold')).status, 204)
  const gone = await send('DELETE', '/storage/buckets/cold')
  assert.deepEqual([gone.status, gone.code], [404, 'bucket_not_found'])
  assert.match(gone.text, /"buckets":\["primary","rescue"\]/)
  assert.equal((await send('DELETE', '/storage/buckets/primary')).code, 'bucket_protected')
})

it('200: any bytes go in under any content type, and come out as they were', async (t) => {
  const { send } = await openApp(t)
  const body = Buffer.from([0, 255, 123, 34, 13, 10])
  for (const type of ['application/json', 'text/html', 'application/x-ndjson', 'a/b']) {
    const headers = { 'content-type': type }
    const written = await send('PUT', `${OBJECTS}/data/a.bin`, body, headers)
    assert.deepEqual(written.body, { key: 'data/a.bin', bytes: 6 }, type)
  }
  const app = await openApp(t)
  await app.send('PUT', `${OBJECTS}/data/a.bin`, body)
  const reply = await app.app.inject(`${OBJECTS}/data/a.bin`)
  assert.deepEqual(reply.rawPayload, body)
  assert.equal(reply.headers['content-type'], 'application/octet-stream')
  assert.equal(reply.headers['content-disposition'], 'attachment')
  assert.match(String(reply.headers['content-security-policy']), /sandbox/)
  const empty = await app.send('PUT', `${OBJECTS}/empty`)
  assert.deepEqual(empty.body, { key: 'empty', bytes: 0 })
  assert.equal((await app.send('DELETE', `${OBJECTS}/empty`)).status, 204)
  assert.equal((await app.send('GET', `${OBJECTS}/empty`)).code, 'object_not_found')
})

it('403: keys of vectord itself are read-only here, however they are spelt', async (t) => {
  const { send, buckets } = await openApp(t)
  await buckets.writeObject('primary', '_keys/1.json', Buffer.from('{}'))
  for (const key of ['_keys/1.json', '%5Fkeys/1.json', '_new']) {
    assert.equal((await send('PUT', `${OBJECTS}/${key}`, 'x')).code, 'forbidden', key)
    assert.equal((await send('DELETE', `${OBJECTS}/${key}`)).code, 'forbidden', key)
  }
  assert.equal((await send('GET', `${OBJECTS}/_keys/1.json`)).status, 200)
})

it('403: only admins read what vectord keeps; keys with prefixes have no part here', async (t) => {
  const keys = parseApiKeys([
    ...[keyLine('a', 'admin', 'admin'), keyLine('r', 'read', 'read')],
    ...[keyLine('w', 'write', 'write'), keyLine('p', 'admin', 'part', 'team_')],
  ])
  const { send, buckets } = await openApp(t, { keys })
  await buckets.writeObject('primary', '_keys/1.json', Buffer.from('{}'))
  const read = (secret: string): Promise<number> =>
    send('GET', `${OBJECTS}/_keys/1.json`, undefined, bearer(secret)).then(({ status }) => status)
  assert.deepEqual([await read('admin'), await read('read'), await read('write')], [200, 403, 403])
  assert.equal(await read('part'), 403)
  for (const url of ['/storage/buckets', OBJECTS, '/storage/errors', '/metrics', '/cores']) {
    assert.equal((await send('GET', url, undefined, bearer('part'))).status, 403, url)
    assert.equal((await send('GET', url, undefined, bearer('read'))).status, 200, url)
  }
})

it('200: a list goes page by page; 400 for a cursor that is none', async (t) => {
  const { send } = await openApp(t)
  for (const key of ['a/1', 'a/2', 'a/3', 'b/1']) await send('PUT', `${OBJECTS}/${key}`, 'x')
  const first = await send('GET', `${OBJECTS}?prefix=a/&limit=2`)
  const { objects, next_cursor } = first.body as { objects: { key: string }[]; next_cursor: string }
  assert.deepEqual(
    objects.map(({ key }) => key),
    ['a/1', 'a/2'],
  )
  const second = await send('GET', `${OBJECTS}?prefix=a/&limit=2&cursor=${next_cursor}`)
  assert.match(second.text, /"key":"a\/3".*"next_cursor":null/)
  assert.equal((await send('GET', `${OBJECTS}?cursor=!!`)).code, 'invalid_cursor')
})

it('200: a read that the rescue bucket answered says so', async (t) => {
  const { send, buckets } = await openApp(t)
  await buckets.writeObject('primary', 'a', Buffer.from('x'))
  assert.equal((await send('GET', `${OBJECTS}/a`)).headers['x-lakehouse-rescue-used'], undefined)
  buckets.rescueUsed = true
  assert.equal((await send('GET', `${OBJECTS}/a`)).headers['x-lakehouse-rescue-used'], '1')
  assert.equal((await send('GET', OBJECTS)).headers['x-lakehouse-rescue-used'], '1')
})

it('200: failures are listed, flushed and compacted', async (t) => {
  const { send } = await openApp(t)
  const list = await send('GET', '/storage/errors?limit=5')
  assert.match(list.text, /"at":"1970-01-01T00:00:00.000Z","bucket":"primary"/)
  assert.deepEqual((await send('POST', '/storage/errors/flush')).body, { entries: 1 })
  assert.deepEqual((await send('POST', '/storage/errors/compact')).body, { batches: 1 })
  assert.equal((await send('GET', '/storage/errors?limit=0')).status, 400)
})
