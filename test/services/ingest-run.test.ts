/** A dataset has the rows of a file once, of the file that was meant, and nothing of what failed. */

import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { it, type TestContext } from 'node:test'
import { MemoryStore, type MemoryObject } from '../../src/buckets/memory-store.ts'
import { DatasetStore } from '../../src/datasets/dataset-store.ts'
import { LINEAGE_MAX } from '../../src/datasets/dataset.ts'
import type { Indexes } from '../../src/indexes/index-api.ts'
import type { IngestRequest } from '../../src/ingest/ingest-request.ts'
import { identityOf } from '../../src/ingest/watched-files.ts'
import { VectordError } from '../../src/lib/errors.ts'
import { IngestRun, type IngestOutcome, type IngestWorld } from '../../src/services/ingest-run.ts'
import { ANY, publication } from '../datasets/dataset-world.ts'
import { collect } from '../support/collect.ts'

const KEY = 'in/a.ndjson'
const ROWS = '{"id":1}\n{"id":2}'

async function worldOf(t: TestContext) {
  let nowMs = 1_700_000_000_000
  const objects = new Map<string, MemoryObject>()
  const store = new MemoryStore(objects, () => nowMs)
  const datasets = new DatasetStore({ store, nowMs: () => nowMs })
  const world: IngestWorld = {
    indexes: {} as Indexes,
    bucket: () => store,
    datasets: () => datasets,
    bounds: { niceness: 0, memoryBytesMax: 2 ** 30, silenceMsMax: 30_000 },
    limits: { rowsMax: 1000, idBytesMax: 512, metadataBytesMax: 1024, fileBytesMax: 2 ** 20 },
    nowMs: () => nowMs,
  }
  const put = async (body = ROWS, key = KEY): Promise<string> => {
    nowMs += 1000
    await store.put(key, Buffer.from(body))
    return identityOf(await store.head(key))
  }
  /** Of a watched prefix where the file has an identity. */
  const take = async (
    identity: string | null,
    { signal = new AbortController().signal, progress = () => undefined }: Partial<Control> = {},
    format: 'ndjson' | 'csv' = 'ndjson',
  ): Promise<IngestOutcome> => {
    const request: IngestRequest = {
      source: { kind: 'object', bucket: 'b', key: KEY, format, identity },
      ...{ bucket: 'b', index: null, batchRows: 10 },
      dataset: { name: 'people', mode: 'append', resume: false },
    }
    const folder = await mkdtemp(join(tmpdir(), 'vectord-run-'))
    t.after(() => rm(folder, { recursive: true, force: true }))
    return new IngestRun(world, request, { control: { signal, progress }, folder }).run()
  }
  const rows = async (): Promise<number> => (await datasets.read('people'))?.document.rows ?? 0
  const parts = async (): Promise<number> =>
    (await collect(store.list('_datasets/people/parts/'))).length
  return { store, datasets, put, take, rows, parts }
}

interface Control {
  readonly signal: AbortSignal
  readonly progress: (stage: string) => void
}

it('a file is in the dataset once, however many publications came since', async (t) => {
  const { datasets, put, take, rows } = await worldOf(t)
  const identity = await put()
  assert.equal((await take(identity)).isRepeated, false)
  const { document } = await datasets.get('people')
  for (let i = 0; i < LINEAGE_MAX; i += 1) {
    const { columns } = document
    await datasets.publish('people', publication('append', [], { columns }), ANY)
  }
  const lineage = (await datasets.get('people')).document.lineage
  assert.ok(lineage.every(({ queryOrTable }) => queryOrTable !== identity))
  const again = await take(identity)
  assert.deepEqual(
    [again.isRepeated, again.summary.rows, again.lineage.queryOrTable],
    [...[true, 2, identity]],
  )
  assert.equal(await rows(), 2)
  await take(await put('{"id":3}'))
  assert.equal(await rows(), 3)
})

it('a file that was changed since it was found is not taken under its old name', async (t) => {
  const { put, take, rows, parts } = await worldOf(t)
  const found = await put()
  const changed = await put('{"id":3}\n{"id":4}')
  await assert.rejects(take(found), { code: 'revision_mismatch', retryable: true })
  let writing: Promise<unknown> = Promise.resolve()
  const during = take(changed, {
    progress: (stage) => {
      // Behind the look that comes before it is fetched.
      if (stage === 'reading') writing = put('{"id":5}\n{"id":6}')
    },
  })
  await assert.rejects(during, { code: 'revision_mismatch' })
  await writing
  assert.deepEqual([await rows(), await parts()], [0, 0])
})

it('a file that is gone when it was read is taken all the same', async (t) => {
  const { store, put, take, rows } = await worldOf(t)
  await take(await put(), {
    progress: (stage) => {
      if (stage === 'reading') void store.delete(KEY)
    },
  })
  assert.equal(await rows(), 2)
})

it('what is cancelled or fails leaves no part in the bucket', async (t) => {
  const { datasets, put, take, parts } = await worldOf(t)
  await put()
  const stop = new AbortController()
  const stage = datasets.stagePart.bind(datasets)
  datasets.stagePart = async (...part) => {
    const staged = await stage(...part)
    assert.equal(await parts(), 1)
    stop.abort(new VectordError('operation_cancelled', 'stop'))
    return staged
  }
  await assert.rejects(take(null, { signal: stop.signal }), { code: 'operation_cancelled' })
  assert.equal(await parts(), 0)
})

it('a file without a row tells no types that later files would have to have', async (t) => {
  const { store, take, rows } = await worldOf(t)
  for (const [body, expected] of [
    ['id,n\n', 0],
    ['id,n\n1,0.5\n', 1],
  ] as const) {
    await store.put(KEY, Buffer.from(body))
    await take(null, {}, 'csv')
    assert.equal(await rows(), expected)
  }
})

it('whole numbers are appended to the larger ones, and to fractions', async (t) => {
  const { datasets, put, take } = await worldOf(t)
  await put('{"id":5000000000,"x":0.5}')
  await take(null)
  await put('{"id":1,"x":2}')
  await take(null)
  const { document } = await datasets.get('people')
  assert.deepEqual(
    document.columns.map(({ type }) => type),
    ['int64', 'float64'],
  )
  assert.equal(document.rows, 2)
  await put('{"id":"text","x":2}')
  await assert.rejects(take(null), { code: 'dataset_schema_mismatch' })
})
