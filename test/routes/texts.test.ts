/** The HTTP contract of texts without vectors, and of the embedder of an index. */

import assert from 'node:assert/strict'
import { it, type TestContext } from 'node:test'
import type { DataType } from 'apache-arrow'
import type { EmbedderStamp } from '../../src/domain/pending-text.ts'
import { FLOAT32, IDS, listOf, lists, pairs, stream, texts } from '../codecs/arrow-tables.ts'
import { openApp, type TestApp } from '../support/http-app.ts'

const INDEX = '/vectors/indexes/words'
const POINTS = `${INDEX}/points`
const LOCAL = { name: 'local', model: 'm', version: '1', dimension: 3, normalised: true }
const EMBEDDERS: readonly EmbedderStamp[] = [
  LOCAL,
  { ...LOCAL, name: 'renamed' },
  { ...LOCAL, name: 'newer', version: '2' },
  { ...LOCAL, name: 'wide', dimension: 8 },
]

async function open(t: TestContext, body: object = { embedder: 'local' }): Promise<TestApp> {
  const app = await openApp(t, { embedders: EMBEDDERS })
  const reply = await app.send('POST', '/vectors/indexes', { name: 'words', ...body })
  assert.equal(reply.status, 201, reply.text)
  return app
}

function embedderOf(body: unknown): unknown {
  return (body as { embedder: unknown }).embedder
}

it('201: the embedder brings the dimension, and is shown', async (t) => {
  const { send } = await open(t)
  const { body } = await send('GET', INDEX)
  assert.deepEqual(embedderOf(body), LOCAL)
  assert.equal((body as { dimension: number }).dimension, 3)
  const plain = await send('POST', '/vectors/indexes', { name: 'plain', dimension: 4 })
  assert.equal(embedderOf(plain.body), null)
})

it('400: another dimension than the embedder has; 409: an embedder that is not there', async (t) => {
  const { send, indexes } = await openApp(t, { embedders: EMBEDDERS })
  const create = (body: object) => send('POST', '/vectors/indexes', { name: 'a', ...body })
  const other = await create({ embedder: 'local', dimension: 4 })
  assert.deepEqual([other.status, other.code], [400, 'bad_request'])
  assert.match(other.text, /must be 3, that of the embedder/)
  assert.deepEqual([(await create({ embedder: 'none' })).code], ['not_configured'])
  for (const embedder of [7, null, '', {}]) {
    assert.equal((await create({ embedder })).status, 400)
  }
  assert.deepEqual(indexes.list(), [])
  assert.equal((await create({ embedder: 'local', dimension: 3 })).status, 201)
})

it('200: texts without vectors beside points with them, in every form of body', async (t) => {
  const { send } = await open(t)
  const bodies: [unknown, string?][] = [
    [
      {
        points: [
          { id: 'a', text: 'one' },
          { id: 'b', vector: [1, 2, 3], text: 'two' },
        ],
      },
    ],
    [
      {
        points: [
          { id: 'a', text: 'one', vector: null },
          { id: 'b', vector: [1, 2, 3] },
        ],
      },
    ],
    [{ ids: ['a', 'b'], texts: ['one', null], vectors: [null, [1, 2, 3]] }],
    ['{"id":"a","text":"one"}\n{"id":"b","vector":[1,2,3]}', 'application/x-ndjson'],
    [arrowBody(), 'application/vnd.apache.arrow.stream'],
    [arrowBody(pairs(FLOAT32, 3)), 'application/vnd.apache.arrow.stream'],
  ]
  for (const [body, type] of bodies) {
    const reply = await send(
      'POST',
      POINTS,
      body,
      type === undefined ? {} : { 'content-type': type },
    )
    assert.equal(reply.status, 200, reply.text)
    const one = await send('GET', `${POINTS}/a?include=text,vector`)
    const { version: _, ...stored } = one.body as Record<string, unknown>
    assert.deepEqual(stored, { id: 'a', text: 'one', vector: null })
    const two = await send('GET', `${POINTS}/b?include=vector`)
    assert.deepEqual((two.body as { vector: unknown }).vector, [1, 2, 3])
    await send('POST', `${POINTS}/delete`, { ids: ['a', 'b'] })
  }
  const all = { ids: ['a', 'b'], texts: ['one', 'two'] }
  assert.equal((await send('POST', POINTS, all)).status, 200)
  const noVectors = stream({ id: IDS, text: texts(['words', 'more']) })
  const arrow = { 'content-type': 'application/vnd.apache.arrow.stream' }
  const reply = await send('POST', POINTS, Buffer.from(noVectors), arrow)
  assert.equal(reply.status, 200, reply.text)
})

