/**
 * The Lance core across its process: every verb, locally and on a real S3 server; what happens to
 * requests when it dies, hangs in a queue or ends; and that no acknowledged write is lost by a kill.
 */

import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { createServer } from 'node:net'
import { after, before, describe, it, type TestContext } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { LanceCore, type LanceCoreOptions } from '../../src/dataplane/lance-core.ts'
import type { RemoteLanceTable } from '../../src/dataplane/remote-lance-table.ts'
import type { BucketSpec } from '../../src/domain/shard-spec.ts'
import { hasCode } from '../../src/lib/errors.ts'
import { ALL, localBucket, NONE, rowsOf, searchOf, specOf } from '../engines/lance/lance-world.ts'
import { startS3Server, type S3Server } from '../support/s3-server.ts'
import { randomVectors, seededRandom, vectorAt } from '../support/vectors.ts'
import { refused, until } from './plane.ts'

type Events = { readonly message: string; readonly fields: Readonly<Record<string, unknown>> }[]

function startCore(
  test: TestContext,
  options: LanceCoreOptions = {},
): { readonly core: LanceCore; readonly events: Events } {
  const events: Events = []
  const core = new LanceCore({
    restartMinMs: 10,
    restartMaxMs: 50,
    log: (_level, fields, message) => void events.push({ message, fields }),
    ...options,
  })
  test.after(() => core.close(500))
  return { core, events }
}

async function localCore(
  test: TestContext,
  options: LanceCoreOptions = {},
): Promise<ReturnType<typeof startCore> & { readonly table: RemoteLanceTable }> {
  const started = startCore(test, options)
  const spec = specOf(await localBucket(test))
  await started.core.create(spec)
  return { ...started, table: started.core.table(spec) }
}

/** Ends the process of the core the way that native code does. */
function abort(core: LanceCore): void {
  const { pid } = core.status
  assert.ok(pid !== null)
  process.kill(pid, 'SIGABRT')
}

/** Every verb once, over whatever the bucket is. */
async function useEveryVerb(core: LanceCore, bucket: BucketSpec): Promise<void> {
  const dimension = 16
  const set = randomVectors(400, dimension, 1)
  const spec = specOf(bucket, { index: `all-${randomUUID()}`, dimension, metric: 'cosine' })
  const table = core.table(spec)
  await refused(table.count(null), 'index_not_found')
  await core.create(spec)
  await core.create(spec)
  const ids = Array.from({ length: set.count }, (_, i) => `it's ${i}`)
  const metadata = ids.map((_, i) => (i === 0 ? null : JSON.stringify({ n: i, "k'": ['😀'] })))
  const texts = ids.map((id, i) => (i % 2 === 0 ? null : `text of ${id}`))
  const rows = rowsOf(ids, { dimension, vectors: set.values, metadata, texts })
  const first = await table.append(rows)
  const second = await table.upsert(
    rowsOf(['new', ids[1] ?? ''], { dimension, vectors: set.values.slice(0, 32) }),
  )
  assert.ok(second.version > first.version)
  await table.buildScalarIndex()
  await table.buildIndex('ivf_hnsw_sq')
  const query = { k: 3, include: ALL, refineFactor: 5, ef: 64 }
  const answer = await table.search(searchOf(vectorAt(set, 9), query))
  assert.equal(answer.path, 'ivf')
  assert.equal(answer.hits.length, 3)
  const [hit] = answer.hits
  assert.ok(hit !== undefined && Math.abs(hit.distance) < 1e-5)
  const { distance: _, ...point } = hit
  const fetched = await table.fetch(["it's 9", 'absent'], ALL, null)
  assert.deepEqual(fetched.points, [point, null])
  assert.deepEqual(point, {
    ...{ id: "it's 9", version: first.version, text: texts[9], metadata: metadata[9] },
    vector: vectorAt(set, 9).slice(),
  })
  const filtered = await table.search(
    searchOf(vectorAt(set, 9), { k: 50, exact: true, filter: '{"n":{"$lt":5},"k\'":"😀"}' }),
  )
  assert.deepEqual(filtered.hits.map(({ id }) => id).toSorted(), ["it's 2", "it's 3", "it's 4"])
  assert.equal(filtered.path, 'exact')
  const page = { after: "it's 98", limit: 2, filter: null, include: NONE, asOf: null }
  const scrolled = await table.scroll(page)
  assert.deepEqual(
    scrolled.points.map(({ id }) => id),
    ["it's 99", 'new'],
  )
  assert.ok(scrolled.done)
  assert.equal((await table.sample(10, 1)).vectors.length, 10 * dimension)
  assert.equal((await table.deleteMatching('{"n":{"$gte":300}}')).deleted, 100)
  await table.delete(['new'])
  assert.equal((await table.count(null)).count, 300)
  const old = await table.fetch(["it's 350"], NONE, first.version)
  assert.equal(old.points[0]?.id, "it's 350")
  const stats = await table.stats()
  assert.equal(stats.rows, 300)
  assert.ok(stats.bytes > 300 * dimension * 4)
  assert.deepEqual(stats.indices.map(({ column }) => column).toSorted(), ['id', 'vector'])
  await table.optimize(0)
  const versions = await table.versions()
  assert.ok(versions.every(({ createdMs }) => Math.abs(createdMs - Date.now()) < 300_000))
  assert.equal((await table.count(null)).count, 300)
  await table.drop()
  await refused(table.count(null), 'index_not_found')
  assert.equal(core.status.deaths, 0)
}

