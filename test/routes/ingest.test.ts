/** Ingests and watches over HTTP: their answers are those of the schemas, their refusals name the field. */

import assert from 'node:assert/strict'
import { it, type TestContext } from 'node:test'
import { ingestRoutes } from '../../routes/ingest.ts'
import { watchRoutes } from '../../routes/watches.ts'
import { MemoryStore } from '../../src/buckets/memory-store.ts'
import { DatasetStore } from '../../src/datasets/dataset-store.ts'
import { WatchStore } from '../../src/ingest/watch-store.ts'
import { VectordError } from '../../src/lib/errors.ts'
import { Ingests } from '../../src/services/ingests.ts'
import { Operations } from '../../src/services/operations.ts'
import { Watches } from '../../src/services/watches.ts'
import { openApp, type TestApp } from '../support/http-app.ts'
import { temporaryFolder } from '../support/service.ts'

interface World extends TestApp {
  readonly store: MemoryStore
  readonly filled: readonly string[]
  readonly watches: Watches
}

async function open(t: TestContext): Promise<World> {
  const test = await openApp(t)
  const store = new MemoryStore()
  const filled: string[] = []
  const nowMs = Date.now
  const bucket = (name: string): MemoryStore => {
    if (name === 'primary') return store
    throw new VectordError('bucket_not_found', 'There is none.', {
      details: { buckets: ['primary'] },
    })
  }
  const onTrouble = (): void => undefined
  const ingests = new Ingests({
    ...{ indexes: test.indexes, bucket, nowMs, onTrouble, workersMax: 1, queueMax: 1 },
    operations: new Operations({ nowMs, onTrouble }),
    datasets: (name) => new DatasetStore({ store: bucket(name), nowMs }),
    bounds: { niceness: 0, memoryBytesMax: 2 ** 30, silenceMsMax: 30_000 },
    limits: { rowsMax: 100, idBytesMax: 512, metadataBytesMax: 1000, fileBytesMax: 2 ** 20 },
    scratch: await temporaryFolder(t),
    onFilled: (index) => filled.push(index),
  })
  const watches = new Watches({
    store: new WatchStore({ store: () => store, nowMs }),
    ...{ bucket, nowMs, onTrouble, filesMax: 10 },
    ingest: () => Promise.reject(new VectordError('file_corrupt', 'It is damaged.')),
  })
  t.after(() => watches.close())
  await test.app.register(ingestRoutes, { ingests, fileBytesMax: 2 ** 20 })
  await test.app.register(watchRoutes, { watches })
  return { ...test, store, filled, watches }
}

const CSV = { 'content-type': 'text/csv' }
const FILE = '/ingest/file?wait=true&dataset=d&index=x&id_column=id&vector_column=v&on_bad_row=skip'

it('200: what came of a file, with the rows that were refused and the agent told', async (t) => {
  const { send, filled } = await open(t)
  await send('POST', '/vectors/indexes', { name: 'x', dimension: 2, metric: 'l2' })
  const reply = await send('POST', FILE, 'id,v,email\n1,"[1,2]",a@example.org\n2,[1],', CSV)
  assert.equal(reply.status, 200, reply.text)
  const { rows, index, columns, lineage, watermark, repeated } = reply.body as Record<
    string,
    unknown
  >
  assert.deepEqual([rows, watermark, repeated], [2, null, false])
  assert.deepEqual(index, {
    ...{ name: 'x', points: 1 },
    refused: {
      count: 1,
      rows: [{ row: 1, id: '2', field: 'vector', problem: 'has 1 numbers, the index has 2' }],
    },
  })
  assert.equal((columns as object[]).length, 3)
  assert.equal((lineage as { mode: string }).mode, 'replace')
  assert.deepEqual(filled, ['x'])
})

it('202: the operation is told of at once', async (t) => {
  const { send } = await open(t)
  const reply = await send('POST', '/ingest/file?dataset=d', 'a\n1', CSV)
  assert.equal(reply.status, 202)
  const { operation_id } = reply.body as { operation_id: string }
  assert.equal(reply.headers['location'], `/operations/${operation_id}`)
})

