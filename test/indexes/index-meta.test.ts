/** The stored description of an index: what goes in comes out, and damage is named. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import {
  metaFromJson,
  metaToJson,
  withStream,
  type IndexMeta,
} from '../../src/indexes/index-meta.ts'

const META: IndexMeta = {
  name: 'docs',
  incarnation: 'b7c1',
  createdMs: 1_700_000_000_000,
  state: 'active',
  dimension: 100,
  metric: 'cosine',
  bucket: 'lake',
  backend: 'hnsw',
  hnsw: { m: 16, efConstruction: 200, efSearch: null, seed: 42 },
  shards: 2,
  keepLastVersions: 1,
}

it('survives JSON unchanged', () => {
  const json: unknown = JSON.parse(JSON.stringify(metaToJson(META)))
  assert.deepEqual(metaFromJson('docs', json), META)
})

it('without a bucket it lives in the primary, as the older layout meant', () => {
  const { bucket: _, ...older } = metaToJson(META)
  assert.equal(metaFromJson('docs', older).bucket, 'primary')
})

it('its stream survives JSON too, and each damaged field of it is refused', () => {
  const stream = { bufferSize: 500, batchSize: 7, flushIntervalMs: 1 }
  const json = metaToJson({ ...META, stream })
  assert.deepEqual(metaFromJson('docs', JSON.parse(JSON.stringify(json))).stream, stream)
  const damages = { buffer_size: 0, batch_size: '7', flush_interval_ms: null }
  for (const [field, value] of Object.entries(damages)) {
    const damaged = { ...json, stream: { ...(json['stream'] as object), [field]: value } }
    assert.throws(() => metaFromJson('docs', damaged), {
      code: 'object_corrupt',
      message: new RegExp(`"${field}"`),
    })
  }
  assert.throws(() => metaFromJson('docs', { ...json, stream: null }), { code: 'object_corrupt' })
})

it('a change of the stream keeps what it leaves out, and null takes the stream away', () => {
  const opened = withStream(META, { batchSize: 7 })
  assert.deepEqual(opened.stream, { bufferSize: 10_000, batchSize: 7, flushIntervalMs: 50 })
  const changed = withStream(opened, { flushIntervalMs: 1 })
  assert.deepEqual(changed.stream, { bufferSize: 10_000, batchSize: 7, flushIntervalMs: 1 })
  assert.equal(withStream(changed, undefined), changed)
  assert.deepEqual(withStream(changed, null), META)
  assert.throws(() => withStream(opened, { bufferSize: 6 }), { code: 'bad_request' })
})

it('each damaged field is refused by its name', () => {
  const damages: Record<string, unknown> = {
    name: 'other',
    dimension: 0,
    metric: 'hamming',
    shards: 1.5,
    state: 'gone',
    created_at: 'yesterday',
    hnsw: null,
    backend: 'flat',
  }
  for (const [field, value] of Object.entries(damages)) {
    assert.throws(() => metaFromJson('docs', { ...metaToJson(META), [field]: value }), {
      code: 'object_corrupt',
      message: new RegExp(`"${field}"`),
    })
  }
})

it('its embedder survives JSON too, and each damaged field of it is refused', () => {
  const embedder = { name: 'local', model: 'm', version: '1', dimension: 100, normalised: true }
  const json = metaToJson({ ...META, embedder })
  assert.deepEqual(metaFromJson('docs', JSON.parse(JSON.stringify(json))), { ...META, embedder })
  const damages = { name: '', model: null, version: 1, dimension: 0.5, normalised: 'yes' }
  for (const [field, value] of Object.entries(damages)) {
    const damaged = { ...json, embedder: { ...embedder, [field]: value } }
    assert.throws(() => metaFromJson('docs', damaged), {
      code: 'object_corrupt',
      message: new RegExp(`"${field}"`),
    })
  }
  assert.throws(() => metaFromJson('docs', { ...json, embedder: null }), { code: 'object_corrupt' })
})

it('settings of a Lance index survive JSON, and each damaged field of them is refused', () => {
  const atMs = 1_700_000_000_000
  const shown = {
    recall: 0.97,
    recallLcb: 0.95,
    minRecall: 0.95,
    k: 10,
    queries: 100,
    version: 7,
    atMs,
  }
  const settings = { indexKind: 'ivf_pq', nprobes: 8, refineFactor: null, ef: null, shown } as const
  const meta: IndexMeta = { ...META, backend: 'lance', lance: settings }
  const json = JSON.parse(JSON.stringify(metaToJson(meta))) as { lance: Record<string, unknown> }
  assert.deepEqual(metaFromJson('docs', json), meta)
  const damages = {
    ...{ index_kind: 'flat', nprobes: 0, refine_factor: 1.5, ef: '7', shown: { recall: 2 } },
  }
  for (const [field, damage] of Object.entries(damages)) {
    const lance = { ...json.lance, [field]: damage }
    assert.throws(() => metaFromJson('docs', { ...json, lance }), { code: 'object_corrupt' })
  }
  const without = { ...json, lance: undefined }
  assert.throws(() => metaFromJson('docs', without), { code: 'object_corrupt' })
  const unknown = { ...json, backend: 'flat' }
  assert.throws(() => metaFromJson('docs', unknown), {
    code: 'object_corrupt',
    message: /"backend"/,
  })
})