it('every verb crosses, over a local bucket', async (t) => {
  const { core } = startCore(t)
  assert.equal(core.status.state, 'idle')
  await useEveryVerb(core, await localBucket(t))
  assert.equal(core.status.state, 'running')
})

it('what the engine refuses crosses with its code, and the core lives on', async (t) => {
  const { core, table } = await localCore(t)
  await table.append(rowsOf(['a']))
  await refused(table.search(searchOf(Float32Array.of(1))), 'vector_dimension_mismatch')
  await refused(table.append(rowsOf(['b'], { metadata: ['{'] })), 'invalid_points')
  await refused(table.count('{"a":{"$x":1}}'), 'invalid_filter')
  await refused(table.count('{'), 'invalid_filter')
  await refused(table.fetch(['a'], NONE, 1e15), 'lance_version_gone')
  await refused(table.buildIndex('ivf_pq'), 'lance_too_few_rows')
  await refused(table.count(null, { deadlineMs: Date.now() - 1 }), 'deadline_exceeded')
  const odd = Float32Array.of(NaN, Infinity)
  await refused(table.append(rowsOf(['odd'], { vectors: odd })), 'invalid_vector')
  await table.append(rowsOf(['b']))
  await refused(table.search(searchOf(odd)), 'invalid_vector')
  await table.search(searchOf(Float32Array.of(1, 1), { k: 5 }))
  assert.equal((await table.count(null)).count, 2)
  assert.equal(core.status.deaths, 0)
})

it('when the core dies every open request is answered at once, and the next one starts it', async (t) => {
  const { core, table, events } = await localCore(t, { restartMinMs: 300 })
  await table.append(rowsOf(['a']))
  const open = Array.from({ length: 20 }, () => table.count(null))
  abort(core)
  for (const result of await Promise.allSettled(open)) {
    if (result.status === 'rejected') assert.ok(hasCode(result.reason, 'core_unavailable'))
  }
  await until(() => core.status.state === 'restarting')
  const startedMs = performance.now()
  await refused(table.count(null), 'core_unavailable')
  assert.ok(performance.now() - startedMs < 50)
  await until(() => core.status.state === 'idle')
  assert.equal((await table.count(null)).count, 1)
  assert.equal(core.status.deaths, 1)
  assert.ok(events.some(({ message }) => message === 'Lance core died'))
})

it('a queue that is full refuses, and a deadline does not wait for the core', async (t) => {
  const { core, table } = await localCore(t, { queueMax: 4 })
  await table.append(rowsOf(['a']))
  const { pid } = core.status
  assert.ok(pid !== null)
  process.kill(pid, 'SIGSTOP')
  const waiting = Array.from({ length: 4 }, () =>
    table.count(null, { deadlineMs: Date.now() + 100 }),
  )
  await refused(table.count(null), 'core_suspended')
  for (const late of waiting) await refused(late, 'deadline_exceeded')
  process.kill(pid, 'SIGCONT')
  assert.equal((await table.count(null)).count, 1)
})

it('a bucket that answers nothing keeps nobody from the tables of another', async (t) => {
  const silent = createServer(() => undefined)
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    silent.close()
  })
  const address = silent.address()
  assert.ok(address !== null && typeof address === 'object')
  const { core, table } = await localCore(t)
  await table.append(rowsOf(['a']))
  const dead = core.table(
    specOf({
      ...{ backend: 's3', bucket: 'b', prefix: '', region: 'us-east-1' },
      credentials: { accessKeyId: 'somebody', secretAccessKey: 'knows' },
      endpoint: `http://127.0.0.1:${address.port}`,
    }),
  )
  const stuck = Array.from({ length: 20 }, () => refused(dead.count(null), 'core_unavailable'))
  const { count } = await table.count(null, { deadlineMs: Date.now() + 20_000 })
  assert.equal(count, 1)
  abort(core)
  await Promise.all(stuck)
})

it('a core that says nothing is killed', async (t) => {
  const { core, table } = await localCore(t, { silenceMaxMs: 5000 })
  const { pid } = core.status
  assert.ok(pid !== null)
  process.kill(pid, 'SIGSTOP')
  await refused(table.count(null), 'core_unavailable')
  await until(() => core.status.state === 'idle')
  assert.equal((await table.count(null)).count, 0)
})

it('close waits for what is open, refuses what comes, and ends the process', async (t) => {
  const { core, table } = await localCore(t)
  const { pid } = core.status
  assert.ok(pid !== null)
  const open = table.append(rowsOf(['a']))
  const closed = core.close(5000)
  await refused(table.count(null), 'shutting_down')
  assert.ok((await open).version > 0)
  await closed
  await core.close(0)
  assert.throws(() => process.kill(pid, 0))
  assert.equal(core.status.state, 'stopped')
  await new LanceCore().close(0)
})

