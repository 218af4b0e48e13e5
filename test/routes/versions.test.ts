/** The HTTP contract of versions: the list, one of them, and searches as of a write. */

import assert from 'node:assert/strict'
import { it, type TestContext } from 'node:test'
import { openApp, type TestApp } from '../support/http-app.ts'

const URL = '/vectors/indexes/words'

/** `a` was written at 1, 3 and 5 and deleted at 4, `b` was written at 2; three versions are kept. */
async function open(t: TestContext): Promise<TestApp> {
  const app = await openApp(t)
  const retention = { keep_last_versions: 3 }
  await app.send('POST', '/vectors/indexes', {
    name: 'words',
    dimension: 2,
    metric: 'l2',
    retention,
  })
  const put = (id: string, n: number) =>
    app.send('POST', `${URL}/points`, {
      points: [{ id, vector: [n, 0], text: `text ${n}`, metadata: { n } }],
    })
  await put('a', 1)
  await put('b', 2)
  await put('a', 3)
  await app.send('POST', `${URL}/points/delete`, { ids: ['a'] })
  await put('a', 5)
  return app
}

it('200: versions are listed newest first with what held when; a delete is one', async (t) => {
  const { send } = await open(t)
  const { status, body, headers } = await send('GET', `${URL}/points/a/versions`)
  const versions = [
    { version: 5, live: true, deleted: false, ended_at: null, metadata: { n: 5 } },
    { version: 4, live: false, deleted: true, ended_at: 5, metadata: null },
    { version: 3, live: false, deleted: false, ended_at: 4, metadata: { n: 3 } },
  ]
  assert.deepEqual([status, body], [200, { id: 'a', versions, next_cursor: null, lsn: 5 }])
  assert.equal(headers['x-vectord-lsn'], '5')
  const whole = await send('GET', `${URL}/points/b/versions?include=vector,text`)
  assert.deepEqual((whole.body as { versions: unknown }).versions, [
    { version: 2, live: true, deleted: false, ended_at: null, text: 'text 2', vector: [2, 0] },
  ])
})

it('200: pages of versions follow each other by cursor', async (t) => {
  const { send } = await open(t)
  const seen: number[] = []
  let cursor = ''
  for (let pages = 0; pages < 4; pages += 1) {
    const { body } = await send('GET', `${URL}/points/a/versions?limit=1${cursor}`)
    const page = body as { versions: { version: number }[]; next_cursor: string | null }
    seen.push(...page.versions.map(({ version }) => version))
    if (page.next_cursor === null) break
    cursor = `&cursor=${page.next_cursor}`
  }
  assert.deepEqual(seen, [5, 4, 3])
})

it('200: a deleted point still has its versions', async (t) => {
  const { send } = await open(t)
  await send('POST', `${URL}/points/delete`, { ids: ['b'] })
  assert.equal((await send('GET', `${URL}/points/b`)).status, 404)
  const { body } = await send('GET', `${URL}/points/b/versions`)
  assert.deepEqual(
    (body as { versions: { version: number; deleted: boolean }[] }).versions.map((one) => [
      one.version,
      one.deleted,
    ]),
    [
      [6, true],
      [2, false],
    ],
  )
})

it('404: no live point and no version that is kept; no index', async (t) => {
  const { send } = await open(t)
  const missing = await send('GET', `${URL}/points/none/versions`)
  assert.deepEqual([missing.status, missing.code], [404, 'point_not_found'])
  const noIndex = await send('GET', '/vectors/indexes/nothing/points/a/versions')
  assert.deepEqual([noIndex.status, noIndex.code], [404, 'index_not_found'])
})

it('400: bad queries of the list are refused by name', async (t) => {
  const { send } = await open(t)
  const cases: [string, string][] = [
    ['limit=0', 'bad_request'],
    ['limit=1001', 'limit_exceeded'],
    ['limit=x', 'bad_request'],
    ['cursor=nonsense', 'invalid_cursor'],
    ['include=all', 'bad_request'],
    ['as_of=1', 'bad_request'],
  ]
  for (const [query, code] of cases) {
    const reply = await send('GET', `${URL}/points/a/versions?${query}`)
    assert.deepEqual([query, reply.status, reply.code], [query, 400, code])
  }
  const long = await send('GET', `${URL}/points/${'x'.repeat(600)}/versions`)
  assert.deepEqual([long.status, long.code], [400, 'bad_request'])
})

it('200 and 404: one version is fetched where it is kept', async (t) => {
  const { send } = await open(t)
  for (const [version, n] of [
    [5, 5],
    [3, 3],
  ]) {
    const { status, body } = await send('GET', `${URL}/points/a?version=${version}`)
    assert.deepEqual([status, body], [200, { id: 'a', version, metadata: { n } }])
  }
  // Given up, a delete, one of another point, one that never was.
  for (const version of [1, 4, 2, 99]) {
    const { status, code, body } = await send('GET', `${URL}/points/a?version=${version}`)
    assert.deepEqual([status, code], [404, 'point_not_found'])
    const { details } = (body as { error: { details: unknown } }).error
    assert.deepEqual(details, { index: 'words', version })
  }
  for (const version of ['-1', '1.5', 'x', '']) {
    const reply = await send('GET', `${URL}/points/a?version=${version}`)
    assert.deepEqual([reply.status, reply.code], [400, 'bad_request'], version)
  }
})

interface Found {
  readonly results: { readonly id: string; readonly version: number }[]
  readonly as_of?: unknown
}

it('200: a search as of a write finds what was there, and says whether that is all', async (t) => {
  const { send } = await open(t)
  const at = async (as_of: number | null): Promise<unknown> => {
    const { status, text, body } = await send('POST', `${URL}/search`, { vector: [0, 0], as_of })
    assert.equal(status, 200, text)
    const { results, as_of: told } = body as Found
    return [results.map(({ id, version }) => `${id}${version}`).join(), told]
  }
  // The version 1 of `a` was given up: it ended at 3.
  const told = (lsn: number): unknown => ({ lsn, complete: lsn >= 3, complete_from: 3 })
  assert.deepEqual(await at(0), ['', told(0)])
  assert.deepEqual(await at(2), ['b2', told(2)])
  assert.deepEqual(await at(3), ['b2,a3', told(3)])
  assert.deepEqual(await at(4), ['b2', told(4)])
  assert.deepEqual(await at(5), ['b2,a5', told(5)])
  assert.deepEqual(await at(null), ['b2,a5', undefined])
})

it('400: what cannot be read as of is refused by name', async (t) => {
  const { send } = await open(t)
  for (const as_of of [-1, 1.5, '3', 6, true, [3], 2 ** 53]) {
    const reply = await send('POST', `${URL}/search`, { vector: [0, 0], as_of })
    assert.deepEqual([reply.status, reply.code], [400, 'bad_request'], JSON.stringify(as_of))
    const { details } = (reply.body as { error: { details: { field: string } } }).error
    assert.equal(details.field, 'as_of')
  }
})

it('the statistics count the versions that are kept', async (t) => {
  const { send } = await open(t)
  const { body } = await send('GET', URL)
  assert.equal((body as { stats: { kept_versions: number } }).stats.kept_versions, 1)
})
