/** Rows of exports in every format, read back by others; and the frames that they travel in. */

import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { it, type TestContext } from 'node:test'
import { tableFromIPC, type Table } from 'apache-arrow'
import fc from 'fast-check'
import { decodeArrowBody } from '../../src/codecs/arrow-body.ts'
import { parsePoints } from '../../src/http/points-body.ts'
import { RawBody } from '../../src/http/body-parsers.ts'
import { HTTP_LIMITS } from '../../src/http/limits.ts'
import { hasCode, VectordError } from '../../src/lib/errors.ts'
import { encodeExport } from '../../src/snapshots/export-rows.ts'
import { ExportSender, receiveExport, type Received } from '../../src/snapshots/export-wire.ts'
import type { LivePoints } from '../../src/shard/live-points.ts'
import { collect } from '../support/collect.ts'
import { duckRows } from '../support/duckdb.ts'
import type { Socket } from 'node:net'

const POINTS: LivePoints = {
  ids: ['a', 'quote "\n,', 'ü'],
  vectors: [Float32Array.of(1, 0.1), null, Float32Array.of(-1e-30, 1e15)],
  texts: [null, 'waits', 'a\r\n"b"'],
  metadata: ['{"n":1,"tags":["x"]}', '{\n"n": 2}', null],
  versions: Float64Array.of(1, 2 ** 40, 3),
}
const WISH = { dimension: 2, includeVectors: true, filter: null }

async function* batches(...all: LivePoints[]): AsyncGenerator<LivePoints> {
  for (const one of all) yield await Promise.resolve(one)
}

async function bytesOf(wish: Partial<Parameters<typeof encodeExport>[1]>, ...all: LivePoints[]) {
  const encoded = encodeExport(batches(...all), { format: 'ndjson', ...WISH, ...wish })
  return Buffer.concat(await collect(encoded))
}

async function inFile(t: TestContext, name: string, bytes: Uint8Array): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'vectord-export-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  await writeFile(join(folder, name), bytes)
  return join(folder, name)
}

it('lines of NDJSON are a body that the points route takes, and give the same points', async () => {
  const bytes = await bytesOf({}, POINTS)
  assert.equal(bytes.toString().split('\n').length, 4)
  const rules = { dimension: 2, metric: 'l2', limits: HTTP_LIMITS, takesTexts: true } as const
  const batch = parsePoints(new RawBody('ndjson', bytes), rules)
  assert.deepEqual(batch.ids, POINTS.ids)
  assert.deepEqual([...(batch.places ?? [])], [0, -1, 1])
  assert.deepEqual(
    [...batch.vectors],
    [1, Math.fround(0.1), Math.fround(-1e-30), Math.fround(1e15)],
  )
  assert.deepEqual(batch.texts, POINTS.texts)
  assert.deepEqual(batch.metadata, ['{"n":1,"tags":["x"]}', '{"n":2}', null])
})

it('every float32 is named exactly by its digits', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.float({ noNaN: true, noDefaultInfinity: true }), { minLength: 1 }),
      async (values) => {
        const vector = Float32Array.from(values)
        const columns = { texts: [null], metadata: [null], versions: Float64Array.of(1) }
        const bytes = await bytesOf({}, { ids: ['a'], vectors: [vector], ...columns })
        const row = JSON.parse(bytes.toString()) as { vector: number[] }
        // The one number that JSON does not tell from another is -0.
        assert.deepEqual(
          Float32Array.from(row.vector),
          vector.map((value) => value + 0),
        )
      },
    ),
    { numRuns: 300 },
  )
})

it('Parquet is what DuckDB reads, nulls and versions too', async (t) => {
  const path = await inFile(t, 'x.parquet', await bytesOf({ format: 'parquet' }, POINTS, POINTS))
  const rows = await duckRows(`select * from '${path}'`)
  assert.equal(rows.length, 6)
  assert.deepEqual(rows.slice(0, 3), [
    {
      ...{ id: 'a', vector: [1, Math.fround(0.1)], text: null },
      ...{ metadata: POINTS.metadata[0], version: '1' },
    },
    {
      ...{ id: POINTS.ids[1], vector: null, text: 'waits' },
      ...{ metadata: POINTS.metadata[1], version: String(2 ** 40) },
    },
    {
      ...{ id: 'ü', vector: [Math.fround(-1e-30), Math.fround(1e15)], text: 'a\r\n"b"' },
      ...{ metadata: null, version: '3' },
    },
  ])
})

it('CSV is what DuckDB reads', async (t) => {
  const path = await inFile(t, 'x.csv', await bytesOf({ format: 'csv' }, POINTS))
  const sql = `select * from read_csv('${path}', header=true, all_varchar=true, nullstr='')`
  const rows = await duckRows(sql)
  assert.deepEqual(
    rows.map(({ id, text, version }) => [id, text, version]),
    POINTS.ids.map((id, i) => [id, POINTS.texts[i], String(POINTS.versions[i])]),
  )
  const [first = {}] = rows
  assert.equal(first['vector'], '[1,0.1]')
  assert.equal(first['metadata'], POINTS.metadata[0])
})

