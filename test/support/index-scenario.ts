/**
 * One index on an object store, in the test's own process: opened, written to, compared.
 *
 * The scenario is fixed, so that the Nth operation is the same one in every run.
 */

import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import type { ObjectStore } from '../../src/buckets/object-store.ts'
import type { ShardSpec } from '../../src/domain/shard-spec.ts'
import type { WriteBatch } from '../../src/domain/write-batch.ts'
import type { IndexMeta } from '../../src/indexes/index-meta.ts'
import { IndexStorage } from '../../src/indexes/index-storage.ts'
import { MemoryQuota } from '../../src/indexes/memory-quota.ts'
import { ServedIndex } from '../../src/indexes/served-index.ts'
import type { ShardClient } from '../../src/indexes/shard-client.ts'
import { hasCode } from '../../src/lib/errors.ts'
import { CheckpointStore } from '../../src/log/checkpoint-store.ts'
import type { LogStore } from '../../src/log/log-store.ts'
import { openObjectLog } from '../../src/log/object-log.ts'
import { SimulatedCrash } from './faulty-store.ts'
import { indexDrops, type TestDrops } from './index-drops.ts'
import { inlineShard } from './inline-shard.ts'
import type { Ledger } from './ledger.ts'

export const META: IndexMeta = {
  name: 'docs',
  incarnation: 'one',
  createdMs: 0,
  state: 'active',
  dimension: 4,
  metric: 'l2',
  bucket: 'primary',
  backend: 'hnsw',
  hnsw: { m: 8, efConstruction: 50, efSearch: null, seed: 1 },
  shards: 1,
  keepLastVersions: 1,
}
const WHOLE = { metadata: true, vector: true, text: false }
const bounds = { minLsn: 0, deadlineMs: Infinity }

/** What stands between an index and its shard. */
type Wrap = (shard: ShardClient) => ShardClient

const KEEP = 2

let epoch = 0

/** Opens the index as a server does, an older checkpoint where the newest is damaged. */
export async function openIndex(
  store: ObjectStore,
  scratch: string,
  { wrap = (shard) => shard, quota }: { readonly wrap?: Wrap; readonly quota?: MemoryQuota } = {},
): Promise<Opened> {
  epoch += 1
  const log = await openObjectLog({
    store,
    prefix: '_indexes/docs/log/',
    incarnation: META.incarnation,
    owner: 'test',
    epoch,
    groupBytesMax: 1 << 20,
  })
  return openIndexIn({ store, log, scratch, wrap, ...(quota !== undefined && { quota }) })
}

/** Opens it on a log of any kind. */
export async function openIndexIn(options: {
  readonly store: ObjectStore
  readonly log: LogStore
  readonly scratch: string
  readonly wrap?: Wrap
  /** Without one there is memory without end. */
  readonly quota?: MemoryQuota
}): Promise<Opened> {
  const { store, log, scratch, wrap } = options
  const index = META.name
  const storage = await IndexStorage.open({
    ...{ index, store, log, server: 'test' },
    checkpoints: new CheckpointStore({ store, index, incarnation: 'one', nowMs: () => 0 }),
    keep: KEEP,
    release: () => Promise.resolve(),
    onTrouble: (error) => {
      const isExpected =
        error instanceof SimulatedCrash || hasCode(error, 'object_corrupt', 'format_too_new')
      if (!isExpected) throw error
    },
  })
  const spec = (): ShardSpec => ({
    ...{ index, incarnation: 'one', shard: 0, shards: 1 },
    ...{ dimension: META.dimension, metric: META.metric, hnsw: META.hnsw },
    bucket: { backend: 'local', root: '/nowhere' },
    scratch: join(scratch, randomUUID()),
    checkpoint: storage.checkpoint,
  })
  const source = {
    spec: () => Promise.resolve(spec()),
    replay: (afterLsn: number) => log.read(afterLsn),
    lastLsn: () => log.lastLsn,
  }
  const shard = await firstUsable(storage, () => inlineShard(source, store))
  const memory = (options.quota ?? new MemoryQuota(Infinity)).open(META, () => shard.lastStats)
  memory.load(storage.checkpoint, log.lastLsn)
  const drops = indexDrops(() => served, KEEP)
  const served: ServedIndex = new ServedIndex({
    ...{ meta: META, revision: 1, memory, deltaPointsMax: 1e6, nowMs: () => 0 },
    specs: () => [spec()],
    drops: drops.ofIndex,
  })
  served.serve(storage, [wrap?.(shard) ?? shard])
  return {
    served,
    drops,
    close: async () => {
      await drops.worker.close()
      await shard.detach()
      await storage.close()
    },
  }
}

