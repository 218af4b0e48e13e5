/** NDJSON and CSV: types are found over all rows, values come back, a wrong line is told by its number. */

import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import fc from 'fast-check'
import type { TableFormat } from '../../src/codecs/table-reader.ts'
import type { Cell, Column } from '../../src/domain/table.ts'
import type { VectordError } from '../../src/lib/errors.ts'
import {
  anyTable,
  CELLS,
  column,
  duckdb,
  encoded,
  folderOf,
  MIXED,
  readWhole,
  refusal,
  roundTrip,
  rowsOf,
  type WholeTable,
} from './table-world.ts'

async function fileOf(t: TestContext, content: string | Uint8Array): Promise<string> {
  const path = join(await folderOf(t), 'table.txt')
  await writeFile(path, content)
  return path
}

async function read(
  t: TestContext,
  format: TableFormat,
  content: string | Uint8Array,
): Promise<WholeTable> {
  return readWhole(await fileOf(t, content), format, 2)
}

async function refused(
  t: TestContext,
  format: TableFormat,
  content: string | Uint8Array,
): Promise<VectordError> {
  return refusal(await fileOf(t, content), format)
}

/** What a text format cannot tell: types of columns that have no value, and which texts are bytes. */
const TOLD = ['boolean', 'timestamp', 'utf8', 'vector'] as const
const PRINTABLE = { min: -62_135_596_800_000_000n, max: 253_402_300_799_999_999n }
const TOLD_CELLS = {
  ...CELLS,
  timestamp: () => fc.bigInt(PRINTABLE),
  vector: (dimension: number) =>
    fc
      .array(fc.float({ noNaN: true, noDefaultInfinity: true }), {
        minLength: dimension,
        maxLength: dimension,
      })
      .map((numbers) => Float32Array.from(numbers, (value) => value + 0)),
  // Texts that are no number, no flag, no time and no list.
  utf8: () => fc.string({ unit: 'grapheme', maxLength: 20 }).map((text) => `é${text}`),
}

/** With a column in front: a line of CSV that is empty is no row. */
function filled({ columns, cells }: WholeTable): WholeTable {
  const rows = cells[0]?.length ?? 0
  const front = Array.from({ length: rows }, (_, row) => row % 2 === 0)
  return { columns: [column('front', 'boolean'), ...columns], cells: [front, ...cells] }
}

function typed({ columns, cells }: WholeTable): WholeTable {
  const found = columns.map((one, at): Column => {
    if (cells[at]?.some((cell) => cell !== null) === true) return one
    return column(one.name, 'utf8')
  })
  return { columns: found, cells }
}

describe('what is written comes back', { timeout: 60_000 }, () => {
  for (const format of ['ndjson', 'csv'] as const) {
    it(`${format}: any table of types that text can tell`, async (t) => {
      const folder = await folderOf(t)
      await fc.assert(
        fc.asyncProperty(anyTable(TOLD, TOLD_CELLS), async (any) => {
          const table = filled(any)
          if (table.cells[0]?.length === 0) return
          assert.deepEqual(await roundTrip(folder, format, table), typed(table))
        }),
        { numRuns: 60 },
      )
    })

    it(`${format}: any integers and floats, each in the narrowest type that holds them`, async (t) => {
      const folder = await folderOf(t)
      const numbers = fc.oneof(
        fc.array(fc.integer(), { minLength: 1 }).map((all) => ['int32', all] as const),
        fc
          .array(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), { minLength: 1 })
          .map((all) => ['int64', [2n ** 31n, ...all]] as const),
        fc
          .array(fc.double({ noNaN: true, noDefaultInfinity: true }), { minLength: 1 })
          .map((all) => ['float64', [0.5, ...all.map((one) => one + 0)]] as const),
      )
      await fc.assert(
        fc.asyncProperty(numbers, async ([type, cells]) => {
          const table = { columns: [column('n', type)], cells: [cells as readonly Cell[]] }
          assert.deepEqual(await roundTrip(folder, format, table), table)
        }),
        { numRuns: 60 },
      )
    })

    it(`${format}: DuckDB reads what is written`, async (t) => {
      const connection = await duckdb(t)
      const path = join(await folderOf(t), `table.${format}`)
      await writeFile(path, await encoded(format, MIXED))
      const reader = format === 'csv' ? 'read_csv' : 'read_json'
      const rows = await rowsOf(
        connection,
        `select b, i::int, l::bigint, f, epoch_us(t), s from ${reader}('${path}')`,
      )
      for (const [row, found] of rows.entries()) {
        // DuckDB takes an empty text of a CSV file for none.
        const expected = MIXED.cells.slice(0, 6).map((cells) => cells[row] ?? null)
        assert.deepEqual(found.slice(0, 5), expected.slice(0, 5))
        assert.equal(found[5] ?? '', expected[5] ?? '')
      }
    })
  }
})

