/** A body that never comes to its end does not hold a connection for ever. */

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { it, type TestContext } from 'node:test'
import Fastify from 'fastify'
import { installBodyTimeout } from '../../src/http/body-timeout.ts'

/** What comes back for a request whose body stops in the middle; null where nothing comes in time. */
async function slowly(t: TestContext, path: string): Promise<string | null> {
  const app = Fastify({ requestTimeout: 0 })
  installBodyTimeout(app, 50)
  app.post('/short', async () => ({}))
  app.post('/long', { config: { longBody: true } }, async () => ({}))
  await app.listen({ port: 0, host: '127.0.0.1' })
  const address = app.server.address()
  assert.ok(typeof address === 'object' && address !== null)
  const socket = connect(address.port, '127.0.0.1')
  t.after(async () => {
    socket.destroy()
    await app.close()
  })
  const head = 'Host: x\r\nContent-Type: application/json\r\nContent-Length: 9'
  socket.write(`POST ${path} HTTP/1.1\r\n${head}\r\n\r\n{`)
  const answered = once(socket, 'data').then(([chunk]) => String(chunk))
  const late = new Promise<null>((resolve) => {
    setTimeout(() => resolve(null), 300)
  })
  return Promise.race([answered, late])
}

it('a body that is late is refused and its connection closed', async (t) => {
  assert.match((await slowly(t, '/short')) ?? '', /^HTTP\/1.1 400.*Connection: close/s)
})

it('a route that takes large files minds it itself', async (t) => {
  assert.equal(await slowly(t, '/long'), null)
})
