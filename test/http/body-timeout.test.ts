/** A body that never comes to its end does not hold a connection for ever. */

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { it, type TestContext } from 'node:test'
import Fastify, { type FastifyInstance } from 'fastify'
import { installBodyTimeout } from '../../src/http/body-timeout.ts'

const WAIT_MS = 50
/** Long enough for any of the bounds to be over. */
const LATE_MS = 300

interface Opened {
  readonly app: FastifyInstance
  readonly socket: Socket
}

/** A service with routes that take and refuse bodies, and a connection to it. */
async function open(t: TestContext): Promise<Opened> {
  const app = Fastify({ requestTimeout: 0 })
  installBodyTimeout(app, { bodyMsMax: WAIT_MS, refusedMsMax: WAIT_MS })
  app.addContentTypeParser('text/csv', (_request, body, parsed) => {
    parsed(null, body)
  })
  app.post('/short', async () => ({}))
  app.post('/long', { config: { longBody: true } }, async () => ({}))
  const refuse = (): never => {
    throw new Error('No.')
  }
  app.post('/refused', { config: { longBody: true }, onRequest: refuse }, async () => ({}))
  app.post('/half-read', { config: { longBody: true } }, async ({ raw }, reply) => {
    await once(raw, 'data')
    raw.pause()
    return reply.code(413).send({})
  })
  await app.listen({ port: 0, host: '127.0.0.1' })
  const address = app.server.address()
  assert.ok(typeof address === 'object' && address !== null)
  const socket = connect(address.port, '127.0.0.1')
  t.after(async () => {
    socket.destroy()
    await app.close()
  })
  return { app, socket }
}

/** The first bytes of a request whose body has nine. */
function begin(path: string, type = 'application/json'): string {
  return `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Type: ${type}\r\nContent-Length: 9\r\n\r\n{`
}

function answerOf(socket: Socket): Promise<string> {
  return once(socket, 'data').then(([chunk]) => String(chunk))
}

/** What `promise` gives; null where it gives nothing in time. */
function inTime<T>(promise: Promise<T>): Promise<T | null> {
  const late = new Promise<null>((resolve) => {
    setTimeout(() => resolve(null), LATE_MS)
  })
  return Promise.race([promise, late])
}

it('a body that is late is refused and its connection closed', async (t) => {
  const { socket } = await open(t)
  socket.write(begin('/short'))
  const answer = await inTime(answerOf(socket))
  assert.match(answer ?? '', /^HTTP\/1.1 400.*Connection: close/s)
})

it('a route that takes large files minds it itself', async (t) => {
  const { socket } = await open(t)
  socket.write(begin('/long'))
  assert.equal(await inTime(answerOf(socket)), null)
})

for (const path of ['/refused', '/half-read']) {
  it(`${path}: a large file that is refused is told why, then its connection closed`, async (t) => {
    const { app, socket } = await open(t)
    socket.write(begin(path, 'text/csv'))
    assert.match(await answerOf(socket), /^HTTP\/1.1 (500|413)/)
    assert.ok((await inTime(once(socket, 'close'))) !== null, 'the connection stays')
    assert.equal(await inTime(app.close()), undefined)
  })

  it(`${path}: where the rest comes at once, the connection serves the next request`, async (t) => {
    const { socket } = await open(t)
    socket.write(begin(path, 'text/csv'))
    await answerOf(socket)
    socket.write('12345678')
    assert.equal(await inTime(once(socket, 'close')), null)
    socket.write(`${begin('/long')}}`.replace('Length: 9', 'Length: 2'))
    assert.match(await answerOf(socket), /^HTTP\/1.1 200/)
  })
}
