/**
 * Documents in a real service with the built-in embedder: written as chunks, replaced across a kill,
 * found by meaning, by words and grouped.
 */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { startService, temporaryFolder, type Service } from '../support/service.ts'

const URL = '/vectors/indexes/books'

const HORSES =
  'A foal is a young horse of either sex. Mares nurse it for half a year. ' +
  'A stallion is the male that sires it. Riders saddle a horse before they mount.'
const BREAD =
  'A baker kneads dough of flour, water and salt. Yeast makes the loaf rise. ' +
  'The oven is hot before the bread goes in. A crust forms as it bakes.'
const STARS =
  'An astronomer looks at planets through a telescope. A comet has a tail of gas and dust. ' +
  'The moon moves around the earth in a month.'

const CHUNKING = { max_chars: 80, overlap_sentences: 0 }

interface Stored {
  readonly chunks: readonly { readonly id: string; readonly text: string }[]
  readonly metadata: unknown
}

interface Grouped {
  readonly groups: readonly { readonly key: string; readonly hits: readonly { id: string }[] }[]
}

async function put(service: Service, documents: object[]): Promise<unknown> {
  return service.must('POST', `${URL}/documents`, { documents, chunking: CHUNKING })
}

async function textOf(service: Service, id: string): Promise<string> {
  const { chunks } = (await service.must('GET', `${URL}/documents/${id}`)) as Stored
  return chunks.map(({ text }) => text).join(' ')
}

async function grouped(service: Service, body: object): Promise<Grouped['groups']> {
  const all = { group_by: 'document_id', group_size: 2, k: 3, ...body }
  return ((await service.must('POST', `${URL}/search/groups`, all)) as Grouped).groups
}

it('documents are found by meaning and by words, and are whole after a kill', async (t) => {
  const root = await temporaryFolder(t)
  let service = await startService(root)
  t.after(() => service.kill())
  await service.ready()
  const settings = { name: 'books', metric: 'cosine', embedder: 'local', shards: 2 }
  await service.must('POST', '/vectors/indexes', settings)
  await put(service, [
    { id: 'horses', text: HORSES, metadata: { shelf: 1 } },
    { id: 'bread', text: BREAD, metadata: { shelf: 2 } },
    { id: 'stars', text: STARS, metadata: { shelf: 3 } },
  ])
  // Before anything is embedded.
  assert.equal(await textOf(service, 'horses'), HORSES)

  await service.must('POST', '/vectors/projection/drain', { index: 'books' })
  const near = await grouped(service, {
    text: 'somebody who watches the sky at night',
    mode: 'vector',
  })
  assert.equal(near[0]?.key, 'stars')
  assert.deepEqual(near.map(({ key }) => key).sort(), ['bread', 'horses', 'stars'])
  const words = await grouped(service, { text: 'yeast', mode: 'keyword' })
  assert.deepEqual(
    words.map(({ key, hits }) => [key, hits.length]),
    [['bread', 1]],
  )
  const both = await grouped(service, { text: 'young horse', mode: 'hybrid', filter: { shelf: 1 } })
  assert.deepEqual(
    both.map(({ key }) => key),
    ['horses'],
  )

  const replaced = await put(service, [
    { id: 'bread', text: 'A bagel is boiled before it is baked.' },
  ])
  assert.ok((replaced as { removed: number }).removed > 0)
  await service.kill()
  service = await startService(root)
  await service.ready()
  assert.equal(await textOf(service, 'bread'), 'A bagel is boiled before it is baked.')
  assert.equal(await textOf(service, 'stars'), STARS)
  assert.deepEqual(await grouped(service, { text: 'yeast', mode: 'keyword' }), [])
  await service.must('POST', '/vectors/projection/drain', { index: 'books' })
  const bagel = await grouped(service, { text: 'boiled bagel', mode: 'vector', k: 1 })
  assert.deepEqual(
    bagel[0]?.hits.map(({ id }) => id),
    ['bread#0'],
  )

  await service.must('DELETE', `${URL}/documents/horses`)
  assert.equal((await service.request('GET', `${URL}/documents/horses`)).status, 404)
  const verified = await service.must('POST', `${URL}/verify?wait=true`)
  assert.equal((verified as { clean: boolean }).clean, true)
})
