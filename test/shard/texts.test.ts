/** What a shard does with texts that have no vector yet, beside what the models of a shard compare. */

import assert from 'node:assert/strict'
import { it, type TestContext } from 'node:test'
import { randomVectors, vectorAt } from '../support/vectors.ts'
import { EVERYTHING, Harness, type ModelPoint } from './harness.ts'

const DIMENSION = 4
const TAG = 'm@1'

async function open(t: TestContext, keepLastVersions = 1): Promise<Harness> {
  const spec = { keepLastVersions }
  const harness = new Harness(t, { dimension: DIMENSION, metric: 'l2', flatRowsMax: 20, spec })
  await harness.open()
  return harness
}

function text(id: string, words = `text ${id}`): ModelPoint {
  return { id, vector: null, text: words, metadata: '{"kind":"note"}' }
}

const ORIGIN = new Float32Array(DIMENSION)

it('they are counted, filtered, scrolled and deleted, and no search finds them', async (t) => {
  const harness = await open(t)
  const { shard } = harness
  const vector = Float32Array.of(1, 2, 3, 4)
  harness.upsert([text('a'), { ...text('v'), vector }, text('b')])
  const filter = '{"kind":"note"}'
  assert.deepEqual([shard.count(null), shard.count(filter)], [3, 3])
  assert.deepEqual(shard.matchingIds(filter, 10), ['a', 'v', 'b'])
  for (const query of [{}, { exact: true }, { filter }, { filter, exact: true }, { asOf: 1 }]) {
    const { hits, exhausted } = harness.search(ORIGIN, { k: 2, ...query })
    assert.deepEqual([hits.map(({ id }) => id), exhausted], [['v'], true], JSON.stringify(query))
  }
  assert.equal(harness.search(ORIGIN, { k: 1 }).exhausted, false)
  harness.delete(['a'])
  assert.deepEqual([shard.count(filter), shard.stats().pendingTexts], [2, 1])
  assert.deepEqual(await shard.verify(), [])
})

it('a search by the id of one is told that its vector is missing, not that it is', async (t) => {
  const harness = await open(t, 2)
  harness.upsert([text('a')])
  const byId = (id: string, asOf?: number) =>
    harness.search(ORIGIN, { target: { id }, ...(asOf !== undefined && { asOf }) })
  assert.throws(() => byId('a'), { code: 'point_not_embedded', retryAfterS: 1 })
  assert.throws(() => byId('a', 1), { code: 'point_not_embedded' })
  assert.throws(() => byId('none'), { code: 'point_not_found' })
  harness.project([{ id: 'a', version: 1, text: 'text a', vector: ORIGIN }], TAG)
  harness.upsert([text('a', 'another')])
  assert.throws(() => byId('a'), { code: 'point_not_embedded' })
  assert.deepEqual(byId('a', 2).hits, [])
  const [kept] = harness.search(ORIGIN, { asOf: 1, include: EVERYTHING }).hits
  assert.deepEqual([kept?.version, kept?.text], [1, 'text a'], 'as of then, with its later vector')
})

it('points with vectors reach the graph past any number of texts that wait', async (t) => {
  const harness = await open(t)
  const set = randomVectors(100, DIMENSION, 1)
  for (let row = 0; row < 100; row += 1) {
    const vector = vectorAt(set, row)
    harness.upsert([text(`t${row}`), { id: `p${row}`, vector, text: null, metadata: null }])
  }
  harness.indexAll()
  const { graphElements, deltaPoints, livePoints, pendingTexts } = harness.shard.stats()
  assert.deepEqual([graphElements, deltaPoints, livePoints, pendingTexts], [100, 0, 200, 100])
  const vectors = Array.from({ length: 100 }, (_, row) => {
    return { id: `t${row}`, version: row + 1, text: `text t${row}`, vector: vectorAt(set, row) }
  })
  harness.project(vectors, TAG)
  assert.equal(harness.shard.stats().deltaPoints, 100)
  harness.indexAll()
  assert.deepEqual(await harness.shard.verify(), [])
  const { path, hits } = harness.search(vectorAt(set, 7), { k: 2, ef: 200 })
  assert.deepEqual([path, hits.map(({ id }) => id).sort()], ['graph', ['p7', 't7']])
})

it('a vector with the wrong shape breaks nothing but its record', async (t) => {
  const harness = await open(t)
  harness.upsert([text('a')])
  const bad = { id: 'a', version: 1, text: 'text a', vector: Float32Array.of(1, NaN, 3, 4) }
  assert.throws(() => harness.project([bad], TAG), { code: 'invalid_vector' })
  assert.deepEqual(harness.shard.fetch(['a'], EVERYTHING)[0]?.vector, null)
  assert.equal(harness.shard.stats().pendingTexts, 1)
})

it('an index without texts writes parts of the older format, one with them does not lose their place', async (t) => {
  const harness = await open(t)
  const formatOf = async (key: string): Promise<string | undefined> => {
    const bytes = Buffer.from(await harness.store.get(key))
    const at = bytes.lastIndexOf('vectord.format') + 'vectord.format'.length + 2
    return String.fromCharCode(bytes[at] ?? 0)
  }
  harness.upsert([{ id: 'p', vector: ORIGIN, text: 'given', metadata: null }])
  const first = await harness.shard.checkpoint('if_worth')
  assert.equal(await formatOf(first.parts[0]?.key ?? ''), '1')
  harness.upsert([text('a'), text('b')])
  const second = await harness.shard.checkpoint('if_worth')
  harness.project([{ id: 'a', version: 2, text: 'text a', vector: ORIGIN }], TAG)
  const third = await harness.shard.checkpoint('if_worth')
  assert.deepEqual(
    await Promise.all(third.parts.map(({ key }) => formatOf(key))),
    ['1', '2', '2'].slice(0, third.parts.length),
  )
  for (const [checkpoint, waiting] of [
    [second, ['a', 'b']],
    [third, ['b']],
  ] as const) {
    await harness.open(checkpoint)
    const request = { kind: 'page', tag: TAG, after: null, limit: 9, priority: null } as const
    const { page } = harness.shard.texts(request)
    assert.deepEqual(
      page?.items.map(({ id }) => id),
      waiting,
    )
    const versions = harness.shard.fetch(['p', 'a', 'b'], EVERYTHING)
    assert.deepEqual(
      versions.map((point) => point?.version),
      [1, 2, 2],
    )
  }
})
