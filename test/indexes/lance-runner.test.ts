/** Keeping a Lance index in service, over a table in memory. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { LANCE_DEFAULTS } from '../../src/domain/lance-settings.ts'
import { upsertOf } from '../../src/domain/write-batch.ts'
import type { IndexMeta } from '../../src/indexes/index-meta.ts'
import { soleHolding } from '../../src/indexes/lance-holding.ts'
import { LanceIndex } from '../../src/indexes/lance-index.ts'
import { LanceRunner } from '../../src/indexes/lance-runner.ts'
import { MemoryLanceTable } from '../support/memory-lance-table.ts'

const META: IndexMeta = {
  ...{ name: 'docs', incarnation: 'i', createdMs: 0, state: 'active', dimension: 2, metric: 'l2' },
  ...{ bucket: 'primary', backend: 'lance', lance: LANCE_DEFAULTS, shards: 1, keepLastVersions: 1 },
  hnsw: { m: 16, efConstruction: 200, efSearch: null, seed: 42 },
}
const WRITE = { ack: 'applied', deadlineMs: 60_000 } as const

function batchOf(id: string): ReturnType<typeof upsertOf> {
  return upsertOf(2, [{ id, vector: Float32Array.of(1, 0), text: null, metadata: null }])
}

it('its claim is given back after the last commit, and nothing is committed after that', async () => {
  const table = new MemoryLanceTable()
  const embed = () => Promise.resolve([])
  const index = new LanceIndex({
    ...{ meta: META, revision: 1, table: () => table, embed, nowMs: () => 0 },
  })
  const events: string[] = []
  const release = () => {
    events.push('released')
    return Promise.resolve()
  }
  const runner = new LanceRunner({
    index,
    claim: () => Promise.resolve({ ...soleHolding('here'), release }),
    onTrouble: (error) => events.push(error.code),
  })
  runner.start()
  await runner.settled
  const [begun, gate] = [Promise.withResolvers<null>(), Promise.withResolvers<null>()]
  table.beforeCommit = async () => {
    begun.resolve(null)
    await gate.promise
    events.push('committed')
  }
  const underWay = index.write(batchOf('a'), WRITE)
  await begun.promise
  const waiting = assert.rejects(index.write(batchOf('b'), WRITE), { code: 'shutting_down' })
  const closing = runner.close()
  await waiting
  gate.resolve(null)
  await Promise.all([underWay, closing])
  await assert.rejects(index.write(batchOf('c'), WRITE), { code: 'shutting_down' })
  await assert.rejects(
    index.maintain(() => table.optimize()),
    { code: 'not_owner' },
  )
  assert.deepEqual(events, ['committed', 'released'])
  assert.deepEqual(table.commits, [['a']])
})
