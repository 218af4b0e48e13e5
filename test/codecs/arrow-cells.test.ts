/** Arrow values of types that no writer of ours makes, from buffers made by hand. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { cellReader, columnOf } from '../../src/codecs/arrow-cells.ts'
import type { ArrowColumn } from '../../src/codecs/arrow-columns.ts'
import type { ArrowField, ArrowType } from '../../src/codecs/arrow-schema.ts'
import type { Cell } from '../../src/domain/table.ts'

function fieldOf(type: ArrowType, children: readonly ArrowField[] = []): ArrowField {
  return { name: 'c', nullable: true, type, children, dictionary: null, metadata: new Map() }
}

function columnOfType(
  type: ArrowType,
  length: number,
  data: ArrayBufferView,
  more: Partial<ArrowColumn> = {},
): ArrowColumn {
  return {
    field: fieldOf(type),
    ...{ length, nullCount: 0, validity: null, offsets: null },
    data: new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
    ...{ child: null, children: [], pools: [], dictionary: null },
    ...more,
  }
}

function cells(column: ArrowColumn): readonly Cell[] {
  const read = cellReader(column, columnOf(column.field, null))
  return Array.from({ length: column.length }, (_, row) => read(row))
}

it('float16: zeros, subnormals, ordinary numbers, infinities', () => {
  const bits = Uint16Array.of(0, 0x8000, 1, 0x3c00, 0xc000, 0x3555, 0x7bff, 0x7c00, 0xfc00, 0x7e00)
  const expected = [0, -0, 2 ** -24, 1, -2, 0.333251953125, 65_504, Infinity, -Infinity, NaN]
  assert.deepEqual(cells(columnOfType({ kind: 'float', bits: 16 }, bits.length, bits)), expected)
})

it('decimals of every width are the nearest float64', () => {
  const small = Int32Array.of(-12_345)
  assert.deepEqual(
    cells(columnOfType({ kind: 'decimal', bits: 32, scale: 2 }, 1, small)),
    [-123.45],
  )
  const long = BigInt64Array.of(123_456_789_012_345_678n)
  const nine = { kind: 'decimal', bits: 64, scale: 9 } as const
  assert.deepEqual(cells(columnOfType(nine, 1, long)), [123_456_789.012345678])
  const wide = BigInt64Array.of(-1n, -1n, 5n, 0n)
  const none = { kind: 'decimal', bits: 128, scale: 0 } as const
  assert.deepEqual(cells(columnOfType(none, 2, wide)), [-1, 5])
  const widest = BigInt64Array.of(0n, 0n, 1n, 0n)
  const huge = { kind: 'decimal', bits: 256, scale: -1 } as const
  assert.deepEqual(cells(columnOfType(huge, 1, widest)), [Number(2n ** 128n * 10n)])
})

it('times of any unit, durations and intervals', () => {
  const times: readonly (readonly [ArrowType, ArrayBufferView, Cell])[] = [
    [{ kind: 'time', bits: 32, unit: 's' }, Int32Array.of(3661), '01:01:01'],
    [{ kind: 'time', bits: 32, unit: 'ms' }, Int32Array.of(1), '00:00:00.001'],
    [
      { kind: 'time', bits: 64, unit: 'ns' },
      BigInt64Array.of(86_399_999_999_999n),
      '23:59:59.999999999',
    ],
    [{ kind: 'timestamp', unit: 's' }, BigInt64Array.of(-1n), -1_000_000n],
    [{ kind: 'timestamp', unit: 'ms' }, BigInt64Array.of(1n), 1000n],
    [{ kind: 'timestamp', unit: 'ns' }, BigInt64Array.of(-1n), -1n],
    [{ kind: 'date', unit: 'ms' }, BigInt64Array.of(86_400_000n), 86_400_000_000n],
    [{ kind: 'duration', unit: 'ms' }, BigInt64Array.of(2n), 2000n],
    [{ kind: 'interval', unit: 'months' }, Int32Array.of(14), 'P14M'],
    [{ kind: 'interval', unit: 'day_time' }, Int32Array.of(1, 500), 'P1DT0.5S'],
    [{ kind: 'interval', unit: 'month_day_nano' }, Int32Array.of(1, 2, 3, 0), 'P1M2DT0.000000003S'],
    [{ kind: 'interval', unit: 'month_day_nano' }, new Int32Array(4), 'PT0S'],
  ]
  for (const [type, data, expected] of times) {
    assert.deepEqual(cells(columnOfType(type, 1, data)), [expected], JSON.stringify(type))
  }
  const far = columnOfType({ kind: 'timestamp', unit: 's' }, 1, BigInt64Array.of(2n ** 62n))
  assert.throws(() => cells(far), { name: 'CellFault' })
})

it('strings and bytes as views, short and long; views outside of their pools are a fault', () => {
  const pool = Buffer.from('a text of more than twelve bytes')
  const views = Buffer.alloc(32)
  views.writeInt32LE(2, 0)
  views.write('é', 4)
  views.writeInt32LE(20, 16)
  views.writeInt32LE(0, 24)
  views.writeInt32LE(2, 28)
  const type = { kind: 'utf8_view' } as const
  assert.deepEqual(cells(columnOfType(type, 2, views, { pools: [pool] })), [
    'é',
    'text of more than tw',
  ])
  for (const [at, value] of [
    [24, 1],
    [24, -1],
    [28, 30],
    [28, -1],
    [16, -20],
  ] as const) {
    const bad = Buffer.from(views)
    bad.writeInt32LE(value, at)
    assert.throws(() => cells(columnOfType(type, 2, bad, { pools: [pool] })), {
      name: 'ArrowFault',
    })
  }
})

it('a UUID is its text, other bytes of a fixed size are bytes, a column of nulls is text', () => {
  const type = { kind: 'fixed_size_binary', size: 16 } as const
  const data = Uint8Array.from({ length: 16 }, (_, i) => i)
  assert.deepEqual(cells(columnOfType(type, 1, data)), [data])
  const metadata = new Map([['ARROW:extension:name', 'arrow.uuid']])
  const uuid = columnOfType(type, 1, data, { field: { ...fieldOf(type), metadata } })
  assert.deepEqual(cells(uuid), ['00010203-0405-0607-0809-0a0b0c0d0e0f'])
  const nulls = columnOfType({ kind: 'null' }, 1, new Uint8Array(0), { validity: Uint8Array.of(0) })
  assert.deepEqual([columnOf(nulls.field, null).type, cells(nulls)], ['utf8', [null]])
})

it('a buffer that is shorter than its rows is a fault, for every type', () => {
  const types: readonly ArrowType[] = [
    { kind: 'boolean' },
    { kind: 'int', bits: 8, signed: true },
    { kind: 'int', bits: 64, signed: false },
    { kind: 'float', bits: 32 },
    { kind: 'decimal', bits: 128, scale: 1 },
    { kind: 'date', unit: 'day' },
    { kind: 'time', bits: 64, unit: 'us' },
    { kind: 'timestamp', unit: 'us' },
    { kind: 'interval', unit: 'day_time' },
    { kind: 'fixed_size_binary', size: 3 },
    { kind: 'utf8_view' },
    { kind: 'utf8' },
    { kind: 'int', bits: 24, signed: true },
    { kind: 'float', bits: 0 },
  ]
  for (const type of types) {
    const column = columnOfType(type, 9, new Uint8Array(1))
    assert.throws(() => cells(column), { name: 'ArrowFault' }, JSON.stringify(type))
  }
})

it('types that no column can be are named', () => {
  for (const [code, name] of [
    [14, 'union'],
    [22, 'run-end encoded'],
    [99, 'number 99'],
  ] as const) {
    const field = fieldOf({ kind: 'other', code })
    assert.throws(() => columnOf(field, null), { name: 'TypeFault', column: 'c', type: name })
  }
})
