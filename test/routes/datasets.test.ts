/** The HTTP contract of /datasets. */

import assert from 'node:assert/strict'
import { it, type TestContext } from 'node:test'
import { MemoryStore } from '../../src/buckets/memory-store.ts'
import { DatasetStores } from '../../src/datasets/dataset-stores.ts'
import { datasetRoutes } from '../../routes/datasets.ts'
import { parseApiKeys } from '../../src/http/auth.ts'
import { VectordError } from '../../src/lib/errors.ts'
import { ANY, publication } from '../datasets/dataset-world.ts'
import { bearer, keyLine, NOW_MS, openApp, type TestApp } from '../support/http-app.ts'

interface World extends TestApp {
  readonly datasets: DatasetStores
  readonly store: MemoryStore
}

async function open(t: TestContext, keys: readonly string[] = []): Promise<World> {
  const stores = new Map(['primary', 'cold', 'rescue'].map((name) => [name, new MemoryStore()]))
  const datasets = new DatasetStores({
    buckets: {
      get: (name) => {
        const store = stores.get(name)
        if (store !== undefined) return store
        throw new VectordError('bucket_not_found', 'There is no bucket of that name.', {
          details: { bucket: name, buckets: [...stores.keys()] },
        })
      },
      list: () => [...stores.keys()].map((name) => ({ name, role: name })),
    },
    nowMs: () => NOW_MS,
    onTrouble: (error) => {
      throw error
    },
  })
  const world = await openApp(t, {
    keys: parseApiKeys(keys),
    plugins: [(app) => app.register(datasetRoutes, { datasets })],
  })
  const store = stores.get('primary') ?? new MemoryStore()
  return { ...world, datasets, store }
}

/** With one part of 7 rows and 8 bytes. */
async function publish({ datasets, store }: World, name: string): Promise<void> {
  const part = { key: `_datasets/${name}/parts/x.parquet`, rows: 7, bytes: 8, sha256: 'ab' }
  await store.put(part.key, Buffer.from('12345678'))
  const watermark = { column: 'id', value: 2n ** 60n }
  await datasets.of('primary').publish(name, publication('append', [part], { watermark }), ANY)
}

it('200: a dataset is shown with its columns, flags, parts and lineage, and its revision as ETag', async (t) => {
  const world = await open(t)
  await publish(world, 'people')
  const read = await world.send('GET', '/datasets/people')
  assert.deepEqual([read.status, read.headers['etag']], [200, '"1"'])
  const { changed_at: _, ...body } = read.body as { changed_at: string }
  assert.deepEqual(body, {
    ...{ name: 'people', bucket: 'primary', revision: 1, rows: 7, bytes: 8, changed_by: 'ada' },
    columns: [
      { name: 'id', type: 'int64', nullable: false, pii: [] },
      { name: 'mail', type: 'utf8', nullable: true, pii: ['email'] },
      { name: 'v', type: 'vector', nullable: true, dimension: 3, pii: [] },
    ],
    parts: [{ key: '_datasets/people/parts/x.parquet', rows: 7, bytes: 8, sha256: 'ab' }],
    watermark: { column: 'id', value: '1152921504606846976' },
    lineage: [
      {
        ...{ source_system: 'file', dsn: 'upload', query_or_table: 'x.csv', rows: 7 },
        started_at: '1970-01-01T00:00:01.000Z',
        finished_at: '1970-01-01T00:00:02.000Z',
        mode: 'append',
      },
    ],
  })
})

