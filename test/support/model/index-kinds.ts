/**
 * Indexes: create, read, list, change, drop, each also as it must be refused.
 */

import assert from 'node:assert/strict'
import type { Reply } from '../service.ts'
import { ModelIndex, type IndexSettings } from './model-index.ts'
import {
  always,
  answered,
  onIndex,
  refused,
  type ModelRun,
  type OperationKind,
} from './model-run.ts'
import { BUCKETS } from './model-world.ts'
import { adoptPromotions } from './promotion-kinds.ts'

const INDEXES = '/vectors/indexes'

export const INDEX_KINDS: readonly OperationKind[] = [
  always('create_index', 12, async (run) => {
    const [name] = run.dice.some(run.world.freeNames, 1)
    if (name === undefined) return
    const settings = drawnSettings(run, name)
    const reply = await run.send('POST', INDEXES, createBody(settings))
    await serve(run, answered(reply, 201), settings)
  }),
  always('create_index_once', 2, createOnce),
  onIndex('create_existing_index', 3, async (run, index) => {
    const body = createBody(drawnSettings(run, index.name))
    refused(await run.send('POST', INDEXES, body), 409, 'index_exists')
  }),
  always('create_bad_index', 3, createBad),
  onIndex('drop_index', 2, async (run, index) => {
    const isMatched = run.dice.chance(0.5)
    const headers = isMatched ? { 'if-match': `"${index.revision}"` } : {}
    answered(await run.send('DELETE', index.path, undefined, headers), 204)
    run.world.indexes.delete(index.name)
    refused(await run.send('GET', index.path), 404, 'index_not_found')
  }),
  always('absent_index', 4, async (run) => {
    const name = run.dice.chance(0.5) ? 'nobody' : run.dice.pick([...run.world.freeNames, 'none'])
    const path = `${INDEXES}/${name}`
    const [method, url, body] = run.dice.pick([
      ['GET', path, undefined],
      ['DELETE', path, undefined],
      ['PATCH', path, { hnsw: { ef_search: 20 } }],
      ['POST', `${path}/points`, { points: [{ id: 'a', vector: [1, 2] }] }],
      ['POST', `${path}/points/delete`, { ids: ['a'] }],
      ['POST', `${path}/search`, { vector: [1, 2] }],
      ['GET', `${path}/points/a`, undefined],
      ['POST', `${path}/checkpoint`, undefined],
      ['POST', `/vectors/hnsw/rollback/${name}`, undefined],
    ] as const)
    refused(await run.send(method, url, body), 404, 'index_not_found')
  }),
  onIndex('patch_index', 8, async (run, index) => {
    const { dice } = run
    const efSearch = dice.chance(0.2) ? null : dice.int(10, 200)
    const keep = dice.int(1, 3)
    const both = { hnsw: { ef_search: efSearch }, retention: { keep_last_versions: keep } }
    const { hnsw, retention } = both
    const body = dice.pick([{ hnsw }, { retention }, both])
    const headers = dice.chance(0.5) ? { 'if-match': `"${index.revision}"` } : {}
    const reply = await run.send('PATCH', index.path, body, headers)
    index.revision += 1
    index.settings = {
      ...index.settings,
      ...('hnsw' in body && { hnsw: { ...index.settings.hnsw, ef_search: efSearch } }),
      ...('retention' in body && { keepLastVersions: keep }),
    }
    index.history.retain(index.settings.keepLastVersions)
    // Until the drop worker has been there, more may be read than is kept.
    await run.server.service.eventually('/maintenance/drops', hasNoVersionsToDrop)
    checkIndex(answered(reply, 200), index)
    assert.equal(reply.headers.get('etag'), `"${index.revision}"`)
  }),
  onIndex('patch_refused', 4, patchRefused),
  onIndex('read_index', 12, async (run, index) => {
    const reply = await run.send('GET', index.path)
    checkIndex(answered(reply, 200), index)
    assert.equal(reply.headers.get('etag'), `"${index.revision}"`)
  }),
  always('list_indexes', 4, checkList),
]

/** The list holds every index as it should be, by name, and nothing else. */
export async function checkList(run: ModelRun): Promise<void> {
  const { indexes } = (await run.must('GET', INDEXES)) as {
    readonly indexes: readonly { readonly name: string }[]
  }
  const names = [...run.world.indexes.keys()].sort()
  assert.deepEqual(
    indexes.map(({ name }) => name),
    names,
  )
  for (const json of indexes) {
    const index = run.world.indexes.get(json.name)
    assert.ok(index !== undefined)
    checkIndex(json, index)
  }
}

/** Settings and state of an index, as answers show them. */
export function checkIndex(json: unknown, index: ModelIndex): void {
  const { name, dimension, metric, bucket, shards, hnsw, keepLastVersions } = index.settings
  const shown = json as Readonly<Record<string, unknown>>
  const wanted = {
    ...{ name, dimension, metric, bucket, backend: 'hnsw', hnsw, shards },
    retention: { keep_last_versions: keepLastVersions },
    ...{ revision: index.revision, lsn: index.lsn },
    ...{ state: 'ready', reason: null, progress: 1, role: 'owner' },
  }
  const found = Object.fromEntries(Object.keys(wanted).map((field) => [field, shown[field]]))
  assert.deepEqual(found, wanted)
}

