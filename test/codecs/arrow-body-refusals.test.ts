/**
 * What is no table of points is refused with the column and the row, and no bytes do worse.
 */

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import {
  Bool,
  Dictionary,
  Field,
  Float16,
  Float32,
  Float64,
  Int32,
  Int8,
  makeData,
  RecordBatch,
  Schema,
  Struct,
  Table,
  tableToIPC,
  Utf8,
  vectorFromArray,
  type Data,
  type Vector,
} from 'apache-arrow'
import fc from 'fast-check'
import { decodeArrowBody } from '../../src/codecs/arrow-body.ts'
import { hasCode } from '../../src/lib/errors.ts'
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
import { fuzzParameters } from '../support/fuzz.ts'

function refusal(bytes: Uint8Array, rowsMax?: number): { code: string; details: unknown } {
  try {
    decodeArrowBody(bytes, rowsMax)
  } catch (error) {
    if (hasCode(error, 'malformed_body', 'invalid_points', 'limit_exceeded')) return error
    throw error
  }
  assert.fail('it was not refused')
}

function assertRow(bytes: Uint8Array, row: number, field: string, problem: string): void {
  const { code, details } = refusal(bytes)
  assert.equal(code, 'invalid_points')
  assert.deepEqual(details, { rejected: [{ row, id: null, field, problem }], rejected_total: 1 })
}

function assertColumn(bytes: Uint8Array, column: string, problem: RegExp): void {
  const { code, details } = refusal(bytes)
  assert.equal(code, 'malformed_body')
  assert.equal((details as { column: string }).column, column)
  assert.match((details as { problem: string }).problem, problem)
}

describe('rows that are refused', () => {
  it('an id that is null, also in a later batch', () => {
    const good = new Table({ id: texts(['a', null]).slice(0, 1), vector: VECTORS.slice(0, 1) })
    const bad = new Table({ id: texts(['b', null]), vector: VECTORS })
    assertRow(tableToIPC(bad, 'stream'), 1, 'id', 'is null')
    assertRow(tableToIPC(good.concat(bad), 'stream'), 2, 'id', 'is null')
  })

  it('an id that is null in its dictionary column', () => {
    const id = texts(['a', null], new Dictionary(new Utf8(), new Int8()))
    assertRow(stream({ id, vector: VECTORS }), 1, 'id', 'is null')
  })

  it('a vector that is null', () => {
    for (const type of [pairs(FLOAT32), listOf(FLOAT32)]) {
      assertRow(stream({ id: IDS, vector: lists([null, [1, 2]], type) }), 0, 'vector', 'is null')
    }
  })

  it('a number that is null', () => {
    const wide = texts(['a', 'b', 'c'])
    for (const type of [pairs(FLOAT32), listOf(new Float64())]) {
      const vector = lists(
        [
          [1, 2],
          [3, 4],
          [5, null],
        ],
        type,
      )
      assertRow(stream({ id: wide, vector }), 2, 'vector', 'holds a null')
    }
  })

  it('lists of different lengths, in one batch or two', () => {
    const type = listOf(FLOAT32)
    const ragged = lists([[1, 2], [3]], type)
    assertRow(stream({ id: IDS, vector: ragged }), 1, 'vector', 'has 1 numbers, row 0 has 2')
    const two = new Table({
      id: IDS,
      vector: lists(
        [
          [1, 2],
          [3, 4],
        ],
        type,
      ),
    })
    const three = new Table({ id: texts(['c']), vector: lists([[1, 2, 3]], type) })
    const bytes = tableToIPC(two.concat(three), 'stream')
    assertRow(bytes, 2, 'vector', 'has 3 numbers, row 0 has 2')
  })

  it('a vector without numbers', () => {
    const vector = lists([[], []], listOf(FLOAT32))
    assertRow(stream({ id: IDS, vector }), 0, 'vector', 'is empty')
  })
})