export interface Opened {
  readonly served: ServedIndex
  readonly drops: TestDrops
  readonly close: () => Promise<void>
}

async function firstUsable<T>(storage: IndexStorage, open: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await open()
    } catch (error) {
      const isDamage = hasCode(error, 'object_corrupt', 'object_not_found')
      if (!isDamage || !(await storage.recover())) throw error
    }
  }
}

/** Three checkpoints with overwrites and deletes between them, so that parts die and logs go. */
export async function scenario(index: ServedIndex, ledger: Ledger): Promise<void> {
  for (let round = 1; round <= 4; round += 1) {
    await write(index, ledger, range(round * 2, 6), round)
    await write(index, ledger, range(0, 3), round + 100)
    await remove(index, ledger, [`p${round}`])
    await index.checkpoint(round === 2 ? 'always' : 'if_worth')
  }
  await write(index, ledger, ['last'], 999)
}

export async function write(
  index: ServedIndex,
  ledger: Ledger,
  ids: readonly string[],
  version: number,
): Promise<void> {
  for (const id of ids) ledger.sent(id, version)
  const batch: WriteBatch = {
    kind: 'upsert',
    dimension: META.dimension,
    ids,
    vectors: Float32Array.from(ids.flatMap((id) => vectorOf(id, version))),
    texts: ids.map(() => null),
    metadata: ids.map(() => JSON.stringify({ version })),
  }
  await index.write(batch, { ack: 'applied', deadlineMs: 1e9 })
  for (const id of ids) ledger.acknowledged(id, version)
}

export async function remove(
  index: ServedIndex,
  ledger: Ledger,
  ids: readonly string[],
): Promise<void> {
  for (const id of ids) ledger.sent(id, 0)
  await index.write({ kind: 'delete', ids }, { ack: 'applied', deadlineMs: 1e9 })
  for (const id of ids) ledger.acknowledged(id, 0)
}

/** Every acknowledged write is there, and nothing else is. */
export async function compareContent(
  index: ServedIndex,
  ledger: Ledger,
  at: string,
): Promise<void> {
  const request = { after: null, limit: 1000, filter: null, include: WHOLE }
  const { points } = await index.scroll(request, bounds)
  const stored = new Map<string, number>()
  for (const point of points) {
    assert.ok(!stored.has(point.id), `${at}: ${point.id} twice`)
    const { version } = JSON.parse(point.metadata ?? '{}') as { version: number }
    stored.set(point.id, version)
    assert.deepEqual([...(point.vector ?? [])], vectorOf(point.id, version), at)
  }
  const known = new Set(ledger.ids)
  for (const id of stored.keys()) assert.ok(known.has(id), `${at}: phantom ${id}`)
  for (const id of known) {
    const version = stored.get(id) ?? 0
    const allowed = [...ledger.allowed(id)]
    assert.ok(allowed.includes(version), `${at}: ${id} at ${version}, allowed ${allowed.join()}`)
  }
}

/** As `compareContent`, and `verify` finds no fault. */
export async function compare(index: ServedIndex, ledger: Ledger, at: string): Promise<void> {
  await compareContent(index, ledger, at)
  assert.deepEqual((await index.verify()).faults, [], at)
}

function range(from: number, count: number): string[] {
  return Array.from({ length: count }, (_, i) => `p${from + i}`)
}

function vectorOf(id: string, version: number): number[] {
  const number = Number(id.replace(/\D/g, '')) || 0
  return [number, version, number * version, 1].map(Math.fround)
}