describe('NDJSON', { timeout: 60_000 }, () => {
  it('types are those of all rows, in the order in which fields come', async (t) => {
    const lines = [
      { flag: true, n: 1, wide: 1, f: 1, s: 'a', mixed: 1, v: [1, 2], tags: [1], none: null },
      { n: 2, wide: 3e9, f: 2.5, s: null, mixed: 'x', v: [3, 4.5], tags: [1, 2] },
      { flag: null, at: '2026-01-31T12:00:00.5+01:00', mixed: { a: [1] }, tags: [] },
    ]
    const text = lines.map((line) => JSON.stringify(line)).join('\r\n')
    assert.deepEqual(await read(t, 'ndjson', `\ufeff${text}\n\n`), {
      columns: [
        column('flag', 'boolean'),
        column('n', 'int32'),
        column('wide', 'int64'),
        column('f', 'float64'),
        column('s', 'utf8'),
        column('mixed', 'utf8'),
        column('v', 'vector', 2),
        column('tags', 'utf8'),
        column('none', 'utf8'),
        column('at', 'timestamp'),
      ],
      cells: [
        [true, null, null],
        [1, 2, null],
        [1n, 3_000_000_000n, null],
        [1, 2.5, null],
        ['a', null, null],
        ['1', 'x', '{"a":[1]}'],
        [Float32Array.of(1, 2), Float32Array.of(3, 4.5), null],
        ['[1]', '[1,2]', '[]'],
        [null, null, null],
        [null, null, 1_769_857_200_500_000n],
      ],
    })
  })

  it('integers are exact to 64 bits, also within others; beyond they are float64', async (t) => {
    const text = [
      '{"id": 9007199254740993, "o": {"id": 9007199254740993}, "big": 1, "s": "1234567890123456789"}',
      '{"id": -9223372036854775808, "o": [18446744073709551615], "big": 18446744073709551616}',
    ].join('\n')
    const { columns, cells } = await read(t, 'ndjson', text)
    assert.deepEqual(
      columns.map(({ type }) => type),
      ['int64', 'utf8', 'float64', 'utf8'],
    )
    assert.deepEqual(cells, [
      [9007199254740993n, -(2n ** 63n)],
      ['{"id":9007199254740993}', '[18446744073709551615]'],
      [1, 2 ** 64],
      ['1234567890123456789', null],
    ])
  })

  it('names that are odd in JavaScript are names', async (t) => {
    const { columns, cells } = await read(t, 'ndjson', '{"__proto__":1,"constructor":2,"":3}\n{}')
    assert.deepEqual(
      columns.map(({ name }) => name),
      ['__proto__', 'constructor', ''],
    )
    assert.deepEqual(cells, [
      [1, null],
      [2, null],
      [3, null],
    ])
  })

  it('a wrong line is told by its number', async (t) => {
    const good = '{"a":1}\n'
    const bad: readonly (readonly [string | Uint8Array, number])[] = [
      [`${good}\n{"a":`, 3],
      [`${good}[1]\n`, 2],
      [`${good}null\n`, 2],
      [`${good}12345678901234567890\n`, 2],
      [`${good}{"a":1}{"a":2}\n`, 2],
      [`${good}{'a':1}\n`, 2],
      [Buffer.concat([Buffer.from(`${good}{"a":"`), Buffer.from([0xff]), Buffer.from('"}\n')]), 2],
      [good + ' '.repeat(17 * 1024 * 1024), 2],
    ]
    for (const [content, line] of bad) {
      const { code, details } = await refused(t, 'ndjson', content)
      assert.deepEqual([code, details['line']], ['file_corrupt', line])
    }
    assert.equal((await refused(t, 'ndjson', '')).code, 'file_corrupt')
    assert.equal((await refused(t, 'ndjson', '{}\n{}\n')).code, 'file_corrupt')
  })

  it('a vector of another length is told by its line and column', async (t) => {
    const { code, details } = await refused(t, 'ndjson', '{"v":[1,2.5]}\n{"v":[1,2]}\n{"v":[1]}\n')
    assert.deepEqual([code, details], ['invalid_value', { line: 3, column: 'v' }])
  })

  it('objects of which each has fields of its own are refused', async (t) => {
    const lines = Array.from({ length: 10_001 }, (_, i) => `{"f${i}":1}`).join('\n')
    assert.equal((await refused(t, 'ndjson', lines)).code, 'limit_exceeded')
  })
})

