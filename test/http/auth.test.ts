/** How keys are configured and presented. Who may do what: `test/e2e/roles.test.ts`. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { checkListen, parseApiKeys } from '../../src/http/auth.ts'
import { bearer, keyLine, openApp } from '../support/http-app.ts'

const KEYS = parseApiKeys([
  keyLine('reader', 'read', 'r-secret'),
  keyLine('writer', 'write', 'w-secret'),
  keyLine('boss', 'admin', 'a-secret'),
])

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
