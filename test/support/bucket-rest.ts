/**
 * Brings a server to rest and asks the lister what its bucket keeps: for the end of crash loops.
 */

import assert from 'node:assert/strict'
import { join } from 'node:path'
import { LocalStore } from '../../src/buckets/local-store.ts'
import type { ObjectStore } from '../../src/buckets/object-store.ts'
import { inspectBucket } from './bucket-lister.ts'
import type { Reply, Service } from './service.ts'

const WITHIN_MS = 120_000

export interface RestOptions {
  /** One that may be written, so that there is something to checkpoint. */
  readonly point: { readonly id: string; readonly vector: readonly number[] }
  /** The primary bucket of the server; left out, it is a local one. */
  readonly openBucket?: (() => Promise<ObjectStore>) | undefined
}

/**
 * Waits until nothing runs and nothing waits to be dropped, kills the server, and asserts that its
 * primary bucket keeps nothing that nothing names, and lacks nothing.
 */
export async function leavesNothing(
  service: Service,
  index: string,
  { point, openBucket = () => localBucket(service) }: RestOptions,
): Promise<void> {
  const own = `/vectors/indexes/${index}`
  await service.eventually('/operations?limit=100', hasNoneUnderWay, WITHIN_MS)
  await service.must('POST', `${own}/points`, { points: [point] })
  // Asks for the drop of what it makes old before it answers.
  await service.must('POST', `${own}/checkpoint?wait=true`)
  await service.eventually('/maintenance/drops', hasNothingToDrop, WITHIN_MS)
  await service.eventually(`${own}/storage`, hasNoOrphans, WITHIN_MS)
  const store = await openBucket()
  try {
    // A move that a kill ended may be called off late, by the next look at its buckets.
    const until = Date.now() + WITHIN_MS
    let found = await inspectBucket({ store, indexes: [index] })
    while (found.leaked.length > 0 && Date.now() < until) {
      await new Promise((resolve) => setTimeout(resolve, 500))
      found = await inspectBucket({ store, indexes: [index] })
    }
    await service.kill()
    assert.deepEqual(found, { leaked: [], missing: [] })
  } finally {
    await store.close()
  }
}

function localBucket({ root }: Service): Promise<ObjectStore> {
  return LocalStore.open(join(root, 'buckets', 'primary'))
}

function hasNoneUnderWay({ body }: Reply): boolean {
  const { operations } = body as { operations: readonly { state: string }[] }
  return operations.every(({ state }) => /^(succeeded|failed|cancelled)$/.test(state))
}

function hasNothingToDrop({ body }: Reply): boolean {
  const { pending } = body as { pending: Readonly<Record<string, number>> }
  return Object.values(pending).every((things) => things === 0)
}

function hasNoOrphans({ body }: Reply): boolean {
  return (body as { orphaned: { objects: number } }).orphaned.objects === 0
}
