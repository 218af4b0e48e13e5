/**
 * Recall of a Lance index, and settings that are solved for a floor: never one that could not be shown.
 */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { LANCE_DEFAULTS, type LanceSettings } from '../../src/domain/lance-settings.ts'
import type { LanceSearch } from '../../src/domain/lance-table.ts'
import type { Hit } from '../../src/domain/search.ts'
import { upsertOf } from '../../src/domain/write-batch.ts'
import type { IndexMeta } from '../../src/indexes/index-meta.ts'
import type { IndexChange, WriteCondition } from '../../src/indexes/index-api.ts'
import { soleHolding } from '../../src/indexes/lance-holding.ts'
import { LanceIndex } from '../../src/indexes/lance-index.ts'
import { LanceRecall, type LanceRecallReport } from '../../src/services/lance-recall.ts'
import { MemoryLanceTable } from '../support/memory-lance-table.ts'
import { randomVectors, vectorAt } from '../support/vectors.ts'

const ROWS = 300
const DIMENSION = 4
const vectors = randomVectors(ROWS, DIMENSION, 3)

interface World {
  readonly table: MemoryLanceTable
  readonly changes: (IndexChange & WriteCondition)[]
  readonly recall: (minRecall: number, solve?: boolean) => Promise<LanceRecallReport>
}

async function open(lance: Partial<LanceSettings> = {}): Promise<World> {
  const table = new MemoryLanceTable()
  table.indices = [
    { name: 'v', column: 'vector', kind: 'IvfPq', indexedRows: ROWS, unindexedRows: 0 },
  ]
  const meta: IndexMeta = {
    ...{ name: 'docs', incarnation: 'i', createdMs: 0, state: 'active', metric: 'l2' },
    ...{ dimension: DIMENSION, bucket: 'primary', backend: 'lance', shards: 1 },
    lance: { ...LANCE_DEFAULTS, indexKind: 'ivf_pq', ...lance },
    ...{ keepLastVersions: 1, hnsw: { m: 16, efConstruction: 200, efSearch: null, seed: 42 } },
  }
  const index = new LanceIndex({
    ...{ meta, revision: 1, table: () => table, nowMs: () => 0 },
    embed: () => Promise.resolve([]),
  })
  index.hold(soleHolding('here'))
  await index.look()
  const rows = Array.from({ length: ROWS }, (_, i) => {
    return { id: `p${i}`, vector: vectorAt(vectors, i), text: null, metadata: null }
  })
  await index.write(upsertOf(DIMENSION, rows), { ack: 'applied', deadlineMs: 60_000 })
  const changes: World['changes'] = []
  const service = new LanceRecall({
    indexes: {
      lanceIndex: () => index,
      update: (_, change, condition) => {
        changes.push({ ...change, ...condition })
        return Promise.resolve(index)
      },
    },
    nowMs: () => 1000,
  })
  const control = { signal: new AbortController().signal, progress: () => undefined }
  return {
    ...{ table, changes },
    recall: (minRecall, solve = true) =>
      service.run('docs', { queries: 100, k: 5, minRecall, solve, by: 'ann' }, control),
  }
}

/** Loses every `lost`-th hit of those that the settings should find. */
const losing =
  (lost: (search: LanceSearch) => number) =>
  (hits: readonly Hit[], search: LanceSearch): readonly Hit[] => {
    const every = lost(search)
    return every === Infinity ? hits : hits.filter((_, i) => (i + 1) % every !== 0)
  }

it('without an index of the vectors recall is measured, and nothing is solved', async () => {
  const { table, recall, changes } = await open({ indexKind: null })
  table.indices = []
  const report = await recall(0.9)
  assert.deepEqual([report.current.recall, report.solved], [1, null])
  assert.equal(report.current.queries, 50)
  assert.ok(report.current.recall_lcb < 1, 'a sample shows no certainty')
  assert.deepEqual(changes, [])
})

it('the cheapest settings that reach the floor are kept, with who and why', async () => {
  const { table, recall, changes } = await open({ nprobes: 1, refineFactor: 1 })
  // 300 rows make 17 lists: eight of them find everything where two candidates are refined.
  table.found = losing(({ nprobes, refineFactor }) => {
    return (nprobes ?? 0) >= 8 && (refineFactor ?? 0) >= 2 ? Infinity : 2
  })
  const { current, solved } = await recall(0.9)
  assert.ok(current.recall < 0.7)
  assert.ok(solved?.reached)
  assert.deepEqual([solved.kept.nprobes, solved.kept.refine_factor], [8, 2])
  const [change] = changes
  assert.equal(changes.length, 1)
  const { by, lance } = change ?? {}
  assert.deepEqual([by, lance?.nprobes, lance?.refineFactor], ['ann', 8, 2])
  assert.match(change?.reason ?? '', /reaches 0.9/)
  const { recall: _, recallLcb, ...shown } = lance?.shown ?? {}
  assert.ok((recallLcb ?? 0) >= 0.9)
  assert.deepEqual(shown, { minRecall: 0.9, k: 5, queries: 50, version: 2, atMs: 1000 })
})

/** Tells the half that shows: the settings in force are measured first, and on it. */
function heldOutTeller(): (vector: Float32Array) => boolean {
  const heldOut = new Set<string>()
  return (vector) => {
    const query = vector.join()
    if (heldOut.size < 50) heldOut.add(query)
    return heldOut.has(query)
  }
}

