/** The HTTP contract of checkpoint, verify and health of an index. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { VectordError } from '../../src/lib/errors.ts'
import { openApp } from '../support/http-app.ts'

const URL = '/vectors/indexes/words'

it('200: checkpoint and verify take no body and answer what they did', async (t) => {
  const { send } = await openApp(t)
  await send('POST', '/vectors/indexes', { name: 'words', dimension: 3 })
  const checkpoint = await send('POST', `${URL}/checkpoint?wait=true`)
  assert.deepEqual([checkpoint.status, checkpoint.body], [200, { lsn: 0, written: true }])
  const verify = await send('POST', `${URL}/verify?wait=true`, '', {
    'content-type': 'application/json',
  })
  const clean = { clean: true, faults: [], log_records: 0, live_points: 0 }
  assert.deepEqual([verify.status, verify.body], [200, clean])
})

it('200: health tells state and progress, also of an index that does not serve', async (t) => {
  const { send, indexes } = await openApp(t)
  await send('POST', '/vectors/indexes', { name: 'words', dimension: 3 })
  const ready = await send('GET', `${URL}/health`)
  assert.match(ready.text, /"state":"ready","reason":null,"progress":1/)
  indexes.get('words').state = 'loading'
  const loading = await send('GET', `${URL}/health`)
  assert.match(loading.text, /"state":"loading","reason":"a test said so","progress":0.5/)
  assert.match(loading.text, /"points":null/)
})

it('400 and 404: an unknown query, an unknown index; 507: no space left', async (t) => {
  const { send, indexes } = await openApp(t)
  await send('POST', '/vectors/indexes', { name: 'words', dimension: 3 })
  assert.equal((await send('POST', `${URL}/checkpoint?force=1`)).status, 400)
  assert.equal((await send('POST', '/vectors/indexes/nope/verify')).status, 404)
  indexes.get('words').failure = new VectordError('storage_full', 'The disk is full.')
  assert.equal((await send('POST', `${URL}/checkpoint?wait=true`)).status, 507)
})