it('400: what is wrong with a request for a database is told by its field, without the DSN', async (t) => {
  const { send } = await open(t)
  const dsn = 'mysql://u:p4ssw0rd@127.0.0.1:1/d'
  const good = { dsn, table: 't', dataset: 'd' }
  for (const [body, field] of [
    [{ ...good, dsn: undefined }, 'dsn'],
    [{ ...good, dsn: 'mysql://u:p4ssw0rd@@h/d' }, 'dsn'],
    [{ ...good, dsn: dsn.replace('mysql', 'postgres') }, 'dsn'],
    [{ ...good, table: undefined }, 'table'],
    [{ ...good, query: 'SELECT 1' }, 'table'],
    [{ dsn, query: 'SELECT 1', columns: ['a'], dataset: 'd' }, 'columns'],
    [{ ...good, dataset: undefined }, 'dataset'],
    [
      {
        ...good,
        dataset: undefined,
        mode: 'append',
        index: { name: 'x', id_column: 'i', vector_column: 'v' },
      },
      'dataset',
    ],
    [{ ...good, resume: true }, 'key'],
    [{ ...good, key: 'id', resume: true, mode: 'replace' }, 'resume'],
    [{ ...good, batch_rows: 0 }, 'batch_rows'],
    [{ ...good, index: { name: 'x', id_column: 'i' } }, 'index.vector_column'],
    [{ ...good, pasword: 1 }, 'pasword'],
  ] as const) {
    const reply = await send('POST', '/ingest/mysql', body)
    assert.equal(reply.status, 400, reply.text)
    const { details } = (reply.body as { error: { details: { field?: string } } }).error
    assert.equal(details.field, field, reply.text)
    assert.doesNotMatch(reply.text, /p4ssw0rd/)
  }
})

it('a watch is made, shown, changed under its ETag, and removed', async (t) => {
  const { send, store, watches } = await open(t)
  const watch = { prefix: 'in/', dataset: 'd' }
  assert.equal((await send('GET', '/ingest/watches/w')).code, 'watch_not_found')
  const made = await send('PUT', '/ingest/watches/w', watch)
  assert.deepEqual([made.status, made.headers['etag']], [201, '"1"'], made.text)
  const stale = await send('PUT', '/ingest/watches/w', watch, { 'if-match': '"7"' })
  assert.equal(stale.code, 'revision_mismatch')
  const index = { name: 'x', id_column: 'id', text_column: 't' }
  const changed = await send('PUT', '/ingest/watches/w', { ...watch, index }, { 'if-match': '"1"' })
  assert.equal(changed.status, 200, changed.text)
  await store.put('in/a.csv', Buffer.from('a'))
  // Its answer can be sent back as it is, but for what the service adds.
  const shown = (await send('GET', '/ingest/watches/w')).body as Record<string, unknown>
  const { bucket, prefix, format, interval_secs, dataset, index: kept } = shown
  const again = { bucket, prefix, format, interval_secs, dataset, index: kept }
  assert.equal((await send('PUT', '/ingest/watches/w', again)).status, 200)
  const list = await send('GET', '/ingest/watches')
  assert.equal((list.body as { watches: object[] }).watches.length, 1)
  assert.equal((await send('POST', '/ingest/watches/w/retry')).status, 202)
  assert.equal((await send('DELETE', '/ingest/watches/w')).status, 204)
  assert.equal((await send('POST', '/ingest/watches/w/retry')).code, 'watch_not_found')
  await watches.refresh()
  for (const [bad, code] of [
    [{ ...watch, bucket: 'none' }, 'bucket_not_found'],
    [{ ...watch, prefix: '_watches/' }, 'bad_request'],
    [{ ...watch, prefix: '../' }, 'bad_request'],
    [{ ...watch, prefix: '/x' }, 'bad_request'],
    [{ prefix: 'in/' }, 'bad_request'],
    [{ ...watch, interval_secs: 4 }, 'bad_request'],
    [{ ...watch, format: 'xlsx' }, 'bad_request'],
  ] as const) {
    assert.equal((await send('PUT', '/ingest/watches/bad', bad)).code, code)
  }
})
