/** The HTTP contract of documents: write as chunks, read, delete. */

import assert from 'node:assert/strict'
import { it, type TestContext } from 'node:test'
import { HTTP_LIMITS } from '../../src/http/limits.ts'
import { openApp, type TestApp } from '../support/http-app.ts'

const URL = '/vectors/indexes/texts/documents'
const TEXT =
  'One is a sentence of some length here. Two is another one that follows it. Three ends.'

async function open(t: TestContext): Promise<TestApp> {
  const limits = { ...HTTP_LIMITS, rowsMax: 20, metadataBytesMax: 200 }
  const app = await openApp(t, { limits })
  for (const name of ['texts', 'plain']) {
    await app.send('POST', '/vectors/indexes', { name, dimension: 3, metric: 'l2' })
  }
  return app
}

it('200: a document is written as chunks, read and deleted', async (t) => {
  const { send } = await open(t)
  const body = {
    documents: [{ id: 'a/b#1', text: TEXT, metadata: { year: 2020, document_id: 'a/b#1' } }],
    chunking: { max_chars: 80, overlap_sentences: 1, locale: 'en' },
  }
  const put = await send('POST', URL, body)
  assert.deepEqual(put.body, { lsn: 1, accepted: 1, chunks: 2, removed: 0 }, put.text)
  assert.equal(put.headers['x-vectord-lsn'], '1')
  const url = `${URL}/${encodeURIComponent('a/b#1')}`
  const got = await send('GET', url)
  assert.deepEqual(got.body, {
    ...{ id: 'a/b#1', metadata: { year: 2020 }, lsn: 1 },
    chunks: [
      { id: 'a/b#1#0', chunk: 0, start: 0, end: 74, version: 1, text: TEXT.slice(0, 74) },
      { id: 'a/b#1#1', chunk: 1, start: 39, end: 86, version: 1, text: TEXT.slice(39) },
    ],
  })
  const point = await send('GET', `/vectors/indexes/texts/points/${encodeURIComponent('a/b#1#0')}`)
  assert.deepEqual((point.body as { metadata: unknown }).metadata, {
    ...{ year: 2020, document_id: 'a/b#1', chunk: 0, chunk_start: 0, chunk_end: 74 },
  })
  const shorter = await send('POST', URL, { documents: [{ id: 'a/b#1', text: 'Short.' }] })
  assert.deepEqual(shorter.body, { lsn: 3, accepted: 1, chunks: 1, removed: 1 })
  assert.deepEqual((await send('DELETE', url)).body, { lsn: 4, deleted: 1 })
  assert.equal((await send('GET', url)).code, 'document_not_found')
  assert.deepEqual((await send('DELETE', url)).body, { lsn: 4, deleted: 0 })
})

it('200: acknowledgement and deadline reach the index', async (t) => {
  const { send, indexes } = await open(t)
  await send('POST', `${URL}?ack=logged&deadline_ms=5000`, { documents: [{ id: 'a', text: 'x' }] })
  assert.equal(indexes.get('texts').lastWrite?.options.ack, 'logged')
  await send('GET', `${URL}/a?min_lsn=1`)
  assert.equal((await send('POST', `${URL}?ack=never`, { documents: [] })).status, 400)
  assert.equal((await send('GET', `${URL}/a?include=vector`)).status, 400)
})

it('400: a document that is wrong in any way is named, and nothing is written', async (t) => {
  const { send, indexes } = await open(t)
  const fine = { id: 'fine', text: 'Fine.' }
  const wrong: [unknown, string][] = [
    [null, 'documents[1]'],
    ['text', 'documents[1]'],
    [{ text: 'x' }, 'documents[1].id'],
    [{ id: 7, text: 'x' }, 'documents[1].id'],
    [{ id: '', text: 'x' }, 'documents[1].id'],
    [{ id: '\ud800', text: 'x' }, 'documents[1].id'],
    [{ id: 'fine', text: 'x' }, 'documents[1].id'],
    [{ id: 'a' }, 'documents[1].text'],
    [{ id: 'a', text: null }, 'documents[1].text'],
    [{ id: 'a', text: '' }, 'documents[1].text'],
    [{ id: 'a', text: ' \n\u00a0' }, 'documents[1].text'],
    [{ id: 'a', text: 'x\udc00' }, 'documents[1].text'],
    [{ id: 'a', text: 'x', vector: [1, 2, 3] }, 'documents[1].vector'],
    [{ id: 'a', text: 'x', metadata: [] }, 'documents[1].metadata'],
    [{ id: 'a', text: 'x', metadata: 'x' }, 'documents[1].metadata'],
    [{ id: 'a', text: 'x', metadata: { document_id: 'b' } }, 'documents[1].metadata.document_id'],
    [{ id: 'a', text: 'x', metadata: { document_id: null } }, 'documents[1].metadata.document_id'],
    [{ id: 'a', text: 'x', metadata: { chunk: 0 } }, 'documents[1].metadata.chunk'],
    [{ id: 'a', text: 'x', metadata: { chunk_end: 1 } }, 'documents[1].metadata.chunk_end'],
  ]
  for (const [document, field] of wrong) {
    const reply = await send('POST', URL, { documents: [fine, document] })
    assert.deepEqual([reply.status, reply.code], [400, 'bad_request'], reply.text)
    const { error } = reply.body as { error: { details: { field: string } } }
    assert.equal(error.details.field, field)
  }
  assert.equal(indexes.get('texts').size, 0)
})

