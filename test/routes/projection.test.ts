/** The HTTP contract of the projection: by status, and for whom. */

import assert from 'node:assert/strict'
import { it, type TestContext } from 'node:test'
import { projectionRoutes } from '../../routes/projection.ts'
import { parseApiKeys } from '../../src/http/auth.ts'
import { HTTP_LIMITS } from '../../src/http/limits.ts'
import { VectordError } from '../../src/lib/errors.ts'
import { Projection } from '../../src/projection/projection.ts'
import { projectionGauges } from '../../src/projection/projection-gauges.ts'
import { FakeTextIndex } from '../projection/fake-index-texts.ts'
import { FakeEmbedder, OLD, RULES, STAMP } from '../projection/projection-world.ts'
import { bearer, keyLine, NOW_MS, openApp, type TestApp } from '../support/http-app.ts'

const URL = '/vectors/projection'

interface World {
  readonly app: TestApp
  readonly index: FakeTextIndex
  readonly embedder: FakeEmbedder
  readonly projection: Projection
}

/** An index `words` with an embedder, one without, and both in the list of indexes. */
async function open(t: TestContext, keys: string[] = []): Promise<World> {
  const app = await openApp(t, { keys: parseApiKeys(keys) })
  const embedder = new FakeEmbedder()
  const index = new FakeTextIndex('words', STAMP)
  const all = [index, new FakeTextIndex('plain', null)]
  const projection = new Projection({
    indexes: {
      list: () => all,
      get: (name) => {
        const found = all.find(({ info }) => info.name === name)
        if (found === undefined) throw new VectordError('index_not_found', 'There is none.')
        return found
      },
    },
    embedders: { get: () => embedder },
    ...{ rules: RULES, nowMs: () => NOW_MS, onTrouble: (error) => assert.fail(String(error)) },
  })
  t.after(() => projection.close())
  await app.app.register(projectionRoutes, {
    ...{ indexes: app.indexes, limits: HTTP_LIMITS, nowMs: () => NOW_MS, projection },
  })
  const admin = keys.length === 0 ? {} : bearer('a-secret')
  for (const name of ['words', 'plain']) {
    const created = await app.send('POST', '/vectors/indexes', { name, dimension: 2 }, admin)
    assert.equal(created.status, 201, created.text)
  }
  return { app, index, embedder, projection }
}

it('200: a drain says what it has done, and the status what is left', async (t) => {
  const { app, index, embedder, projection } = await open(t)
  index.write({ a: 'one', b: 'bad' })
  index.writeOld({ c: 'three' }, OLD)
  embedder.answer = (texts) =>
    texts.map((text) => Float32Array.of(text === 'bad' ? NaN : 1, text.length))
  const drained = await app.send('POST', `${URL}/drain`, {})
  assert.deepEqual(drained.body, {
    ...{ outcome: 'idle', incremental_processed: 1, backfill_processed: 1, failed: 1 },
    ...{ discarded_stale: 0, embedder_unavailable_ticks: 0 },
  })
  const status = await app.send('GET', URL)
  const { indexes } = status.body as { indexes: Record<string, unknown>[] }
  assert.equal(indexes.length, 1)
  const { state, pending, failed, embedder: stamp, index: name } = indexes[0] ?? {}
  assert.deepEqual(
    { name, state, pending, failed, stamp },
    { name: 'words', state: 'idle', pending: { writes: 1, backfill: 0 }, failed: 1, stamp: STAMP },
  )
  const gauges = projectionGauges(projection).map(({ name: gauge, read }) => [gauge, read()])
  const one = (value: number) => [{ labels: {}, value }]
  assert.deepEqual(Object.fromEntries(gauges), {
    projection_pending_texts: [
      { labels: { kind: 'writes' }, value: 0 },
      { labels: { kind: 'backfill' }, value: 0 },
    ],
    projection_failed_texts: one(1),
    projection_freshness_seconds: one(0),
    projection_texts_total: [
      { labels: { outcome: 'incremental' }, value: 1 },
      { labels: { outcome: 'backfill' }, value: 1 },
      { labels: { outcome: 'failed' }, value: 1 },
      { labels: { outcome: 'discarded' }, value: 0 },
    ],
    projection_unavailable_ticks_total: one(0),
  })
})

it('200: failed texts are listed by pages and requeued by id, or all', async (t) => {
  const { app, index, embedder } = await open(t)
  const { answer } = embedder
  embedder.answer = (texts) => texts.map(() => new Float32Array(3))
  index.write({ a: 'one', b: 'two', c: 'three' })
  await app.send('POST', `${URL}/drain`, { index: 'words' })
  const page = await app.send('GET', `${URL}/failed?index=words&limit=2`)
  const first = page.body as { failed: { id: string; reason: object }[]; next_cursor: string }
  assert.deepEqual(
    first.failed.map(({ id }) => id),
    ['a', 'b'],
  )
  assert.deepEqual(first.failed[0]?.reason, {
    code: 'embedder_failed',
    message: 'The embedder made a vector of 3 numbers, not of 2.',
  })
  const rest = await app.send('GET', `${URL}/failed?index=words&cursor=${first.next_cursor}`)
  assert.deepEqual((rest.body as { next_cursor: null }).next_cursor, null)
  embedder.answer = answer
  const some = await app.send('POST', `${URL}/requeue`, { index: 'words', ids: ['b', 'zz'] })
  assert.deepEqual(some.body, { requeued: 1, unknown: ['zz'] })
  const all = await app.send('POST', `${URL}/requeue`, { index: 'words', all: true })
  assert.deepEqual(all.body, { requeued: 2, unknown: [] })
  await app.send('POST', `${URL}/drain`, { index: 'words' })
  assert.deepEqual(index.waiting, [])
})

