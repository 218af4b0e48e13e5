/** The HTTP contract of searches by text: modes, fusion, highlights, and what is refused. */

import assert from 'node:assert/strict'
import { it, type TestContext } from 'node:test'
import { VectordError } from '../../src/lib/errors.ts'
import { NOW_MS, openApp, type TestApp } from '../support/http-app.ts'

const URL = '/vectors/indexes/words/search'

const POINTS = [
  { id: 'dog', vector: [1, 0, 0], text: 'The dog barks at the cat', metadata: { n: 1 } },
  { id: 'cat', vector: [0, 1, 0], text: 'A cat, a cat: Chàt!', metadata: { n: 2 } },
  { id: 'bird', vector: [0, 0, 1], text: 'birds sing' },
  { id: 'mute', vector: [1, 1, 0] },
]

async function open(t: TestContext): Promise<TestApp> {
  const app = await openApp(t)
  await app.send('POST', '/vectors/indexes', { name: 'words', dimension: 3, metric: 'cosine' })
  await app.send('POST', '/vectors/indexes/words/points', { points: POINTS })
  return app
}

type Hit = Readonly<Record<string, unknown>>

interface Answer {
  readonly results: readonly Hit[]
  readonly [name: string]: unknown
}

async function search({ send }: TestApp, body: unknown): Promise<Answer> {
  const reply = await send('POST', URL, body)
  assert.equal(reply.status, 200, reply.text)
  return reply.body as Answer
}

function ids({ results }: Answer): unknown[] {
  return results.map((hit) => hit['id'])
}

it('text alone is searched by its words where the index has no embedder', async (t) => {
  const app = await open(t)
  for (const body of [{ text: 'CAT' }, { text: 'CAT', mode: 'keyword', exact: true, ef: 99 }]) {
    const { results, took_ms: _, ...rest } = await search(app, body)
    assert.deepEqual(rest, {
      ...{ path: 'keyword', ef_used: 0, generation: 1, config_source: 'default' },
      ...{ exhausted: true, lsn: 1 },
    })
    assert.deepEqual(
      results.map(({ id, distance, metadata }) => ({ id, distance, metadata })),
      [
        { id: 'cat', distance: null, metadata: { n: 2 } },
        { id: 'dog', distance: null, metadata: { n: 1 } },
      ],
    )
    assert.ok(Number(results[0]?.['score']) > Number(results[1]?.['score']))
    assert.ok(Number(results[1]?.['score']) > 0)
  }
  assert.deepEqual(ids(await search(app, { text: 'cat', k: 1 })), ['cat'])
  assert.deepEqual(ids(await search(app, { text: 'cat', filter: { n: 1 } })), ['dog'])
  assert.deepEqual(ids(await search(app, { text: '!?' })), [])
  assert.deepEqual(app.seen, [], 'recall is no matter of keywords')
})

it('text is embedded where the index has an embedder, and no mode says otherwise', async (t) => {
  const app = await open(t)
  const asked: unknown[] = []
  app.embedder.embed = async (text, deadlineMs) => {
    asked.push(text, deadlineMs)
    return Float32Array.of(0, 0, 1)
  }
  for (const body of [{ text: 'tweet' }, { text: 'tweet', mode: 'vector' }]) {
    const found = await search(app, { ...body, k: 1, deadline_ms: 700 })
    assert.deepEqual([found['path'], ...ids(found)], ['exact', 'bird'])
    assert.equal(found.results[0]?.['distance'], 0)
  }
  assert.deepEqual(asked, ['tweet', NOW_MS + 700, 'tweet', NOW_MS + 700])
  assert.equal(app.seen.length, 2)
  assert.deepEqual(app.seen[0]?.query.target, { vector: Float32Array.of(0, 0, 1) })
  assert.deepEqual(ids(await search(app, { text: 'barks', mode: 'keyword' })), ['dog'])
  assert.equal(asked.length, 4)
  const past = await search(app, { text: 'tweet', as_of: 1, k: 1 })
  assert.deepEqual(ids(past), ['bird'])
})

it('hybrid joins both rankings by rank, with the vector of the client or of the embedder', async (t) => {
  const app = await open(t)
  app.embedder.embed = async () => Float32Array.of(1, 0, 0)
  const hybrid = { text: 'cat', mode: 'hybrid', k: 3 }
  for (const body of [hybrid, { ...hybrid, vector: [1, 0, 0] }]) {
    const found = await search(app, body)
    assert.deepEqual([found['path'], found['exhausted']], ['hybrid', false])
    const [first, second, third] = found.results
    const { score, ...dog } = first ?? {}
    assert.ok(Math.abs(Number(score) - (1 / 61 + 1 / 62)) < 1e-12)
    assert.deepEqual(dog, {
      ...{ id: 'dog', distance: 0, ranks: { vector: 1, keyword: 2 } },
      ...{ version: 1, metadata: { n: 1 } },
    })
    assert.equal(second?.['id'], 'cat')
    assert.deepEqual([third?.['id'], third?.['ranks']], ['mute', { vector: 2, keyword: null }])
  }
  // The observer sees the vector side alone.
  assert.equal(app.seen.length, 2)
  assert.ok(
    app.seen.every(({ query, answer }) => 'vector' in query.target && answer?.path === 'exact'),
  )
  const filtered = await search(app, { ...hybrid, filter: { n: 2 } })
  assert.deepEqual([...ids(filtered), filtered['exhausted']], ['cat', true])
})

