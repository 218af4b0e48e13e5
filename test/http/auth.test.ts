/** Who may do what: every route against every role, and how keys are configured and presented. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { checkListen, parseApiKeys } from '../../src/http/auth.ts'
import { bearer, keyLine, openApp } from '../support/http-app.ts'

const KEYS = parseApiKeys([
  keyLine('reader', 'read', 'r-secret'),
  keyLine('writer', 'write', 'w-secret'),
  keyLine('boss', 'admin', 'a-secret'),
])

/** Every route that needs a key, and the least role that it needs. */
const NEEDS: readonly (readonly [string, string, 'read' | 'write' | 'admin'])[] = [
  ['POST', '/vectors/indexes', 'admin'],
  ['GET', '/vectors/indexes', 'read'],
  ['GET', '/vectors/indexes/{index}', 'read'],
  ['PATCH', '/vectors/indexes/{index}', 'admin'],
  ['DELETE', '/vectors/indexes/{index}', 'admin'],
  ['POST', '/vectors/indexes/{index}/points', 'write'],
  ['POST', '/vectors/indexes/{index}/points/delete', 'write'],
  ['GET', '/vectors/indexes/{index}/points/{id}', 'read'],
  ['GET', '/vectors/indexes/{index}/points', 'read'],
  ['POST', '/vectors/indexes/{index}/stream', 'write'],
  ['GET', '/vectors/indexes/{index}/stream', 'read'],
  ['GET', '/vectors/indexes/{index}/stream/dead-letters', 'read'],
  ['POST', '/vectors/indexes/{index}/stream/dead-letters/requeue', 'write'],
  ['DELETE', '/vectors/indexes/{index}/stream/dead-letters/{id}', 'write'],
  ['POST', '/vectors/indexes/{index}/search', 'read'],
  ['POST', '/vectors/indexes/{index}/search/batch', 'read'],
  ['POST', '/vectors/indexes/{index}/checkpoint', 'write'],
  ['POST', '/vectors/indexes/{index}/verify', 'write'],
  ['GET', '/vectors/indexes/{index}/health', 'read'],
  ['PUT', '/vectors/hnsw/evals/{name}', 'write'],
  ['POST', '/vectors/hnsw/evals/{name}/autogen', 'write'],
  ['GET', '/vectors/hnsw/evals', 'read'],
  ['GET', '/vectors/hnsw/evals/{name}', 'read'],
  ['DELETE', '/vectors/hnsw/evals/{name}', 'write'],
  ['GET', '/vectors/hnsw/trials/{index}', 'read'],
  ['GET', '/vectors/hnsw/trials/{index}/best', 'read'],
  ['GET', '/vectors/hnsw/trials/{index}/{trial_id}', 'read'],
  ['GET', '/vectors/agent/decisions/{index}', 'read'],
  ['GET', '/storage/buckets', 'read'],
  ['POST', '/storage/buckets', 'admin'],
  ['DELETE', '/storage/buckets/{name}', 'admin'],
  ['GET', '/storage/bucket-health', 'read'],
  ['GET', '/storage/errors', 'read'],
  ['POST', '/storage/errors/flush', 'admin'],
  ['POST', '/storage/errors/compact', 'admin'],
  ['GET', '/storage/buckets/{name}/objects', 'read'],
  ['GET', '/storage/buckets/{name}/objects/{*}', 'read'],
  ['PUT', '/storage/buckets/{name}/objects/{*}', 'write'],
  ['DELETE', '/storage/buckets/{name}/objects/{*}', 'write'],
  ['GET', '/operations', 'read'],
  ['GET', '/operations/{id}', 'read'],
  ['DELETE', '/operations/{id}', 'write'],
  ['GET', '/metrics', 'read'],
  ['GET', '/cores', 'read'],
]

const PUBLIC = ['GET /livez', 'GET /readyz', 'GET /healthz']

it('the table of roles covers every route', async (t) => {
  const { routes } = await openApp(t)
  const covered = [...NEEDS.map(([method, path]) => `${method} ${path}`), ...PUBLIC]
  assert.deepEqual([...routes].sort(), covered.sort())
})

it('each route takes its role and higher ones, and refuses all else before it looks at anything', async (t) => {
  const { send } = await openApp(t, { keys: KEYS })
  const rank = { read: 0, write: 1, admin: 2 }
  const callers = { 'r-secret': 0, 'w-secret': 1, 'a-secret': 2 }
  for (const [method, path, role] of NEEDS) {
    const url = path.replaceAll(/\{[^}]+\}/g, 'x')
    const anonymous = await send(method, url)
    assert.deepEqual(
      [anonymous.status, anonymous.code],
      [401, 'unauthenticated'],
      `${method} ${path}`,
    )
    for (const [secret, rights] of Object.entries(callers)) {
      const { status, code } = await send(method, url, undefined, bearer(secret))
      const isRefused = status === 401 || code === 'forbidden'
      assert.equal(isRefused, rights < rank[role], `${method} ${path} as ${secret}: ${status}`)
    }
  }
})

