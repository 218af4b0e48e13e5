/** Which requests have a span, what runs inside it, and how it ends. */

import assert from 'node:assert/strict'
import { AsyncLocalStorage } from 'node:async_hooks'
import { request as send } from 'node:http'
import { it } from 'node:test'
import Fastify from 'fastify'
import { installRequestSpans } from '../../src/http/request-spans.ts'
import type { IncomingRequest, Tracer } from '../../src/tracing/tracer.ts'

type Told = readonly [route: string, ...what: (string | number | null)[]]

function listen(): {
  readonly told: Told[]
  readonly inside: AsyncLocalStorage<string>
  readonly tracer: Pick<Tracer, 'openRequest'>
  readonly opened: IncomingRequest[]
} {
  const told: Told[] = []
  const inside = new AsyncLocalStorage<string>()
  const opened: IncomingRequest[] = []
  const openRequest: Tracer['openRequest'] = (incoming) => {
    const { route } = incoming
    opened.push(incoming)
    let isOpen = true
    return {
      enter: (work) => inside.run(route, work),
      failed: (code) => told.push([route, 'failed', code]),
      end: (status) => {
        if (isOpen) told.push([route, 'end', status])
        isOpen = false
      },
    }
  }
  return { told, inside, opened, tracer: { openRequest } }
}

it('a handler runs inside the span of its request, also behind a body', async (t) => {
  const { told, inside, opened, tracer } = listen()
  const app = Fastify()
  t.after(() => app.close())
  installRequestSpans(app, tracer)
  const seen: (string | undefined)[] = []
  app.post('/things/:index', async () => {
    seen.push(inside.getStore())
    await new Promise((resolve) => setImmediate(resolve))
    seen.push(inside.getStore())
    return {}
  })
  const url = await app.listen({ port: 0, host: '127.0.0.1' })
  const body = JSON.stringify({ padding: 'x'.repeat(500_000) })
  const headers = { 'content-type': 'application/json', traceparent: 'as it came' }
  const reply = await fetch(`${url}/things/cases`, { method: 'POST', body, headers })
  assert.equal(reply.status, 200)
  await reply.text()
  assert.deepEqual(seen, ['/things/:index', '/things/:index'])
  assert.deepEqual(told, [['/things/:index', 'end', 200]])
  assert.equal(opened[0]?.headers['traceparent'], 'as it came')
  assert.equal(opened[0].attributes['vectord.index'], 'cases')
})

it('health checks and paths that no route has are left out; errors are told with their code', async (t) => {
  const { told, tracer } = listen()
  const app = Fastify()
  t.after(() => app.close())
  const spans = installRequestSpans(app, tracer)
  app.setErrorHandler((_error, request, reply) => {
    spans.failed(request, 'delta_full')
    return reply.code(429).send({})
  })
  app.get('/livez', { config: { role: 'public' } }, () => ({}))
  app.get('/full', () => {
    throw new Error('full')
  })
  for (const url of ['/livez', '/nowhere', '/full']) await app.inject({ url })
  assert.deepEqual(told, [
    ['/full', 'failed', 'delta_full'],
    ['/full', 'end', 429],
  ])
})

it('a request whose client goes away ends without a status', async (t) => {
  const { told, tracer } = listen()
  const app = Fastify()
  t.after(() => app.close())
  installRequestSpans(app, tracer)
  const called = Promise.withResolvers<null>()
  const closed = Promise.withResolvers<null>()
  app.get('/slow', async (_request, reply) => {
    reply.raw.once('close', () => closed.resolve(null))
    called.resolve(null)
    await closed.promise
    return {}
  })
  const url = await app.listen({ port: 0, host: '127.0.0.1' })
  const client = send(`${url}/slow`).end()
  // It is told that it broke off.
  client.on('error', () => undefined)
  await called.promise
  client.destroy()
  await closed.promise
  assert.deepEqual(told, [['/slow', 'end', null]])
})
