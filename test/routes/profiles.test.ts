/** The HTTP contract of profiles, of the GPU slot, of scoped searches and of /admin. */

import assert from 'node:assert/strict'
import { it, type TestContext } from 'node:test'
import { parseApiKeys } from '../../src/http/auth.ts'
import { bearer, keyLine, openApp, type TestApp } from '../support/http-app.ts'
import { down, unknownModel } from '../support/profile-world.ts'

const URL = '/vectors/profiles/law'
const SCOPED = '/vectors/profile/law/search'
const PROFILE = { model: 'llama3.2', bound_indexes: ['cases', 'gone'] }
const DEFAULTS = {
  ...{ id: 'law', description: '', hnsw: null, embed_model: null, bucket: null, backend: 'hnsw' },
}

async function open(t: TestContext, keys: readonly string[] = []): Promise<TestApp> {
  const app = await openApp(t, { keys: parseApiKeys(keys) })
  const admin = keys.length === 0 ? {} : bearer('a')
  for (const name of ['cases', 'other']) {
    const index = { name, dimension: 2, metric: 'l2' }
    await app.send('POST', '/vectors/indexes', index, admin)
    const points = [
      { id: 'x', vector: [0, 0] },
      { id: 'y', vector: [9, 9] },
    ]
    await app.send('POST', `/vectors/indexes/${name}/points`, { points }, admin)
  }
  const made = await app.send('PUT', URL, PROFILE, admin)
  assert.equal(made.status, 201, made.text)
  return app
}

it('201, 200: a profile is made, replaced whole, read and listed, with its revision as ETag', async (t) => {
  const { send } = await open(t)
  const read = await send('GET', URL)
  const { changed_at, ...body } = read.body as { changed_at: string }
  assert.ok(changed_at.endsWith('Z'))
  assert.deepEqual(body, { ...DEFAULTS, ...PROFILE, revision: 1, changed_by: 'local' })
  assert.equal(read.headers['etag'], '"1"')
  const change = { id: 'law', model: 'other', hnsw: { ef_search: 50 }, bucket: 'law_data' }
  const replaced = await send('PUT', URL, change, { 'if-match': '"1"' })
  assert.deepEqual([replaced.status, replaced.headers['etag']], [200, '"2"'])
  assert.match(replaced.text, /"bound_indexes":\[\].*"ef_construction":200,"ef_search":50/)
  const list = (await send('GET', '/vectors/profiles')).body as { profiles: { id: string }[] }
  assert.deepEqual(
    list.profiles.map(({ id }) => id),
    ['law'],
  )
})

it('400, 409: bodies that are no profile change nothing', async (t) => {
  const { send } = await open(t)
  const bodies: unknown[] = [
    {},
    [],
    { model: '' },
    { model: 7 },
    { model: 'a b' },
    { model: 'x'.repeat(257) },
    { model: '../etc' },
    { ...PROFILE, id: 'another' },
    { ...PROFILE, colour: 'red' },
    { ...PROFILE, bound_indexes: 'cases' },
    { ...PROFILE, bound_indexes: ['a/b'] },
    { ...PROFILE, bound_indexes: ['a', 'a'] },
    { ...PROFILE, bound_indexes: Array.from({ length: 101 }, (_, i) => `i${i}`) },
    { ...PROFILE, bucket: 'a/b' },
    { ...PROFILE, bucket: 'rescue' },
    { ...PROFILE, backend: 'faiss' },
    { ...PROFILE, hnsw: { m: 1 } },
    { ...PROFILE, hnsw: { ef: 10 } },
    { ...PROFILE, description: 'x'.repeat(2001) },
    { ...PROFILE, description: '\ud800' },
    { ...PROFILE, embed_model: 7 },
  ]
  for (const body of bodies) {
    assert.equal((await send('PUT', URL, body)).status, 400, JSON.stringify(body).slice(0, 80))
  }
  const odd = await send('PUT', '/vectors/profiles/a.b', PROFILE)
  assert.equal(odd.status, 400)
  assert.equal((await send('GET', URL)).headers['etag'], '"1"')
  const lance = await send('PUT', URL, { ...PROFILE, backend: 'lance' })
  assert.deepEqual([lance.status, (lance.body as { backend: string }).backend], [200, 'lance'])
})