it('401: a key that is wrong, mangled, or presented in another way', async (t) => {
  const { send } = await openApp(t, { keys: KEYS })
  const { digest } = KEYS[0] ?? { digest: new Uint8Array() }
  const headers = [
    ...[
      '',
      'r-secret',
      'Basic r-secret',
      'Bearer',
      'Bearer ',
      'Bearer r-secre',
      'Bearer r-secrett',
    ],
    ...['Bearer r secret', 'Bearer R-SECRET', `Bearer ${Buffer.from(digest).toString('hex')}`],
    ...[`Bearer ${'x'.repeat(5000)}`],
  ]
  for (const authorization of headers) {
    const reply = await send('GET', '/vectors/indexes', undefined, { authorization })
    assert.equal(reply.status, 401, authorization)
    assert.doesNotMatch(reply.text, /secret/i)
  }
  const ok = await send('GET', '/vectors/indexes', undefined, { authorization: 'bearer r-secret' })
  assert.equal(ok.status, 200)
})

it('403: outside its prefixes a key learns nothing, also not whether the index exists', async (t) => {
  const keys = parseApiKeys([keyLine('team', 'admin', 'team', 'team_|shared_')])
  const { send, indexes } = await openApp(t, { keys })
  const hnsw = { m: 16, efConstruction: 200, efSearch: null, seed: 42 }
  const rest = { bucket: 'primary', hnsw, shards: 1, keepLastVersions: 1, createdBy: 'test' }
  await indexes.create({ name: 'other', dimension: 2, metric: 'l2', ...rest })
  await indexes.create({ name: 'shared_x', dimension: 2, metric: 'l2', ...rest })
  for (const [method, path] of NEEDS.filter(([, path]) => path.includes('{index}'))) {
    const at = (index: string): string => path.replace('{index}', index).replace('{id}', 'x')
    const existing = await send(method, at('other'), undefined, bearer('team'))
    const absent = await send(method, at('absent'), undefined, bearer('team'))
    assert.equal(existing.status, 403, `${method} ${path}`)
    const bare = (text: string): string => text.replace(/"request_id":"[^"]+"/, '')
    assert.equal(bare(existing.text), bare(absent.text))
  }
  const seen = await send('GET', '/vectors/indexes/shared_x', undefined, bearer('team'))
  assert.equal(seen.status, 200)
})

it('404: an unknown route needs no key', async (t) => {
  const { send } = await openApp(t, { keys: KEYS })
  const reply = await send('GET', '/nope')
  assert.deepEqual([reply.status, reply.code], [404, 'route_not_found'])
})

it('a route that forgot to declare its role is for admins', async (t) => {
  const { app, send } = await openApp(t, { keys: KEYS })
  app.get('/forgotten', () => ({}))
  assert.equal((await send('GET', '/forgotten')).status, 401)
  assert.equal((await send('GET', '/forgotten', undefined, bearer('w-secret'))).status, 403)
  assert.equal((await send('GET', '/forgotten', undefined, bearer('a-secret'))).status, 200)
})

it('keys that are configured wrongly refuse to start, without repeating them', () => {
  const good = keyLine('a', 'read', 'x')
  const lines = [
    ...['', 'a', 'a:read', 'a:read:1234', `${good}:`, `${good}:a||b`, `${good}:a/b`],
    ...[good.replace('read', 'root'), good.replace('a:', 'ä:'), good.toUpperCase()],
  ]
  for (const line of lines) {
    assert.throws(
      () => parseApiKeys([line]),
      (error: Error & { code: string }) =>
        error.code === 'invalid_config' && (line.length < 20 || !error.message.includes(line)),
      line,
    )
  }
  assert.throws(() => parseApiKeys([good, keyLine('a', 'read', 'y')]), { code: 'invalid_config' })
  assert.throws(() => parseApiKeys([good, keyLine('b', 'read', 'x')]), { code: 'invalid_config' })
  assert.deepEqual(parseApiKeys([`${good}:p_|q_`])[0]?.prefixes, ['p_', 'q_'])
})

it('without keys only loopback may be listened on', () => {
  for (const host of ['127.0.0.1', '127.8.9.1', '::1', '[::1]', 'localhost', '::ffff:127.0.0.1']) {
    checkListen(host, [])
  }
  for (const host of ['0.0.0.0', '::', '10.0.0.1', '127.0.0.1.example.org', '127.1', '', 'host']) {
    assert.throws(() => checkListen(host, []), { code: 'invalid_config' }, host)
    checkListen(host, KEYS)
  }
})
