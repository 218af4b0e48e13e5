/** Parquet that is damaged or does not fit is refused by its place, and nothing hangs or dies of it. */

import assert from 'node:assert/strict'
import { readFile, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { hashFile } from '../../src/codecs/file-hash.ts'
import { readTable } from '../../src/codecs/table-reader.ts'
import { VectordError } from '../../src/lib/errors.ts'
import {
  column,
  copied,
  duckdb,
  folderOf,
  MIXED,
  readWhole,
  refusal,
  written,
} from './table-world.ts'

describe('what is refused', { timeout: 60_000 }, () => {
  const faults: readonly (readonly [string, string, object])[] = [
    [
      'a vector of another length',
      'if(i = 4000, [1], [1, 2])::float[]',
      { row_group: 1, row: 1952 },
    ],
    ['a vector with a null', 'if(i = 9, [1, null], [1, 2])::float[]', { row_group: 0, row: 9 }],
    ['a uint64 over int64', '(i + if(i = 7, 9223372036854775808, 0))::ubigint', { row: 7 }],
    ['a date at no time', `if(i = 8, 'infinity', '2020-01-01')::date`, { row: 8 }],
    ['a second at no time', `if(i = 8, 'infinity', '2020-01-01')::date`, { column: 'c' }],
    ['an interval', `interval '1 month'`, { column: 'c', type: 'interval' }],
    ['an interval in a struct', `{'a': interval '1 month'}`, { column: 'c', type: 'interval' }],
  ]
  for (const [name, value, expected] of faults) {
    it(`${name}, by its place`, async (t) => {
      const select = `select ${value} c from range(5000) r(i)`
      const path = await copied(t, select, ', row_group_size 2048')
      const { code, details } = await refusal(path, 'parquet')
      const place = { ...details, file: undefined }
      assert.equal(code, 'invalid_value')
      for (const [key, found] of Object.entries(expected)) {
        assert.equal((place as Record<string, unknown>)[key], found, JSON.stringify(place))
      }
    })
  }

  it('a file cut anywhere, and what is no Parquet', async (t) => {
    const path = await written(t, MIXED)
    const { bytes } = await hashFile(path)
    for (let length = bytes - 1; length > 0; length = Math.floor(length * 0.9)) {
      await truncate(path, length)
      const { code, details } = await refusal(path, 'parquet')
      assert.deepEqual([code, details['file']], ['file_corrupt', 'table.parquet'], `${length}`)
    }
    await writeFile(path, 'a,b\n1,2\n')
    assert.equal((await refusal(path, 'parquet')).code, 'file_corrupt')
    const missing = await refusal(join(path, '..', 'missing'), 'parquet')
    assert.deepEqual([missing.code, missing.details['errno']], ['storage_error', 'ENOENT'])
  })

  for (const codec of ['snappy', 'zstd', 'gzip']) {
    it(`${codec}: flipped bytes are refused or read, and nothing hangs or dies`, async (t) => {
      const folder = await folderOf(t)
      const rows = `select i, 'row ' || i s, [i, 1]::float[] v from range(3000) r(i)`
      const connection = await duckdb(t)
      const intact = join(folder, 'intact.parquet')
      await connection.run(
        `copy (${rows}) to '${intact}' (format parquet, codec ${codec}, row_group_size 2048)`,
      )
      const bytes = await readFile(intact)
      const counts = { refused: 0, inGroups: 0, read: 0 }
      for (let at = 5; at < bytes.length; at += Math.ceil(bytes.length / 80)) {
        const flipped = Uint8Array.from(bytes)
        flipped[at] = (flipped[at] ?? 0) ^ 0xff
        const path = join(folder, 'flipped.parquet')
        await writeFile(path, flipped)
        try {
          await readWhole(path, 'parquet', 1000)
          counts.read += 1
        } catch (error) {
          assert.ok(error instanceof VectordError, String(error))
          assert.equal(error.code === 'file_corrupt' || error.code === 'invalid_value', true)
          counts.refused += 1
          if ('row_group' in error.details) counts.inGroups += 1
        }
      }
      assert.ok(counts.refused > 0 && counts.inGroups > 0, JSON.stringify(counts))
      assert.equal((await readWhole(intact, 'parquet')).cells[0]?.length, 3000, 'and goes on')
    })
  }

  it('reading ends where its signal says so', async (t) => {
    const path = await written(t, {
      columns: [column('n', 'int32')],
      cells: [Array.from({ length: 1000 }, (_, row) => row)],
    })
    const ended = new AbortController()
    const batches = readTable(path, 'parquet', { batchRows: 10, signal: ended.signal })
    assert.equal((await batches.next()).value?.rows, 10)
    ended.abort(new Error('enough'))
    await assert.rejects(batches.next(), /enough/)
  })
})
