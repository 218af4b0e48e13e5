/** Rows of a table become points, and what is no point is named with its row and its reason. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import fc from 'fast-check'
import type { Cell, Column, ColumnType, TableBatch } from '../../src/domain/table.ts'
import { vectorOf, type UpsertBatch } from '../../src/domain/write-batch.ts'
import type { PointMapping } from '../../src/ingest/point-mapping.ts'
import { RowPoints, type PointRules } from '../../src/ingest/row-points.ts'
import { hasCode } from '../../src/lib/errors.ts'

const RULES: PointRules = {
  ...{ dimension: 2, metric: 'l2', takesTexts: false, idBytesMax: 16 },
  ...{ metadataBytesMax: 1024, rowsMax: 100 },
}
const MAPPING: PointMapping = {
  ...{ idColumn: 'id', vectorColumn: 'v', textColumn: null, metadataColumns: null },
}

function column(name: string, type: ColumnType): Column {
  return { name, type, nullable: true, ...(type === 'vector' && { dimension: 2 }) }
}

function table(columns: Record<string, readonly [ColumnType, readonly Cell[]]>): TableBatch {
  const entries = Object.entries(columns)
  return {
    columns: entries.map(([name, [type]]) => column(name, type)),
    rows: entries[0]?.[1][1].length ?? 0,
    cells: entries.map(([, [, cells]]) => cells),
  }
}

function pointsOf(
  batch: TableBatch,
  mapping: Partial<PointMapping> = {},
  rules: Partial<PointRules> = {},
): { readonly batches: UpsertBatch[]; readonly rows: RowPoints } {
  const rows = new RowPoints({
    mapping: { ...MAPPING, ...mapping },
    rules: { ...RULES, ...rules },
    columns: batch.columns,
  })
  return { batches: [...rows.add(batch), ...rows.rest()], rows }
}

const F = (...numbers: number[]): Float32Array => Float32Array.from(numbers)
const V = F(1, 2)

it('takes a vector from a list, from text of JSON or PostgreSQL, and from bytes', () => {
  const bytes = new Uint8Array(9)
  bytes.set(new Uint8Array(F(1, 2).buffer), 1)
  const forms: readonly (readonly [ColumnType, Cell])[] = [
    ['vector', F(1, 2)],
    ['utf8', '[1,2]'],
    ['utf8', ' [1.0, 2e0] '],
    ['utf8', '{1,2}'],
    ['binary', bytes.subarray(1)],
  ]
  for (const [type, cell] of forms) {
    const { batches } = pointsOf(table({ id: ['utf8', ['a']], v: [type, [cell]] }))
    const [batch] = batches
    assert.ok(batch !== undefined, `${type} ${String(cell)}`)
    assert.deepEqual(vectorOf(batch, 0), F(1, 2))
  }
})

it('takes ids from strings and from integers of any size, exactly', () => {
  const big = 9_007_199_254_740_993n
  for (const [type, cell, id] of [
    ['utf8', 'x', 'x'],
    ['int32', -7, '-7'],
    ['int64', big, '9007199254740993'],
    ['float64', 3, '3'],
  ] as const) {
    const { batches } = pointsOf(table({ id: [type, [cell]], v: ['vector', [V]] }))
    assert.deepEqual(batches[0]?.ids, [id])
  }
})

it('names what is wrong with each row and takes the others', () => {
  const zeroes = F(0, 0)
  const ids = ['a', null, '', 'x'.repeat(17), 'b', 'c', 'd', 'e', 'f', 'g', 'h']
  const vectors = [V, V, V, V, F(1), F(NaN, 1), zeroes, null, 'no', '[1,"2"]', '{"a":1}']
  const batch = table({ id: ['utf8', ids], v: ['utf8', vectors] })
  const { batches, rows } = pointsOf(batch, {}, { metric: 'cosine' })
  assert.deepEqual(batches[0]?.ids, ['a'])
  assert.equal(rows.refusals.count, 10)
  assert.deepEqual(
    rows.refusals.rows.map(({ row, field, problem }) => `${row} ${field} ${problem}`),
    [
      '1 id is missing',
      '2 id must not be empty',
      '3 id is longer than 16 bytes',
      '4 vector has 1 numbers, the index has 2',
      '5 vector[0] is not a finite float32',
      '6 vector is zero, which has no direction under cosine',
      '7 vector is missing',
      '8 vector must be a list of numbers, text such as "[1, 2]", or bytes of float32',
      '9 vector[1] is not a number',
      '10 vector must be a list of numbers, text such as "[1, 2]", or bytes of float32',
    ],
  )
  assert.equal(rows.refusals.rows[3]?.id, 'b')
  assert.throws(
    () => rows.checkAll(),
    (error: unknown) => {
      assert.ok(hasCode(error, 'invalid_points'))
      assert.match(error.message, /10 rows are no points.*row 1: "id" is missing/)
      assert.equal(error.details['rejected_total'], 10)
      return true
    },
  )
})

it('an id that is no string and no integer is refused', () => {
  for (const [type, cell] of [
    ['boolean', true],
    ['float64', 1.5],
    ['binary', new Uint8Array(2)],
  ] as const) {
    const { rows } = pointsOf(table({ id: [type, [cell]], v: ['vector', [V]] }))
    assert.equal(rows.refusals.rows[0]?.problem, 'must be a string')
  }
})

it('bytes that are no floats are refused, and so are those of another dimension', () => {
  const cells = [new Uint8Array(7), new Uint8Array(12)]
  const { rows } = pointsOf(table({ id: ['utf8', ['a', 'b']], v: ['binary', cells] }))
  assert.equal(rows.refusals.count, 2)
  assert.equal(rows.refusals.rows[1]?.problem, 'has 3 numbers, the index has 2')
})

it('a row of text alone needs an index with an embedder', () => {
  const batch = table({ id: ['utf8', ['a', 'b']], t: ['utf8', ['hello', '']] })
  const mapping = { vectorColumn: null, textColumn: 't' }
  const refused = pointsOf(batch, mapping)
  assert.equal(refused.rows.refusals.count, 2)
  const { batches, rows } = pointsOf(batch, mapping, { takesTexts: true })
  assert.deepEqual(batches[0]?.ids, ['a'])
  assert.deepEqual(batches[0].texts, ['hello'])
  assert.equal(batches[0].places?.[0], -1)
  assert.equal(rows.refusals.rows[0]?.problem, 'is missing, and the text is empty')
})

it('all other columns are metadata; values that JSON lacks become text, NULLs are left out', () => {
  const batch = table({
    id: ['int32', [1]],
    v: ['vector', [V]],
    flag: ['boolean', [false]],
    big: ['int64', [2n ** 60n]],
    small: ['int64', [5n]],
    at: ['timestamp', [1_700_000_000_123_456n]],
    none: ['utf8', [null]],
    blob: ['binary', [new Uint8Array(3)]],
    ['__proto__']: ['utf8', ['p']],
  })
  const { batches } = pointsOf(batch)
  const expected =
    '{"flag":false,"big":"1152921504606846976","small":5,"at":"2023-11-14T22:13:20.123Z","__proto__":"p"}'
  assert.equal(batches[0]?.metadata[0], expected)
  const named = pointsOf(batch, { metadataColumns: ['blob', 'v'] })
  assert.equal(named.batches[0]?.metadata[0], '{"blob":"AAAA","v":[1,2]}')
  assert.equal(pointsOf(batch, { metadataColumns: [] }).batches[0]?.metadata[0], null)
})

it('of rows with one id in a batch the last one counts, and the list of refusals is bounded', () => {
  const same = table({ id: ['utf8', ['a', 'b', 'a']], v: ['vector', [F(1, 1), V, F(3, 3)]] })
  const { batches } = pointsOf(same)
  const [batch] = batches
  assert.ok(batch !== undefined)
  assert.deepEqual(batch.ids, ['b', 'a'])
  assert.deepEqual(vectorOf(batch, 1), F(3, 3))
  const nulls = Array.from({ length: 250 }, () => null)
  const bad = pointsOf(table({ id: ['utf8', nulls], v: ['vector', nulls] }))
  assert.equal(bad.rows.refusals.count, 250)
  assert.equal(bad.rows.refusals.rows.length, 100)
})

it('a column that is not there is refused with those that are', () => {
  const batch = table({ id: ['utf8', ['a']], v: ['vector', [V]] })
  for (const mapping of [
    { idColumn: 'ID' },
    { vectorColumn: 'vec' },
    { textColumn: 'x' },
    { metadataColumns: ['v', 'toString'] },
  ]) {
    assert.throws(
      () => pointsOf(batch, mapping),
      (error: unknown) => {
        assert.ok(hasCode(error, 'bad_request'))
        assert.deepEqual(error.details['columns'], ['id', 'v'])
        return true
      },
    )
  }
})

it('batches hold no more rows than they may, and each row comes out once', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 40 }),
      fc.integer({ min: 1, max: 7 }),
      (count, rowsMax) => {
        const ids = Array.from({ length: count }, (_, i) => `p${i}`)
        const batch = table({ id: ['utf8', ids], v: ['vector', ids.map(() => V)] })
        const { batches } = pointsOf(batch, {}, { rowsMax })
        assert.ok(batches.every(({ ids: some }) => some.length <= rowsMax && some.length > 0))
        assert.deepEqual(
          batches.flatMap((one) => one.ids),
          ids,
        )
      },
    ),
  )
})