it('200: datasets are listed in pages; one that cannot be read is told', async (t) => {
  const world = await open(t)
  for (const name of ['a', 'b', 'c']) await publish(world, name)
  await world.store.put('_datasets/b/meta/0000000001.json', Buffer.from('{}'))
  const first = await world.send('GET', '/datasets?limit=2')
  assert.equal(first.status, 200, first.text)
  const { datasets, errors, next_cursor } = first.body as {
    datasets: object[]
    errors: { name: string; code: string }[]
    next_cursor: string
  }
  const { changed_at: _, ...summary } = datasets[0] as { changed_at: string }
  assert.deepEqual(summary, {
    ...{ name: 'a', bucket: 'primary', revision: 1, rows: 7, bytes: 8, parts: 1, columns: 3 },
    ...{ pii: ['email'], changed_by: 'ada' },
  })
  assert.deepEqual([errors[0]?.name, errors[0]?.code], ['b', 'object_corrupt'])
  const second = await world.send('GET', `/datasets?limit=2&cursor=${next_cursor}`)
  assert.match(second.text, /^\{"datasets":\[\{"name":"c".*"next_cursor":null/)
  const cold = await world.send('GET', '/datasets?bucket=cold')
  assert.deepEqual(cold.body, { datasets: [], next_cursor: null, errors: [] })
})

it('204, 412: a dataset is deleted, if it is at the revision that was seen', async (t) => {
  const world = await open(t)
  await publish(world, 'people')
  const stale = await world.send('DELETE', '/datasets/people', undefined, { 'if-match': '"7"' })
  assert.deepEqual([stale.status, stale.code], [412, 'revision_mismatch'])
  const gone = await world.send('DELETE', '/datasets/people', undefined, { 'if-match': '"1"' })
  assert.equal(gone.status, 204)
  assert.equal((await world.send('GET', '/datasets/people')).code, 'dataset_not_found')
})

it('400, 403, 404: odd names and queries, the rescue bucket, what is not there', async (t) => {
  const { send } = await open(t)
  const cases = [
    ['GET', '/datasets/none', 404, 'dataset_not_found'],
    ['DELETE', '/datasets/none', 404, 'dataset_not_found'],
    ['GET', '/datasets?bucket=nowhere', 404, 'bucket_not_found'],
    ['GET', '/datasets/a?bucket=nowhere', 404, 'bucket_not_found'],
    ['DELETE', '/datasets/a?bucket=rescue', 403, 'bucket_protected'],
    ['GET', '/datasets/a.b', 400, 'invalid_name'],
    ['GET', '/datasets?bucket=a/b', 400, 'invalid_name'],
    ['GET', '/datasets?limit=0', 400, 'bad_request'],
    ['GET', '/datasets?limit=1001', 400, 'bad_request'],
    ['GET', '/datasets?colour=red', 400, 'bad_request'],
  ] as const
  for (const [method, url, status, code] of cases) {
    const reply = await send(method, url)
    assert.deepEqual([reply.status, reply.code], [status, code], `${method} ${url}`)
  }
  assert.match((await send('GET', '/datasets?bucket=nowhere')).text, /"buckets":\["primary"/)
})

it('401, 403: a key sees the datasets of its prefixes alone, and only an admin deletes', async (t) => {
  const keys = [
    keyLine('reader', 'read', 'r'),
    keyLine('scoped', 'admin', 's', 'team-'),
    keyLine('admin', 'admin', 'a'),
  ]
  const world = await open(t, keys)
  for (const name of ['team-x', 'other']) await publish(world, name)
  assert.equal((await world.send('GET', '/datasets')).status, 401)
  const scoped = await world.send('GET', '/datasets', undefined, bearer('s'))
  assert.match(scoped.text, /"team-x"/)
  assert.doesNotMatch(scoped.text, /"other"/)
  for (const method of ['GET', 'DELETE']) {
    const reply = await world.send(method, '/datasets/other', undefined, bearer('s'))
    assert.deepEqual([reply.status, reply.code], [403, 'forbidden'], method)
  }
  const read = await world.send('GET', '/datasets/other', undefined, bearer('r'))
  assert.equal(read.status, 200)
  const denied = await world.send('DELETE', '/datasets/other', undefined, bearer('r'))
  assert.equal(denied.status, 403)
  const removed = await world.send('DELETE', '/datasets/team-x', undefined, bearer('s'))
  assert.equal(removed.status, 204)
})