it('kills in the middle of writes lose no acknowledged row and leave a whole version', async (t) => {
  const { core, table } = await localCore(t)
  const random = seededRandom(3)
  const acknowledged = new Set<string>()
  const sent = new Set<string>()
  const ROWS = 20
  for (let round = 0; round < 6; round += 1) {
    let isOver = false
    const writers = Array.from({ length: 3 }, async (_, writer) => {
      for (let n = 0; !isOver; n += 1) {
        const batch = `${round}-${writer}-${n}`
        sent.add(batch)
        const rows = rowsOf(Array.from({ length: ROWS }, (_row, i) => `${batch}/${i}`))
        try {
          await (writer === 0 ? table.upsert(rows) : table.append(rows))
          acknowledged.add(batch)
        } catch (error) {
          assert.ok(hasCode(error, 'core_unavailable'), String(error))
          return
        }
      }
    })
    // Once writes of this process are under way, at some moment of one.
    const before = acknowledged.size
    await until(() => acknowledged.size > before)
    await delay(40 * random())
    const { pid } = core.status
    assert.ok(pid !== null)
    process.kill(pid, 'SIGKILL')
    await until(() => core.status.state === 'idle' || core.status.state === 'restarting')
    isOver = true
    await Promise.all(writers)
    await until(() => core.status.state === 'idle')
    const page = { after: null, limit: 100_000, filter: null, include: NONE, asOf: null }
    const { points } = await table.scroll(page)
    const found = Map.groupBy(points, ({ id }) => id.split('/')[0] ?? '')
    for (const batch of acknowledged) assert.equal(found.get(batch)?.length, ROWS, batch)
    for (const [batch, rows] of found) {
      assert.ok(sent.has(batch) && rows.length === ROWS, `half of ${batch}`)
    }
  }
  assert.equal(core.status.deaths, 6)
  assert.ok(acknowledged.size >= 6)
})

describe('on a real S3 server', () => {
  let server: S3Server | null = null

  before(async () => {
    server = await startS3Server()
  })
  after(async () => {
    await server?.close()
  })

  async function s3Bucket(test: TestContext): Promise<(BucketSpec & { backend: 's3' }) | null> {
    if (server === null) {
      test.skip('there is no S3 server')
      return null
    }
    const bucket = `lance-${randomUUID()}`
    await server.createBucket(bucket)
    const { endpoint, accessKeyId, secretAccessKey } = server
    const credentials = { accessKeyId, secretAccessKey }
    return { backend: 's3', bucket, prefix: 'a/b c/', region: 'us-east-1', endpoint, credentials }
  }

  it('every verb crosses', async (t) => {
    const bucket = await s3Bucket(t)
    if (bucket !== null) await useEveryVerb(startCore(t).core, bucket)
  })

  it('eight writers at once lose nothing, in two processes', async (t) => {
    const bucket = await s3Bucket(t)
    if (bucket === null) return
    const spec = specOf(bucket)
    const one = startCore(t).core.table(spec)
    const other = startCore(t).core.table(spec)
    await one.create()
    await Promise.all(
      Array.from({ length: 8 }, async (_, i) => {
        await (i % 2 === 0 ? one : other).append(rowsOf([`a${i}`, `b${i}`]))
      }),
    )
    for (const table of [one, other]) {
      await untilTrue(async () => (await table.count(null)).count === 16)
    }
  })

  it('an id that two processes add at once is there once', async (t) => {
    const bucket = await s3Bucket(t)
    if (bucket === null) return
    const spec = specOf(bucket)
    const one = startCore(t).core.table(spec)
    const other = startCore(t).core.table(spec)
    await one.create()
    for (let round = 0; round < 10; round += 1) {
      const rows = rowsOf([`p${round}`])
      await Promise.all([one.upsert(rows), other.upsert(rows)])
    }
    await untilTrue(async () => (await one.count(null)).count >= 10)
    assert.deepEqual(await one.repeated(), [])
    assert.equal((await one.count(null)).count, 10)
  })

  it('newer credentials are used, wrong ones and a server that is down are told', async (t) => {
    const bucket = await s3Bucket(t)
    if (bucket === null) return
    const { core } = startCore(t)
    const wrong = { accessKeyId: 'NOBODY', secretAccessKey: 'wrong' }
    const wronged = core.table(specOf({ ...bucket, credentials: wrong }))
    await refused(wronged.create(), 'storage_error')
    const table = core.table(specOf(bucket))
    await table.create()
    await table.append(rowsOf(['a']))
    assert.equal((await table.count(null)).count, 1)
    const down = { ...bucket, endpoint: 'http://127.0.0.1:9' }
    const error = await refused(core.table(specOf(down)).count(null), 'bucket_unreachable')
    assert.doesNotMatch(JSON.stringify([error.message, error.details]), /secret/i)
    assert.equal(core.status.deaths, 0)
  })
})

async function untilTrue(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds())) await delay(50)
}
