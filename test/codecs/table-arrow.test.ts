/** Arrow IPC: what apache-arrow writes is read, in both formats; what is damaged is refused. */

import assert from 'node:assert/strict'
import { truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import {
  Dictionary,
  Float32,
  Float64,
  Int32,
  Int8,
  LargeUtf8,
  List,
  Field,
  makeData,
  makeVector,
  RecordBatch,
  RecordBatchFileWriter,
  Schema,
  Struct,
  Table,
  tableFromArrays,
  tableFromIPC,
  tableToIPC,
  Utf8,
  vectorFromArray,
} from 'apache-arrow'
import fc from 'fast-check'
import { COLUMN_TYPES } from '../../src/domain/table.ts'
import { seededRandom } from '../support/vectors.ts'
import { inflateLz4Frame } from '../../src/codecs/lz4-frame.ts'
import { VectordError } from '../../src/lib/errors.ts'
import { compressed, lz4Frame } from './compressed-arrow.ts'
import {
  anyTable,
  column,
  encoded,
  folderOf,
  MIXED,
  readWhole,
  refusal,
  roundTrip,
  type WholeTable,
} from './table-world.ts'

const PEOPLE = new Table({
  id: vectorFromArray([1, 2, null], new Int32()),
  name: vectorFromArray(['a', null, 'a'], new Dictionary(new Utf8(), new Int8())),
  large: vectorFromArray(['x', 'é', null], new LargeUtf8()),
  half: vectorFromArray([[1, 2], null, [3, 4]], new List(new Field('item', new Float64(), true))),
})

const PEOPLE_READ: WholeTable = {
  columns: [
    column('id', 'int32'),
    column('name', 'utf8'),
    column('large', 'utf8'),
    column('half', 'vector', 2),
  ],
  cells: [
    [1, 2, null],
    ['a', null, 'a'],
    ['x', 'é', null],
    [Float32Array.of(1, 2), null, Float32Array.of(3, 4)],
  ],
}

describe('what is read', { timeout: 60_000 }, () => {
  for (const kind of ['stream', 'file'] as const) {
    it(`the ${kind} format, with dictionaries and lists`, async (t) => {
      const path = join(await folderOf(t), 'people.arrow')
      await writeFile(path, tableToIPC(PEOPLE, kind))
      assert.deepEqual(await readWhole(path, 'arrow', 2), PEOPLE_READ)
    })
  }

  it('any table comes back as it was, and apache-arrow reads the same bytes', async (t) => {
    const folder = await folderOf(t)
    await fc.assert(
      fc.asyncProperty(anyTable(COLUMN_TYPES), async (table) => {
        assert.deepEqual(await roundTrip(folder, 'arrow', table), table)
        const rows = table.cells[0]?.length ?? 0
        assert.equal(tableFromIPC(await encoded('arrow', table, 7)).numRows, rows)
      }),
      { numRuns: 60 },
    )
  })

  for (const codec of ['lz4', 'zstd', 'stored'] as const) {
    it(`bodies that are ${codec === 'stored' ? 'stored' : `compressed by ${codec}`}`, async (t) => {
      const path = join(await folderOf(t), 'small.arrow')
      const folder = await folderOf(t)
      await writeFile(path, compressed(await encoded('arrow', MIXED, 2), codec))
      assert.deepEqual(await readWhole(path, 'arrow'), MIXED)
      await fc.assert(
        fc.asyncProperty(anyTable(COLUMN_TYPES), async (table) => {
          const one = join(folder, 'any.arrow')
          await writeFile(one, compressed(await encoded('arrow', table), codec))
          const read = await readWhole(one, 'arrow')
          assert.deepEqual(read, table)
        }),
        { numRuns: 20 },
      )
    })
  }

  it('a table of no batches and one of empty batches have their columns', async (t) => {
    const path = join(await folderOf(t), 'empty.arrow')
    for (const table of [tableFromArrays({ a: [] as number[] }), PEOPLE.slice(0, 0)]) {
      await writeFile(path, tableToIPC(table, 'file'))
      const { columns, cells } = await readWhole(path, 'arrow')
      assert.ok(columns.length > 0)
      assert.ok(cells.every((all) => all.length === 0))
    }
  })

  it('a dictionary within a list', async (t) => {
    const words = vectorFromArray(['b', 'a', 'b'], new Dictionary(new Utf8(), new Int8()))
    const [values] = words.data
    assert.ok(values !== undefined)
    const list = new List(new Field('item', words.type, true))
    const data = makeData({
      type: list,
      length: 2,
      nullCount: 0,
      valueOffsets: Int32Array.of(0, 2, 3),
      child: values,
    })
    const path = join(await folderOf(t), 'nested.arrow')
    await writeFile(path, tableToIPC(new Table({ tags: makeVector(data) }), 'stream'))
    assert.deepEqual((await readWhole(path, 'arrow')).cells, [['["b","a"]', '["b"]']])
  })
})

describe('what is refused', { timeout: 60_000 }, () => {
  it('a stream or a file that was cut inside, by its batch', async (t) => {
    const path = join(await folderOf(t), 'cut.arrow')
    const stream = await encoded('arrow', MIXED, 1)
    const whole = await readBatches(stream)
    for (let length = 1; length < stream.length - 8; length += 7) {
      await writeFile(path, stream.subarray(0, length))
      // Between two messages a stream without its end mark may have ended.
      if (whole.has(length)) continue
      const { code, details } = await refusal(path, 'arrow')
      assert.equal(code, 'file_corrupt', `cut at ${length}`)
      const isAfterSchema = length > Math.min(...whole)
      if (isAfterSchema) assert.equal(typeof details['batch'], 'number', `cut at ${length}`)
    }
    const file = tableToIPC(PEOPLE, 'file')
    await writeFile(path, file)
    for (let length = file.length - 1; length > 10; length -= 11) {
      await truncate(path, length)
      assert.equal((await refusal(path, 'arrow')).code, 'file_corrupt', `cut at ${length}`)
    }
  })

  it('flipped and random bytes: file_corrupt or values, nothing else, and no hang', async (t) => {
    const path = join(await folderOf(t), 'flipped.arrow')
    const random = seededRandom(7)
    const originals = [
      tableToIPC(PEOPLE, 'file'),
      await encoded('arrow', MIXED),
      compressed(await encoded('arrow', MIXED), 'lz4'),
      compressed(await encoded('arrow', MIXED), 'zstd'),
    ]
    let refused = 0
    for (let i = 0; i < 600; i += 1) {
      const bytes = Buffer.from(originals[i % originals.length] ?? [])
      for (let flips = 0; flips < 1 + (i % 3); flips += 1) {
        bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256)
      }
      await writeFile(path, bytes)
      try {
        await readWhole(path, 'arrow')
      } catch (error) {
        assert.ok(error instanceof VectordError, String(error))
        assert.ok(['file_corrupt', 'invalid_value'].includes(error.code), error.code)
        refused += 1
      }
    }
    assert.ok(refused > 100, `${refused} of 600`)
  })

  it('a vector of another length, by its batch and row', async (t) => {
    const path = join(await folderOf(t), 'uneven.arrow')
    const lists = [[1, 2], [3, 4], [5]]
    const table = new Table({
      v: vectorFromArray(lists, new List(new Field('item', new Float32()))),
    })
    await writeFile(path, tableToIPC(table, 'stream'))
    const { code, details } = await refusal(path, 'arrow')
    const expected = { file: 'uneven.arrow', batch: 0, row: 2, column: 'v' }
    assert.deepEqual([code, details], ['invalid_value', expected])
  })

  it('two columns of one name, and no column', async (t) => {
    const path = join(await folderOf(t), 'odd.arrow')
    const twice = [new Field('a', new Int32()), new Field('a', new Int32())]
    for (const [fields, problem] of [
      [twice, /two columns "a"/],
      [[], /no columns/],
    ] as const) {
      const children = fields.map(() => makeData({ type: new Int32(), data: Int32Array.of(1) }))
      const data = makeData({ type: new Struct([...fields]), length: 1, nullCount: 0, children })
      const writer = new RecordBatchFileWriter()
      writer.write(new RecordBatch(new Schema([...fields]), data))
      writer.finish()
      await writeFile(path, writer.toUint8Array(true))
      assert.match((await refusal(path, 'arrow')).message, problem)
    }
  })
})

