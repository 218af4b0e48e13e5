/**
 * Carries repairs out: what is derived goes, so that the service makes it anew.
 */

import { rm } from 'node:fs/promises'
import type { ObjectStore } from '../../src/buckets/object-store.ts'
import { VectordError } from '../../src/lib/errors.ts'
import { invariant } from '../../src/lib/invariant.ts'
import { pause } from '../../client/transport.ts'
import type { Finding, Repair } from './finding.ts'
import type { TargetBucket } from './target.ts'

/** A server renews a lease every ten seconds. */
const LEASE_LOOK_MS = 12_000

/** Keys that a repair may take away: nothing that cannot be made anew. */
const DERIVED = /^(_indexes\/[^/]+\/graphs\/|_hnsw_graphs\/)[^/]+/

/** @returns how many findings were repaired. */
export async function repairAll(
  bucket: TargetBucket,
  findings: readonly Finding[],
): Promise<number> {
  const repairs = findings.flatMap(({ repair }) => (repair === null ? [] : [repair]))
  if (repairs.length === 0) return 0
  if (bucket.folder === null) await checkLeases(bucket.store)
  const store = await bucket.openForRepair()
  try {
    for (const repair of repairs) await carryOut(store, repair)
  } finally {
    await store.close()
  }
  return repairs.length
}

async function carryOut(store: ObjectStore, repair: Repair): Promise<void> {
  switch (repair.kind) {
    case 'delete':
      for (const key of repair.keys) {
        invariant(DERIVED.test(key), 'a repair deletes only what is derived')
        await store.delete(key)
      }
      return
    case 'copy':
      await store.put(repair.to, await store.get(repair.from))
      return
    case 'unlink':
      await rm(repair.path, { force: true })
  }
}

/**
 * No lock reaches into S3; but a server that writes an index there renews its lease.
 *
 * @throws {VectordError} `root_locked` where a lease was renewed while we looked.
 */
async function checkLeases(store: ObjectStore): Promise<void> {
  const before = await newestLeases(store)
  if (before.size === 0) return
  await pause(LEASE_LOOK_MS, undefined)
  for (const [folder, key] of await newestLeases(store)) {
    if (before.get(folder) === key) continue
    const index = folder.split('/')[1] ?? folder
    throw new VectordError('root_locked', `A server writes the index "${index}" now.`, {
      details: { index },
    })
  }
}

/** The newest lease of each index, by its folder. */
async function newestLeases(store: ObjectStore): Promise<Map<string, string>> {
  const newest = new Map<string, string>()
  for await (const { key } of store.list('_indexes/')) {
    const folder = /^(_indexes\/[^/]+\/owner\/)\d{10}\.json$/.exec(key)?.[1]
    if (folder !== undefined) newest.set(folder, key)
  }
  return newest
}