it('400: a body or a chunking of the wrong shape is refused', async (t) => {
  const { send } = await open(t)
  const documents = [{ id: 'a', text: 'x' }]
  const bodies: unknown[] = [
    ...[undefined, [], {}, { documents: {} }, { documents: [] }, { documents, more: 1 }, '{"docu'],
    ...[[], 'x', { max: 1 }, { max_chars: 49 }, { max_chars: 100_001 }, { max_chars: 60.5 }].map(
      (chunking) => ({ documents, chunking }),
    ),
    ...[{ max_chars: '100' }, { overlap_sentences: -1 }, { overlap_sentences: 21 }].map(
      (chunking) => ({ documents, chunking }),
    ),
    ...[{ locale: 'no tag' }, { locale: 1 }].map((chunking) => ({ documents, chunking })),
    ...['max_chars', 'overlap_sentences', 'locale'].map((field) => {
      return { documents, chunking: { [field]: null } }
    }),
  ]
  for (const body of bodies) {
    const reply = await send('POST', URL, body)
    assert.equal(reply.status, 400, `${JSON.stringify(body)} ${reply.text}`)
  }
  const lines = { 'content-type': 'application/x-ndjson' }
  assert.equal((await send('POST', URL, '{"id":"a"}', lines)).status, 415)
})

it('400: bounds are answered by name', async (t) => {
  const { send } = await open(t)
  const limits: [unknown, string][] = [
    [{ id: 'x'.repeat(505), text: 'x' }, 'id_bytes'],
    [{ id: 'a', text: 'x', metadata: { long: 'x'.repeat(150) } }, 'metadata_bytes'],
    [{ id: 'a', text: 'x '.repeat(2_000_001) }, 'document_chars'],
    [{ id: 'a', text: 'word '.repeat(5000) }, 'rows_per_request'],
  ]
  for (const [document, limit] of limits) {
    const { code, body } = await send('POST', URL, { documents: [document] })
    assert.equal(code, 'limit_exceeded')
    assert.equal((body as { error: { details: { limit: string } } }).error.details.limit, limit)
  }
  const many = Array.from({ length: 21 }, (_, i) => ({ id: `d${i}`, text: 'x' }))
  assert.equal((await send('POST', URL, { documents: many })).code, 'limit_exceeded')
  // The longest id that leaves room for the numbers of its chunks.
  const longest = { id: 'x'.repeat(504), text: 'x' }
  assert.equal((await send('POST', URL, { documents: [longest] })).status, 200)
})

it('409 and 404: an index without an embedder, a point that is in the way, no index', async (t) => {
  const { send } = await open(t)
  const body = { documents: [{ id: 'a', text: 'x' }] }
  const plain = '/vectors/indexes/plain/documents'
  assert.equal((await send('POST', plain, body)).code, 'not_configured')
  assert.equal((await send('GET', `${plain}/a`)).code, 'document_not_found')
  await send('POST', '/vectors/indexes/texts/points', {
    points: [{ id: 'a#0', vector: [1, 2, 3] }],
  })
  assert.equal((await send('POST', URL, body)).code, 'document_conflict')
  const none = '/vectors/indexes/none/documents'
  assert.equal((await send('POST', none, body)).code, 'index_not_found')
  assert.equal((await send('GET', `${none}/a`)).code, 'index_not_found')
  assert.equal((await send('DELETE', `${none}/a`)).code, 'index_not_found')
})

it('429: a full index refuses before the body is read', async (t) => {
  const { send, indexes } = await open(t)
  indexes.get('texts').writableLooks = 0
  assert.equal((await send('POST', URL, '{')).code, 'delta_full')
})
