/**
 * Parts come back as they were written, other readers of Parquet see the same, and what is not such
 * a part is refused by name.
 */

import assert from 'node:assert/strict'
import { readFile, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { tableFromIPC } from 'apache-arrow'
import fc from 'fast-check'
import { readParquet } from 'parquet-wasm/node'
import { hashFile } from '../../src/codecs/file-hash.ts'
import { ParquetReader } from '../../src/codecs/parquet-file.ts'
import {
  groupRows,
  readDeletesPart,
  readPointsPart,
  writeDeletesPart,
  writePointsPart,
  type PointRows,
} from '../../src/codecs/parquet-part.ts'
import { collect } from '../support/collect.ts'
import { batches, joined, points, readPoints, scratch } from './part-rows.ts'

/** Which rows of a part have a vector. */
const HAVING: readonly (readonly [string, (row: number) => boolean])[] = [
  ['none', () => false],
  ['all', () => true],
  ['some', (row) => row % 3 === 0],
  ['those of whole batches', (row) => row % 1400 < 700],
]

let rowsGiven = 0

function withOrigins(batch: PointRows, has: (row: number) => boolean): PointRows {
  const hasVector = batch.ids.map(() => has(rowsGiven++))
  const embedders = hasVector.map((one, row) => (one && row % 2 === 0 ? `m@${row % 5}` : null))
  return { ...batch, origins: { versions: batch.lsns.map((lsn) => lsn - 1), embedders, hasVector } }
}

describe('a part comes back as it was written', { timeout: 120_000 }, () => {
  const shapes = [
    { rows: 1, dimension: 1, step: 1 },
    { rows: 100, dimension: 1, step: 7 },
    { rows: 2000, dimension: 768, step: 341 },
    { rows: 20_001, dimension: 4, step: 2048 },
  ]
  for (const { rows, dimension, step } of shapes) {
    it(`${rows} points of dimension ${dimension}`, async (t) => {
      const path = join(await scratch(t), 'part')
      const written = await writePointsPart(path, batches(rows, dimension, step), dimension)
      assert.equal(written.rows, rows)
      assert.deepEqual({ rows, ...(await hashFile(path)) }, written)
      assert.deepEqual(await readPoints(path), joined([...batches(rows, dimension, step)]))
    })
  }

  for (const [name, has] of HAVING) {
    it(`rows of which ${name} have a vector, and tags of embedders`, async (t) => {
      const path = join(await scratch(t), 'part')
      const written = [...batches(5000, 8, 700)].map((batch) => withOrigins(batch, has))
      await writePointsPart(path, written, 8, true)
      const read = await collect(readPointsPart(path))
      const { vectors: _, ...expected } = joined(written)
      const { vectors, ...rest } = joined(read)
      assert.deepEqual(rest, expected)
      const origins = [...read].map((batch) => batch.origins)
      const asked = written.map((batch) => batch.origins)
      for (const name of ['versions', 'embedders', 'hasVector'] as const) {
        const all = (of: typeof origins): unknown[] => of.flatMap((one) => [...(one?.[name] ?? [])])
        assert.deepEqual(all(origins), all(asked))
      }
      const vectorsWritten = joined(written).vectors
      for (const [row, present] of origins
        .flatMap((one) => [...(one?.hasVector ?? [])])
        .entries()) {
        if (!present) continue
        const at = [row * 8, row * 8 + 8] as const
        assert.deepEqual(vectors.subarray(...at), vectorsWritten.subarray(...at))
      }
    })
  }

  it('20,001 deletes', async (t) => {
    const path = join(await scratch(t), 'part')
    const { ids, lsns } = points(0, 20_001, 1)
    const written = await writeDeletesPart(path, [{ ids, lsns }])
    assert.equal(written.rows, 20_001)
    const parts = await collect(readDeletesPart(path))
    assert.deepEqual(
      parts.flatMap((part) => part.ids),
      ids,
    )
    assert.deepEqual(
      parts.flatMap((part) => [...part.lsns]),
      [...lsns],
    )
  })

  it('any strings, with nulls in some batches and not in others', async (t) => {
    const folder = await scratch(t)
    const text = fc.option(fc.string({ unit: 'grapheme', maxLength: 30 }))
    const batch = fc.array(fc.tuple(text, text), { minLength: 1, maxLength: 20 })
    let files = 0
    await fc.assert(
      fc.asyncProperty(fc.array(batch, { minLength: 1, maxLength: 4 }), async (all) => {
        files += 1
        const path = join(folder, String(files))
        const parts = all.map((rows) => ({
          ...points(0, rows.length, 3),
          texts: rows.map(([one]) => one),
          metadata: rows.map(([, one]) => one),
        }))
        await writePointsPart(path, parts, 3)
        assert.deepEqual(await readPoints(path), joined(parts))
      }),
      { numRuns: 50 },
    )
  })

  it('floats to the bit: the smallest, the largest, minus zero', async (t) => {
    const path = join(await scratch(t), 'part')
    const vectors = Float32Array.of(1.401298464324817e-45, 3.4028234663852886e38, -0, 0.1)
    await writePointsPart(path, [{ ...points(0, 1, 4), vectors }], 4)
    assert.deepEqual((await readPoints(path)).vectors, vectors)
  })

  it('batches without rows are passed over', async (t) => {
    const path = join(await scratch(t), 'part')
    const written = await writePointsPart(
      path,
      [points(0, 0, 2), points(0, 3, 2), points(3, 3, 2)],
      2,
    )
    assert.equal(written.rows, 3)
    assert.deepEqual(await readPoints(path), points(0, 3, 2))
  })

  it('the same rows give the same bytes', async (t) => {
    const folder = await scratch(t)
    const one = await writePointsPart(join(folder, '1'), batches(500, 8, 100), 8)
    const two = await writePointsPart(join(folder, '2'), batches(500, 8, 100), 8)
    assert.deepEqual(one, two)
  })
})

describe('memory is bounded by a row group', () => {
  it('row groups hold about four MiB of vectors', async (t) => {
    const path = join(await scratch(t), 'part')
    assert.deepEqual([1, 128, 768, 2 ** 21].map(groupRows), [8192, 8192, 1365, 1])
    await writePointsPart(path, batches(4000, 768, 500), 768)
    assert.deepEqual(await rowsOfGroups(path), [1365, 1365, 1270])
  })

  it('rows with long texts are put into smaller ones', { timeout: 60_000 }, async (t) => {
    const path = join(await scratch(t), 'part')
    const texts = Array.from({ length: 200 }, (_, i) => String(i % 10).repeat(1024 * 1024))
    const part = { ...points(0, 200, 1), texts }
    await writePointsPart(path, [part], 1)
    const groups = await rowsOfGroups(path)
    assert.ok(Math.max(...groups) <= 40, `groups of ${groups.join()}`)
    assert.deepEqual((await readPoints(path)).texts, texts)
  })

  async function rowsOfGroups(path: string): Promise<number[]> {
    const reader = await ParquetReader.open(path)
    try {
      const all = await collect(reader.batches(1_000_000))
      return all.map(({ batch }) => batch.rows)
    } finally {
      await reader.close()
    }
  }
})

describe('other readers', () => {
  it('see vectors as a FixedSizeList of float32, and the same values', async (t) => {
    const path = join(await scratch(t), 'part')
    const rows = points(0, 20, 5)
    await writePointsPart(path, [rows], 5)
    const table = tableFromIPC(readParquet(await readFile(path)).intoIPCStream())
    const types = table.schema.fields.map(({ name, type }) => `${name} ${String(type)}`)
    assert.deepEqual(types, [
      'id Utf8',
      'lsn Float64',
      'row Uint32',
      'vector FixedSizeList[5]<Float32>',
      'text Utf8',
      'metadata Utf8',
    ])
    const vectors = Array.from(table.getChild('vector') ?? [], (one) => [...(one as Float32Array)])
    assert.deepEqual(Float32Array.from(vectors.flat()), rows.vectors)
    assert.deepEqual([...(table.getChild('text') ?? [])], rows.texts)
  })

  it('find each vector as plain little-endian floats in the file', async (t) => {
    const path = join(await scratch(t), 'part')
    const rows = points(0, 20, 5)
    await writePointsPart(path, [rows], 5)
    assert.ok((await readFile(path)).includes(Buffer.from(rows.vectors.buffer)))
  })
})

describe('what is refused', () => {
  it('a file of a newer format, by name', async (t) => {
    const path = join(await scratch(t), 'points-7')
    await writePointsPart(path, [points(0, 3, 2)], 2)
    const bytes = await readFile(path)
    // Thrift writes the key, a type byte, a length and the value.
    const at = bytes.lastIndexOf('vectord.format') + 'vectord.format'.length + 2
    assert.equal(String.fromCharCode(bytes[at] ?? 0), '1')
    bytes.write('3', at)
    await writeFile(path, bytes)
    await assert.rejects(collect(readPointsPart(path)), {
      code: 'format_too_new',
      message: /"points-7" has format 3; this server reads up to 2/,
    })
  })

  it('a Parquet file of somebody else', async (t) => {
    const path = join(await scratch(t), 'part')
    await writePointsPart(path, [points(0, 3, 2)], 2)
    const bytes = await readFile(path)
    bytes.write('another', bytes.lastIndexOf('vectord.format'))
    await writeFile(path, bytes)
    await assert.rejects(collect(readPointsPart(path)), {
      code: 'object_corrupt',
      message: /not a part of a checkpoint/,
    })
  })

  it('a part of the other kind', async (t) => {
    const path = join(await scratch(t), 'part')
    await writePointsPart(path, [points(0, 3, 2)], 2)
    const asDeletes = collect(readDeletesPart(path))
    await assert.rejects(asDeletes, { code: 'object_corrupt', message: /columns/ })
    const other = join(await scratch(t), 'part')
    await writeDeletesPart(other, [points(0, 3, 2)])
    const asPoints = collect(readPointsPart(other))
    await assert.rejects(asPoints, { code: 'object_corrupt', message: /columns/ })
  })

  it('a file that was cut anywhere', async (t) => {
    const path = join(await scratch(t), 'part')
    const { bytes } = await writePointsPart(path, [points(0, 30, 3)], 3)
    for (let size = bytes - 1; size >= 0; size -= size > bytes - 20 ? 1 : 37) {
      await truncate(path, size)
      await assert.rejects(collect(readPointsPart(path)), { code: 'object_corrupt' })
    }
  })

  it('a flipped bit: its checksum differs, so it is never read', async (t) => {
    const path = join(await scratch(t), 'part')
    const written = await writePointsPart(path, [points(0, 10, 2)], 2)
    const good = await readFile(path)
    for (let at = 0; at < good.length; at += 11) {
      const bad = Buffer.from(good)
      bad.writeUInt8(bad.readUInt8(at) ^ (1 << (at % 8)), at)
      await writeFile(path, bad)
      const { sha256, bytes } = await hashFile(path)
      assert.equal(bytes, written.bytes)
      assert.notEqual(sha256, written.sha256)
    }
  })

  it('a file that is not there', async (t) => {
    const path = join(await scratch(t), 'part')
    await assert.rejects(collect(readPointsPart(path)), {
      code: 'storage_error',
      details: { file: 'part', errno: 'ENOENT' },
    })
  })
})
