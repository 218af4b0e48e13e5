/**
 * The HTTP contract of promotions: changes, reads, the list, the audit, by status.
 *
 * How: a real registry on buckets in memory; trials and builds are played.
 */

import assert from 'node:assert/strict'
import { it, type TestContext } from 'node:test'
import { promotionRoutes } from '../../routes/promotions.ts'
import { MemoryStore } from '../../src/buckets/memory-store.ts'
import { parseApiKeys } from '../../src/http/auth.ts'
import type { HttpOptions } from '../../src/http/build-http.ts'
import { VectordError } from '../../src/lib/errors.ts'
import { PromotionRegistry } from '../../src/promotions/promotion-registry.ts'
import type { PromotionState } from '../../src/promotions/promotion-file.ts'
import type { ConfigChangeOutcome, ConfigChanges } from '../../src/services/config-changes.ts'
import { FaultyStore } from '../support/faulty-store.ts'
import { bearer, keyLine, NOW_MS, openApp, type TestApp } from '../support/http-app.ts'

const URL = '/vectors/hnsw'
const AT = new Date(NOW_MS).toISOString()
const CONFIG = { m: 24, efConstruction: 300, efSearch: null, seed: 7 }

interface AuditEntry {
  readonly error: { readonly code: string; readonly message: string } | null
}

interface World extends TestApp {
  readonly store: FaultyStore
  readonly promotions: PromotionRegistry
}

/** With the indexes `docs` and `team_docs` in the bucket `primary`. */
async function open(t: TestContext, options: Partial<HttpOptions> = {}): Promise<World> {
  const app = await openApp(t, options)
  const store = new FaultyStore(new MemoryStore())
  const promotions = new PromotionRegistry({
    buckets: {
      names: () => ['primary'],
      store: () => store,
      homeOf: (index) => app.indexes.get(index).info.bucket,
    },
    nowMs: () => NOW_MS,
    onChange: () => undefined,
  })
  const changes = playedChanges(promotions)
  await app.app.register(promotionRoutes, { indexes: app.indexes, promotions, changes })
  for (const name of ['docs', 'team_docs']) {
    await app.indexes.create({
      ...{ name, dimension: 3, metric: 'cosine', bucket: 'primary', shards: 1 },
      ...{ keepLastVersions: 1, createdBy: 'test', hnsw: { ...CONFIG, m: 16 } },
    })
  }
  return { ...app, store, promotions }
}

/** Knows every trial but `unknown`; warns of `weak`; builds where it shall be now. */
function playedChanges(promotions: PromotionRegistry): ConfigChanges {
  const outcome = (
    { revision, document }: PromotionState,
    rebuild: string,
    warnings: readonly string[] = [],
  ): ConfigChangeOutcome => {
    assert.ok(document !== null)
    const operationId = rebuild === 'now' ? `build-${revision}` : null
    return { document, revision, warnings, operationId }
  }
  return {
    promote: async (index, trialId, { promotedBy, ef = CONFIG.efSearch, ...by }) => {
      if (trialId === 'unknown') throw new VectordError('object_not_found', 'No such trial.')
      const warnings = trialId === 'weak' ? ['Its recall is under the floor.'] : []
      const promotion = { config: { ...CONFIG, efSearch: ef }, trialId, promotedBy }
      return outcome(await promotions.promote(index, promotion, by), by.rebuild, warnings)
    },
    rollback: async (index, by) => outcome(await promotions.rollback(index, by), by.rebuild),
    rollForward: async (index, by) => outcome(await promotions.rollForward(index, by), by.rebuild),
  }
}

const NEVER = {
  ...{ format: 1, index_name: 'docs', current: null, history: [], redo: [] },
  ...{ change: null, revision: 0 },
}

function entryJson(trialId: string, note: string | null = null): object {
  const config = { m: 24, ef_construction: 300, ef_search: null, seed: 7 }
  return { config, trial_id: trialId, promoted_at: AT, promoted_by: 'local', note }
}

function changeJson(kind: string, rebuild: string, note: string | null = null): object {
  return { kind, by: 'local', at: AT, note, rebuild }
}

