/**
 * Texts without vectors in a real process: found by id at once, and still there after kill -9, from the
 * log and from a checkpoint. The index has its embedder from its meta: none is configured here.
 */

import assert from 'node:assert/strict'
import { join } from 'node:path'
import { it, type TestContext } from 'node:test'
import { LocalStore } from '../../src/buckets/local-store.ts'
import { metaDocument } from '../../src/indexes/index-meta.ts'
import { startService, temporaryFolder, type Service } from '../support/service.ts'

const POINTS = '/vectors/indexes/notes/points'
const EMBEDDER = { name: 'gone', model: 'm', version: '1', dimension: 3, normalised: true }

interface Stats {
  readonly live_points: number
  readonly pending_texts: number
}

it('texts without vectors survive kill -9, before a checkpoint and after one', async (t) => {
  const root = await temporaryFolder(t)
  const first = await serve(t, root)
  const body = { name: 'notes', dimension: 3, shards: 2, retention: { keep_last_versions: 2 } }
  await first.must('POST', '/vectors/indexes', body)
  assert.equal(await first.stop(), 0)
  await giveEmbedder(root)

  let service = await serve(t, root)
  const texts = Array.from({ length: 40 }, (_, i) => ({ id: `t${i}`, text: `text ${i}` }))
  const points = [...texts, { id: 'v', text: 'with one', vector: [1, 2, 3] }]
  await service.must('POST', POINTS, { points })
  await service.must('POST', `${POINTS}/delete`, { ids: ['t0'] })
  await service.must('POST', POINTS, { points: [{ id: 't1', text: 'text 1 again' }] })
  await check(service)
  await service.kill()
  service = await serve(t, root)
  await check(service)
  await service.must('POST', '/vectors/indexes/notes/checkpoint?wait=true')
  await service.kill()
  service = await serve(t, root)
  await check(service)
  const { clean } = (await service.must('POST', '/vectors/indexes/notes/verify?wait=true')) as {
    clean: boolean
  }
  assert.equal(clean, true)
  await service.stop()
})

async function giveEmbedder(root: string): Promise<void> {
  const store = await LocalStore.open(join(root, 'buckets', 'primary'))
  await metaDocument(store, 'notes').modify((current) => {
    assert.ok(current !== null)
    return {
      document: { ...current.document, embedder: EMBEDDER },
      ...{ author: 'test', reason: 'an embedder' },
    }
  })
}

async function serve(t: TestContext, root: string): Promise<Service> {
  const service = await startService(root)
  t.after(() => service.kill())
  await service.ready()
  return service
}

async function check(service: Service): Promise<void> {
  // Cores tell their figures four times a second.
  const counted = await service.eventually('/vectors/indexes/notes', ({ body }) => {
    const { stats } = body as { stats: Stats | null }
    return stats?.live_points === 40 && stats.pending_texts === 39
  })
  assert.deepEqual((counted.body as { embedder: unknown }).embedder, EMBEDDER)
  const { status } = await service.request('GET', `${POINTS}/t0`)
  assert.equal(status, 404)
  const read = (id: string) => service.must('GET', `${POINTS}/${id}?include=text,vector`)
  const again = { id: 't1', text: 'text 1 again', vector: null, version: 3 }
  assert.deepEqual(await read('t1'), again)
  assert.deepEqual(await read('t7'), { id: 't7', text: 'text 7', vector: null, version: 1 })
  const found = await service.must('POST', '/vectors/indexes/notes/search', {
    ...{ vector: [1, 2, 3], k: 10 },
  })
  const { results, exhausted } = found as { results: { id: string }[]; exhausted: boolean }
  assert.deepEqual([results.map(({ id }) => id), exhausted], [['v'], true])
  const versions = await service.must('GET', `${POINTS}/t1/versions?include=text`)
  const list = (versions as { versions: { version: number; text: string }[] }).versions
  assert.deepEqual(
    list.map(({ version, text }) => [version, text]),
    [
      [3, 'text 1 again'],
      [1, 'text 1'],
    ],
  )
}
