/** Points of an ingest are written at the pace of the index, and nothing is given up too early. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { upsertOf, type WriteBatch } from '../../src/domain/write-batch.ts'
import { IndexFiller } from '../../src/ingest/index-filler.ts'
import { VectordError, type ErrorCode } from '../../src/lib/errors.ts'

const BATCH = upsertOf(1, [
  { id: 'a', vector: Float32Array.of(1), text: null, metadata: null },
  { id: 'b', vector: Float32Array.of(1), text: null, metadata: null },
])

function filler(
  answers: (ErrorCode | null)[],
  signal = new AbortController().signal,
  patienceMs = 1e6,
) {
  const written: WriteBatch[] = []
  const index = {
    write: async (batch: WriteBatch) => {
      const answer = answers.shift() ?? null
      if (answer !== null) throw new VectordError(answer, 'no', { retryAfterS: 0.001 })
      written.push(batch)
      return { lsn: 1 }
    },
  }
  const nowMs = (): number => performance.now()
  return { written, filler: new IndexFiller({ index: () => index, signal, nowMs, patienceMs }) }
}

it('a full, degraded or moving index is waited for', async () => {
  const busy: ErrorCode[] = ['delta_full', 'core_degraded', 'index_moving', 'bucket_unreachable']
  const world = filler([...busy])
  await world.filler.write(BATCH)
  assert.deepEqual(world.written, [BATCH])
  assert.deepEqual([world.filler.points, world.filler.retries], [2, 4])
})

it('what no wait will help with is told at once', async () => {
  const fatal: ErrorCode[] = [
    'index_not_found',
    'not_owner',
    'memory_full',
    'storage_full',
    'internal',
  ]
  for (const code of fatal) {
    const world = filler([code])
    await assert.rejects(world.filler.write(BATCH), { code })
    assert.equal(world.filler.retries, 0)
  }
})

it('an index that takes nothing for too long fails the ingest with its own reason', async () => {
  const world = filler(
    Array.from({ length: 1000 }, () => 'delta_full' as const),
    undefined,
    20,
  )
  await assert.rejects(world.filler.write(BATCH), { code: 'delta_full' })
  assert.ok(world.filler.retries > 0)
})

it('a cancelled ingest does not wait', async () => {
  const stop = new AbortController()
  const world = filler(
    Array.from({ length: 1000 }, () => 'delta_full' as const),
    stop.signal,
  )
  const writing = world.filler.write(BATCH)
  stop.abort(new VectordError('operation_cancelled', 'stop'))
  await assert.rejects(writing)
  await assert.rejects(world.filler.write(BATCH), { code: 'operation_cancelled' })
})