describe('CSV', { timeout: 60_000 }, () => {
  it('quotes, line ends, empty fields, and types of all rows', async (t) => {
    const text = [
      ',flag,n,wide,f,zip,s,v,at,inf',
      '0,true,1,1,1,01234,"a ""b"", c",,2026-01-31T12:00:00Z,Infinity',
      '1,FALSE,,3000000000,.5,99999,"","[1, 2.5]",,-Infinity',
      '2,,"-7",,-1e3,,,"[3,4]",,NaN',
      '"3\n4",,,,,,,,,',
    ].join('\r\n')
    const { columns, cells } = await read(t, 'csv', `\ufeff${text}\r\n`)
    assert.deepEqual(columns, [
      column('column_1', 'utf8'),
      column('flag', 'boolean'),
      column('n', 'int32'),
      column('wide', 'int64'),
      column('f', 'float64'),
      column('zip', 'utf8'),
      column('s', 'utf8'),
      column('v', 'vector', 2),
      column('at', 'timestamp'),
      column('inf', 'float64'),
    ])
    assert.deepEqual(cells, [
      ['0', '1', '2', '3\n4'],
      [true, false, null, null],
      [1, null, -7, null],
      [1n, 3_000_000_000n, null, null],
      [1, 0.5, -1000, null],
      ['01234', '99999', null, null],
      ['a "b", c', '', null, null],
      [null, Float32Array.of(1, 2.5), Float32Array.of(3, 4), null],
      [1_769_860_800_000_000n, null, null, null],
      [Infinity, -Infinity, NaN, null],
    ])
  })

  it('a table of one column keeps its rows without a value', async (t) => {
    const table = { columns: [column('n', 'int32')], cells: [[null, 1, null]] }
    assert.deepEqual(await roundTrip(await folderOf(t), 'csv', table), table)
  })

  it('a header alone is a table of no rows', async (t) => {
    const { columns, cells } = await read(t, 'csv', 'a,b\n')
    assert.deepEqual([columns.length, cells], [2, [[], []]])
  })

  it('what is wrong is told by its line', async (t) => {
    const bad: readonly (readonly [string | Uint8Array, number | undefined])[] = [
      ['a,b\n1,2\n3\n', 3],
      ['a,b\n1,2\n3,4,5\n6,7\n', 3],
      ['a,b\n"1,2\n', 2],
      ['a,b\n1,x"2\n', 2],
      ['a,b\n1,"x"2\n', 2],
      ['a,a\n1,2\n', 1],
      ['', undefined],
      [Buffer.concat([Buffer.from('a\n1\n'), Buffer.from([0xc3, 0x28])]), 1],
      [`a\n"${'x'.repeat(17 * 1024 * 1024)}"\n`, 2],
    ]
    for (const [content, line] of bad) {
      const { code, details } = await refused(t, 'csv', content)
      const told = [code, details['line']]
      assert.deepEqual(told, ['file_corrupt', line], String(content).slice(0, 30))
    }
    const { code, details } = await refused(t, 'csv', 'v\n"[1,2.5]"\n[1]\n')
    assert.deepEqual([code, details], ['invalid_value', { line: 3, column: 'v' }])
  })

  it('a missing file is no empty one', async (t) => {
    for (const format of ['csv', 'ndjson'] as const) {
      const missing = await refusal(join(await folderOf(t), 'missing'), format)
      assert.deepEqual([missing.code, missing.details['errno']], ['storage_error', 'ENOENT'])
    }
  })
})

describe('CSV that is not what it seems', () => {
  it('half of a letter at the end is damage', async (t) => {
    const whole = Buffer.from('a\nä')
    const error = await refused(t, 'csv', whole.subarray(0, whole.length - 1))
    assert.equal(error.code, 'file_corrupt')
    assert.equal(error.details['line'], 2)
  })

  it('lines that end in CR alone are not one long header', async (t) => {
    const error = await refused(t, 'csv', 'a,b\r1,2\r3,4\r')
    assert.equal(error.code, 'file_corrupt')
    assert.match(error.message, /CR/)
    const { cells } = await read(t, 'csv', 'a,b\r\n1,2\r\n')
    assert.deepEqual(cells, [[1], [2]])
  })

  it('a header of a million names is refused, and at once', { timeout: 20_000 }, async (t) => {
    const names = Array.from({ length: 1_000_000 }, (_, at) => `c${at}`)
    const error = await refused(t, 'csv', `${names.join(',')}\n`)
    assert.equal(error.code, 'limit_exceeded')
  })
})

describe('a number that no float64 holds', () => {
  const digits = '9'.repeat(400)

  it('stays text in CSV', async (t) => {
    const { columns, cells } = await read(t, 'csv', `a,b\n1e400,${digits}\n0.5,1\n`)
    assert.deepEqual(
      columns.map(({ type }) => type),
      ['utf8', 'utf8'],
    )
    assert.deepEqual(cells, [
      ['1e400', '0.5'],
      [digits, '1'],
    ])
  })

  it('is refused in NDJSON, which tells its line', async (t) => {
    for (const number of ['1e400', '-1e400', digits]) {
      const error = await refused(t, 'ndjson', `{"a":0.5}\n{"a":${number}}\n`)
      assert.equal(error.code, 'invalid_value')
      assert.deepEqual(error.details, { line: 2, column: 'a' })
    }
  })
})
