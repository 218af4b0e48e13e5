/**
 * Asks a bucket whether it keeps the condition of a put-if-absent.
 *
 * On a server that ignores it (some small S3 servers do) two writers would overwrite each other, so
 * such a bucket is for a single server. Nothing stays behind.
 */

import { randomUUID } from 'node:crypto'
import { hasCode, VectordError } from '../lib/errors.ts'
import type { ObjectStore } from './object-store.ts'

export type ConditionalWrites = 'verified' | 'single_writer'

/** Where probes write; a key below it is never anything else. */
export const PROBE_PREFIX = '_probe/'

/** @throws {VectordError} of the store; `storage_error` where it does not give back what was put. */
export async function probeBucket(store: ObjectStore): Promise<ConditionalWrites> {
  const key = PROBE_PREFIX + randomUUID()
  const [first, second] = [Buffer.from(`first ${key}`), Buffer.from(`second ${key}`)]
  try {
    const condition = await putTwice(store, key, { first, second })
    const kept = await store.get(key)
    if (!(condition === 'verified' ? first : second).equals(kept)) {
      const message = 'The bucket does not give back what was put into it.'
      throw new VectordError('storage_error', message, { details: { key } })
    }
    return condition
  } finally {
    await store.delete(key)
  }
}

async function putTwice(
  store: ObjectStore,
  key: string,
  bodies: { readonly first: Uint8Array; readonly second: Uint8Array },
): Promise<ConditionalWrites> {
  await store.putIfAbsent(key, bodies.first).catch((error: unknown) => {
    // Nobody else knows the key: it is ours, and the answer to it was lost.
    if (!hasCode(error, 'object_exists')) throw error
  })
  try {
    await store.putIfAbsent(key, bodies.second)
    return 'single_writer'
  } catch (error) {
    if (hasCode(error, 'object_exists')) return 'verified'
    throw error
  }
}
