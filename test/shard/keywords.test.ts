/**
 * Searches by keywords over a whole shard: they see every write, while rows are overwritten, deleted
 * and given new slots.
 */

import assert from 'node:assert/strict'
import { it, type TestContext } from 'node:test'
import MiniSearch from 'minisearch'
import { wordsOf } from '../../src/domain/words.ts'
import type { ShardAnswer } from '../../src/domain/search.ts'
import { VectordError } from '../../src/lib/errors.ts'
import { plainBm25, plainWords } from '../support/plain-keywords.ts'
import { seededRandom } from '../support/vectors.ts'
import { glosses } from '../support/wordnet.ts'
import { EVERYTHING, Harness, NOTHING, type ModelPoint } from './harness.ts'

const DIMENSION = 3
const VECTOR = Float32Array.of(1, 2, 3)

function point(id: string, text: string | null, metadata: object | null = null): ModelPoint {
  return { id, vector: VECTOR, text, metadata: metadata === null ? null : JSON.stringify(metadata) }
}

async function opened(t: TestContext, keepLastVersions = 1): Promise<Harness> {
  // No graph: what is left for maintenance are words.
  const options = { dimension: DIMENSION, flatRowsMax: 10_000 }
  const harness = new Harness(t, { ...options, spec: { keepLastVersions } })
  await harness.open()
  return harness
}

interface Asked {
  readonly k?: number
  readonly filter?: object
}

async function find(harness: Harness, text: string, asked: Asked = {}): Promise<ShardAnswer> {
  const { k = 10, filter } = asked
  const query = {
    target: { keywords: { terms: wordsOf(text, 32), statistics: null } },
    ...{ k, ef: null, exact: false, include: EVERYTHING },
    filter: filter === undefined ? null : JSON.stringify(filter),
  }
  for (;;) {
    try {
      return harness.shard.search(query)
    } catch (error) {
      assert.ok(error instanceof VectordError && error.code === 'keywords_loading')
      await harness.shard.prepareKeywords()
    }
  }
}

async function assertRanked(harness: Harness, text: string, asked: Asked = {}): Promise<void> {
  const { k = 10, filter } = asked
  const odd = filter === undefined ? null : new Set([1, 3])
  const { hits, exhausted, path, lsn, efUsed } = await find(harness, text, asked)
  const all = plainBm25(harness.live.values(), [...new Set(plainWords(text))])
  const expected = all.filter(({ id }) => {
    const json = harness.live.get(id)?.metadata ?? '{}'
    return odd === null || odd.has((JSON.parse(json) as { n: number }).n)
  })
  assert.deepEqual([path, lsn, efUsed], ['keyword', harness.lsn, 0])
  assert.equal(hits.length, Math.min(k, expected.length), text)
  assert.equal(exhausted, expected.length < k)
  for (const [i, hit] of hits.entries()) {
    const stored = harness.live.get(hit.id)
    assert.equal(hit.text, stored?.text)
    assert.equal(hit.version, stored?.lsn)
    assert.ok(Math.abs(-hit.distance - (expected[i]?.score ?? NaN)) < 1e-9, `${text}: place ${i}`)
  }
}

for (const [seed, keep] of [1, 1, 2, 3].entries()) {
  it(`seed ${seed}, ${keep} versions kept: any run of writes and compactions ranks as plain BM25`, async (t) => {
    const random = seededRandom(seed + 10)
    const harness = await opened(t, keep)
    const word = (): string => `w${Math.floor(30 * random() ** 3)}`
    const write = (): void => {
      const points = new Map<string, ModelPoint>()
      for (let i = Math.floor(random() * 60); i >= 0; i -= 1) {
        const id = `id-${Math.floor(random() * 300)}`
        const words = Array.from({ length: Math.floor(random() * 9) }, word)
        points.set(id, point(id, random() < 0.1 ? null : words.join(' '), { n: i % 5 }))
      }
      harness.upsert([...points.values()])
      harness.delete(Array.from({ length: 12 }, () => `id-${Math.floor(random() * 300)}`))
    }
    let compactions = 0
    for (let step = 0; step < 60; step += 1) {
      write()
      if (random() < 0.25) {
        const compacting = harness.shard.compact([])
        await Promise.resolve()
        write()
        if (random() < 0.5) await assertRanked(harness, `${word()} ${word()}`)
        write()
        const { dropped } = await compacting
        if (dropped > 0) compactions += 1
      }
      if (random() < 0.3) harness.shard.indexSlice(5)
      if (step % 3 === 0) continue
      await assertRanked(harness, word())
      await assertRanked(harness, `${word()} ${word()} ${word()} none`, { k: 25 })
      await assertRanked(harness, `${word()} ${word()}`, { filter: { n: { $in: [1, 3] } } })
    }
    assert.ok(compactions > 3, 'the run reached what it is about')
    assert.deepEqual(await harness.shard.verify(), [])
  })
}

