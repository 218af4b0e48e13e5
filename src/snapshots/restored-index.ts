/**
 * What an index that is made of a snapshot has beside its points.
 */

import type { ObjectStore } from '../buckets/object-store.ts'
import type { IndexSettings } from '../indexes/index-api.ts'
import type { IndexMeta } from '../indexes/index-meta.ts'
import { neverPromoted, promote } from '../promotions/promotion-document.ts'
import { PromotionFile } from '../promotions/promotion-file.ts'
import type { Snapshot } from './snapshot.ts'

export interface RestoreWish {
  /** Of the new index. */
  readonly name: string
  /** Its home. */
  readonly bucket: string
  readonly by: string
}

export function settingsOf(meta: IndexMeta, { name, bucket }: RestoreWish): IndexSettings {
  const { dimension, metric, backend, hnsw, shards, keepLastVersions, embedder, stream } = meta
  return {
    ...{ name, bucket, dimension, metric, backend, hnsw, shards, keepLastVersions },
    ...(embedder !== undefined && { embedder }),
    ...(stream !== undefined && { stream }),
  }
}

/** The configuration that was in force is so again; its graph in the cache is another index's. */
export async function promoteAgain(
  store: ObjectStore,
  {
    snapshot: { promoted, id },
    wish: { name: index, by },
    nowMs,
  }: {
    readonly snapshot: Snapshot
    readonly wish: RestoreWish
    readonly nowMs: () => number
  },
): Promise<void> {
  if (promoted === null) return
  const file = new PromotionFile({ store, index, nowMs })
  const before = await file.load()
  const note = `restored from snapshot ${id}`
  const author = { by, atMs: nowMs(), note, rebuild: 'lazy' as const }
  const entry = { ...promoted, graphId: null }
  await file.write(before, promote(before.document ?? neverPromoted(index), entry, author))
}