/** The same request twice under one key: it is made once, and answered twice alike. */
async function createOnce(run: ModelRun): Promise<void> {
  const [name] = run.dice.some(run.world.freeNames, 1)
  if (name === undefined) return
  const settings = drawnSettings(run, name)
  const headers = { 'idempotency-key': `create-${run.number}` }
  const first = await run.send('POST', INDEXES, createBody(settings), headers)
  await serve(run, answered(first, 201), settings)
  const again = await run.send('POST', INDEXES, createBody(settings), headers)
  assert.deepEqual(answered(again, 201), first.body)
  assert.equal(again.headers.get('idempotent-replayed'), 'true')
  const other = { ...createBody(settings), shards: settings.shards + 1 }
  const reused = await run.send('POST', INDEXES, other, headers)
  refused(reused, 422, 'idempotency_key_reused')
}

async function createBad(run: ModelRun): Promise<void> {
  const good = createBody(drawnSettings(run, 'fresh'))
  const { dimension: _dimension, ...shapeless } = good
  const [body, status, code] = run.dice.pick([
    [{ ...good, name: 'no/slash' }, 400, 'invalid_name'],
    [{ ...good, name: '' }, 400, 'invalid_name'],
    [{ ...good, bucket: 'nowhere' }, 404, 'bucket_not_found'],
    [{ ...good, backend: 'lance', shards: 2 }, 400, 'bad_request'],
    [{ ...good, backend: 'lance', retention: { keep_last_versions: 2 } }, 400, 'bad_request'],
    [{ ...good, dimension: 0 }, 400, 'bad_request'],
    [{ ...good, dimension: '8' }, 400, 'bad_request'],
    [{ ...good, dimension: 100_000 }, 400, 'limit_exceeded'],
    [shapeless, 400, 'bad_request'],
    [{ ...good, metric: 'manhattan' }, 400, 'bad_request'],
    [{ ...good, shards: 0 }, 400, 'bad_request'],
    [{ ...good, colour: 'red' }, 400, 'bad_request'],
    [{ ...good, hnsw: { m: 1 } }, 400, 'bad_request'],
    ['{"name":', 400, 'malformed_body'],
  ] as const)
  refused(await run.send('POST', INDEXES, body), status, code)
}

async function patchRefused(run: ModelRun, index: ModelIndex): Promise<void> {
  const change = { hnsw: { ef_search: 77 } }
  const [body, ifMatch, status, code] = run.dice.pick([
    [change, `"${index.revision + 1}"`, 412, 'revision_mismatch'],
    [change, `"${index.revision - 1}"`, 412, 'revision_mismatch'],
    [change, `W/"${index.revision}"`, 412, 'revision_mismatch'],
    [change, 'yesterday', 400, 'bad_request'],
    [{}, '*', 400, 'bad_request'],
    [{ hnsw: { ef_search: 0 } }, '*', 400, 'bad_request'],
    [{ hnsw: { m: 8 } }, '*', 400, 'bad_request'],
    [{ retention: { keep_last_versions: 0 } }, '*', 400, 'bad_request'],
  ] as const)
  refused(await run.send('PATCH', index.path, body, { 'if-match': ifMatch }), status, code)
  const isStale = status === 412
  if (!isStale || !run.dice.chance(0.3)) return
  const drop = await run.send('DELETE', index.path, undefined, { 'if-match': ifMatch })
  refused(drop, 412, 'revision_mismatch')
}

/** Takes a created index into the model. */
async function serve(run: ModelRun, created: unknown, settings: IndexSettings): Promise<void> {
  const { revision } = created as { readonly revision: number }
  assert.ok(Number.isSafeInteger(revision) && revision >= 1)
  const index = new ModelIndex(settings, revision)
  checkIndex(created, index)
  run.world.indexes.set(settings.name, index)
  await adoptPromotions(run, index)
}

function drawnSettings({ dice }: ModelRun, name: string): IndexSettings {
  return {
    ...{ name, dimension: dice.int(2, 16), metric: dice.metric() },
    ...{ bucket: dice.pick(BUCKETS), shards: dice.int(1, 3), keepLastVersions: dice.int(1, 3) },
    hnsw: {
      m: dice.pick([4, 8, 16]),
      ef_construction: dice.int(20, 100),
      ef_search: dice.chance(0.5) ? null : dice.int(20, 100),
      seed: dice.int(1, 100),
    },
  }
}

function createBody(settings: IndexSettings): Readonly<Record<string, unknown>> {
  const { keepLastVersions, ...rest } = settings
  return { ...rest, retention: { keep_last_versions: keepLastVersions } }
}

function hasNoVersionsToDrop({ body }: Reply): boolean {
  return (body as { pending: { point_versions: number } }).pending.point_versions === 0
}
