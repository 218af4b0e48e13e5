/** When a Lance table is worked on. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import type { LanceStats } from '../../src/domain/lance-table.ts'
import { LANCE_DEFAULTS } from '../../src/domain/lance-settings.ts'
import { upsertOf } from '../../src/domain/write-batch.ts'
import type { IndexMeta } from '../../src/indexes/index-meta.ts'
import { soleHolding } from '../../src/indexes/lance-holding.ts'
import { LanceIndex } from '../../src/indexes/lance-index.ts'
import { VectordError } from '../../src/lib/errors.ts'
import { isDue, LanceUpkeep } from '../../src/services/lance-upkeep.ts'
import { MemoryLanceTable } from '../support/memory-lance-table.ts'

const RULES = { versionsKeptMs: 1000, unindexedMax: 0.05 }

function stats(more: Partial<LanceStats>): LanceStats {
  return { rows: 1000, version: 3, fragments: 1, bytes: 0, indices: [], ...more }
}

function indexed(unindexedRows: number): LanceStats {
  const index = { name: 'v', column: 'vector', kind: 'IvfPq', indexedRows: 900, unindexedRows }
  return stats({ indices: [index] })
}

const NEW = [{ version: 3, createdMs: 10_000 }]

it('many files, rows that an index lacks, and old versions are due; nothing else is', () => {
  const due = (of: LanceStats, versions = NEW, nowMs = 10_000): boolean =>
    isDue({ stats: of, versions }, RULES, nowMs)
  assert.equal(due(stats({})), false)
  assert.equal(due(stats({ fragments: 15 })), false)
  assert.equal(due(stats({ fragments: 16 })), true)
  assert.equal(due(indexed(50)), false)
  assert.equal(due(indexed(51)), true)
  assert.equal(due(stats({}), [{ version: 2, createdMs: 9500 }, ...NEW]), false)
  assert.equal(due(stats({}), [{ version: 2, createdMs: 8999 }, ...NEW]), true)
  assert.equal(due(stats({}), NEW, 1e9), false, 'the newest version stays, however old it is')
})

const META: IndexMeta = {
  ...{ name: 'docs', incarnation: 'i', createdMs: 0, state: 'active', dimension: 2, metric: 'l2' },
  ...{ bucket: 'primary', backend: 'lance', lance: LANCE_DEFAULTS, shards: 1, keepLastVersions: 1 },
  hnsw: { m: 16, efConstruction: 200, efSearch: null, seed: 42 },
}

it('a table that is written to often is worked on before its round, and not twice for the same', async () => {
  const table = new MemoryLanceTable()
  const embed = () => Promise.resolve([])
  const index = new LanceIndex({
    ...{ meta: META, revision: 1, table: () => table, embed, nowMs: () => 0 },
  })
  index.hold(soleHolding('here'))
  await index.look()
  const [worked, troubles] = [[] as string[], [] as unknown[]]
  let fault: VectordError | null = null
  const upkeep = new LanceUpkeep({
    ...{ ...RULES, nowMs: () => 0, indexes: { lanceIndexes: () => [index] }, buckets: () => [] },
    store: () => assert.fail('no bucket is looked at'),
    work: {
      optimize: (name) => {
        worked.push(name)
        const done = (): Promise<unknown> => index.maintain(() => table.optimize())
        return { result: () => (fault === null ? done() : Promise.reject(fault)) }
      },
    },
    onTrouble: (error) => troubles.push(error),
  })
  const write = async (commits: number): Promise<void> => {
    const point = { id: 'p', vector: Float32Array.of(1, 0), text: null, metadata: null }
    for (let i = 0; i < commits; i += 1) {
      await index.write(upsertOf(2, [point]), { ack: 'applied', deadlineMs: 60_000 })
    }
    await upkeep.runBusy()
  }
  await write(300)
  assert.deepEqual(worked, [], 'what was there at the start is for its round')
  await write(255)
  assert.deepEqual(worked, [])
  await write(1)
  assert.deepEqual(worked, ['docs'])
  await write(255)
  assert.equal(worked.length, 1)
  fault = new VectordError('storage_full', 'It is full.')
  await write(1)
  await write(1)
  assert.deepEqual([worked.length, troubles], [2, [fault]], 'a failure is told, and waits')
})
