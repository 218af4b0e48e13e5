/**
 * Parquet: what is written here DuckDB reads with equal values and right types; what DuckDB writes is
 * read here; what is damaged or does not fit is refused by its place.
 */

import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import fc from 'fast-check'
import { hashFile } from '../../src/codecs/file-hash.ts'
import { rowsOfEnd } from '../../src/codecs/parquet-footer.ts'
import { openTable } from '../../src/codecs/table-reader.ts'
import { encodeTable, writeParquetTable } from '../../src/codecs/table-writer.ts'
import { COLUMN_TYPES, type Cell } from '../../src/domain/table.ts'
import { VectordError } from '../../src/lib/errors.ts'
import { collect } from '../support/collect.ts'
import {
  anyTable,
  batchesOf,
  column,
  copied,
  duckdb,
  encoded,
  folderOf,
  MIXED,
  readWhole,
  roundTrip,
  rowsOf,
  written,
} from './table-world.ts'

describe('what is written', { timeout: 60_000 }, () => {
  it('is read by DuckDB with the right types and equal values', async (t) => {
    const path = await written(t, MIXED)
    const connection = await duckdb(t)
    const described = await rowsOf(connection, `describe select * from '${path}'`)
    assert.deepEqual(
      described.map(([name, type]) => [name, type]),
      [
        ['b', 'BOOLEAN'],
        ['i', 'INTEGER'],
        ['l', 'BIGINT'],
        ['f', 'DOUBLE'],
        ['t', 'TIMESTAMP WITH TIME ZONE'],
        ['s', 'VARCHAR'],
        ['x', 'BLOB'],
        ['v', 'FLOAT[]'],
      ],
    )
    const rows = await rowsOf(
      connection,
      `select b, i, l, f, epoch_us(t), s, x, v::float[3]::varchar from '${path}'`,
    )
    const vectors = ['[1.0, -0.5, 3e+38]', null, '[nan, 0.0, inf]']
    for (const [row, found] of rows.entries()) {
      const expected = MIXED.cells.slice(0, 7).map((cells) => cells[row] ?? null)
      const plain = found.map((value) => (Buffer.isBuffer(value) ? Uint8Array.from(value) : value))
      assert.deepEqual(plain, [...expected, vectors[row]])
    }
  })

  it('is told with its rows, bytes and hash, and comes back as it was', async (t) => {
    const path = join(await folderOf(t), 'table.parquet')
    const told = await writeParquetTable(path, MIXED.columns, batchesOf(MIXED, 2))
    assert.deepEqual(told, { rows: 3, ...(await hashFile(path)) })
    assert.deepEqual(await readWhole(path, 'parquet'), MIXED)
  })

  it('any table comes back as it was', async (t) => {
    const folder = await folderOf(t)
    await fc.assert(
      fc.asyncProperty(anyTable(COLUMN_TYPES), async (table) => {
        assert.deepEqual(await roundTrip(folder, 'parquet', table), table)
      }),
      { numRuns: 60 },
    )
  })

  it('tells its rows at its end; a longer footer than is there, and none, tell nothing', async () => {
    for (const rows of [0, 1, 300]) {
      const cells = [Array.from({ length: rows }, (_, row) => row)]
      const bytes = await encoded('parquet', { columns: [column('n', 'int32')], cells })
      assert.equal(rowsOfEnd(bytes), rows)
      const footerBytes = bytes.readUInt32LE(bytes.length - 8)
      assert.equal(rowsOfEnd(bytes.subarray(-footerBytes - 8)), rows)
      assert.equal(rowsOfEnd(bytes.subarray(-footerBytes - 7)), null)
    }
    assert.equal(rowsOfEnd(new Uint8Array(7)), null)
  })

  it('has row groups of at most 8192 rows, and no more than 4 MiB of wide rows', async (t) => {
    const cells = [Array.from({ length: 20_000 }, (_, row) => row)]
    const narrow = await written(t, { columns: [column('n', 'int32')], cells })
    const wideRow = new Float32Array(2048).fill(0.1)
    const wide = await written(t, {
      columns: [column('v', 'vector', 2048)],
      cells: [Array.from({ length: 2000 }, () => wideRow)],
    })
    const connection = await duckdb(t)
    for (const [path, groups] of [
      [narrow, 3],
      [wide, 4],
    ] as const) {
      const [row] = await rowsOf(
        connection,
        `select count(distinct row_group_id)::int, max(row_group_num_rows)::int from parquet_metadata('${path}')`,
      )
      assert.ok(Number(row?.[0]) >= groups && Number(row?.[1]) <= 8192, String(row))
    }
  })

  it('a table of no rows keeps its columns, also for DuckDB', async (t) => {
    const empty = { columns: MIXED.columns, cells: MIXED.columns.map(() => []) }
    const path = await written(t, empty)
    assert.equal((await readWhole(path, 'parquet')).cells[0]?.length, 0)
    const connection = await duckdb(t)
    const described = await rowsOf(connection, `describe select * from '${path}'`)
    assert.equal(described.length, 8)
  })

  it('a cell that its column cannot hold is refused, and no file is left', async (t) => {
    const folder = await folderOf(t)
    const bad: readonly (readonly [Parameters<typeof column>, unknown])[] = [
      [['c', 'int32'], 2 ** 31],
      [['c', 'int32'], 1.5],
      [['c', 'int32'], 1n],
      [['c', 'int64'], 2n ** 63n],
      [['c', 'int64'], 1],
      [['c', 'boolean'], 1],
      [['c', 'float64'], '1'],
      [['c', 'timestamp'], new Date()],
      [['c', 'utf8'], 7],
      [['c', 'utf8'], '\ud800'],
      [['c', 'binary'], 'text'],
      [['c', 'vector', 2], Float32Array.of(1)],
      [
        ['c', 'vector', 2],
        [1, 2],
      ],
    ]
    for (const [at, [shape, cell]] of bad.entries()) {
      const path = join(folder, `${at}.parquet`)
      const table = { columns: [column(...shape)], cells: [[null, cell as Cell]] }
      await assert.rejects(writeParquetTable(path, table.columns, batchesOf(table)), (error) => {
        assert.ok(error instanceof VectordError, String(error))
        assert.deepEqual([error.code, error.details], ['invalid_value', { column: 'c', row: 1 }])
        return true
      })
      await assert.rejects(hashFile(path), { code: 'ENOENT' })
    }
    const strict = [{ ...column('c', 'int32'), nullable: false }]
    const nulls = batchesOf({ columns: strict, cells: [[1, null]] })
    await assert.rejects(writeParquetTable(join(folder, 'n'), strict, nulls), {
      code: 'invalid_value',
    })
  })

  it('a source that fails leaves no file and is what is thrown, also of an export', async (t) => {
    const path = join(await folderOf(t), 'table.parquet')
    async function* failing(): AsyncGenerator<never, undefined> {
      yield* batchesOf(MIXED) as AsyncGenerator<never>
      throw new Error('the server went away')
    }
    await assert.rejects(writeParquetTable(path, MIXED.columns, failing()), /went away/)
    await assert.rejects(hashFile(path), { code: 'ENOENT' })
    for (const format of ['parquet', 'arrow', 'ndjson', 'csv'] as const) {
      await assert.rejects(collect(encodeTable(format, MIXED.columns, failing())), /went away/)
    }
  })

  it('an export that nobody takes to its end stops asking for batches', async () => {
    const cells = [Array.from({ length: 20_000 }, (_, row) => row)]
    const columns = [column('n', 'int32')]
    let given = 0
    const source = { isClosed: false }
    async function* endless(): AsyncGenerator<Awaited<ReturnType<typeof next>>, undefined> {
      try {
        for (; given < 1000; given += 1) yield await next()
      } finally {
        source.isClosed = true
      }
    }
    async function next() {
      return { columns, rows: 20_000, cells }
    }
    for await (const chunk of encodeTable('parquet', columns, endless())) {
      if (chunk.length > 0) break
    }
    while (!source.isClosed) await turn()
    assert.ok(given < 20, `${given} batches`)
  })
})

