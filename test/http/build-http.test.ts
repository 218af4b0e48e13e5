/** The front as a whole: rate limits, shedding, shutdown, replies to faults. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { parseApiKeys } from '../../src/http/auth.ts'
import { retryAfterSeconds, toVectordError } from '../../src/http/error-reply.ts'
import { VectordError } from '../../src/lib/errors.ts'
import { bearer, keyLine, openApp } from '../support/http-app.ts'

it('429: beyond the rate, each key on its own, health routes spared', async (t) => {
  const keys = parseApiKeys([keyLine('a', 'read', 'a'), keyLine('b', 'read', 'b')])
  const rateLimit = { requestsMax: 3, windowMs: 60_000 }
  const { send } = await openApp(t, { keys, rateLimit })
  const get = (secret: string): ReturnType<typeof send> =>
    send('GET', '/vectors/indexes', undefined, bearer(secret))
  for (let n = 0; n < 3; n += 1) assert.equal((await get('a')).status, 200)
  const over = await get('a')
  assert.deepEqual([over.status, over.code], [429, 'rate_limited'])
  const wait = Number(over.headers['retry-after'])
  assert.ok(Number.isInteger(wait) && wait >= 1 && wait <= 60, String(wait))
  assert.equal((await get('b')).status, 200)
  for (let n = 0; n < 5; n += 1) assert.equal((await send('GET', '/livez')).status, 200)
})

it('503: while the event loop is late requests are shed, health routes are not', async (t) => {
  // A delay that any loop exceeds stands for a loop that is late.
  const { app, send } = await openApp(t, { eventLoopDelayMaxMs: 0.000_001 })
  await app.ready()
  const loop = performance.now()
  let reply = await send('GET', '/vectors/indexes')
  while (reply.status === 200 && performance.now() - loop < 10_000) {
    await new Promise((resolve) => setTimeout(resolve, 50))
    reply = await send('GET', '/vectors/indexes')
  }
  assert.deepEqual([reply.status, reply.code], [503, 'overloaded'])
  assert.equal(reply.headers['retry-after'], '1')
  assert.equal((await send('GET', '/livez')).status, 200)
})

it('503: while it drains, what runs ends well and what comes is told to go elsewhere', async (t) => {
  const { app } = await openApp(t)
  const entered = Promise.withResolvers<undefined>()
  const held = Promise.withResolvers<undefined>()
  const draining = Promise.withResolvers<undefined>()
  app.get('/slow', { config: { role: 'public' } }, async () => {
    entered.resolve(undefined)
    await held.promise
    return {}
  })
  app.addHook('preClose', async () => {
    draining.resolve(undefined)
    await held.promise
  })
  const url = await app.listen({ port: 0, host: '127.0.0.1' })
  const running = fetch(`${url}/slow`)
  await entered.promise
  const closing = app.close()
  await draining.promise
  const late = await fetch(`${url}/livez`)
  assert.equal(late.status, 503)
  assert.match(await late.text(), /"code":"shutting_down"/)
  assert.deepEqual(
    [late.headers.get('retry-after'), late.headers.get('connection')],
    ['1', 'close'],
  )
  held.resolve(undefined)
  assert.equal((await running).status, 200)
  await closing
})

it('Retry-After is a whole number of seconds of at least one, for every 429 and 503', () => {
  const after = (retryAfterS?: number): number | null =>
    retryAfterSeconds(
      new VectordError('core_degraded', 'x', retryAfterS === undefined ? {} : { retryAfterS }),
    )
  const hints = [undefined, 0, -5, 0.2, 1, 1.001, 29.5, NaN, Infinity]
  assert.deepEqual(hints.map(after), [1, 1, 1, 1, 1, 2, 30, 1, 86_400])
  assert.equal(retryAfterSeconds(new VectordError('storage_full', 'x', { retryAfterS: 5 })), null)
})

it('only known errors speak: everything else is internal, without its words', () => {
  for (const thrown of [new Error('secret'), 'secret', null, undefined, { message: 'secret' }]) {
    const known = toVectordError(thrown, false)
    assert.equal(known.code, 'internal')
    assert.doesNotMatch(known.message, /secret/)
  }
  assert.equal(toVectordError(new Error('reset'), true).code, 'bad_request')
})