it('200: never promoted is an answer, with no current entry and an empty history', async (t) => {
  const { send } = await open(t)
  const reply = await send('GET', `${URL}/promoted/docs`)
  assert.deepEqual([reply.status, reply.headers['etag'], reply.body], [200, '"0"', NEVER])
  const list = await send('GET', `${URL}/promoted`)
  assert.deepEqual(list.body, { promoted: [], errors: [] })
  const audit = await send('GET', `${URL}/promoted/docs/audit`)
  assert.deepEqual(audit.body, { entries: [], next_cursor: null })
})

it('200: promote, roll back, roll forward answer the stored document and the build', async (t) => {
  const { send } = await open(t)
  const first = await send('POST', `${URL}/promote/docs/a`)
  assert.deepEqual([first.status, first.headers['etag']], [200, '"1"'])
  assert.deepEqual(first.body, {
    ...{ ...NEVER, current: entryJson('a'), change: changeJson('promote', 'now') },
    ...{ revision: 1, warnings: [], operation_id: 'build-1' },
  })
  const query = 'promoted_by=bob&note=for%20recall&rebuild=lazy'
  const second = await send('POST', `${URL}/promote/docs/weak?${query}`)
  const weak = { ...entryJson('weak', 'for recall'), promoted_by: 'bob' }
  assert.deepEqual(second.body, {
    ...{ ...NEVER, current: weak, history: [entryJson('a')], revision: 2 },
    change: changeJson('promote', 'lazy', 'for recall'),
    ...{ warnings: ['Its recall is under the floor.'], operation_id: null },
  })
  const back = await send('POST', `${URL}/rollback/docs?note=slow&rebuild=lazy`)
  assert.deepEqual(back.body, {
    ...{ ...NEVER, current: entryJson('a'), redo: [weak], revision: 3 },
    change: { ...changeJson('rollback', 'lazy', 'slow'), discarded: weak },
    ...{ warnings: [], operation_id: null },
  })
  const forward = await send('POST', `${URL}/rollforward/docs`)
  const { current, history, operation_id } = forward.body as Record<string, unknown>
  assert.deepEqual([current, history, operation_id], [weak, [entryJson('a')], 'build-4'])
  const { warnings: _w, operation_id: _o, ...stored } = forward.body as Record<string, unknown>
  assert.deepEqual((await send('GET', `${URL}/promoted/docs`)).body, stored)
  const list = await send('GET', `${URL}/promoted`)
  const listed = { ...stored, bucket: 'primary', in_home: true }
  assert.deepEqual(list.body, { promoted: [listed], errors: [] })
})

