/** What a real server drops, and what it tells of that. Killed again and again, it leaks nothing. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { leavesNothing } from '../support/bucket-rest.ts'
import { killLoop } from '../support/kill-loop.ts'
import { startService, temporaryFolder } from '../support/service.ts'

const KILLS = 4

it(`after ${KILLS} kills the bucket keeps nothing that nothing names`, async (t) => {
  const root = await temporaryFolder(t)
  const seed = Date.now() % 2 ** 31
  t.diagnostic(`seed ${seed}`)
  // Much of what is made is made old at once.
  const env = {
    VECTORD_CHECKPOINT_INTERVAL_MS: '1000',
    VECTORD_LOG_SEGMENT_BYTES: '65536',
    VECTORD_LOG_GROUP_BYTES_MAX: '65536',
    VECTORD_GENERATIONS_CACHE_BYTES: '0',
  }
  const counts = await killLoop({ root, seed, kills: KILLS, env })
  t.diagnostic(JSON.stringify(counts))
  assert.ok(counts.acknowledged > 100, 'the loop wrote')
})

it('old checkpoints, their parts and the log before them go, and are told', async (t) => {
  const service = await startService(await temporaryFolder(t))
  t.after(() => service.kill())
  await service.ready()
  const vector = [1, 2]
  await service.must('POST', '/vectors/indexes', { name: 'docs', dimension: 2, metric: 'l2' })
  for (let round = 0; round < 5; round += 1) {
    const points = Array.from({ length: 20 }, (_, i) => ({ id: `p${i}`, vector: [round, i] }))
    await service.must('POST', '/vectors/indexes/docs/points', { points })
    await service.must('POST', '/vectors/indexes/docs/checkpoint?wait=true')
  }
  const { body } = await service.eventually('/vectors/indexes/docs/storage', (reply) => {
    const { dropped } = reply.body as { dropped: { checkpoints: { bytes: number } } }
    return dropped.checkpoints.bytes > 0
  })
  const storage = body as Record<'total' | 'live' | 'superseded' | 'orphaned', { bytes: number }>
  const { live, superseded, orphaned, total } = storage
  assert.equal(live.bytes + superseded.bytes + orphaned.bytes, total.bytes)
  const { text } = await service.request('GET', '/metrics')
  assert.match(text, /^vectord_dropped_bytes_total\{kind="checkpoints"\} [1-9]/m)
  assert.match(text, /^vectord_drops_waiting \d/m)
  await leavesNothing(service, 'docs', { point: { id: 'at-rest', vector } })
})