it('Arrow is a stream of the same rows; without vectors there is no such column', async () => {
  const { ids, texts, metadata, vectors } = POINTS
  const plain = { ids, texts, metadata, vectors, versions: POINTS.versions }
  const bytes = await bytesOf({ format: 'arrow' }, plain)
  // It has one column more than the points route takes.
  assert.throws(
    () => decodeArrowBody(bytes, 10, true),
    (error) => {
      return hasCode(error, 'malformed_body') && error.message.includes('version')
    },
  )
  const table = tableFromIPC(bytes)
  assert.deepEqual(
    table.schema.fields.map(({ name }) => name),
    ['id', 'vector', 'text', 'metadata', 'version'],
  )
  assert.deepEqual(columnOf(table, 'id'), ids)
  assert.deepEqual(columnOf(table, 'text'), texts)
  assert.deepEqual(columnOf(table, 'version'), [1n, 2n ** 40n, 3n])
  const bare = tableFromIPC(await bytesOf({ format: 'arrow', includeVectors: false }, plain))
  assert.equal(
    bare.schema.fields.some(({ name }) => name === 'vector'),
    false,
  )
  const line = JSON.parse(
    (await bytesOf({ includeVectors: false }, plain)).toString().split('\n')[0] ?? '',
  ) as object
  assert.deepEqual(Object.keys(line), ['id', 'metadata'])
})

it('a filter takes what a search would, batch by batch', async () => {
  const ids = async (filter: object): Promise<string[]> =>
    (await bytesOf({ filter: JSON.stringify(filter) }, POINTS, POINTS))
      .toString()
      .split('\n')
      .flatMap((line) => (line === '' ? [] : [(JSON.parse(line) as { id: string }).id]))
  assert.deepEqual(await ids({ n: { $gte: 2 } }), [POINTS.ids[1], POINTS.ids[1]])
  assert.deepEqual(await ids({ tags: 'x' }), ['a', 'a'])
  assert.deepEqual(await ids({ n: { $exists: false } }), ['ü', 'ü'])
  assert.deepEqual(await ids({ n: 9 }), [])
  assert.equal((await ids({})).length, 6)
})

it('of no points each format is a whole file', async (t) => {
  assert.equal((await bytesOf({})).length, 0)
  assert.equal((await bytesOf({ format: 'csv' })).toString(), 'id,vector,text,metadata,version\r\n')
  const path = await inFile(t, 'x.parquet', await bytesOf({ format: 'parquet' }))
  assert.deepEqual(await duckRows(`select * from '${path}'`), [])
  assert.equal(tableFromIPC(await bytesOf({ format: 'arrow' })).numRows, 0)
})

function columnOf(table: Table, name: string): unknown {
  return table.getChild(name)?.toJSON()
}

/** What a sender writes, as one run of bytes. */
async function sent(work: (sender: ExportSender) => Promise<void>): Promise<Buffer> {
  const written: Uint8Array[] = []
  const socket = { write: (bytes: Uint8Array) => written.push(Uint8Array.from(bytes)) > 0 }
  await work(new ExportSender(socket as unknown as Socket))
  return Buffer.concat(written)
}

async function* cut(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) {
    yield await Promise.resolve(bytes.subarray(at, at + size))
  }
}

it('frames come out as they went in, however they are cut; without an end they are an error', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.uint8Array({ minLength: 1, maxLength: 40 }), { maxLength: 6 }),
      fc.integer({ min: 1, max: 50 }),
      async (pieces, size) => {
        const bytes = await sent(async (sender) => {
          for (const piece of pieces) await sender.data(piece)
          await sender.done({ rows: pieces.length })
        })
        const received = await collect(receiveExport(cut(bytes, size)))
        const data = received.flatMap((one) => (one.kind === 'data' ? [one.bytes] : []))
        assert.deepEqual(Buffer.concat(data), Buffer.concat(pieces))
        assert.deepEqual(received.at(-1), { kind: 'done', result: { rows: pieces.length } })
        const short = receiveExport(cut(bytes.subarray(0, -1), size))
        await assert.rejects(collect(short), (error) => hasCode(error, 'builder_failed'))
      },
    ),
    { numRuns: 100 },
  )
})

it('an error of the other end is thrown with its code, after what came before it', async () => {
  const bytes = await sent(async (sender) => {
    await sender.data(Buffer.from('half'))
    await sender.failed(new VectordError('object_corrupt', 'Bad.', { details: { key: 'k' } }))
  })
  const seen: Received[] = []
  const reading = (async () => {
    for await (const received of receiveExport(cut(bytes, 7))) seen.push(received)
  })()
  await assert.rejects(reading, { code: 'object_corrupt', details: { key: 'k' } })
  assert.ok(seen.length > 0)
  const alien = receiveExport(cut(Buffer.from('HTTP/1.1 200 OK'), 100))
  await assert.rejects(collect(alien), (error) => hasCode(error, 'builder_failed'))
})