it('200: a promotion takes the ef that is asked for', async (t) => {
  const { send } = await open(t)
  const { text } = await send('POST', `${URL}/promote/docs/a?ef=33`)
  assert.match(text, /"current":{"config":{"m":24,"ef_construction":300,"ef_search":33,/)
})

it('200: a pin is put and taken; 409 where nothing is promoted', async (t) => {
  const { send } = await open(t)
  const pin = (body: object, headers = {}) => send('PUT', `${URL}/promoted/docs/pin`, body, headers)
  const early = await pin({ pinned: true })
  assert.deepEqual([early.status, early.code], [409, 'nothing_to_pin'])
  await send('POST', `${URL}/promote/docs/a`)
  const pinned = await pin({ pinned: true, note: 'audit' }, { 'if-match': '"1"' })
  assert.deepEqual([pinned.status, pinned.headers['etag']], [200, '"2"'])
  assert.match(pinned.text, /"pinned":true/)
  assert.match(pinned.text, /"kind":"pin","by":"local","at":"[^"]+","note":"audit"/)
  assert.doesNotMatch((await pin({ pinned: false })).text, /"pinned":true/)
  for (const body of [{}, { pinned: 'yes' }, { pinned: true, extra: 1 }]) {
    assert.equal((await pin(body)).status, 400, JSON.stringify(body))
  }
})

it('200: the audit tells every change page by page, newest first', async (t) => {
  const { send, promotions, store } = await open(t)
  await send('POST', `${URL}/promote/docs/a?note=why`)
  await send('POST', `${URL}/rollback/docs?rebuild=lazy`)
  await promotions.forget('docs', 'ada')
  await store.put('_hnsw_promotions/docs/0000000004.json', Buffer.from('torn'))
  const first = await send('GET', `${URL}/promoted/docs/audit?limit=2`)
  const page = first.body as { entries: AuditEntry[]; next_cursor: string }
  const rest = await send('GET', `${URL}/promoted/docs/audit?cursor=${page.next_cursor}`)
  const { entries, next_cursor } = rest.body as typeof page
  assert.equal(next_cursor, null)
  const nothing = { note: null, rebuild: null, current: null, error: null }
  const [torn, ...others] = [...page.entries, ...entries]
  const { message, ...error } = torn?.error ?? { code: '', message: '' }
  assert.match(message, /docs\/0000000004\.json/)
  assert.deepEqual(
    { ...torn, error },
    {
      ...{ revision: 4, kind: 'unreadable', at: null, by: null, ...nothing },
      error: { code: 'object_corrupt' },
    },
  )
  assert.deepEqual(others, [
    { revision: 3, kind: 'remove', at: AT, by: 'ada', ...nothing },
    {
      ...{ revision: 2, ...changeJson('rollback', 'lazy') },
      ...{ discarded: entryJson('a', 'why'), current: null, error: null },
    },
    {
      ...{ revision: 1, ...changeJson('promote', 'now', 'why') },
      ...{ current: entryJson('a', 'why'), error: null },
    },
  ])
})

it('400: odd names, words, notes, pages and cursors', async (t) => {
  const { send } = await open(t)
  const urls = [
    ['POST', '/promote/a%2Fb/t'],
    ['POST', `/promote/docs/${'t'.repeat(129)}`],
    ['POST', '/promote/docs/t?rebuild=later'],
    ['POST', '/promote/docs/t?promoted_by='],
    ['POST', `/promote/docs/t?note=${'n'.repeat(1025)}`],
    ['POST', '/promote/docs/t?extra=1'],
    ['POST', '/promote/docs/t?ef=0'],
    ['POST', '/promote/docs/t?ef=10001'],
    ['POST', '/promote/docs/t?ef=1.5'],
    ['POST', '/rollback/docs?promoted_by=bob'],
    ['POST', '/rollforward/docs?rebuild='],
    ['GET', '/promoted?limit=1'],
    ['GET', '/promoted/docs/audit?limit=0'],
    ['GET', '/promoted/docs/audit?limit=1001'],
    ['GET', '/promoted/docs/audit?cursor=!!'],
    ['GET', `/promoted/docs/audit?cursor=${Buffer.from('-1').toString('base64url')}`],
  ] as const
  for (const [method, url] of urls) {
    const reply = await send(method, `${URL}${url}`)
    assert.equal(reply.status, 400, `${method} ${url}: ${reply.text}`)
  }
  const odd = await send('POST', `${URL}/promote/docs/t`, undefined, { 'if-match': 'one' })
  assert.deepEqual([odd.status, odd.code], [400, 'bad_request'])
  assert.deepEqual((await send('GET', `${URL}/promoted/docs`)).body, NEVER)
})

it('401, 403: reads need read, changes admin; prefixes limit what is seen', async (t) => {
  const keys = parseApiKeys([
    ...[keyLine('a', 'admin', 'admin'), keyLine('w', 'write', 'write')],
    ...[keyLine('r', 'read', 'read'), keyLine('p', 'admin', 'part', 'team_')],
  ])
  const { send, store } = await open(t, { keys })
  const as = (secret: string, method: string, url: string, body?: object) =>
    send(method, `${URL}${url}`, body, bearer(secret))
  const changes = [
    ['POST', '/promote/docs/t', undefined],
    ['POST', '/rollback/docs', undefined],
    ['POST', '/rollforward/docs', undefined],
    ['PUT', '/promoted/docs/pin', { pinned: true }],
  ] as const
  for (const [method, url, body] of changes) {
    assert.equal((await send(method, `${URL}${url}`, body)).status, 401, url)
    for (const secret of ['read', 'write', 'part']) {
      assert.equal((await as(secret, method, url, body)).status, 403, `${secret} ${url}`)
    }
  }
  assert.match((await as('admin', 'POST', '/promote/docs/t')).text, /"promoted_by":"a"/)
  assert.equal((await as('part', 'POST', '/promote/team_docs/t')).status, 200)
  await store.put('_hnsw_promotions/docs/0000000002.json', Buffer.from('torn'))
  for (const url of ['/promoted/docs', '/promoted/docs/audit']) {
    assert.equal((await as('part', 'GET', url)).status, 403, url)
  }
  const part = await as('part', 'GET', '/promoted')
  assert.match(part.text, /"promoted":\[\{[^\]]*"index_name":"team_docs"/)
  assert.doesNotMatch(part.text, /"docs"|docs\/0/)
  const all = await as('read', 'GET', '/promoted')
  assert.match(all.text, /"errors":\[\{"bucket":"primary","index_name":"docs","code":"object_corr/)
})

it('404: no such index, with near names', async (t) => {
  const { send } = await open(t)
  const cases = [
    ['POST', '/promote/docss/t'],
    ['POST', '/rollback/docss'],
    ['POST', '/rollforward/docss'],
    ['GET', '/promoted/docss'],
    ['GET', '/promoted/docss/audit'],
  ] as const
  for (const [method, url] of cases) {
    const reply = await send(method, `${URL}${url}`)
    assert.deepEqual([reply.status, reply.code], [404, 'index_not_found'], url)
    assert.match(reply.text, /Did you mean \\"docs\\"/)
  }
  assert.equal((await send('POST', `${URL}/promote/docs/unknown`)).status, 404)
})

it('409: nothing to roll back, nothing to roll forward', async (t) => {
  const { send } = await open(t)
  const back = await send('POST', `${URL}/rollback/docs`)
  assert.deepEqual([back.status, back.code], [409, 'no_promotion_to_roll_back'])
  const forward = await send('POST', `${URL}/rollforward/docs`)
  assert.deepEqual([forward.status, forward.code], [409, 'nothing_to_roll_forward'])
})

it('412: a change of what has changed since is refused and changes nothing', async (t) => {
  const { send } = await open(t)
  const at = (revision: number) => ({ 'if-match': `"${revision}"` })
  const first = await send('POST', `${URL}/promote/docs/a`, undefined, at(0))
  assert.equal(first.status, 200)
  for (const url of ['/promote/docs/b', '/rollback/docs', '/rollforward/docs']) {
    const reply = await send('POST', `${URL}${url}`, undefined, at(0))
    assert.deepEqual([reply.status, reply.code], [412, 'revision_mismatch'], url)
  }
  const pin = await send('PUT', `${URL}/promoted/docs/pin`, { pinned: true }, at(2))
  assert.equal(pin.status, 412)
  assert.equal((await send('GET', `${URL}/promoted/docs`)).headers['etag'], '"1"')
})

it('200 again: a POST that is repeated under its Idempotency-Key happens once', async (t) => {
  const { send } = await open(t)
  const key = { 'idempotency-key': 'k' }
  const first = await send('POST', `${URL}/promote/docs/a`, undefined, key)
  const again = await send('POST', `${URL}/promote/docs/a`, undefined, key)
  assert.deepEqual(
    [again.text, again.headers['etag'], again.headers['idempotent-replayed']],
    [first.text, '"1"', 'true'],
  )
  const other = await send('POST', `${URL}/promote/docs/b`, undefined, key)
  assert.deepEqual([other.status, other.code], [422, 'idempotency_key_reused'])
})

it('503: a bucket that fails never reads as "never promoted"; 500: nor does damage', async (t) => {
  const { send, store } = await open(t)
  await send('POST', `${URL}/promote/docs/a`)
  store.inject({
    ...{ kind: 'error', code: 'bucket_unreachable', when: 'before' },
    times: Infinity,
  })
  const cases = [
    ['GET', '/promoted/docs'],
    ['GET', '/promoted/docs/audit'],
    ['POST', '/promote/docs/b'],
    ['POST', '/rollback/docs'],
  ] as const
  for (const [method, url] of cases) {
    const reply = await send(method, `${URL}${url}`)
    assert.deepEqual([reply.status, reply.code], [503, 'bucket_unreachable'], url)
  }
  const list = await send('GET', `${URL}/promoted`)
  assert.equal(list.status, 200)
  assert.match(list.text, /"promoted":\[\],"errors":\[\{"bucket":"primary","index_name":null/)
  store.heal()
  await store.put('_hnsw_promotions/docs/0000000002.json', Buffer.from('torn'))
  const torn = await send('GET', `${URL}/promoted/docs`)
  assert.deepEqual([torn.status, torn.code], [500, 'object_corrupt'])
  await store.delete('_hnsw_promotions/docs/0000000002.json')
  assert.match((await send('GET', `${URL}/promoted/docs`)).text, /"trial_id":"a"/)
})
