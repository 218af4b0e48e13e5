/**
 * A Lance table does what `LanceTable` says: rows come back as they were written, in every version
 * that is kept, and odd ids, sizes and moments harm nothing.
 */

import assert from 'node:assert/strict'
import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { it } from 'node:test'
import type { LanceDataset } from '../../../src/engines/lance/lance-dataset.ts'
import { subVectors } from '../../../src/engines/lance/index-plan.ts'
import { randomVectors, vectorAt } from '../../support/vectors.ts'
import {
  ALL,
  allIds,
  localBucket,
  localTable,
  newEngine,
  NONE,
  rowsOf,
  searchOf,
  specOf,
} from './lance-world.ts'

const HOSTILE_IDS = [
  ...["'", "''", '\\', "a\\'b", "x' OR '1'='1", '%', '_', '"', '`', '$1', '--', '/*', ';', '*'],
  ...['\0', '\n', '\u2028', 'é', 'e\u0301', '😀', '\uFFFF', '\u{10FFFF}', '\uE000', ' ', 'null'],
  ...['x'.repeat(512), '../../etc', '{}', 'id', '0', 'true'],
]

it('rows come back as they were written, whatever their ids are', async (t) => {
  const { table } = await localTable(t)
  const ids = HOSTILE_IDS
  const texts = ids.map((id, i) => (i % 3 === 0 ? null : id + id))
  const metadata = ids.map((id, i) => (i % 2 === 0 ? null : JSON.stringify({ [id]: [id, 1] })))
  const rows = rowsOf(ids, { texts, metadata })
  const { version } = await table.append(rows)
  const { points } = await table.fetch([...ids, 'absent'], ALL, null)
  assert.equal(points.at(-1), null)
  for (const [i, id] of ids.entries()) {
    const vector = Float32Array.of(i, i)
    assert.deepEqual(points[i], { id, version, text: texts[i], metadata: metadata[i], vector })
  }
  for (const id of ids) {
    const { points: one } = await table.fetch([id], NONE, null)
    assert.deepEqual(one, [{ id, version, text: null, metadata: null, vector: null }])
  }
  for (const id of ids.slice(0, 10)) await table.delete([id, 'absent'])
  assert.deepEqual((await allIds(table)).toSorted(), ids.slice(10).toSorted())
})

it('upsert replaces by id and adds the rest; every version that is kept can be read', async (t) => {
  const { table } = await localTable(t)
  const first = await table.upsert(rowsOf(['a', 'b']))
  const second = await table.upsert(rowsOf(['b', 'c'], { vectors: Float32Array.of(7, 7, 8, 8) }))
  const third = await table.delete(['a'])
  assert.ok(first.version < second.version && second.version < third.version)
  const seen = async (asOf: number | null): Promise<unknown> => {
    const { points } = await table.fetch(['a', 'b', 'c'], { ...NONE, vector: true }, asOf)
    return points.map((point) => point?.vector?.[0] ?? null)
  }
  assert.deepEqual(await seen(first.version), [0, 1, null])
  assert.deepEqual(await seen(second.version), [0, 7, 8])
  assert.deepEqual(await seen(null), [null, 7, 8])
  const search = searchOf(Float32Array.of(1, 1), { k: 1, asOf: first.version })
  assert.equal((await table.search(search)).hits[0]?.id, 'b')
  const { points } = await table.fetch(['b'], NONE, null)
  assert.equal(points[0]?.version, second.version)
  assert.deepEqual(
    (await table.versions()).map(({ version }) => version),
    [1, first.version, second.version, third.version],
  )
})

it('a version that is gone or never was is told by its code', async (t) => {
  const { table } = await localTable(t)
  const { version } = await table.append(rowsOf(['a']))
  await table.fetch(['a'], NONE, version)
  await table.append(rowsOf(['b']))
  await table.optimize(0)
  const gone = { code: 'lance_version_gone' }
  for (const asOf of [version, 99]) {
    await assert.rejects(table.fetch(['a'], NONE, asOf), gone)
    await assert.rejects(table.search(searchOf(Float32Array.of(1, 1), { asOf })), gone)
  }
  assert.deepEqual(await allIds(table), ['a', 'b'])
})