const EVERY_TYPE = `select
  i::tinyint i8, i::utinyint u8, i::smallint i16, i::usmallint u16, i::int i32, i::uinteger u32,
  i::bigint i64, i::ubigint u64, i::hugeint i128, i + 0.5::float f32, i + 0.25::double f64,
  (i * 1.25)::decimal(4, 2) d4, (i * 1.25)::decimal(12, 3) d12, (-i * 1.25)::decimal(38, 5) d38,
  'row ' || i s, ('ab' || i)::blob x, i % 2 = 0 b, ['sad', 'ok'][i % 2 + 1]::enum_type e,
  date '1969-12-31' + i::int d, time '23:59:59.5' tm, timestamp '2020-01-01 00:00:00.123456' ts,
  timestamptz '2020-01-01 02:00:00+02' tz, timestamp_ns '1969-12-31 23:59:59.999999999' tns,
  timestamp_ms '2020-01-01 00:00:00.5' tms, '2f6a0a3c-0000-4000-8000-0000000000' || lpad(i::varchar, 2, '0') ut,
  ('2f6a0a3c-0000-4000-8000-0000000000' || lpad(i::varchar, 2, '0'))::uuid u,
  [i, i + 1, i + 2]::float[] v, [i, 0.5]::double[2] dv, [i, 2]::int[] iv, range(i) ragged,
  {'a': i, 'b': ['x', null]} st, map {'k': i} m, map {i: 'k'} mi, [['a'], null] ll,
  [{'x': timestamp '2020-01-01'}] ls, '{"j": 1}'::json js, null::float[] nv
  from range(3) r(i)`