it('highlights are the places of the words in the text, whether or not the text comes with them', async (t) => {
  const app = await open(t)
  const body = { text: 'chat cat', include: ['highlights'] }
  const { results } = await search(app, body)
  assert.deepEqual(Object.keys(results[0] ?? {}).sort(), [
    ...['distance', 'highlights', 'id', 'score', 'version'],
  ])
  assert.deepEqual(results[0]?.['highlights'], [
    { start: 2, end: 5, term: 'cat' },
    { start: 9, end: 12, term: 'cat' },
    { start: 14, end: 18, term: 'chat' },
  ])
  const full = await search(app, { ...body, include: ['text', 'highlights'] })
  assert.equal(full.results[1]?.['text'], 'The dog barks at the cat')
  assert.deepEqual(full.results[1]['highlights'], [{ start: 21, end: 24, term: 'cat' }])
  const hybrid = { ...body, mode: 'hybrid', vector: [1, 1, 0] }
  const mute = (await search(app, hybrid)).results.find((hit) => hit['id'] === 'mute')
  assert.deepEqual(mute?.['highlights'], [])
})

it('a batch may hold every kind, each answered in its place', async (t) => {
  const app = await open(t)
  const queries = [
    { text: 'birds' },
    { text: 'birds', mode: 'vector' },
    { text: 'cat', mode: 'hybrid', vector: [0, 0, 1], k: 2 },
    { vector: [1, 0, 0], k: 1 },
  ]
  const reply = await app.send('POST', `${URL}/batch`, { queries })
  const { answers } = reply.body as { answers: (Answer & { error?: { code: string } })[] }
  assert.deepEqual(
    answers.map((answer) => answer.error?.code ?? answer['path']),
    ['keyword', 'not_configured', 'hybrid', 'exact'],
  )
})

it('4xx: what a search by text refuses, by field', async (t) => {
  const app = await open(t)
  const vector = [1, 0, 0]
  const cases: [object, number, string, RegExp][] = [
    [{ text: 7 }, 400, 'bad_request', /"text".*string/],
    [{ text: null }, 400, 'bad_request', /"text".*string/],
    [{ text: '' }, 400, 'bad_request', /"text".*empty/],
    [{ text: ' \n' }, 400, 'bad_request', /"text".*empty/],
    [{ text: '\ud800' }, 400, 'bad_request', /surrogate/],
    [{ text: 'x'.repeat(32_769) }, 400, 'limit_exceeded', /32768/],
    [{ text: 'x', mode: 'fuzzy' }, 400, 'bad_request', /vector, keyword, hybrid/],
    [{ text: 'x', mode: null }, 400, 'bad_request', /"mode"/],
    [{ text: 'x', id: 'dog' }, 400, 'bad_request', /one of them/],
    [{ mode: 'keyword' }, 400, 'bad_request', /one of them/],
    [{ vector, mode: 'vector' }, 400, 'bad_request', /"mode".*needs "text"/],
    [{ id: 'dog', mode: 'hybrid' }, 400, 'bad_request', /"mode".*needs "text"/],
    [{ vector, text: 'x' }, 400, 'bad_request', /"mode".*hybrid/],
    [{ vector, text: 'x', mode: 'keyword' }, 400, 'bad_request', /"mode".*hybrid/],
    [{ vector: [1], text: 'x', mode: 'hybrid' }, 400, 'vector_dimension_mismatch', /vector/],
    [{ vector: [0, 0, 0], text: 'x', mode: 'hybrid' }, 400, 'invalid_vector', /zero/],
    [{ text: 'x', as_of: 1 }, 400, 'bad_request', /"as_of".*keywords/],
    [{ text: 'x', vector, mode: 'hybrid', as_of: 1 }, 400, 'bad_request', /"as_of"/],
    [{ vector, include: ['highlights'] }, 400, 'bad_request', /"include".*"text"/],
    [{ text: 'x', k: 0 }, 400, 'bad_request', /"k"/],
    [{ text: 'x', modes: 'keyword' }, 400, 'bad_request', /did you mean "mode"/],
    [{ text: 'x', mode: 'vector' }, 409, 'not_configured', /embedder/],
    [{ text: 'x', mode: 'hybrid' }, 409, 'not_configured', /"vector" in the body/],
  ]
  for (const [body, status, code, message] of cases) {
    const reply = await app.send('POST', URL, body)
    assert.deepEqual([reply.status, reply.code], [status, code], JSON.stringify(body).slice(0, 80))
    assert.match((reply.body as { error: { message: string } }).error.message, message)
  }
})

it('what an embedder or an index fails with is answered, and told of as a failed search', async (t) => {
  const app = await open(t)
  app.embedder.embed = async () => {
    throw new VectordError('overloaded', 'The model is busy.', { retryAfterS: 3 })
  }
  const body = { text: 'cat', mode: 'hybrid' }
  const busy = await app.send('POST', URL, body)
  assert.deepEqual([busy.status, busy.code, busy.headers['retry-after']], [503, 'overloaded', '3'])
  assert.deepEqual(app.seen, [])
  app.embedder.embed = async () => Float32Array.of(1, 0, 0)
  app.indexes.get('words').failure = new VectordError('keywords_loading', 'Wait.', {
    retryAfterS: 1,
  })
  const late = await app.send('POST', URL, { text: 'cat', mode: 'keyword' })
  assert.deepEqual(
    [late.status, late.code, late.headers['retry-after']],
    [503, 'keywords_loading', '1'],
  )
  assert.deepEqual(app.seen, [])
  assert.equal((await app.send('POST', URL, body)).code, 'keywords_loading')
  assert.deepEqual(
    app.seen.map(({ answer }) => answer),
    [null],
  )
})
