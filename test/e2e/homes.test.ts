/**
 * Where an index can live: not in the rescue bucket, which nobody looks into at start, and not in a
 * bucket that cannot be reached.
 */

import assert from 'node:assert/strict'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { it } from 'node:test'
import { startService, temporaryFolder } from '../support/service.ts'

const INDEX = '/vectors/indexes/notes'

it('403: no index is made in the rescue bucket or moved there', async (t) => {
  const root = await temporaryFolder(t)
  const env = { VECTORD_RESCUE_ENABLED: 'true' }
  const service = await startService(root, { env })
  t.after(() => service.kill())
  await service.ready()
  const settings = { name: 'notes', dimension: 2, metric: 'l2' }
  const made = await service.request('POST', '/vectors/indexes', { ...settings, bucket: 'rescue' })
  assert.equal(made.status, 403, made.text)
  assert.match(made.text, /"code":"bucket_protected"/)
  await service.must('POST', '/vectors/indexes', settings)
  const moved = await service.request('PATCH', `${INDEX}?wait=true`, { bucket: 'rescue' })
  assert.equal(moved.status, 403, moved.text)
  assert.match(moved.text, /"code":"bucket_protected"/)
})

it('a move to a bucket that is gone fails, and the index stays and takes writes', async (t) => {
  const service = await startService(await temporaryFolder(t))
  t.after(() => service.kill())
  await service.ready()
  const cold = join(await temporaryFolder(t), 'cold')
  await service.must('POST', '/storage/buckets', { name: 'cold', backend: 'local', root: cold })
  await service.must('POST', '/vectors/indexes', { name: 'notes', dimension: 2, metric: 'l2' })
  await service.must('POST', `${INDEX}/points`, { points: [{ id: 'a', vector: [1, 2] }] })
  await rm(cold, { recursive: true })
  const moved = await service.request('PATCH', `${INDEX}?wait=true`, { bucket: 'cold' })
  assert.equal(moved.status, 503, moved.text)
  assert.match(moved.text, /"code":"bucket_unreachable"/)
  await service.must('POST', `${INDEX}/points`, { points: [{ id: 'b', vector: [2, 1] }] })
  const { bucket } = (await service.must('GET', INDEX)) as { bucket: string }
  assert.equal(bucket, 'primary')
  const { points } = (await service.must('GET', `${INDEX}/points`)) as { points: unknown[] }
  assert.equal(points.length, 2)
})
