/**
 * Two servers change the promotions of one index at the same time (T6): a linearizable register with
 * a history. Nothing that was acknowledged is lost or comes twice, also while the bucket fails.
 */

import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, it } from 'node:test'
import { S3Store } from '../../src/buckets/s3-store.ts'
import { contest, StaggeredStore } from '../support/promotion-actors.ts'
import { startS3Server } from '../support/s3-server.ts'

const OPERATIONS = 2000
const STEP_OPERATIONS = 500
const S3_OPERATIONS = 80

it(`${OPERATIONS} operations of two servers under faults are linearizable`, async () => {
  const total = { acknowledged: 0, refused: 0, mismatched: 0, unanswered: 0, landed: 0 }
  const seeds = Array.from({ length: OPERATIONS / STEP_OPERATIONS }, (_, n) => n + 1)
  const contests = seeds.map((seed) =>
    contest({ seed, operations: STEP_OPERATIONS, store: new StaggeredStore(seed) }),
  )
  for (const counts of await Promise.all(contests)) {
    for (const key of keysOf(total)) total[key] += counts[key]
  }
  // A contest in which nothing happened would prove nothing.
  assert.ok(total.acknowledged > OPERATIONS / 3, JSON.stringify(total))
  for (const key of keysOf(total)) assert.ok(total[key] > 10, `${key}: ${JSON.stringify(total)}`)
})

const server = await startS3Server()
after(() => server?.close())

if (server !== null) {
  it(`${S3_OPERATIONS} operations of two servers on a real S3 server are linearizable`, async () => {
    const bucket = `promotions-${randomUUID()}`
    await server.createBucket(bucket)
    const { accessKeyId, secretAccessKey, endpoint } = server
    const store = new S3Store({
      ...{ backend: 's3', bucket, prefix: '', region: 'us-east-1', endpoint },
      credentials: { accessKeyId, secretAccessKey },
    })
    const counts = await contest({ seed: 1, operations: S3_OPERATIONS, store }).finally(() =>
      store.close(),
    )
    assert.ok(counts.acknowledged > S3_OPERATIONS / 3, JSON.stringify(counts))
    assert.ok(counts.unanswered > 0, JSON.stringify(counts))
  })
}

function keysOf<T extends object>(counts: T): (keyof T)[] {
  return Object.keys(counts) as (keyof T)[]
}