it('what barely passes and fails on the other half gives way to a little more, not to the dearest', async () => {
  const { table, recall } = await open({ nprobes: 1, refineFactor: 1 })
  const isHeldOut = heldOutTeller()
  let searches = 0
  table.found = (hits, { vector, nprobes }) => {
    const heldOut = isHeldOut(vector)
    searches += 1
    if ((nprobes ?? 0) >= 8) return hits
    if ((nprobes ?? 0) < 4 || heldOut) return hits.filter((_, rank) => rank % 2 === 0)
    // One neighbour in fifty: above the floor, and not half-way from it to 1.
    return searches % 10 === 0 ? hits.filter((_, rank) => rank !== 1) : hits
  }
  const { solved } = await recall(0.93)
  assert.ok(solved !== null)
  const first = solved.tried.find(({ nprobes }) => nprobes === 4)
  assert.ok((first?.recall_lcb ?? 0) >= 0.93 && (first?.recall_lcb ?? 1) < 0.965)
  assert.deepEqual([solved.reached, solved.kept.nprobes, solved.kept.refine_factor], [true, 8, 1])
})

it('where nothing of the same refine factor is safe, the best so far is judged before the dearest', async () => {
  const { table, recall } = await open({ nprobes: 1, refineFactor: 1 })
  const isHeldOut = heldOutTeller()
  let searches = 0
  table.found = (hits, { vector, nprobes }) => {
    const heldOut = isHeldOut(vector)
    searches += 1
    if ((nprobes ?? 0) < 4) return hits.filter((_, rank) => rank % 2 === 0)
    if (heldOut) return (nprobes ?? 0) >= 17 ? hits : hits.filter((_, rank) => rank % 2 === 0)
    // Every list brings a little more, and never enough to be safe.
    return searches % ((nprobes ?? 0) >= 17 ? 11 : 9) === 0
      ? hits.filter((_, rank) => rank !== 1)
      : hits
  }
  const { solved } = await recall(0.93)
  assert.ok(solved !== null)
  assert.ok(solved.tried.every(({ recall_lcb }) => recall_lcb < 0.965))
  assert.ok(solved.reached)
  assert.ok((solved.kept.refine_factor ?? 0) < 64, 'the dearest refine 64')
})

it('settings that fail on the half that they were not chosen by are never told to reach it', async () => {
  const { table, recall } = await open({ nprobes: 1, refineFactor: 1 })
  const isHeldOut = heldOutTeller()
  table.found = (hits, { vector }) => {
    const heldOut = isHeldOut(vector)
    return heldOut ? hits.filter((_, rank) => rank % 2 === 0) : hits
  }
  const { solved } = await recall(0.9)
  assert.ok(solved !== null)
  assert.ok(solved.tried.some((tried) => tried.recall_lcb >= 0.9))
  assert.equal(solved.reached, false)
})

it('hundreds of candidates are refined only where fewer do not reach the floor', async () => {
  const { table, recall } = await open({ nprobes: 1, refineFactor: 1 })
  table.found = losing(({ refineFactor }) => ((refineFactor ?? 0) >= 128 ? Infinity : 2))
  const { solved } = await recall(0.9)
  assert.ok(solved?.reached)
  assert.deepEqual([solved.kept.nprobes, solved.kept.refine_factor], [1, 128])
  table.found = losing(({ refineFactor }) => ((refineFactor ?? 0) >= 64 ? Infinity : 2))
  const enough = (await recall(0.9)).solved
  assert.ok(enough !== null)
  assert.equal(Math.max(...enough.tried.map(({ refine_factor: factor }) => factor ?? 0)), 64)
})

it('where the cheapest fail on the half that shows, the dearest are tried, and none beyond', async () => {
  const { table, recall } = await open({ nprobes: 1, refineFactor: 1 })
  const isHeldOut = heldOutTeller()
  table.found = (hits, { vector, nprobes, refineFactor }) => {
    const heldOut = isHeldOut(vector)
    const isDearest = nprobes === 17 && refineFactor === 64
    return heldOut && !isDearest ? hits.filter((_, rank) => rank % 2 === 0) : hits
  }
  const { solved } = await recall(0.9)
  assert.ok(solved?.reached)
  assert.deepEqual([solved.kept.nprobes, solved.kept.refine_factor], [17, 64])
})

it('where nothing reaches the floor the best is kept, and that is told', async () => {
  const { table, recall, changes } = await open({ nprobes: 1, refineFactor: 1 })
  table.found = losing(({ refineFactor }) => ((refineFactor ?? 0) >= 4 ? 4 : 2))
  const { current, solved } = await recall(0.95)
  assert.equal(solved?.reached, false)
  assert.ok(solved.changed && solved.kept.recall > current.recall)
  assert.match(changes[0]?.reason ?? '', /nothing reaches 0.95/)
  assert.ok((changes[0]?.lance?.shown?.recallLcb ?? 1) < 0.95)
})

it('settings that are as good stay; measuring alone changes nothing', async () => {
  const { table, recall, changes } = await open({ nprobes: 1, refineFactor: 1 })
  table.found = (hits) => hits
  const { solved } = await recall(0.9)
  assert.deepEqual([solved?.changed, solved?.reached], [false, true])
  assert.deepEqual([changes[0]?.lance?.nprobes, changes[0]?.lance?.refineFactor], [1, 1])
  assert.equal((await recall(0.9, false)).solved, null)
  assert.equal(changes.length, 1)
})

it('too few rows show nothing', async () => {
  const { table, recall } = await open()
  await table.deleteMatching('{}')
  await assert.rejects(recall(0.9), { code: 'lance_too_few_rows' })
})