it('an empty table, no rows, no k and filters that match nothing are answered', async (t) => {
  const { table } = await localTable(t)
  const query = Float32Array.of(1, 2)
  assert.deepEqual((await table.search(searchOf(query))).hits, [])
  assert.deepEqual((await table.fetch(['a'], ALL, null)).points, [null])
  assert.equal((await table.count(null)).count, 0)
  assert.deepEqual(await table.sample(5, 1), { ids: [], vectors: new Float32Array(0) })
  for (const kind of ['ivf_pq', 'ivf_hnsw_sq'] as const) {
    await assert.rejects(table.buildIndex(kind), { code: 'lance_too_few_rows' })
  }
  await table.buildScalarIndex()
  const { version } = await table.upsert(rowsOf([]))
  assert.equal((await table.delete([])).version, version)
  await table.append(rowsOf(['a', 'b']))
  await assert.rejects(table.buildIndex('ivf_pq'), { code: 'lance_too_few_rows' })
  assert.deepEqual((await table.search(searchOf(query, { k: 0 }))).hits, [])
  assert.equal((await table.search(searchOf(query, { k: 50 }))).hits.length, 2)
  const nothing = searchOf(query, { filter: '{"x":1}' })
  assert.deepEqual((await table.search(nothing)).hits, [])
  assert.deepEqual(await allIds(table, '{"x":1}'), [])
  assert.deepEqual((await table.fetch([], ALL, null)).points, [])
})

it('deletes by filter take what matches, and say how much', async (t) => {
  const { table } = await localTable(t)
  const metadata = ['{"n":1}', '{"n":2}', '{"n":3}', null]
  await table.append(rowsOf(['a', 'b', 'c', 'd'], { metadata }))
  assert.equal((await table.deleteMatching('{"n":{"$gte":2}}')).deleted, 2)
  assert.equal((await table.deleteMatching('{"n":{"$gte":2}}')).deleted, 0)
  assert.deepEqual(await allIds(table), ['a', 'd'])
  assert.equal((await table.count('{"n":1}')).count, 1)
  assert.equal((await table.deleteMatching('{}')).deleted, 2)
  assert.deepEqual(await allIds(table), [])
})

it('a scroll goes through all rows in the order of their ids, page by page', async (t) => {
  const { table } = await localTable(t)
  const ids = Array.from({ length: 250 }, (_, i) => `p${(i * 37) % 250}'`)
  const metadata = ids.map((_, i) => JSON.stringify({ even: i % 2 === 0 }))
  await table.append(rowsOf(ids, { metadata }))
  for (const filter of [null, '{"even":true}']) {
    const found: string[] = []
    let after: string | null = null
    for (let done = false; !done;) {
      const page = await table.scroll({ after, limit: 60, filter, include: ALL, asOf: null })
      found.push(...page.points.map(({ id }) => id))
      assert.ok(page.points.every(({ vector }) => vector?.length === 2))
      after = found.at(-1) ?? null
      done = page.done
    }
    const expected = ids.filter((_, i) => filter === null || i % 2 === 0).toSorted()
    assert.deepEqual(found, expected)
  }
})

it('an index is used, and rows that it lacks, deletes and replacements count', async (t) => {
  const dimension = 24
  const set = randomVectors(1200, dimension, 1)
  const ids = Array.from({ length: set.count }, (_, i) => `p${i}`)
  for (const kind of ['ivf_pq', 'ivf_hnsw_sq'] as const) {
    const { table } = await localTable(t, { dimension, metric: 'cosine' })
    const some = { dimension, vectors: set.values.subarray(0, 1000 * dimension) }
    await table.append(rowsOf(ids.slice(0, 1000), some))
    await table.buildScalarIndex()
    await table.buildIndex(kind)
    const rest = { dimension, vectors: set.values.subarray(1000 * dimension) }
    await table.append(rowsOf(ids.slice(1000), rest))
    await table.delete(['p3'])
    await table.upsert(rowsOf(['p4'], { dimension, vectors: vectorAt(set, 1100).slice() }))
    const settings = { nprobes: 32, refineFactor: 10, ef: 100, k: 3 }
    await checkFound(table, (row) => searchOf(vectorAt(set, row), settings), 'ivf')
    const { hits } = await table.search(searchOf(vectorAt(set, 1100), settings))
    assert.deepEqual(
      hits
        .slice(0, 2)
        .map(({ id }) => id)
        .toSorted(),
      ['p1100', 'p4'],
    )
    const stats = await table.stats()
    const own = stats.indices.find(({ column }) => column === 'vector')
    assert.equal(own?.indexedRows, 998)
    assert.equal(own.unindexedRows, 201)
    await table.optimize(0)
    await checkFound(table, (row) => searchOf(vectorAt(set, row), settings), 'ivf')
    const after = await table.stats()
    assert.equal(after.indices.find(({ column }) => column === 'vector')?.unindexedRows, 0)
    assert.equal(after.rows, 1199)
  }
})

