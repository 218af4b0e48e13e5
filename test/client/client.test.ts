/**
 * The client against a real service: what people do with it, and the errors that they meet.
 */

import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { after, before, describe, it } from 'node:test'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Client } from '../../client/client.ts'
import { ImportError, OperationFailedError, VectordApiError } from '../../client/errors.ts'
import type { IndexHandle } from '../../client/index-handle.ts'
import type { PointInput } from '../../client/types.ts'
import { seededRandom } from '../../src/lib/seeded-random.ts'
import { startService, type Service } from '../support/service.ts'

const KEY = 'secret-of-the-test'
const hex = (text: string): string => createHash('sha256').update(text).digest('hex')
const hasCode = (code: string) => (error: unknown) =>
  error instanceof VectordApiError && error.code === code

describe('the client and a real service', () => {
  let folder: string
  let service: Service
  let client: Client

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vectord-client-'))
    const keys = [`admin:admin:${hex(KEY)}`, `reader:read:${hex('reader')}`].join(',')
    service = await startService(folder, { env: { VECTORD_AUTH_KEYS: keys } })
    client = new Client({ url: service.url, key: KEY })
  })
  after(async () => {
    await service.kill()
    await rm(folder, { recursive: true, force: true, maxRetries: 5 })
  })

  const vectorOf = (i: number): Float32Array => {
    const random = seededRandom(i + 1)
    return Float32Array.from({ length: 8 }, () => random() - 0.5)
  }
  const points = (count: number): PointInput[] =>
    Array.from({ length: count }, (_, i) => ({
      ...{ id: `p${i}`, vector: vectorOf(i), metadata: { i, even: i % 2 === 0 } },
    }))
  const count = async (index: IndexHandle): Promise<number> => {
    let found = 0
    for await (const _ of index.scroll({ include: [] })) found++
    return found
  }
  const create = (name: string): Promise<unknown> => client.indexes.create({ name, dimension: 8 })

  it('takes points with vectors of either kind, and gives back exactly their numbers', async () => {
    await create('exact')
    const index = client.index('exact')
    const { lsn } = await index.upsert([
      { id: 'a/b ü', vector: vectorOf(1), metadata: { n: 1 } },
      { id: 'list', vector: [...vectorOf(2)], metadata: null },
    ])
    const read = await index.fetch('a/b ü', { include: ['vector', 'metadata'], minLsn: lsn })
    assert.deepEqual(read, { id: 'a/b ü', version: lsn, metadata: { n: 1 }, vector: vectorOf(1) })
    const [second] = (await index.search({ id: 'a/b ü', k: 1, include: ['vector'] })).results
    assert.deepEqual(second?.vector, vectorOf(2))
    assert.equal((await index.delete(['list', 'never'])).accepted, 2)
    await assert.rejects(index.fetch('list'), hasCode('point_not_found'))
    await client.indexes.delete('exact')
    await assert.rejects(index.fetch('a'), hasCode('index_not_found'))
  })

  it('imports a stream of points with bounded requests, finds and scrolls through all', async () => {
    await create('many')
    const index = client.index('many')
    let open = 0
    let openMax = 0
    const counting = new Client({
      ...{ url: service.url, key: KEY },
      fetch: async (input, init) => {
        openMax = Math.max(openMax, ++open)
        try {
          return await fetch(input, init)
        } finally {
          open--
        }
      },
    })
    const seen: number[] = []
    const done = await counting.index('many').import(points(2050), {
      ...{ batchPoints: 100, concurrency: 3 },
      onProgress: (progress) => seen.push(progress.accepted),
    })
    assert.equal(done.accepted, 2050)
    assert.equal(done.resumeAt, 2050)
    assert.equal(done.batches, 21)
    assert.ok(openMax <= 3, `${openMax} requests at once`)
    assert.deepEqual(
      seen,
      seen.toSorted((a, b) => a - b),
    )
    const ids = new Set<string>()
    for await (const { id } of index.scroll({ pagePoints: 333 })) ids.add(id)
    assert.equal(ids.size, 2050)
    const filtered: string[] = []
    for await (const { id } of index.scroll({ filter: { i: { $lt: 4 } } })) filtered.push(id)
    assert.deepEqual(filtered.sort(), ['p0', 'p1', 'p2', 'p3'])
    const { results } = await index.search({ vector: vectorOf(7), k: 1, exact: true })
    assert.equal(results[0]?.id, 'p7')
    const { deleted } = await index.deleteMatching({ even: true })
    assert.equal(deleted, 1025)
  })

  it('answers a batch of queries one by one, failed ones in their place', async () => {
    const [good, bad] = await client.index('many').searchBatch([
      { vector: vectorOf(9), k: 1 },
      { vector: [1, 2, 3], k: 1 },
    ])
    assert.ok(good?.ok)
    assert.equal(good.result.results[0]?.id, 'p9')
    assert.ok(bad !== undefined && !bad.ok)
    assert.equal(bad.error.code, 'vector_dimension_mismatch')
    assert.equal(bad.error.status, 400)
  })

  it('an import stops at a bad point, says where to go on, and goes on from there', async () => {
    await create('resumed')
    const index = client.index('resumed')
    const bad = points(50).map((point, i) => (i === 33 ? { ...point, vector: [NaN] } : point))
    const rest = await index.import(bad, { batchPoints: 10, concurrency: 2 }).then(
      () => assert.fail('took a vector of NaN'),
      (error: unknown) => {
        assert.ok(error instanceof ImportError)
        assert.ok(hasCode('vector_dimension_mismatch')(error.cause), String(error.cause))
        assert.equal(error.resumeAt, 30)
        return error.resumeAt
      },
    )
    const done = await index.import(points(50).slice(rest), { batchPoints: 10 })
    assert.equal(done.accepted, 20)
    assert.equal(await count(index), 50)
  })

  it('an index leaves as a file and comes back from one, as streams', async () => {
    await create('exported')
    await create('filled')
    const { lsn } = await client.index('exported').upsert(points(300))
    const filter = { i: { $lt: 250 } }
    const file = await client.index('exported').exportFile({ format: 'arrow', filter })
    assert.equal(file.lsn, lsn)
    const columns = { id_column: 'id', vector_column: 'vector', metadata_columns: ['version'] }
    const stages: (string | null)[] = []
    const { rows, index } = await client
      .index('filled')
      .ingestFile({ format: 'arrow', bytes: file.bytes }, columns, {
        onProgress: ({ stage }) => stages.push(stage),
      })
    assert.deepEqual([rows, index?.points], [250, 250])
    assert.ok(stages.length > 0)
    assert.equal(await count(client.index('filled')), 250)
    await assert.rejects(client.index('nowhere').exportFile(), hasCode('index_not_found'))
  })

  it('a file that is refused is told why, however much of it is still to come', async () => {
    let pieces = 0
    const endless = async function* (): AsyncGenerator<Uint8Array> {
      for (; pieces < 2000; pieces += 1) yield Buffer.alloc(2 ** 20, 'id\n')
    }
    const file = { format: 'csv', bytes: ReadableStream.from(endless()) } as const
    const sent = client.index('nowhere').ingestFile(file, { id_column: 'id', text_column: 'id' })
    await assert.rejects(sent, hasCode('index_not_found'))
    assert.ok(pieces < 2000, 'it was sent to its end')
  })

  it('of points with one id the last one stays, however many requests are under way', async () => {
    await create('same')
    const index = client.index('same')
    const source = Array.from({ length: 200 }, (_, i) => ({
      ...{ id: `s${i % 7}`, vector: vectorOf(i), metadata: { i } },
    }))
    await index.import(source, { batchPoints: 5, concurrency: 8 })
    for (let i = 193; i < 200; i++) {
      assert.deepEqual((await index.fetch(`s${i % 7}`)).metadata, { i })
    }
  })

  it('a stream that is full goes on from the first refused point until all are durable', async () => {
    const stream = { buffer_size: 100, batch_size: 50, flush_interval_ms: 10 }
    await client.indexes.create({ name: 'streamed', dimension: 8, stream })
    const patient = new Client({ url: service.url, key: KEY, retriesMax: 20 })
    const { accepted } = await patient.index('streamed').stream(points(450))
    assert.equal(accepted, 450)
    assert.equal(await count(client.index('streamed')), 450)
  })

  it('measures, promotes and steps back and forth, and tells the history of it', async () => {
    const { tuning } = client.index('many')
    const progress: string[] = []
    await client.evals.generate('set', { index: 'many', k: 5, queries: 40, source: 'index' })
    const request = { eval: 'set', min_recall: 0.1, grid: [{ m: 8, ef_construction: 40 }] }
    const onProgress = (operation: { readonly state: string }): void => {
      progress.push(operation.state)
    }
    const trial = await tuning.runTrial(
      { eval: 'set', config: { m: 6, ef_construction: 30 } },
      { onProgress, pollMs: 50 },
    )
    assert.equal(trial.state, 'completed')
    assert.equal(progress.at(-1), 'succeeded')
    const outcome = await tuning.autotune(request, { pollMs: 50 })
    assert.ok(outcome.trials.length > 0)
    const promoted = await tuning.promote(trial.trial_id, { note: 'by hand', rebuild: 'lazy' })
    assert.equal(promoted.current?.config.m, 6)
    const before = promoted.revision
    await assert.rejects(tuning.rollback({ ifRevision: before + 1 }), hasCode('revision_mismatch'))
    const back = await tuning.rollback({ ifRevision: before, rebuild: 'lazy' })
    assert.notEqual(back.current?.trial_id, trial.trial_id)
    assert.equal((await tuning.rollForward({ rebuild: 'lazy' })).current?.config.m, 6)
    const kinds: string[] = []
    for await (const entry of tuning.history()) kinds.push(entry.kind)
    assert.deepEqual(kinds.slice(0, 3), ['roll_forward', 'rollback', 'promote'])
    assert.equal((await tuning.recall()).recall_slo.status, 'unknown')
    const ids: string[] = []
    for await (const { trial_id } of tuning.trials()) ids.push(trial_id)
    assert.ok(ids.includes(trial.trial_id))
  })

  it('a signal that ends the waiting for an operation cancels it on the service', async () => {
    const controller = new AbortController()
    let id = ''
    const grid = [100, 200, 300].map((ef_construction) => ({ m: 48, ef_construction }))
    const running = client.index('many').tuning.autotune(
      { eval: 'set', grid },
      {
        ...{ signal: controller.signal, pollMs: 20 },
        onProgress: ({ operation_id }) => {
          id = operation_id
          controller.abort(new Error('enough'))
        },
      },
    )
    await assert.rejects(running, /enough/)
    await assert.rejects(client.operations.wait(id), (error) => {
      assert.ok(error instanceof OperationFailedError)
      assert.equal(error.operation.state, 'cancelled')
      return true
    })
  })

  it('tells errors by their code, with the id of the request and no key in them', async () => {
    const error = await client
      .index('nowhere')
      .search({ vector: [1], k: 1 })
      .catch((e: unknown) => e)
    assert.ok(error instanceof VectordApiError)
    const { code, status, retryable, details } = error
    assert.deepEqual(
      { code, status, retryable },
      { code: 'index_not_found', status: 404, retryable: false },
    )
    assert.equal(details['index'], 'nowhere')
    assert.match(error.requestId ?? '', /./)
    const stranger = new Client({ url: service.url, key: 'wrong-key-of-somebody' })
    const refused: unknown = await stranger.indexes.list().catch((e: unknown) => e)
    assert.ok(refused instanceof VectordApiError)
    assert.equal(refused.code, 'unauthenticated')
    assert.doesNotMatch(JSON.stringify(refused) + String(refused.stack), /wrong-key/)
    const reader = new Client({ url: service.url, key: 'reader' })
    await assert.rejects(reader.index('many').delete(['a']), hasCode('forbidden'))
  })

  it('tells of health, readiness, buckets and the agent', async () => {
    assert.equal((await client.health()).status, 'ok')
    assert.equal((await client.ready()).ready, true)
    assert.deepEqual(
      (await client.buckets.list()).map(({ name }) => name),
      ['primary'],
    )
    const added = await client.buckets.add({
      ...{ name: 'more', backend: 'local', root: join(folder, 'more') },
    })
    assert.equal(added.role, 'extra')
    assert.ok((await client.buckets.health()).every(({ reachable }) => reachable))
    await client.buckets.remove('more')
    assert.equal(typeof (await client.agent.status()), 'object')
    assert.equal(typeof (await client.index('many').tuning.explain()), 'object')
  })
})
