/** How a start that cannot succeed ends: with a sentence and a code, at once, touching nothing. */

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { it } from 'node:test'
import { startService, temporaryFolder } from '../support/service.ts'

it('a port that is taken ends the process with a message', async (t) => {
  const holder = createServer().listen(0, '127.0.0.1')
  t.after(() => holder.close())
  await once(holder, 'listening')
  const address = holder.address()
  assert.ok(address !== null && typeof address === 'object')
  const env = { VECTORD_SERVER_PORT: String(address.port) }
  await assert.rejects(
    startService(await temporaryFolder(t), { env }),
    /ended with 1[^]*EADDRINUSE/,
  )
})

it('a storage root that another server holds is refused by the pid that holds it', async (t) => {
  const root = await temporaryFolder(t)
  const first = await startService(root)
  t.after(() => first.kill())
  await assert.rejects(startService(root), new RegExp(`ended with 1[^]*process ${first.pid}\\b`))
  await first.ready()
})

it('beyond loopback nothing listens without a key', async (t) => {
  const env = { VECTORD_SERVER_HOST: '0.0.0.0' }
  await assert.rejects(startService(await temporaryFolder(t), { env }), /ended with 1[^]*API key/)
})

it('an unknown key is refused with the nearest known one', async (t) => {
  const env = { VECTORD_SERVER_PORTT: '1' }
  await assert.rejects(
    startService(await temporaryFolder(t), { env }),
    /ended with 1[^]*VECTORD_SERVER_PORT\b/,
  )
})