describe('LZ4 frames', () => {
  it('inflate to what was deflated, whatever it is', () => {
    const repeated = fc
      .tuple(fc.uint8Array({ minLength: 1, maxLength: 40 }), fc.integer({ min: 1, max: 3000 }))
      .map(([unit, times]) =>
        Uint8Array.from({ length: unit.length * times }, (_, i) => unit[i % unit.length] ?? 0),
      )
    fc.assert(
      fc.property(
        fc.oneof(fc.uint8Array({ maxLength: 2000 }), repeated),
        fc.boolean(),
        (bytes, stored) => {
          const frame = lz4Frame(bytes, stored)
          assert.deepEqual(inflateLz4Frame(frame, bytes.length), bytes)
        },
      ),
      { numRuns: 50 },
    )
  })

  it('of random bytes throw a fault or inflate, and are bounded', () => {
    const frame = lz4Frame(Buffer.from('abcabcabcabcabcabcabcabcabcabc'.repeat(50)))
    const random = seededRandom(3)
    let faults = 0
    for (let i = 0; i < 2000; i += 1) {
      const bytes = Buffer.from(frame.subarray(0, i % 2 === 0 ? frame.length : i % frame.length))
      const at = Math.floor(random() * bytes.length)
      if (bytes.length > 0) bytes[at] = Math.floor(random() * 256)
      try {
        assert.ok(inflateLz4Frame(bytes, 1500).length <= 1500)
      } catch (error) {
        assert.equal((error as Error).name, 'ArrowFault', String(error))
        faults += 1
      }
    }
    assert.ok(faults > 200, `${faults}`)
  })
})

/** Where the messages of a stream end. */
async function readBatches(stream: Buffer): Promise<ReadonlySet<number>> {
  const ends = new Set<number>()
  for (let at = 0; stream.readInt32LE(at + 4) !== 0;) {
    const headerBytes = stream.readInt32LE(at + 4)
    const header = stream.subarray(at + 8, at + 8 + headerBytes)
    const { FlatTable } = await import('../../src/codecs/flat-table.ts')
    const view = new DataView(header.buffer, header.byteOffset, header.byteLength)
    at += 8 + headerBytes + FlatTable.root(view).count(3)
    ends.add(at)
  }
  return ends
}
