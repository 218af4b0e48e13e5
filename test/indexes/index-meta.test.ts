/** The stored description of an index: what goes in comes out, and damage is named. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { metaFromJson, metaToJson, type IndexMeta } from '../../src/indexes/index-meta.ts'

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

it('each damaged field is refused by its name', () => {
  const damages: Record<string, unknown> = {
    name: 'other',
    dimension: 0,
    metric: 'hamming',
    shards: 1.5,
    state: 'gone',
    created_at: 'yesterday',
    hnsw: null,
    backend: 'lance',
  }
  for (const [field, value] of Object.entries(damages)) {
    assert.throws(() => metaFromJson('docs', { ...metaToJson(META), [field]: value }), {
      code: 'object_corrupt',
      message: new RegExp(`"${field}"`),
    })
  }
})