describe('columns that are refused', () => {
  it('one that nobody knows', () => {
    const bytes = stream({ id: IDS, vector: VECTORS, colour: IDS })
    assertColumn(bytes, 'colour', /not a known column/)
    assertColumn(stream({ id: IDS, vector: VECTORS, Id: IDS }), 'Id', /not a known column/)
  })

  it('one that is missing', () => {
    assertColumn(stream({ vector: VECTORS }), 'id', /is missing/)
    assertColumn(stream({ id: IDS }), 'vector', /is missing/)
  })

  it('one that comes twice', () => {
    const [id, vector] = [IDS.data[0], VECTORS.data[0]] as (Data | undefined)[]
    assert.ok(id !== undefined && vector !== undefined)
    const names = ['id', 'vector', 'id']
    const children = [id, vector, id]
    const fields = children.map(({ type }, i) => new Field(names[i] ?? '', type))
    const data = makeData({ type: new Struct(fields), length: 2, nullCount: 0, children })
    const table = new Table([new RecordBatch(new Schema(fields), data)])
    assertColumn(tableToIPC(table, 'stream'), 'id', /comes twice/)
  })

  it('ids and texts that are no strings', () => {
    const numbers = vectorFromArray([1, 2], new Int32())
    const flags = vectorFromArray([true, false], new Bool())
    assertColumn(stream({ id: numbers, vector: VECTORS }), 'id', /utf8, it is int32/)
    assertColumn(stream({ id: IDS, vector: VECTORS, text: flags }), 'text', /utf8, it is of type 6/)
    const bytes = stream({ id: IDS, vector: VECTORS, metadata: VECTORS })
    assertColumn(bytes, 'metadata', /utf8, it is fixed_size_list/)
  })

  it('vectors that are no lists of floats', () => {
    const of = (vector: Vector): Uint8Array => stream({ id: IDS, vector })
    assertColumn(of(IDS), 'vector', /list of floats, it is utf8/)
    assertColumn(of(vectorFromArray([1, 2], new Float32())), 'vector', /it is float32/)
    const halves = lists(
      [
        [1, 2],
        [3, 4],
      ],
      pairs(new Float16()),
    )
    assertColumn(of(halves), 'vector', /holds float16/)
    const integers = lists(
      [
        [1, 2],
        [3, 4],
      ],
      listOf(new Int32()),
    )
    assertColumn(of(integers), 'vector', /holds int32/)
    const nested = lists([[[1]], [[2]]], listOf(listOf(FLOAT32)))
    assertColumn(of(nested), 'vector', /holds list/)
  })
})

describe('bytes that are refused', () => {
  it('a table in the file format is named as such', () => {
    const { code, details } = refusal(tableToIPC(new Table({ id: IDS, vector: VECTORS }), 'file'))
    assert.equal(code, 'malformed_body')
    assert.match((details as { problem: string }).problem, /file format/)
  })

  it('nothing, text and JSON', () => {
    for (const body of ['', 'hello, world', '{"points":[]}']) {
      assert.equal(refusal(Buffer.from(body)).code, 'malformed_body')
    }
  })

  it('a second stream behind the first', () => {
    assert.equal(refusal(Buffer.concat([PLAIN, PLAIN])).code, 'malformed_body')
  })

  it('a stream that is cut within a message', () => {
    const end = PLAIN.length - 8
    const boundaries: number[] = []
    for (let cut = 0; cut < end; cut += 1) {
      try {
        decodeArrowBody(PLAIN.subarray(0, cut))
        boundaries.push(cut)
      } catch (error) {
        assert.ok(hasCode(error, 'malformed_body'))
      }
    }
    // Where one message ends the stream may end: Arrow asks for no end mark.
    assert.equal(boundaries.length, 1)
    assert.deepEqual(decodeArrowBody(PLAIN.subarray(0, boundaries[0])).ids, [])
  })

  it('an index outside its dictionary', () => {
    const text = texts(['x', 'y'], new Dictionary(new Utf8(), new Int8()))
    const { data } = text
    const indices = (data[0]?.values ?? []) as Int8Array
    indices[1] = 7
    const { code, details } = refusal(stream({ id: IDS, vector: VECTORS, text }))
    assert.equal(code, 'malformed_body')
    assert.match((details as { problem: string }).problem, /row 1 of column "text"/)
  })

  it('ids that are no UTF-8', () => {
    const bytes = Buffer.from(stream({ id: texts(['needle', 'b']), vector: VECTORS }))
    bytes[bytes.indexOf('needle')] = 0xff
    assert.equal(refusal(bytes).code, 'malformed_body')
  })
})