async function checkFound(
  table: LanceDataset,
  searchFor: (row: number) => ReturnType<typeof searchOf>,
  path: string,
): Promise<void> {
  for (const row of [0, 1, 2, 500, 999, 1000, 1199]) {
    const answer = await table.search(searchFor(row))
    assert.equal(answer.path, path)
    assert.equal(answer.hits[0]?.id, `p${row}`)
    assert.ok(Math.abs(answer.hits[0].distance) < 1e-5)
  }
  const deleted = await table.search(searchFor(3))
  assert.notEqual(deleted.hits[0]?.id, 'p3')
}

it('a filter that few rows match finds them through an index as well', async (t) => {
  const dimension = 16
  const set = randomVectors(2000, dimension, 2)
  const { table } = await localTable(t, { dimension })
  const ids = Array.from({ length: set.count }, (_, i) => `p${i}`)
  const metadata = ids.map((_, i) => JSON.stringify({ rare: i % 500 === 0 }))
  await table.append(rowsOf(ids, { dimension, vectors: set.values, metadata }))
  await table.buildIndex('ivf_pq')
  const asked = { k: 10, filter: '{"rare":true}', nprobes: 1, refineFactor: 5 }
  const { hits, path } = await table.search(searchOf(vectorAt(set, 7), asked))
  assert.equal(path, 'ivf_filtered')
  assert.deepEqual(hits.map(({ id }) => id).toSorted(), ['p0', 'p1000', 'p1500', 'p500'])
})

it('what is given to a search is bounded, never refused', async (t) => {
  const dimension = 8
  const set = randomVectors(600, dimension, 3)
  const { table } = await localTable(t, { dimension })
  const ids = Array.from({ length: set.count }, (_, i) => `p${i}`)
  await table.append(rowsOf(ids, { dimension, vectors: set.values }))
  for (const kind of ['ivf_pq', 'ivf_hnsw_sq'] as const) {
    await table.buildIndex(kind)
    for (const settings of [
      { nprobes: 1_000_000, refineFactor: 1, ef: 1 },
      { nprobes: 1, refineFactor: 50, ef: 10 },
      { nprobes: 5, refineFactor: 3, ef: null },
      { nprobes: null, refineFactor: null, ef: 20_000 },
    ]) {
      const answer = await table.search(searchOf(vectorAt(set, 1), { k: 20, ...settings }))
      assert.ok(answer.hits.length > 0, JSON.stringify({ kind, settings }))
    }
  }
})

it('a sample is spread over the table and the same for the same seed', async (t) => {
  const { table } = await localTable(t)
  const ids = Array.from({ length: 1000 }, (_, i) => `p${String(i).padStart(4, '0')}`)
  await table.append(rowsOf(ids.slice(0, 500)))
  await table.append(rowsOf(ids.slice(500), { vectors: new Float32Array(1000).fill(3) }))
  await table.delete(ids.slice(100, 120))
  const sample = await table.sample(100, 7)
  assert.equal(new Set(sample.ids).size, 100)
  assert.equal(sample.vectors.length, 200)
  const late = sample.ids.filter((id) => id >= 'p0500').length
  assert.ok(late > 45 && late < 56, String(late))
  for (const [i, id] of sample.ids.entries()) {
    assert.equal(sample.vectors[2 * i], id >= 'p0500' ? 3 : Number(id.slice(1)))
  }
  assert.deepEqual(await table.sample(100, 7), sample)
  assert.notDeepEqual((await table.sample(100, 8)).ids, sample.ids)
  assert.equal((await table.sample(5000, 1)).ids.length, 980)
})