it('400: what is no request of ours', async (t) => {
  const { app } = await open(t)
  const cases: [string, string, unknown, string][] = [
    ['POST', `${URL}/drain`, { index: 'a/b' }, 'invalid_name'],
    ['POST', `${URL}/drain`, { deadline_ms: 0 }, 'bad_request'],
    ['POST', `${URL}/drain`, { deadline_ms: '5' }, 'bad_request'],
    ['POST', `${URL}/drain`, { deadline_ms: 1e12 }, 'limit_exceeded'],
    ['POST', `${URL}/drain`, { force: true }, 'bad_request'],
    ['POST', `${URL}/requeue`, {}, 'bad_request'],
    ['POST', `${URL}/requeue`, { index: 'words' }, 'bad_request'],
    ['POST', `${URL}/requeue`, { index: 'words', ids: ['a'], all: true }, 'bad_request'],
    ['POST', `${URL}/requeue`, { index: 'words', all: false }, 'bad_request'],
    ['POST', `${URL}/requeue`, { index: 'words', ids: [] }, 'bad_request'],
    ['POST', `${URL}/requeue`, { index: 'words', ids: ['a', '\ud800'] }, 'bad_request'],
    ['POST', `${URL}/requeue`, { index: 'words', ids: ['x'.repeat(513)] }, 'bad_request'],
    ['GET', `${URL}/failed`, undefined, 'bad_request'],
    ['GET', `${URL}/failed?index=words&limit=0`, undefined, 'bad_request'],
    ['GET', `${URL}/failed?index=words&cursor=0x1`, undefined, 'invalid_cursor'],
    ['GET', `${URL}?all=true`, undefined, 'bad_request'],
  ]
  for (const [method, url, body, code] of cases) {
    const reply = await app.send(method, url, body)
    assert.deepEqual([reply.status, reply.code], [400, code], `${url} ${JSON.stringify(body)}`)
  }
})

it('404 and 409: no such index; one without an embedder; an embedder that is another one', async (t) => {
  const { app, embedder } = await open(t)
  const ask = (name: string): [string, string, unknown][] => [
    ['POST', `${URL}/drain`, { index: name }],
    ['GET', `${URL}/failed?index=${name}`, undefined],
    ['POST', `${URL}/requeue`, { index: name, all: true }],
  ]
  for (const [name, status, code] of [
    ['nope', 404, 'index_not_found'],
    ['plain', 409, 'not_configured'],
  ] as const) {
    for (const [method, url, body] of ask(name)) {
      const reply = await app.send(method, url, body)
      assert.deepEqual([reply.status, reply.code], [status, code], url)
    }
  }
  embedder.is = { ...STAMP, dimension: 3 }
  const reply = await app.send('POST', `${URL}/drain`, { index: 'words' })
  assert.deepEqual([reply.status, reply.code], [409, 'embedder_mismatch'])
})

it('401 and 403: reads need read, the rest write; a key sees the indexes of its prefixes', async (t) => {
  const { app, index } = await open(t, [
    keyLine('r', 'read', 'r-secret'),
    keyLine('a', 'admin', 'a-secret'),
    keyLine('team', 'write', 't-secret', 'team_'),
  ])
  index.write({ a: 'one' })
  assert.equal((await app.send('GET', URL)).status, 401)
  assert.equal((await app.send('GET', URL, undefined, bearer('r-secret'))).status, 200)
  for (const [path, body] of [
    ['drain', {}],
    ['requeue', { index: 'words', all: true }],
  ] as const) {
    const reply = await app.send('POST', `${URL}/${path}`, body, bearer('r-secret'))
    assert.equal(reply.status, 403)
  }
  const team = bearer('t-secret')
  const status = await app.send('GET', URL, undefined, team)
  assert.deepEqual(status.body, { indexes: [] })
  const drained = await app.send('POST', `${URL}/drain`, {}, team)
  assert.equal((drained.body as { incremental_processed: number }).incremental_processed, 0)
  for (const name of ['words', 'nope']) {
    for (const [method, url, body] of [
      ['POST', `${URL}/drain`, { index: name }],
      ['GET', `${URL}/failed?index=${name}`, undefined],
      ['POST', `${URL}/requeue`, { index: name, all: true }],
    ] as const) {
      assert.equal((await app.send(method, url, body, team)).status, 403, url)
    }
  }
})