const EVERY_VALUE: Readonly<Record<string, readonly [string, readonly unknown[]]>> = {
  i8: ['int32', [0, 1, 2]],
  u8: ['int32', [0, 1, 2]],
  i16: ['int32', [0, 1, 2]],
  u16: ['int32', [0, 1, 2]],
  i32: ['int32', [0, 1, 2]],
  u32: ['int64', [0n, 1n, 2n]],
  i64: ['int64', [0n, 1n, 2n]],
  u64: ['int64', [0n, 1n, 2n]],
  i128: ['float64', [0, 1, 2]],
  f32: ['float64', [0.5, 1.5, 2.5]],
  f64: ['float64', [0.25, 1.25, 2.25]],
  d4: ['float64', [0, 1.25, 2.5]],
  d12: ['float64', [0, 1.25, 2.5]],
  d38: ['float64', [0, -1.25, -2.5]],
  s: ['utf8', ['row 0', 'row 1', 'row 2']],
  x: ['binary', ['ab0', 'ab1', 'ab2'].map((text) => new TextEncoder().encode(text))],
  b: ['boolean', [true, false, true]],
  e: ['utf8', ['sad', 'ok', 'sad']],
  d: ['timestamp', [-86_400_000_000n, 0n, 86_400_000_000n]],
  tm: ['utf8', ['23:59:59.5', '23:59:59.5', '23:59:59.5']],
  ts: ['timestamp', new Array(3).fill(1_577_836_800_123_456n)],
  tz: ['timestamp', new Array(3).fill(1_577_836_800_000_000n)],
  tns: ['timestamp', new Array(3).fill(-1n)],
  tms: ['timestamp', new Array(3).fill(1_577_836_800_500_000n)],
  v: ['vector', [0, 1, 2].map((i) => Float32Array.of(i, i + 1, i + 2))],
  dv: ['vector', [0, 1, 2].map((i) => Float32Array.of(i, 0.5))],
  iv: ['vector', [0, 1, 2].map((i) => Float32Array.of(i, 2))],
  ragged: ['utf8', ['[]', '[0]', '[0,1]']],
  st: ['utf8', [0, 1, 2].map((i) => `{"a":${i},"b":["x",null]}`)],
  m: ['utf8', ['{"k":0}', '{"k":1}', '{"k":2}']],
  mi: ['utf8', ['[[0,"k"]]', '[[1,"k"]]', '[[2,"k"]]']],
  ll: ['utf8', new Array(3).fill('[["a"],null]')],
  ls: ['utf8', new Array(3).fill('[{"x":"2020-01-01T00:00:00Z"}]')],
  js: ['utf8', new Array(3).fill('{"j": 1}')],
  nv: ['utf8', [null, null, null]],
}

