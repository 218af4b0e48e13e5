/**
 * Searches by text against a real server: glosses of WordNet in two shards, ranked as plain BM25
 * does, after writes, deletes, a compaction and a kill -9.
 */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { plainBm25, plainWords, type PlainText } from '../support/plain-keywords.ts'
import { startService, temporaryFolder, type Service } from '../support/service.ts'
import { seededRandom } from '../support/vectors.ts'
import { glosses } from '../support/wordnet.ts'

const INDEX = '/vectors/indexes/glosses'
const QUERIES = [
  'a small dog',
  'of the family',
  'relating to plants',
  'made of wood',
  'zebra',
  'sing',
]

interface Hit {
  readonly id: string
  readonly score: number
  readonly distance: number | null
  readonly text?: string
  readonly ranks?: { readonly vector: number | null; readonly keyword: number | null }
  readonly highlights?: readonly {
    readonly start: number
    readonly end: number
    readonly term: string
  }[]
}

interface Answer {
  readonly path: string
  readonly lsn: number
  readonly results: readonly Hit[]
}

const random = seededRandom(9)
const vectors = new Map<string, readonly number[]>()

function pointOf({ id, text }: PlainText): object {
  const vector = [random() + 0.1, random(), random(), random()]
  vectors.set(id, vector)
  return { id, vector, text, metadata: { even: Number(id.slice(1)) % 2 === 0 } }
}

async function search(service: Service, body: object): Promise<Answer> {
  return (await service.must('POST', `${INDEX}/search`, body)) as Answer
}

async function assertRanked(service: Service, live: ReadonlyMap<string, PlainText>): Promise<void> {
  for (const text of QUERIES) {
    const expected = plainBm25(live.values(), plainWords(text))
    const { path, results } = await search(service, { text, k: 50, include: ['text'] })
    assert.equal(path, 'keyword')
    assert.equal(results.length, Math.min(50, expected.length), text)
    for (const [i, { id, score, text: stored }] of results.entries()) {
      assert.equal(stored, live.get(id)?.text)
      assert.ok(Math.abs(score - (expected[i]?.score ?? NaN)) < 1e-9, `${text}: place ${i}`)
    }
  }
}

it('glosses are found by their words, beside vectors and filters, and after a kill -9', async (t) => {
  const root = await temporaryFolder(t)
  let service = await startService(root)
  t.after(() => service.kill())
  await service.ready()
  const settings = { name: 'glosses', dimension: 4, metric: 'cosine', shards: 2 }
  await service.must('POST', '/vectors/indexes', settings)
  const live = new Map<string, PlainText>(glosses(600, 190).map((gloss) => [gloss.id, gloss]))
  await service.must('POST', `${INDEX}/points`, { points: [...live.values()].map(pointOf) })
  await assertRanked(service, live)

  const ids = [...live.keys()]
  const changed = ids.slice(0, 100).map((id) => ({ id, text: `a zebra of the family ${id}` }))
  const { lsn } = (await service.must('POST', `${INDEX}/points`, {
    points: changed.map(pointOf),
  })) as { lsn: number }
  for (const point of changed) live.set(point.id, point)
  const zebra = await search(service, { text: 'zebra', k: 200, min_lsn: lsn })
  assert.ok(zebra.lsn >= lsn && zebra.results.length >= 100)
  await service.must('POST', `${INDEX}/points/delete`, { ids: ids.slice(100, 200) })
  for (const id of ids.slice(100, 200)) live.delete(id)
  await assertRanked(service, live)
  await service.must('POST', `${INDEX}/compact?wait=true`)
  await assertRanked(service, live)

  await service.kill()
  service = await startService(root)
  await service.ready()
  await assertRanked(service, live)

  await assertFiltered(service)
  await assertHybrid(service, changed[0])
})

async function assertFiltered(service: Service): Promise<void> {
  const even = await search(service, { text: 'zebra', k: 200, filter: { even: true } })
  assert.ok(even.results.length > 0)
  assert.ok(even.results.every(({ id }) => Number(id.slice(1)) % 2 === 0))
}

async function assertHybrid(service: Service, point: PlainText | undefined): Promise<void> {
  const { id = '', text = '' } = point ?? {}
  const hybrid = { text, vector: vectors.get(id), mode: 'hybrid', k: 5 }
  const fused = await search(service, { ...hybrid, include: ['text', 'highlights'] })
  const [first] = fused.results
  assert.equal(fused.path, 'hybrid')
  assert.deepEqual([first?.id, first?.ranks], [id, { vector: 1, keyword: 1 }])
  const places = first?.highlights ?? []
  assert.deepEqual(
    places.map(({ start, end }) => first?.text?.slice(start, end)),
    plainWords(text ?? ''),
  )
  const refused = await service.request('POST', `${INDEX}/search`, { text, mode: 'vector' })
  assert.equal(refused.status, 409)
}
