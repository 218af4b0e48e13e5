/**
 * Points that apache-arrow writes come out as columns, in whatever way it writes them.
 */

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import {
  Dictionary,
  Float64,
  Int16,
  Int32,
  Int64,
  Int8,
  LargeUtf8,
  makeData,
  Table,
  tableToIPC,
  Uint16,
  Uint32,
  Uint8,
  Utf8,
  Vector,
} from 'apache-arrow'
import fc from 'fast-check'
import { decodeArrowBody, type ArrowBody } from '../../src/codecs/arrow-body.ts'
import {
  FLOAT32,
  IDS,
  listOf,
  lists,
  pairs,
  PLAIN,
  stream,
  texts,
  VECTORS,
} from './arrow-tables.ts'

function vectorsOf(body: ArrowBody): number[] {
  return [...body.vectors]
}

describe('what comes in', () => {
  it('all columns come out as they are, in any order', () => {
    const bytes = stream({
      metadata: texts(['{"a":1}', null]),
      vector: VECTORS,
      text: texts([null, '漢字 🎈']),
      id: texts(['é', 'b']),
    })
    assert.deepEqual(decodeArrowBody(bytes), {
      ids: ['é', 'b'],
      vectors: new Float32Array([1, 2, 3, 4]),
      dimension: 2,
      texts: [null, '漢字 🎈'],
      metadata: ['{"a":1}', null],
    })
  })

  it('columns that were left out have no rows', () => {
    const { texts: none, metadata } = decodeArrowBody(PLAIN)
    assert.deepEqual([none, metadata], [[], []])
  })

  it('an empty table is no rows', () => {
    const bytes = stream({ id: IDS.slice(0, 0), vector: VECTORS.slice(0, 0) })
    const { ids, vectors } = decodeArrowBody(bytes)
    assert.deepEqual([ids, vectors.length], [[], 0])
  })

  it('record batches come one after the other', () => {
    const one = new Table({ id: IDS, vector: VECTORS, text: texts(['x', null]) })
    const two = new Table({ id: texts(['c']), vector: lists([[5, 6]]), text: texts(['y']) })
    const body = decodeArrowBody(tableToIPC(one.concat(two), 'stream'))
    assert.deepEqual(body.ids, ['a', 'b', 'c'])
    assert.deepEqual(vectorsOf(body), [1, 2, 3, 4, 5, 6])
    assert.deepEqual(body.texts, ['x', null, 'y'])
  })

  for (const element of [FLOAT32, new Float64()]) {
    for (const type of [pairs(element), listOf(element)]) {
      it(`vectors are read from ${String(type)}`, () => {
        const vector = lists(
          [
            [1, 2],
            [3, 4],
          ],
          type,
        )
        const body = decodeArrowBody(stream({ id: IDS, vector }))
        assert.deepEqual([body.dimension, vectorsOf(body)], [2, [1, 2, 3, 4]])
      })
    }
  }

  it('rows of a table that was cut are those that are left', () => {
    const many = new Table({
      id: texts(['a', 'b', 'c', 'd']),
      vector: lists(
        [
          [1, 2],
          [3, 4],
          [5, 6],
          [7, 8],
        ],
        listOf(new Float64()),
      ),
    })
    const body = decodeArrowBody(tableToIPC(many.slice(1, 3), 'stream'))
    assert.deepEqual(
      [body.ids, vectorsOf(body)],
      [
        ['b', 'c'],
        [3, 4, 5, 6],
      ],
    )
  })

  it('lists that begin and end within their child are read', () => {
    const vector = lists(
      [
        [5, 6],
        [7, 8],
      ],
      listOf(FLOAT32),
    )
    const bytes = Buffer.from(stream({ id: IDS, vector }))
    const offsets = Buffer.from(Int32Array.of(0, 2, 4).buffer)
    Buffer.from(Int32Array.of(1, 2, 3).buffer).copy(bytes, bytes.indexOf(offsets))
    const body = decodeArrowBody(bytes)
    assert.deepEqual([body.dimension, vectorsOf(body)], [1, [6, 7]])
  })

  it('large strings are read', () => {
    const bytes = stream({ id: texts(['a', 'é'], new LargeUtf8()), vector: VECTORS })
    assert.deepEqual(decodeArrowBody(bytes).ids, ['a', 'é'])
  })

  const indices = [Int8, Int16, Int32, Uint8, Uint16, Uint32].map((Index) => new Index())
  for (const index of indices) {
    it(`dictionaries with indices of ${String(index)} are read`, () => {
      const type = new Dictionary(new Utf8(), index as Int32)
      const values = ['b', 'a', null, 'b', 'a']
      const five = lists(values.map((_, i) => [i, i]))
      const bytes = stream({
        id: texts(['1', '2', '3', '4', '5']),
        vector: five,
        text: texts(values, type),
      })
      assert.deepEqual(decodeArrowBody(bytes).texts, values)
    })
  }

  it('dictionaries with indices of Int64 are read', () => {
    // Its builder cannot make these.
    const type = new Dictionary(new Utf8(), new Int64() as unknown as Int32)
    const data = new BigInt64Array([1n, 0n]) as unknown as Int32Array
    const text = new Vector([
      makeData({ type, data, dictionary: texts(['x', 'y']) as Vector<Utf8> }),
    ])
    assert.deepEqual(decodeArrowBody(stream({ id: IDS, vector: VECTORS, text })).texts, ['y', 'x'])
  })

  it('a body at any offset of a larger buffer decodes the same', () => {
    const expected = decodeArrowBody(PLAIN)
    for (let shift = 0; shift < 9; shift += 1) {
      const around = Buffer.concat([Buffer.alloc(shift), PLAIN])
      assert.deepEqual(decodeArrowBody(around.subarray(shift)), expected)
    }
  })

  it('every table comes out as it went in, in any number of batches', () => {
    const text = fc.string({ unit: 'grapheme', maxLength: 12 })
    const row = fc.tuple(text, fc.option(text), fc.float({ noNaN: true }))
    fc.assert(
      fc.property(
        fc.array(fc.array(row, { minLength: 1, maxLength: 12 }), { minLength: 1, maxLength: 4 }),
        fc.boolean(),
        (batches, isFixed) => {
          const rows = batches.flat()
          const type = isFixed ? pairs(FLOAT32, 3) : listOf(new Float64())
          const tables = batches.map(
            (batch) =>
              new Table({
                id: texts(batch.map(([id]) => id)),
                vector: lists(
                  batch.map(([, , x]) => [x, 1, -x]),
                  type,
                ),
                text: texts(batch.map(([, one]) => one)),
              }),
          )
          const [first, ...others] = tables
          assert.ok(first !== undefined)
          const body = decodeArrowBody(tableToIPC(first.concat(...others), 'stream'))
          assert.deepEqual(
            body.ids,
            rows.map(([id]) => id),
          )
          assert.deepEqual(
            body.texts,
            rows.map(([, one]) => one),
          )
          assert.deepEqual(body.vectors, Float32Array.from(rows.flatMap(([, , x]) => [x, 1, -x])))
        },
      ),
    )
  })
})
