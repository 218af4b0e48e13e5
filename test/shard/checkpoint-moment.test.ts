/** A checkpoint holds what was applied when it was asked for: shards of one index agree on that. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { randomVectors } from '../support/vectors.ts'
import { Harness } from './harness.ts'

function upsert(harness: Harness, id: string): void {
  const vector = randomVectors(1, 4, 1).values
  harness.upsert([{ id, vector, text: null, metadata: null }])
}

it('a write that is applied in the same turn comes after the checkpoint', async (t) => {
  const harness = new Harness(t, { dimension: 4 })
  await harness.open()
  upsert(harness, 'a')
  const made = harness.shard.checkpoint('always')
  upsert(harness, 'b')
  assert.equal((await made).lsn, 1)
})
