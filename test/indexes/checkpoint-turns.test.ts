/**
 * All shards write a checkpoint after the same write: nothing that a shard does one after the other
 * with checkpoints may be under way in one of them and not in another.
 */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { MemoryStore } from '../../src/buckets/memory-store.ts'
import { compactIndex } from '../../src/indexes/compact.ts'
import { GraphCache } from '../../src/indexes/graph-cache.ts'
import type { ServedIndex } from '../../src/indexes/served-index.ts'
import type { ShardClient } from '../../src/indexes/shard-client.ts'
import { openIndex, write } from '../support/index-scenario.ts'
import { Ledger } from '../support/ledger.ts'
import { temporaryFolder } from '../support/service.ts'

const WORK: Readonly<Record<string, (served: ServedIndex) => Promise<unknown>>> = {
  'a check of the index': (served) => served.verify(),
  'a change of retention': (served) => served.trimVersions(2),
  'a compaction of the rows': (served) => {
    const control = { signal: AbortSignal.timeout(60_000), progress: () => undefined }
    return compactIndex(served, PARTS, { graph: null, deadShareMax: 1 }, control)
  },
}

const PARTS = {
  builders: { session: () => Promise.reject(new Error('nothing is built here')) },
  cache: new GraphCache({
    ...{ storeOf: () => new MemoryStore(), bytesMax: 1 },
    onStored: () => Promise.resolve(),
  }),
  flatRowsMax: 1000,
}

for (const [what, start] of Object.entries(WORK)) {
  it(`a checkpoint begins on no shard before ${what} has ended on all`, async (t) => {
    const gate = Promise.withResolvers<undefined>()
    const steps: string[] = []
    const wrap = (shard: ShardClient): ShardClient => ({
      ...shard,
      verify: async () => {
        await gate.promise
        const faults = await shard.verify()
        steps.push('work')
        return faults
      },
      retain: async (keep) => {
        await gate.promise
        const trimmed = await shard.retain(keep)
        steps.push('work')
        return trimmed
      },
      compact: async (lsns) => {
        await gate.promise
        const compacted = await shard.compact(lsns)
        steps.push('work')
        return compacted
      },
      checkpoint: (...wish) => {
        steps.push('checkpoint')
        return shard.checkpoint(...wish)
      },
    })
    const opened = await openIndex(new MemoryStore(), await temporaryFolder(t), { wrap })
    t.after(() => opened.close())
    await write(opened.served, new Ledger(), ['a', 'b'], 1)
    const working = start(opened.served)
    for (let turn = 0; turn < 5; turn += 1) await nextTurn()
    const made = opened.served.checkpoint()
    for (let turn = 0; turn < 5; turn += 1) await nextTurn()
    assert.deepEqual(steps, [])
    gate.resolve(undefined)
    await Promise.all([working, made])
    assert.deepEqual(steps.slice(0, 2), ['work', 'checkpoint'])
  })
}