it('the first search is refused until the words are gathered, and a later one sees each write', async (t) => {
  const harness = await opened(t)
  const many = Array.from({ length: 4000 }, (_, i) =>
    point(`p${i}`, `${'filler '.repeat(300)} n${i}`),
  )
  for (let i = 0; i < many.length; i += 500) harness.upsert(many.slice(i, i + 500))
  const before = harness.shard.stats().memoryBytes
  const keywords = { terms: ['n3999'], statistics: null }
  const query = {
    ...{ target: { keywords }, k: 1, ef: null, exact: false, filter: null, include: NOTHING },
  }
  const isLoading = (error: unknown): boolean =>
    error instanceof VectordError && error.code === 'keywords_loading' && error.retryable
  assert.throws(() => harness.shard.search(query), isLoading)
  assert.throws(() => harness.shard.keywordStatistics(['n3999']), isLoading)
  await Promise.all([harness.shard.prepareKeywords(), harness.shard.prepareKeywords()])
  assert.equal(harness.shard.search(query).hits[0]?.id, 'p3999')
  assert.ok(harness.shard.stats().memoryBytes > before)
  // A few rows are taken in by the search itself, and a text that is overwritten is not found.
  harness.upsert([point('p3999', 'other'), point('new', 'fresh words')])
  assert.deepEqual(harness.shard.search(query).hits, [])
  assert.equal((await find(harness, 'FRESH')).hits[0]?.id, 'new')
  assert.deepEqual(harness.shard.keywordStatistics(['fresh']).frequencies, [1])
  harness.delete(['new'])
  assert.deepEqual((await find(harness, 'fresh')).hits, [])
})

it('maintenance takes in the words of what was written, once a search has asked for words', async (t) => {
  const harness = await opened(t)
  const texts = Array.from({ length: 500 }, (_, i) =>
    point(`p${i}`, `${'long '.repeat(2000)} n${i}`),
  )
  harness.upsert(texts)
  assert.equal(harness.shard.indexSlice(1), false)
  await find(harness, 'n1')
  harness.upsert(texts)
  let slices = 0
  while (harness.shard.indexSlice(1)) slices += 1
  assert.ok(slices > 1)
  const keywords = { terms: ['n7'], statistics: null }
  const options = { k: 1, ef: null, exact: false, filter: null, include: NOTHING }
  assert.equal(harness.shard.search({ target: { keywords }, ...options }).hits[0]?.id, 'p7')
})

it('a shard that is closed gathers no words', async (t) => {
  const harness = await opened(t)
  harness.upsert(Array.from({ length: 3000 }, (_, i) => point(`p${i}`, 'many words '.repeat(500))))
  const { shard } = harness
  const preparing = shard.prepareKeywords()
  await shard.close()
  await assert.rejects(preparing, /closed/)
  await assert.rejects(shard.prepareKeywords(), /closed/)
})

it('glosses of WordNet: the points found are those that minisearch finds', async (t) => {
  const harness = await opened(t)
  const texts = glosses(3000, 35)
  harness.upsert(texts.map(({ id, text }) => point(id, text)))
  const oracle = new MiniSearch<{ id: string; text: string }>({
    fields: ['text'],
    tokenize: (text) => text.split(/[^\p{L}\p{N}]+/u),
    processTerm: (term) => (term === '' ? null : term.toLowerCase()),
  })
  oracle.addAll(texts.map(({ id, text }) => ({ id, text })))
  const queries = ['dog', 'the of a', 'relating to plants', 'zebra crossing', 'genus family order']
  for (const { lemma } of glosses(100, 1001)) queries.push(lemma)
  let found = 0
  for (const query of queries) {
    const { hits } = await find(harness, query, { k: 1000 })
    const all = oracle.search(query).map(({ id }) => String(id))
    found += hits.length
    if (all.length > 1000) assert.equal(hits.length, 1000)
    else assert.deepEqual(hits.map(({ id }) => id).sort(), all.sort(), query)
  }
  assert.ok(found > 1500, 'the queries find something')
})