it('400: a point with neither, an empty text alone, and vectors that are wrong as ever', async (t) => {
  const { send, indexes } = await open(t)
  const points = [
    { id: 'a' },
    { id: 'b', text: null },
    { id: 'c', text: '' },
    { id: 'd', text: 7 },
    { id: 'e', text: 'fine', vector: [1, 2] },
    { id: 'f', text: 'fine', vector: [] },
    { id: 'g', text: 'fine' },
  ]
  const reply = await send('POST', POINTS, { points })
  assert.deepEqual([reply.status, reply.code], [400, 'invalid_points'])
  const { error } = reply.body as {
    error: { details: { rejected: { row: number; field: string; problem: string }[] } }
  }
  assert.deepEqual(
    error.details.rejected.map(({ row, field, problem }) => `${row} ${field} ${problem}`),
    [
      '0 vector is missing',
      '1 vector is missing',
      '2 vector is missing, and the text is empty',
      '3 text must be a string',
      '4 vector has 2 numbers, the index has 3',
      '5 vector has 0 numbers, the index has 3',
    ],
  )
  assert.equal(indexes.get('words').size, 0)
})

it('400: a text alone in an index without an embedder, also in columns and Arrow', async (t) => {
  const { send } = await open(t, { dimension: 3 })
  const arrow = { 'content-type': 'application/vnd.apache.arrow.stream' }
  for (const [body, headers] of [
    [{ points: [{ id: 'a', text: 'one' }] }, {}],
    [{ ids: ['a'], texts: ['one'] }, {}],
    [{ ids: ['a'], texts: ['one'], vectors: [null] }, {}],
    [arrowBody(), arrow],
  ] as const) {
    assert.equal((await send('POST', POINTS, body, headers)).status, 400)
  }
})

it('409: a search by the id of a text that has no vector yet may be tried again', async (t) => {
  const { send } = await open(t)
  await send('POST', POINTS, { points: [{ id: 'a', text: 'one' }] })
  const reply = await send('POST', `${INDEX}/search`, { id: 'a', k: 1 })
  assert.deepEqual([reply.status, reply.code], [409, 'point_not_embedded'])
  const found = await send('POST', `${INDEX}/search`, { vector: [1, 0, 0], k: 1 })
  assert.deepEqual((found.body as { results: unknown }).results, [])
})

it('409: another embedder is told what it costs, until that is acknowledged', async (t) => {
  const { send, indexes } = await open(t)
  indexes.get('words').textCounts = { writes: 2, backfill: 40 }
  const refused = await send('PATCH', INDEX, { embedder: 'newer' })
  assert.deepEqual([refused.status, refused.code], [409, 'acknowledgement_needed'])
  const { error } = refused.body as { error: { details: { texts: number } } }
  assert.equal(error.details.texts, 42)
  const denied = await send('PATCH', INDEX, { embedder: 'newer', acknowledge_rebuild: false })
  assert.equal(denied.code, 'acknowledgement_needed')
  assert.deepEqual(embedderOf((await send('GET', INDEX)).body), LOCAL)
  const changed = await send('PATCH', INDEX, { embedder: 'newer', acknowledge_rebuild: true })
  assert.equal(changed.status, 200, changed.text)
  assert.deepEqual(embedderOf(changed.body), { ...LOCAL, name: 'newer', version: '2' })
})

it('200: the same embedder by another name, or the first one, costs nothing', async (t) => {
  const { send } = await open(t)
  const renamed = await send('PATCH', INDEX, { embedder: 'renamed' })
  assert.deepEqual(embedderOf(renamed.body), { ...LOCAL, name: 'renamed' })
  await send('POST', '/vectors/indexes', { name: 'plain', dimension: 3 })
  const first = await send('PATCH', '/vectors/indexes/plain', { embedder: 'local' })
  assert.deepEqual(embedderOf(first.body), LOCAL)
})

it('400: an embedder of another dimension says what to do; an acknowledgement goes with one', async (t) => {
  const { send } = await open(t)
  const wide = await send('PATCH', INDEX, { embedder: 'wide', acknowledge_rebuild: true })
  assert.deepEqual([wide.status, wide.code], [400, 'bad_request'])
  assert.match(wide.text, /Create a new index/)
  const alone = await send('PATCH', INDEX, { acknowledge_rebuild: true })
  assert.deepEqual([alone.status, alone.code], [400, 'bad_request'])
  const unknown = await send('PATCH', INDEX, { embedder: 'none', acknowledge_rebuild: true })
  assert.equal(unknown.code, 'not_configured')
})

/** "a" has a text alone, "b" a vector. */
function arrowBody(type: DataType = listOf(FLOAT32)): Buffer {
  const vector = lists([null, [1, 2, 3]], type)
  return Buffer.from(stream({ id: IDS, vector, text: texts(['one', null]) }))
}
