/** When a Lance table is worked on. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import type { LanceStats } from '../../src/domain/lance-table.ts'
import { isDue } from '../../src/services/lance-upkeep.ts'

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