describe('limits', () => {
  it('decoding stops after as many rows as the caller takes', () => {
    const bytes = stream({ id: IDS, vector: VECTORS })
    assert.equal(decodeArrowBody(bytes, 2).ids.length, 2)
    const { code, details } = refusal(bytes, 1)
    assert.equal(code, 'limit_exceeded')
    assert.deepEqual(details, { limit: 'rows_per_request', max: 1 })
  })

  it('record batches without rows do not come for nothing', () => {
    const none = new Table({ id: IDS, vector: VECTORS }).batches[0]?.slice(0, 0)
    assert.ok(none !== undefined)
    const bytes = tableToIPC(new Table([none, none, none]), 'stream')
    assert.equal(decodeArrowBody(bytes, 3).ids.length, 0)
    assert.equal(refusal(bytes, 2).code, 'limit_exceeded')
  })

  it('a dictionary cannot blow up a small body', () => {
    const rows = 100
    const long = 'x'.repeat(1024 * 1024)
    const metadata = texts(
      new Array<string>(rows).fill(long),
      new Dictionary(new Utf8(), new Int8()),
    )
    const id = texts(Array.from({ length: rows }, (_, i) => String(i)))
    const vector = lists(Array.from({ length: rows }, () => [1, 2]))
    const bytes = stream({ id, vector, metadata })
    assert.ok(bytes.length < 2 * 1024 * 1024)
    const { code, details } = refusal(bytes)
    assert.equal(code, 'limit_exceeded')
    assert.equal((details as { column: string }).column, 'metadata')
  })

  it('a name that is echoed is cut', () => {
    const name = 'n'.repeat(5000)
    const { details } = refusal(stream({ id: IDS, vector: VECTORS, [name]: IDS }))
    assert.ok(JSON.stringify(details).length < 300)
  })
})

describe('hostile bytes', { timeout: 120_000 }, () => {
  const dictionary = new Dictionary(new Utf8(), new Int8())
  const seeds = [
    PLAIN,
    stream({
      id: IDS,
      vector: lists(
        [
          [1, 2],
          [3, 4],
        ],
        listOf(new Float64()),
      ),
      text: texts(['x', null]),
    }),
    stream({ id: texts(['a', 'b'], dictionary), vector: VECTORS, metadata: texts(['{}', null]) }),
    tableToIPC(
      new Table({ id: IDS, vector: VECTORS }).concat(new Table({ id: IDS, vector: VECTORS })),
      'stream',
    ),
  ]

  function outcome(bytes: Uint8Array): string {
    try {
      const { ids, vectors, dimension } = decodeArrowBody(bytes)
      assert.equal(vectors.length, ids.length * dimension)
      return 'decoded'
    } catch (error) {
      if (hasCode(error, 'malformed_body', 'invalid_points', 'limit_exceeded')) return error.code
      throw error
    }
  }

  it('every byte of a valid stream changed: columns of even length, or refused', () => {
    const seen = new Set<string>()
    for (const seed of seeds) {
      for (let at = 0; at < seed.length; at += 1) {
        for (const value of [0x00, 0x01, 0x7f, 0x80, 0xff]) {
          const bytes = seed.slice()
          bytes[at] = value
          seen.add(outcome(bytes))
        }
      }
    }
    assert.ok(seen.has('decoded') && seen.has('malformed_body') && seen.has('invalid_points'))
  })

  it('many changes at once, words, cuts and noise: no other error', () => {
    const word = fc.constantFrom(0, 1, 0x7fffffff, 0x80000000, 0xffffffff, 8, 64, 1 << 20)
    const mutated = fc
      .tuple(
        fc.constantFrom(...seeds),
        fc.array(fc.tuple(fc.nat(5000), fc.oneof(word, fc.nat(0xffffffff))), {
          minLength: 1,
          maxLength: 8,
        }),
        fc.option(fc.nat(5000)),
      )
      .map(([seed, changes, cut]) => {
        const bytes = Buffer.from(seed)
        for (const [at, value] of changes) bytes.writeUInt32LE(value, at % (bytes.length - 3))
        return cut === null ? bytes : bytes.subarray(0, cut % bytes.length)
      })
    fc.assert(
      fc.property(fc.oneof(mutated, fc.uint8Array({ maxLength: 500 })), (bytes) => {
        outcome(bytes)
      }),
      fuzzParameters(20_000),
    )
  })
})
