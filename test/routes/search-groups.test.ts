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
