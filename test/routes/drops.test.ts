/** What operators see of background deletion, and of the storage of an index. */

import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { it } from 'node:test'
import { NOW_MS, openApp } from '../support/http-app.ts'

const READER = 'r'.repeat(32)
const TENANT = 't'.repeat(32)
const KEYS = [
  { name: 'reader', role: 'read', digest: digestOf(READER), prefixes: null },
  { name: 'tenant', role: 'admin', digest: digestOf(TENANT), prefixes: ['other-'] },
] as const

function digestOf(key: string): Uint8Array {
  return createHash('sha256').update(key).digest()
}

it('the drops tell queue, failures, pins and what was deleted', async (t) => {
  const { send } = await openApp(t)
  const { status, body } = await send('GET', '/maintenance/drops')
  assert.equal(status, 200)
  assert.deepEqual(body, {
    ...{ waiting: 1, waiting_max: 256, senders: 0 },
    pending: { checkpoints: 1, log_segments: 1 },
    failing: [
      {
        ...{ kind: 'checkpoints', key: 'docs', attempts: 3 },
        ...{ error: 'It does not answer.', at: new Date(NOW_MS).toISOString() },
      },
    ],
    pins: [{ kind: 'checkpoints', key: 'docs', version: 7, readers: 1 }],
    dropped: { checkpoints: { objects: 2, bytes: 1024 }, log_segments: { objects: 0, bytes: 0 } },
  })
})

it('the storage of an index is told by class and by folder', async (t) => {
  const { send } = await openApp(t)
  await send('POST', '/vectors/indexes', { name: 'docs', dimension: 2, metric: 'l2' })
  const { status, body } = await send('GET', '/vectors/indexes/docs/storage')
  assert.equal(status, 200)
  const some = { objects: 2, bytes: 1024 }
  const classes = { live: some, superseded: some, orphaned: { objects: 0, bytes: 0 } }
  assert.deepEqual(body, {
    ...{ name: 'docs', bucket: 'primary', total: { objects: 4, bytes: 2048 }, ...classes },
    folders: [{ folder: 'parts', ...classes }],
    dropped: { checkpoints: some, log_segments: { objects: 0, bytes: 0 } },
  })
})

it('the storage of no index is 404, of an odd name 400, and odd fields are refused', async (t) => {
  const { send } = await openApp(t)
  assert.equal((await send('GET', '/vectors/indexes/none/storage')).code, 'index_not_found')
  assert.equal((await send('GET', '/vectors/indexes/a%20b/storage')).status, 400)
  await send('POST', '/vectors/indexes', { name: 'docs', dimension: 2, metric: 'l2' })
  assert.equal((await send('GET', '/vectors/indexes/docs/storage?deep=true')).status, 400)
  assert.equal((await send('GET', '/maintenance/drops?kind=checkpoints')).status, 400)
})

it('a reader may look; a key of some indexes sees neither all drops nor the index of others', async (t) => {
  const { send } = await openApp(t, { keys: KEYS })
  const reader = { authorization: `Bearer ${READER}` }
  const tenant = { authorization: `Bearer ${TENANT}` }
  assert.equal((await send('GET', '/maintenance/drops')).status, 401)
  assert.equal((await send('GET', '/maintenance/drops', undefined, reader)).status, 200)
  assert.equal((await send('GET', '/maintenance/drops', undefined, tenant)).status, 403)
  const storage = '/vectors/indexes/docs/storage'
  assert.equal((await send('GET', storage, undefined, tenant)).status, 403)
})
