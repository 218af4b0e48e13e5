/** What a publication makes of a dataset, and how it is stored. */

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { JsonObject } from '../../src/buckets/revision-codec.ts'
import { datasetFromJson, datasetToJson } from '../../src/datasets/dataset-codec.ts'
import {
  type Dataset,
  type DatasetColumn,
  type DatasetPart,
  LINEAGE_MAX,
  PARTS_MAX,
  published,
} from '../../src/datasets/dataset.ts'
import type { Cell } from '../../src/domain/table.ts'
import type { VectordError } from '../../src/lib/errors.ts'
import { coded, COLUMNS, HOUR_MS, publication } from './dataset-world.ts'

describe('columns of an append', () => {
  const part = { key: 'k', rows: 1, bytes: 1, sha256: '' }
  const before = published(null, publication('replace', [part]), 0)
  const [id, mail, v] = COLUMNS as [DatasetColumn, DatasetColumn, DatasetColumn]

  it('may come in any order, and widen what may be null and what is flagged', () => {
    const columns: DatasetColumn[] = [v, { ...mail, pii: ['name'] }, { ...id, nullable: true }]
    const after = published(before, publication('append', [], { columns }), 0)
    assert.deepEqual(after.columns, [
      { ...id, nullable: true },
      { ...mail, pii: ['email', 'name'] },
      v,
    ])
  })

  it('are free where there is no row yet', () => {
    const columns: DatasetColumn[] = [{ ...id, type: 'utf8' }]
    const empty = published(null, publication('append', [], { columns }), 0)
    assert.deepEqual(published(empty, publication('append', [part]), 0).columns, COLUMNS)
  })

  const others: readonly (readonly [string, readonly DatasetColumn[], string])[] = [
    ['one is missing', [id, mail], 'v'],
    ['one is new', [...COLUMNS, { ...id, name: 'new' }], 'new'],
    ['one has another type', [id, { ...mail, type: 'binary' }, v], 'mail'],
    ['vectors have another dimension', [id, mail, { ...v, dimension: 4 }], 'v'],
  ]
  for (const [name, columns, column] of others) {
    it(`${name}: refused, and the column is named`, () => {
      assert.throws(
        () => published(before, publication('append', [], { columns }), 0),
        (error) => {
          assert.ok(coded('dataset_schema_mismatch')(error))
          assert.equal((error as VectordError).details['column'], column)
          return true
        },
      )
      const replaced = published(before, publication('replace', [], { columns }), 0)
      assert.deepEqual(replaced.columns, columns)
    })
  }
})

describe('what is bounded', () => {
  it('lineage keeps the last, parts are refused, retired ones are forgotten', () => {
    let dataset: Dataset = published(null, publication('append', []), 0)
    for (let i = 0; i < LINEAGE_MAX + 5; i += 1) {
      const { lineage } = publication('append', [])
      const next = publication('append', [], { lineage: { ...lineage, rows: i } })
      dataset = published(dataset, next, 0)
    }
    assert.equal(dataset.lineage.length, LINEAGE_MAX)
    assert.equal(dataset.lineage.at(-1)?.rows, LINEAGE_MAX + 4)
    const part = { key: 'k', rows: 1, bytes: 1, sha256: '' }
    const many = new Array<DatasetPart>(PARTS_MAX).fill(part)
    const full = published(null, publication('append', many), 0)
    assert.throws(() => published(full, publication('append', [part]), 0), coded('limit_exceeded'))
    const replaced = published(full, publication('replace', []), 0)
    assert.equal(replaced.retired.length, PARTS_MAX)
    assert.equal(published(replaced, publication('replace', []), 24 * HOUR_MS).retired.length, 0)
  })

  it('a watermark stays until another comes, and goes with a replacement', () => {
    const watermark = { column: 'id', value: 7n }
    const first = published(null, publication('append', [], { watermark }), 0)
    assert.deepEqual(published(first, publication('append', []), 0).watermark, watermark)
    assert.equal(published(first, publication('replace', []), 0).watermark, null)
  })

  it('a watermark never goes down: rows before it would be appended once more', () => {
    const marked = (before: Dataset | null, column: string, value: Cell): Dataset =>
      published(before, publication('append', [], { watermark: { column, value } }), 0)
    for (const [low, high] of [
      [7n, 9n],
      [-7, 9],
      [5, 6n],
      [Uint8Array.of(1, 9), Uint8Array.of(2)],
    ] as const) {
      const after = marked(marked(null, 'id', high), 'id', low)
      assert.deepEqual(after.watermark, { column: 'id', value: high })
      assert.deepEqual(marked(marked(null, 'id', low), 'id', high).watermark?.value, high)
      assert.deepEqual(marked(marked(null, 'id', high), 'other', low).watermark?.value, low)
    }
  })
})

it('what is stored reads back, and a field of the wrong type makes the whole corrupt', () => {
  const values = [2n ** 62n, 'x', 7, 0.5, true, Uint8Array.of(1, 2), null]
  for (const value of values) {
    const parts = [{ key: 'k', rows: 1, bytes: 2, sha256: 'ab', source: 'in/a.csv?bytes=2' }]
    const publishing = publication('append', parts, { watermark: { column: 'id', value } })
    const dataset = published(null, publishing, 5)
    const json = JSON.parse(JSON.stringify(datasetToJson('people', dataset))) as JsonObject
    assert.deepEqual(datasetFromJson(json, 'k'), dataset)
  }
  const part = { key: 'k', rows: 1, bytes: 2, sha256: 'ab' }
  const good = datasetToJson('people', published(null, publication('append', [part]), 0))
  const bad: JsonObject[] = [
    { ...good, format: 0.5 },
    { ...good, columns: null },
    { ...good, columns: [{ name: 'a', type: 'int7', nullable: true, pii: [] }] },
    { ...good, columns: [{ name: 'a', type: 'int32', nullable: 1, pii: [] }] },
    { ...good, columns: [{ name: 'a', type: 'int32', nullable: true, pii: ['age'] }] },
    { ...good, parts: [7] },
    { ...good, parts: [{ ...part, rows: -1 }] },
    { ...good, parts: [{ ...part, key: 1 }] },
    { ...good, parts: [{ ...part, source: null }] },
    { ...good, rows: '1' },
    { ...good, watermark: { column: 'id', value: { int64: 'x' } } },
    { ...good, watermark: 7 },
    { ...good, lineage: [{}] },
    { ...good, retired: [{ key: 'k', retired_at: 'yesterday' }] },
  ]
  for (const json of bad) {
    assert.throws(() => datasetFromJson(json, 'k'), coded('object_corrupt'), JSON.stringify(json))
  }
  assert.throws(() => datasetFromJson({ ...good, format: 2 }, 'k'), coded('format_too_new'))
})