it('eight writers at once lose nothing, and their versions are distinct', async (t) => {
  const { table } = await localTable(t)
  const versions = await Promise.all(
    Array.from({ length: 8 }, async (_, i) => {
      const rows = rowsOf([`a${i}`, `b${i}`])
      return i % 2 === 0 ? table.append(rows) : table.upsert(rows)
    }),
  )
  assert.equal(new Set(versions.map(({ version }) => version)).size, 8)
  assert.equal((await table.count(null)).count, 16)
})

it('writes go on while an index is built', async (t) => {
  const dimension = 32
  const set = randomVectors(4000, dimension, 4)
  const { table } = await localTable(t, { dimension })
  const ids = Array.from({ length: set.count }, (_, i) => `p${i}`)
  await table.append(rowsOf(ids, { dimension, vectors: set.values }))
  const state = { isBuilt: false }
  const built = table.buildIndex('ivf_pq').then(() => {
    state.isBuilt = true
  })
  let written = 0
  for (; !state.isBuilt; written += 1) {
    await table.upsert(rowsOf([`new${written}`, 'p1'], { dimension }))
  }
  await built
  assert.ok(written > 1)
  assert.equal((await table.count(null)).count, 4000 + written)
  assert.equal((await table.stats()).indices.length, 1)
})

it('rows that do not fit are refused and change nothing', async (t) => {
  const { table } = await localTable(t)
  const { version } = await table.append(rowsOf(['a']))
  const short = rowsOf(['b'], { vectors: Float32Array.of(1) })
  await assert.rejects(table.append(short), { code: 'vector_dimension_mismatch' })
  await assert.rejects(table.search(searchOf(Float32Array.of(1))), {
    code: 'vector_dimension_mismatch',
  })
  await assert.rejects(table.append(rowsOf(['b'], { metadata: ['[1]'] })), {
    code: 'invalid_points',
  })
  await assert.rejects(table.upsert(rowsOf(['b', 'b'])), { code: 'invalid_points' })
  assert.equal((await table.stats()).version, version)
})

it('a table that is not there, of another dimension or of a later format is told', async (t) => {
  const bucket = await localBucket(t)
  const table = newEngine().table(specOf(bucket))
  const missing = { code: 'index_not_found' }
  await assert.rejects(table.count(null), missing)
  await assert.rejects(table.append(rowsOf(['a'])), missing)
  await assert.rejects(table.search(searchOf(Float32Array.of(1, 1), { asOf: 3 })), missing)
  await table.create()
  await table.append(rowsOf(['a']))
  await table.create()
  assert.equal((await table.count(null)).count, 1)
  const other = newEngine().table(specOf(bucket, { dimension: 3 }))
  await assert.rejects(other.count(null), { code: 'object_corrupt' })
  const gone = newEngine().table(specOf({ backend: 'local', root: `${bucket.root}/gone` }))
  await assert.rejects(gone.count(null), { code: 'bucket_unreachable' })
  await table.drop()
  await table.drop()
  await assert.rejects(table.count(null), missing)
  assert.deepEqual(await readdir(`${bucket.root}/_lance`), [])
  await table.create()
  assert.equal((await table.count(null)).count, 0)
})

it('a drop that a crash cut off is finished by the next one, or by a new table', async (t) => {
  const { table, spec } = await localTable(t)
  assert.equal(spec.bucket.backend, 'local')
  const folder = join(spec.bucket.root, '_lance')
  for (const next of ['drop', 'create'] as const) {
    await table.append(rowsOf(['a']))
    await table.buildScalarIndex()
    await rm(join(folder, 'points.lance', '_versions'), { recursive: true })
    const after = newEngine().table(spec)
    await assert.rejects(after.count(null), { code: 'index_not_found' })
    await after[next]()
    if (next === 'drop') assert.deepEqual(await readdir(folder), [])
    await table.create()
    assert.deepEqual(await allIds(newEngine().table(spec)), [])
  }
})

it('a deadline that passed is told', async (t) => {
  const { table } = await localTable(t)
  const late = { deadlineMs: Date.now() - 1 }
  await assert.rejects(table.search(searchOf(Float32Array.of(1, 1)), late), {
    code: 'deadline_exceeded',
  })
})

it('codes of product quantisation divide every dimension', () => {
  for (let dimension = 1; dimension <= 4096; dimension += 1) {
    const parts = subVectors(dimension)
    assert.ok(dimension % parts === 0 && dimension / parts <= 16)
  }
  assert.equal(subVectors(768), 48)
})
