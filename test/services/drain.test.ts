/**
 * A service that is told to end finishes the operations that run, answers who waits for them, and
 * ends by itself, also where clients keep their connections open.
 */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { startService, temporaryFolder } from '../support/service.ts'

const POINTS = 10_000
const DIMENSION = 64

it('SIGTERM: a running operation ends and is answered, and the exit code is 0', async (t) => {
  const env = { VECTORD_SERVER_DRAIN_TIMEOUT_MS: '15000' }
  const service = await startService(await temporaryFolder(t), { env })
  t.after(() => service.kill())
  await service.ready()
  const url = '/vectors/indexes/words'
  const created = { name: 'words', dimension: DIMENSION, metric: 'l2' }
  await service.request('POST', '/vectors/indexes', created)
  const points = Array.from({ length: POINTS }, (_, i) => ({
    id: String(i),
    vector: Array.from({ length: DIMENSION }, (__, at) => Math.sin(i * DIMENSION + at)),
  }))
  assert.equal((await service.request('POST', `${url}/points`, { points })).status, 200)
  const running = service.request('POST', `${url}/verify?wait=true`)
  await service.eventually('/operations', ({ text }) => text.includes('"operation_id"'))
  assert.equal(await service.stop(), 0, service.log.join('\n'))
  assert.equal((await running).status, 200)
})
