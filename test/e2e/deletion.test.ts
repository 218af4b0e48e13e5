/** A deletion that a crash cut off is finished at the next start. */

import assert from 'node:assert/strict'
import { join } from 'node:path'
import { it } from 'node:test'
import { LocalStore } from '../../src/buckets/local-store.ts'
import { metaDocument } from '../../src/indexes/index-meta.ts'
import { startService, temporaryFolder } from '../support/service.ts'

it('an index that is marked as deleted goes at the start, with its cached graphs', async (t) => {
  const root = await temporaryFolder(t)
  const before = await startService(root)
  t.after(() => before.kill())
  await before.ready()
  await before.must('POST', '/vectors/indexes', { name: 'gone', dimension: 2, metric: 'l2' })
  await before.stop()
  const store = await LocalStore.open(join(root, 'buckets', 'primary'))
  await store.put('_hnsw_graphs/gone/00000000000000000000000000000000.json', Buffer.from('{}'))
  await metaDocument(store, 'gone').modify((current) => {
    assert.ok(current !== null)
    return {
      document: { ...current.document, state: 'deleting' },
      ...{ author: 'test', reason: 'delete' },
    }
  })

  const after = await startService(root)
  t.after(() => after.kill())
  await after.ready()
  const reply = await after.request('GET', '/vectors/indexes/gone')
  assert.equal(reply.status, 404, reply.text)
  const keys: string[] = []
  for await (const { key } of store.list('')) keys.push(key)
  assert.deepEqual(
    keys.filter((key) => key.includes('/gone/') && !/\/\d{10}\.json$/.test(key)),
    [],
    'only revisions of documents are left',
  )
})
