/** The HTTP contract of grouped search. */

import assert from 'node:assert/strict'
import { it, type TestContext } from 'node:test'
import { HTTP_LIMITS } from '../../src/http/limits.ts'
import { openApp, type TestApp } from '../support/http-app.ts'

const URL = '/vectors/indexes/docs/search/groups'

interface Answer {
  readonly groups: readonly {
    readonly key: unknown
    readonly hits: readonly { readonly id: string; readonly distance: number }[]
  }[]
  readonly exhausted: boolean
  readonly complete: boolean
  readonly searches: number
  readonly lsn: number
}

async function open(t: TestContext): Promise<TestApp> {
  const app = await openApp(t, { limits: { ...HTTP_LIMITS, kMax: 40 } })
  await app.send('POST', '/vectors/indexes', { name: 'docs', dimension: 1, metric: 'l2' })
  const points = Array.from({ length: 30 }, (_, i) => {
    const id = i < 20 ? 'long' : `d${i % 3}`
    const metadata = { document_id: id, chunk: i }
    return { id: `p${i}`, vector: [i], text: `text ${i}`, ...(i !== 25 && { metadata }) }
  })
  await app.send('POST', '/vectors/indexes/docs/points', { points })
  return app
}

it('200: groups by the nearest of their points, as the include says', async (t) => {
  const { send } = await open(t)
  const body = { vector: [0], k: 3, group_by: 'document_id', group_size: 2, include: ['text'] }
  const reply = await send('POST', URL, body)
  assert.equal(reply.status, 200, reply.text)
  assert.equal(reply.headers['x-vectord-lsn'], '1')
  const answer = reply.body as Answer
  assert.deepEqual(
    answer.groups.map(({ key, hits }) => [key, ...hits.map(({ id }) => id)]),
    [
      ['long', 'p0', 'p1'],
      ['d2', 'p20', 'p23'],
      ['d0', 'p21', 'p24'],
    ],
  )
  assert.deepEqual(answer.groups[1]?.hits[0], {
    ...{ id: 'p20', score: 1 / 401, distance: 400, version: 1, text: 'text 20' },
  })
  assert.deepEqual([answer.exhausted, answer.complete, answer.lsn], [false, true, 1])
})

it('200: everything a search takes holds for groups: filter, id, base64', async (t) => {
  const { send } = await open(t)
  const filter = { chunk: { $gte: 26 } }
  const one = await send('POST', URL, { id: 'p29', group_by: 'chunk', filter, group_size: 1 })
  const answer = one.body as Answer
  assert.deepEqual(
    answer.groups.map(({ hits: [hit] }) => hit?.id),
    ['p28', 'p27', 'p26'],
  )
  assert.equal(answer.exhausted, true)
  const bytes = Buffer.from(Float32Array.of(3).buffer).toString('base64')
  const include = ['vector', 'metadata']
  const body = { vector: bytes, group_by: 'document_id', k: 1, include, vector_encoding: 'base64' }
  const { text } = await send('POST', URL, body)
  assert.ok(text.includes(`"vector":"${bytes}"`), text)
})

it('400: a body that asks for no groups, or too many, is refused', async (t) => {
  const { send } = await open(t)
  const query = { vector: [0], group_by: 'document_id' }
  const bodies: unknown[] = [
    ...[undefined, [], {}, { vector: [0] }, { ...query, group_by: 7 }, { ...query, group_by: '' }],
    ...[
      { ...query, group_by: '$in' },
      { ...query, group_by: '\ud800' },
    ],
    ...[0, 11, 1.5, '2', null].map((group_size) => ({ ...query, group_size })),
    ...[
      { ...query, group_by: 'x'.repeat(513) },
      { ...query, vector: [0, 1] },
    ],
    ...[
      { ...query, filter: { $no: 1 } },
      { ...query, more: 1 },
      { ...query, groupBy: 'x' },
    ],
    ...[
      { ...query, k: 0 },
      { ...query, k: 41 },
      { ...query, k: 14, group_size: 3 },
    ],
  ]
  for (const body of bodies) {
    const reply = await send('POST', URL, body)
    assert.equal(reply.status, 400, `${JSON.stringify(body)} ${reply.text}`)
  }
  const { code, body } = await send('POST', URL, { ...query, k: 14, group_size: 3 })
  assert.equal(code, 'limit_exceeded')
  assert.equal((body as { error: { details: { max: number } } }).error.details.max, 13)
  // The condition of the groups makes one level more.
  let deep: object = { chunk: 1 }
  for (let level = 0; level < 16; level += 1) deep = { $not: deep }
  assert.equal((await send('POST', URL, { ...query, filter: deep })).code, 'invalid_filter')
  assert.equal((await send('POST', '/vectors/indexes/none/search/groups', query)).status, 404)
})

