/** What the tests of promotions share: buckets in memory, a registry that notes what it tells. */

import assert from 'node:assert/strict'
import { MemoryStore } from '../../src/buckets/memory-store.ts'
import type { ObjectStore } from '../../src/buckets/object-store.ts'
import { VectordError } from '../../src/lib/errors.ts'
import type {
  ChangeAuthor,
  PromotionDocument,
  PromotionEntry,
} from '../../src/promotions/promotion-document.ts'
import {
  type ChangeRequest,
  type NewPromotion,
  PromotionRegistry,
} from '../../src/promotions/promotion-registry.ts'
import type { PromotionBuckets } from '../../src/promotions/promotion-scan.ts'

export const NOW_MS = 1_700_000_000_000
const CONFIG = { m: 16, efConstruction: 200, efSearch: 80, seed: 42 }

export const BY: ChangeRequest = { by: 'ada', note: null, rebuild: 'now', ifRevision: null }
export const AUTHOR: ChangeAuthor = { by: 'ada', atMs: NOW_MS, note: null, rebuild: 'now' }

export function entry(trialId: string): PromotionEntry {
  return {
    ...{ config: CONFIG, trialId, promotedMs: NOW_MS, promotedBy: 'ada', note: null },
    ...{ graphId: null, evidence: null, pinned: false },
  }
}

export function trial(trialId: string): NewPromotion {
  return { config: CONFIG, trialId }
}

/** Trial ids of a document, oldest first, the current one last. */
export function trialIds(document: PromotionDocument | null): (string | null)[] {
  assert.ok(document !== null)
  const { history, current } = document
  return [...history.map(({ trialId }) => trialId), current?.trialId ?? null]
}

export type Told = readonly [index: string, revision: number, current: string | null | undefined]

export interface World {
  readonly stores: Map<string, ObjectStore>
  /** Home bucket by name of the index. */
  readonly homes: Map<string, string>
  /** What `onChange` was called with; undefined where there was no document. */
  readonly told: Told[]
  /** Another server on the same buckets. */
  open(): PromotionRegistry
}

/** One bucket `primary`, and the index `x` in it, unless told otherwise. */
export function makeWorld(
  stores: Record<string, ObjectStore> = { primary: new MemoryStore() },
  homes: Record<string, string> = { x: 'primary' },
): World {
  const world = { stores: new Map(Object.entries(stores)), homes: new Map(Object.entries(homes)) }
  const told: Told[] = []
  const buckets: PromotionBuckets = {
    names: () => [...world.stores.keys()],
    store: (bucket) => found(world.stores.get(bucket), 'bucket_not_found'),
    homeOf: (index) => found(world.homes.get(index), 'index_not_found'),
  }
  return {
    ...world,
    told,
    open: () =>
      new PromotionRegistry({
        buckets,
        nowMs: () => NOW_MS,
        onChange: (index, document, revision) =>
          told.push([
            index,
            revision,
            document === null ? undefined : (document.current?.trialId ?? null),
          ]),
      }),
  }
}

function found<T>(value: T | undefined, code: 'bucket_not_found' | 'index_not_found'): T {
  if (value === undefined) throw new VectordError(code, 'There is none of that name.')
  return value
}
