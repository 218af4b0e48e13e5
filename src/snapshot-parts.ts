/**
 * Snapshots and exports of indexes, wired to the parts that serve.
 */

import { join } from 'node:path'
import type { Logger } from 'pino'
import type { Config } from './config/schema.ts'
import { troubleLog, type Parts } from './parts.ts'
import type { PromotionRegistry } from './promotions/promotion-registry.ts'
import { Exports } from './snapshots/exports.ts'
import { Snapshots } from './snapshots/snapshots.ts'

export interface SnapshotPartsOptions {
  readonly config: Config
  readonly log: Logger
  readonly nowMs: () => number
  readonly parts: Pick<Parts, 'buckets' | 'indexes'>
  readonly promotions: Pick<PromotionRegistry, 'read'>
}

export interface SnapshotParts {
  readonly snapshots: Snapshots
  readonly exports: Exports
}

export function snapshotParts(options: SnapshotPartsOptions): SnapshotParts {
  const { config, log, nowMs, parts, promotions } = options
  const { buckets, indexes } = parts
  const served = indexes.get.bind(indexes)
  const common = { served, scratch: join(config.storage.root, 'scratch') }
  const onTrouble = troubleLog(log)
  const exports = new Exports({
    ...{ ...common, onTrouble },
    spec: (bucket) => buckets.spec(bucket),
    lance: (index) =>
      indexes.all.has(index) && !indexes.has(index) ? indexes.lanceIndex(index) : null,
  })
  const snapshots = new Snapshots({
    ...{ ...common, nowMs, onTrouble },
    store: (bucket) => buckets.get(bucket),
    restore: (bring) => indexes.restore(bring),
    promoted: async (index) => (await promotions.read(index)).document?.current ?? null,
    count: (job, signal) => exports.count(job, signal),
  })
  return { snapshots, exports }
}