it('an open table tells its rows and columns before any is read', async (t) => {
  const path = await written(t, MIXED)
  const { signal } = new AbortController()
  const table = await openTable(path, 'parquet', { batchRows: 10, signal })
  assert.deepEqual([table.rows, table.columns], [3, MIXED.columns])
  await table.close()
})

describe('what DuckDB writes', { timeout: 60_000 }, () => {
  it('every type is read, and its values', async (t) => {
    const connection = await duckdb(t)
    const path = join(await folderOf(t), 'duck.parquet')
    await connection.run(`create type enum_type as enum ('sad', 'ok')`)
    await connection.run(`copy (${EVERY_TYPE}) to '${path}' (format parquet)`)
    const { columns, cells } = await readWhole(path, 'parquet')
    const found = new Map(columns.map(({ name, type }, at) => [name, [type, cells[at]]]))
    assert.deepEqual(found.get('u'), found.get('ut'), 'a UUID is the text of it')
    found.delete('u')
    found.delete('ut')
    assert.deepEqual(Object.fromEntries(found), EVERY_VALUE)
  })

  const codecs = ['uncompressed', 'snappy', 'zstd', 'gzip', 'lz4_raw', 'brotli']
  for (const codec of codecs) {
    it(`${codec}: many row groups, nulls everywhere`, async (t) => {
      const nulls = `select if(i % 3 = 0, null, i) n, if(i % 5 = 0, null, 'é' || i) s,
        if(i % 7 = 0, null, [i, 1]::float[]) v from range(5000) r(i)`
      const options = `, codec ${codec}, row_group_size 2048`
      const { columns, cells } = await readWhole(await copied(t, nulls, options), 'parquet', 300)
      assert.deepEqual(
        columns.map(({ type }) => type),
        ['int64', 'utf8', 'vector'],
      )
      for (let i = 0; i < 5000; i += 1) {
        const row = [i % 3 === 0 ? null : BigInt(i), i % 5 === 0 ? null : `é${i}`]
        assert.deepEqual([cells[0]?.[i], cells[1]?.[i]], row)
        const vector = i % 7 === 0 ? null : Float32Array.of(i, 1)
        assert.deepEqual(cells[2]?.[i], vector)
      }
    })
  }

  it('600 columns, and none of them mistaken for another', async (t) => {
    const names = Array.from({ length: 600 }, (_, at) => `${at}::int "a.${at}"`)
    const path = await copied(t, `select ${names.join()} from range(10)`)
    const { columns, cells } = await readWhole(path, 'parquet')
    assert.equal(columns.length, 600)
    assert.ok(columns.every(({ name }, at) => name === `a.${at}` && cells[at]?.[9] === at))
  })

  it('an empty table has its columns', async (t) => {
    const { columns, cells } = await readWhole(await copied(t, `select 1 a limit 0`), 'parquet')
    assert.deepEqual([columns.length, cells], [1, [[]]])
  })

  it('a vector behind ten thousand nulls still tells its dimension', async (t) => {
    const select = `select if(i < 10000, null, [1, 2]::float[]) "v.x", i n from range(10001) r(i)`
    const path = await copied(t, select, ', row_group_size 2048')
    const { columns, cells } = await readWhole(path, 'parquet')
    assert.deepEqual(columns[0], column('v.x', 'vector', 2))
    assert.deepEqual(cells[0]?.at(-1), Float32Array.of(1, 2))
  })
})

it('an export of no batches has its columns in every format that can tell them', async (t) => {
  const folder = await folderOf(t)
  const empty = { columns: MIXED.columns, cells: MIXED.columns.map(() => []) }
  for (const format of ['parquet', 'arrow'] as const) {
    const found = await roundTrip(folder, format, empty)
    assert.deepEqual(
      found.columns.map(({ name }) => name),
      MIXED.columns.map(({ name }) => name),
    )
  }
  assert.equal((await encoded('csv', empty)).toString(), 'b,i,l,f,t,s,x,v\r\n')
  assert.equal((await encoded('ndjson', empty)).length, 0)
})