it('404, 412: profiles that are not there, and changes of another revision', async (t) => {
  const { send } = await open(t)
  for (const [method, path] of [
    ['GET', '/vectors/profiles/none'],
    ['DELETE', '/vectors/profiles/none'],
    ['POST', '/vectors/profile/none/activate'],
  ] as const) {
    const reply = await send(method, path)
    assert.deepEqual([reply.status, reply.code], [404, 'profile_not_found'], path)
  }
  const search = { index: 'cases', vector: [0, 0] }
  const scoped = await send('POST', '/vectors/profile/none/search', search)
  assert.equal(scoped.code, 'profile_not_found')
  for (const method of ['PUT', 'DELETE'] as const) {
    const body = method === 'PUT' ? PROFILE : undefined
    const reply = await send(method, URL, body, { 'if-match': '"7"' })
    assert.deepEqual([reply.status, reply.code], [412, 'revision_mismatch'])
  }
})

it('200: an activation tells what moved and what failed; the slot tells what is there', async (t) => {
  const { send, profiles } = await open(t)
  const empty = await send('GET', '/vectors/profile/active')
  assert.match(empty.text, /^{"state":"empty","profile":null,.*"model_loaded":null.*"revision":0}$/)
  const reply = await send('POST', '/vectors/profile/law/activate')
  assert.equal(reply.status, 200, reply.text)
  assert.match(reply.text, /"state":"active","profile":"law","model":"llama3.2","revision":2/)
  assert.match(reply.text, /"unloaded":\[\],"preloaded":true,"bucket":null/)
  assert.match(reply.text, /"warmed":\[{"index":"cases","config_source":"default"/)
  assert.match(reply.text, /"failures":\[{"index":"gone","code":"index_not_found"/)
  const active = await send('GET', '/vectors/profile/active')
  assert.match(active.text, /"state":"active","profile":"law","profile_revision":1/)
  const kept = await send('DELETE', URL)
  assert.deepEqual([kept.status, kept.code], [409, 'profile_active'])
  const left = await send('POST', '/vectors/profile/law/deactivate')
  assert.match(left.text, /^{"state":"empty","profile":"law","unloaded":\["llama3.2"\]/)
  const again = await send('POST', '/vectors/profile/law/deactivate')
  assert.deepEqual([again.status, again.code], [409, 'profile_not_active'])
  assert.deepEqual(profiles.models.calls, ['preload llama3.2 5m', 'unload llama3.2'])
  assert.equal((await send('DELETE', URL)).status, 204)
})

it('404, 503: a model server that fails; the slot tells why', async (t) => {
  const { send, profiles } = await open(t)
  const { failures } = profiles.models
  failures.set('preload', unknownModel())
  const unknown = await send('POST', '/vectors/profile/law/activate')
  assert.deepEqual([unknown.status, unknown.code], [404, 'model_not_found'])
  failures.set('preload', down())
  const away = await send('POST', '/vectors/profile/law/activate')
  assert.deepEqual([away.status, away.code], [503, 'model_server_unavailable'])
  const failed = await send('GET', '/vectors/profile/active')
  assert.match(failed.text, /"state":"failed".*"fault":{"code":"model_server_unavailable"/)
  for (const kind of ['unload', 'loaded'] as const) failures.set(kind, down())
  const body = { model: 'llama3.2' }
  for (const [method, path] of [
    ['GET', '/admin/vram'],
    ['POST', '/admin/preload'],
    ['POST', '/admin/unload'],
  ] as const) {
    const reply = await send(method, path, method === 'POST' ? body : undefined)
    assert.deepEqual([reply.status, reply.code], [503, 'model_server_unavailable'], path)
  }
})

it('200: a search in the scope of a profile answers as one of the index', async (t) => {
  const { send } = await open(t)
  const search = { vector: [1, 1], k: 1, include: [] }
  const plain = await send('POST', '/vectors/indexes/cases/search', search)
  const scoped = await send('POST', SCOPED, { index: 'cases', ...search })
  assert.equal(scoped.status, 200, scoped.text)
  const bare = (text: string): string => text.replace(/"took_ms":[^}]+/, '')
  assert.equal(bare(scoped.text), bare(plain.text))
  assert.equal(scoped.headers['x-vectord-lsn'], plain.headers['x-vectord-lsn'])
})

it('403: an index that is not bound is out of scope, with the list of those that are', async (t) => {
  const { send } = await open(t)
  for (const index of ['other', 'absent']) {
    const reply = await send('POST', SCOPED, { index, vector: [0, 0] })
    assert.deepEqual([reply.status, reply.code], [403, 'out_of_scope'])
    assert.match(reply.text, /"allowed":\["cases","gone"\]/)
  }
  const gone = await send('POST', SCOPED, { index: 'gone', vector: [0, 0] })
  assert.deepEqual([gone.status, gone.code], [404, 'index_not_found'])
})

it('400: a scoped search is as strict as a search', async (t) => {
  const { send } = await open(t)
  const search = { index: 'cases', vector: [0, 0] }
  const bodies: unknown[] = [
    ...[[], null, { vector: [0, 0] }, { ...search, index: 7 }, { ...search, index: 'a/b' }],
    ...[
      { ...search, index: '' },
      { ...search, vector: [0] },
      { ...search, vector: [0, null] },
    ],
    ...[{ ...search, profile: 'law' }, { ...search, k: 0 }, { index: 'cases' }],
  ]
  for (const body of bodies) {
    assert.equal((await send('POST', SCOPED, body)).status, 400, JSON.stringify(body))
  }
  assert.equal((await send('POST', SCOPED, '{"index":"cases","vector":[NaN,0]}')).status, 400)
})

it('403: a key that is limited to prefixes searches what it may, and does and learns nothing else', async (t) => {
  const keys = [keyLine('admin', 'admin', 'a'), keyLine('team', 'admin', 't', 'cas|mine_')]
  const { send } = await open(t, keys)
  const team = bearer('t')
  const bound = { model: 'm', bound_indexes: ['cases', 'other', 'secret'] }
  await send('PUT', URL, bound, bearer('a'))
  const mine = await send('POST', SCOPED, { index: 'cases', vector: [0, 0] }, team)
  assert.equal(mine.status, 200, mine.text)
  const foreign = await send('POST', SCOPED, { index: 'other', vector: [0, 0] }, team)
  assert.deepEqual([foreign.status, foreign.code], [403, 'forbidden'])
  const unbound = await send('POST', SCOPED, { index: 'mine_1', vector: [0, 0] }, team)
  assert.equal(unbound.code, 'out_of_scope')
  assert.match(unbound.text, /"allowed":\["cases"\]/)
  for (const [method, path, body] of [
    ['GET', '/vectors/profiles', undefined],
    ['GET', URL, undefined],
    ['PUT', URL, bound],
    ['DELETE', URL, undefined],
    ['POST', '/vectors/profile/law/activate', undefined],
    ['POST', '/vectors/profile/law/deactivate', undefined],
    ['GET', '/vectors/profile/active', undefined],
    ['GET', '/admin/vram', undefined],
    ['POST', '/admin/preload', { model: 'm' }],
    ['POST', '/admin/unload', { model: 'm' }],
  ] as const) {
    const reply = await send(method, path, body, team)
    assert.deepEqual([reply.status, reply.code], [403, 'forbidden'], `${method} ${path}`)
    assert.doesNotMatch(reply.text, /other|secret/)
  }
})

it('200: the memory of the model server beside that of the GPUs; models in and out by hand', async (t) => {
  const { send, profiles } = await open(t)
  const body = { model: 'llama3.2' }
  assert.deepEqual((await send('POST', '/admin/preload', body)).body, { ...body, keep_alive: '5m' })
  const vram = await send('GET', '/admin/vram')
  assert.equal(
    vram.text,
    '{"models":[{"model":"llama3.2:latest","bytes":10,"vram_bytes":6,"expires_at":null}],' +
      '"models_vram_bytes":6,"gpus":[{"index":0,"uuid":"GPU-aa","name":"A","utilization":0.5,' +
      '"total_bytes":100,"used_bytes":40,"free_bytes":null}],"gpus_error":null}',
  )
  assert.equal((await send('POST', '/admin/unload', body)).status, 200)
  assert.match((await send('GET', '/admin/vram')).text, /^{"models":\[\],"models_vram_bytes":0/)
  for (const path of ['/admin/preload', '/admin/unload']) {
    for (const bad of [{}, { model: '' }, { model: 'a\nb' }, { ...body, keep_alive: '1h' }, []]) {
      assert.equal((await send('POST', path, bad)).status, 400, JSON.stringify(bad))
    }
  }
  assert.deepEqual(profiles.models.calls, ['preload llama3.2 5m', 'unload llama3.2'])
})
