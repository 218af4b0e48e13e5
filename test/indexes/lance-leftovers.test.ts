/** Objects of tables without an index are cleared away; those of an index, and young ones, never. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { MemoryStore } from '../../src/buckets/memory-store.ts'
import { metaDocument, type IndexMeta } from '../../src/indexes/index-meta.ts'
import { LANCE_DEFAULTS } from '../../src/domain/lance-settings.ts'
import { sweepTables } from '../../src/indexes/lance-leftovers.ts'

const HOUR_MS = 3_600_000

function metaOf(name: string): IndexMeta {
  return {
    ...{ name, incarnation: 'i', createdMs: 0, state: 'active', dimension: 2, metric: 'l2' },
    ...{ bucket: 'primary', backend: 'lance', lance: LANCE_DEFAULTS, shards: 1 },
    ...{ keepLastVersions: 1, hnsw: { m: 16, efConstruction: 200, efSearch: null, seed: 42 } },
  }
}

async function keys(store: MemoryStore): Promise<string[]> {
  const all: string[] = []
  for await (const { key } of store.list('_lance/')) all.push(key)
  return all
}

it('what is left of a deleted table goes when it is old', async () => {
  const store = new MemoryStore()
  const objects = ['a-b.lance/data/1', 'a.lance/data/1', 'a.lance/_versions/2', 'ab.lance/data/1']
  for (const key of objects) await store.put(`_lance/${key}`, new Uint8Array(1))
  const document = { document: metaOf('ab'), author: 'test', reason: 'create' }
  await metaDocument(store, 'ab').update(null, document)
  assert.equal(await sweepTables(store, Date.now() + HOUR_MS / 2), 0)
  assert.equal(await sweepTables(store, Date.now() + 2 * HOUR_MS), 3)
  assert.deepEqual(await keys(store), ['_lance/ab.lance/data/1'])
})

it('folders that are no tables are left alone', async () => {
  const store = new MemoryStore()
  for (const key of ['_lance/x/1', '_lance/bad name.lance/1', '_lance/file']) {
    await store.put(key, new Uint8Array(1))
  }
  assert.equal(await sweepTables(store, Date.now() + 2 * HOUR_MS), 0)
  assert.equal((await keys(store)).length, 3)
})

it('an index that is made meanwhile keeps its files, whatever their names are', async () => {
  const store = new MemoryStore()
  const names = ['_versions/1', '_versions/2', 'data/1']
  for (const name of names) await store.put(`_lance/a.lance/${name}`, new Uint8Array(1))
  const remove = store.delete.bind(store)
  let isMade = false
  store.delete = async (key) => {
    await remove(key)
    if (isMade) return
    isMade = true
    await metaDocument(store, 'a').update(null, {
      ...{ document: metaOf('a'), author: 'test', reason: 'create' },
    })
    await store.put('_lance/a.lance/_versions/2', new Uint8Array(2))
  }
  assert.equal(await sweepTables(store, Date.now() + 2 * HOUR_MS), 1)
  assert.equal((await store.get('_lance/a.lance/_versions/2')).byteLength, 2)
})