/** Of four documents, and a point that belongs to none. */
const CHUNKS = [
  ['d#0', [0], 'dogs'],
  ['b#1', [1], 'cats cats cats'],
  ['a#1', [2], 'cats'],
  ['b#0', [3], 'cats cats cats cats'],
  ['a#0', [5], 'cats and dogs'],
  ['c#0', [9], 'no such word here'],
  ['x', [0.5], 'cats'],
] as const

async function openTexts(t: TestContext): Promise<TestApp> {
  const app = await openApp(t)
  await app.send('POST', '/vectors/indexes', { name: 'docs', dimension: 1, metric: 'l2' })
  const points = CHUNKS.map(([id, vector, text]) => {
    const [document_id] = id.split('#')
    return { id, vector, text, ...(id !== 'x' && { metadata: { document_id } }) }
  })
  await app.send('POST', '/vectors/indexes/docs/points', { points })
  app.embedder.embed = async () => Float32Array.of(0)
  return app
}

interface TextHit {
  readonly id: string
  readonly score: number
  readonly distance: number | null
  readonly ranks?: { readonly vector: number | null; readonly keyword: number | null }
  readonly highlights?: readonly { readonly start: number; readonly term: string }[]
}

interface TextGroups {
  readonly groups: readonly { readonly key: string; readonly hits: readonly TextHit[] }[]
  readonly exhausted: boolean
  readonly searches: number
}

async function groupsOf({ send }: TestApp, body: object): Promise<TextGroups> {
  const reply = await send('POST', URL, { group_by: 'document_id', group_size: 2, ...body })
  assert.equal(reply.status, 200, reply.text)
  return reply.body as TextGroups
}

it('200: groups by words are in the order of their best hits, which say where the words are', async (t) => {
  const app = await openTexts(t)
  const body = { text: 'CATS', mode: 'keyword', include: ['highlights'] }
  const { groups, exhausted } = await groupsOf(app, body)
  assert.deepEqual(
    groups.map(({ key, hits }) => [key, ...hits.map(({ id }) => id)]),
    [
      ['b', 'b#0', 'b#1'],
      ['a', 'a#1', 'a#0'],
    ],
  )
  assert.equal(exhausted, true)
  const hits = groups.flatMap((group) => group.hits)
  const scores = hits.map(({ score }) => score)
  assert.deepEqual(
    scores,
    scores.toSorted((one, other) => other - one),
  )
  assert.ok(hits.every(({ distance }) => distance === null))
  assert.deepEqual(hits[2]?.highlights, [{ start: 0, end: 4, term: 'cats' }])
})

it('200: groups of both stay as they were found, with the ranks of their hits', async (t) => {
  const app = await openTexts(t)
  const body = { text: 'cats', mode: 'hybrid', include: ['highlights'] }
  const whole = await groupsOf(app, body)
  assert.deepEqual(
    whole.groups.map(({ key, hits }) => [
      key,
      ...hits.map(({ id, ranks }) => [id, ranks?.vector, ranks?.keyword]),
    ]),
    [
      ['b', ['b#1', 2, 2], ['b#0', 4, 1]],
      ['a', ['a#1', 3, 3], ['a#0', 5, 4]],
      ['d', ['d#0', 1, null]],
      ['c', ['c#0', 6, null]],
    ],
  )
  assert.equal(whole.groups[0]?.hits[0]?.highlights?.length, 3)
  assert.deepEqual(whole.groups[2]?.hits[0]?.highlights, [])
  // The second group is of a search without the first: there its hit has better ranks than that one.
  const { groups, searches } = await groupsOf(app, { ...body, k: 2, group_size: 1 })
  assert.equal(searches, 2)
  assert.deepEqual(
    groups.map(({ hits: [hit] }) => [hit?.id, hit?.ranks]),
    [
      ['b#1', { vector: 2, keyword: 2 }],
      ['a#1', { vector: 2, keyword: 1 }],
    ],
  )
})

it('4xx: what a search by text refuses, its groups refuse too', async (t) => {
  const app = await openTexts(t)
  const query = { text: 'cats', group_by: 'document_id' }
  for (const body of [
    ...[{ mode: 'fuzzy' }, { text: '' }, { text: '\ud800' }, { id: 'x' }, { vector: [1] }],
    ...[{ mode: 'keyword', as_of: 1 }, { include: ['highlight'] }, { text: 7 }, { mode: null }],
  ]) {
    const reply = await app.send('POST', URL, { ...query, ...body })
    assert.deepEqual([reply.status, reply.code], [400, 'bad_request'], JSON.stringify(body))
  }
  app.embedder.embed = null
  const { code } = await app.send('POST', URL, { ...query, mode: 'hybrid' })
  assert.equal(code, 'not_configured')
})
