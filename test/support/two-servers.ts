/**
 * Servers in the test's own process that share one bucket, each with the runner of one index.
 *
 * Clocks of leases are the test's; shards load as those of the data plane do.
 */

import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import type { ObjectStore } from '../../src/buckets/object-store.ts'
import { IndexOwner } from '../../src/indexes/index-owner.ts'
import { metaDocument } from '../../src/indexes/index-meta.ts'
import { IndexRunner } from '../../src/indexes/index-runner.ts'
import { openShared } from '../../src/indexes/open-shared.ts'
import { MemoryQuota } from '../../src/indexes/memory-quota.ts'
import { ServedIndex } from '../../src/indexes/served-index.ts'
import { CheckpointStore } from '../../src/log/checkpoint-store.ts'
import { FaultyStore } from './faulty-store.ts'
import { indexDrops, type TestDrops } from './index-drops.ts'
import { META } from './index-scenario.ts'
import { lateShard } from './late-shard.ts'

/** Turns of the event loop: what takes more is stuck. */
const TURNS_MAX = 1_000_000

/** A store that lets a test do something before an object is read. */
export class HookedStore extends FaultyStore {
  beforeRead: ((key: string) => Promise<void>) | null = null

  override async get(key: string): Promise<Uint8Array> {
    await this.beforeRead?.(key)
    return super.get(key)
  }

  override async getFile(key: string, path: string): Promise<void> {
    await this.beforeRead?.(key)
    await super.getFile(key, path)
  }
}

export interface Server {
  readonly index: ServedIndex
  readonly runner: IndexRunner
  readonly drops: TestDrops
  /** What only this server sees of the bucket. */
  readonly store: HookedStore
  readonly clock: { ms: number }
  /** How often its shards were loaded. */
  readonly loads: () => number
  /** Codes of what kept it from serving, or from following. */
  readonly troubles: readonly string[]
}

export interface ServerOptions {
  readonly name: string
  readonly bucket: ObjectStore
  readonly scratch: string
  readonly shards?: number
  readonly keepLastVersions?: number
}

/** Puts the index into the bucket. */
export async function createIndex(bucket: ObjectStore, shards = 1): Promise<void> {
  const document = { ...META, shards }
  await metaDocument(bucket, META.name).update(null, { document, author: 'test', reason: 'create' })
}

/** A server that is started; it ends with `runner.close`. */
export function startServer(options: ServerOptions): Server {
  const { name, bucket, scratch, shards = 1, keepLastVersions = 1 } = options
  const store = new HookedStore(bucket)
  const clock = { ms: 0 }
  const monotonicMs = (): number => clock.ms
  const meta = { ...META, shards, keepLastVersions }
  const troubles: string[] = []
  let loads = 0
  const drops = indexDrops(() => index, 2)
  const index: ServedIndex = new ServedIndex({
    ...{ meta, revision: 1, deltaPointsMax: 1e6, nowMs: () => 0 },
    drops: drops.ofIndex,
    memory: new MemoryQuota(Infinity).open(meta, () => null),
    specs: () => [],
  })
  const owner = new IndexOwner({ store, index: META.name, server: name, monotonicMs })
  const checkpoints = new CheckpointStore({
    ...{ store, index: META.name, incarnation: META.incarnation },
    nowMs: () => 0,
  })
  const runner = new IndexRunner({
    index,
    openStorage: () =>
      openShared({
        storage: {
          ...{ index: META.name, server: name, store, checkpoints, keep: 2 },
          onTrouble: (error) => troubles.push(codeOf(error)),
        },
        ...{ incarnation: META.incarnation, owner, groupBytesMax: 1 << 20, monotonicMs },
        pollMs: 1,
      }),
    attach: async (storage) => {
      loads += 1
      return Array.from({ length: shards }, (_, shard) => {
        const isOwn = (of: { readonly shard: number }): boolean => of.shard === shard
        const source = {
          spec: async () => {
            const { checkpoint } = storage
            return {
              ...{ index: META.name, incarnation: META.incarnation, shard, shards },
              ...{ dimension: META.dimension, metric: META.metric, hnsw: META.hnsw },
              ...{ flatRowsMax: 0, bucket: { backend: 'local', root: '/nowhere' } as const },
              scratch: join(scratch, randomUUID()),
              keepLastVersions: index.meta.keepLastVersions,
              checkpoint:
                checkpoint === null
                  ? null
                  : {
                      lsn: checkpoint.lsn,
                      parts: checkpoint.parts.filter(isOwn),
                      graphs: checkpoint.graphs.filter(isOwn),
                      retention: checkpoint.retention.filter(isOwn),
                    },
            }
          },
          replay: (afterLsn: number) => storage.log.read(afterLsn),
          lastLsn: () => storage.log.lastLsn,
        }
        return lateShard(source, store)
      })
    },
    rehome: () => Promise.reject(new Error('there is one bucket')),
    onTrouble: (error) => troubles.push(codeOf(error)),
  })
  runner.start()
  return { index, runner, drops, store, clock, loads: () => loads, troubles }
}

/** Lets the event loop turn until `reached`; `each` runs before every look. */
export async function until(
  what: string,
  reached: () => boolean,
  each: () => void = () => undefined,
): Promise<void> {
  for (let turns = 0; turns < TURNS_MAX; turns += 1) {
    each()
    if (reached()) return
    await turn()
  }
  assert.fail(`not reached: ${what}`)
}

function codeOf(error: unknown): string {
  return typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : '?'
}
