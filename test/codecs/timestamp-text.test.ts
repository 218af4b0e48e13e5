/** Timestamps as text, against what `Date` says of them. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import fc from 'fast-check'
import {
  durationText,
  parseTimestamp,
  timestampText,
  timeText,
} from '../../src/codecs/timestamp-text.ts'

const YEARS_0_TO_9999 = { min: -62_167_219_200_000, max: 253_402_300_799_999 }

it('a timestamp reads back as it was written, and is the time that Date reads', () => {
  fc.assert(
    fc.property(fc.integer(YEARS_0_TO_9999), fc.integer({ min: 0, max: 999 }), (ms, rest) => {
      const micros = BigInt(ms) * 1000n + BigInt(rest)
      const text = timestampText(micros)
      assert.equal(parseTimestamp(text), micros, text)
      assert.equal(Date.parse(text), ms, text)
    }),
  )
})

it('every int64 has a text, also outside of the years of Date', () => {
  const texts: readonly (readonly [bigint, string])[] = [
    [0n, '1970-01-01T00:00:00Z'],
    [-1n, '1969-12-31T23:59:59.999999Z'],
    [1_500_000n, '1970-01-01T00:00:01.500Z'],
    [8_640_000_000_000_000_000n, '+275760-09-13T00:00:00Z'],
    [2n ** 63n - 1n, '+294247-01-10T04:00:54.775807Z'],
    [-(2n ** 63n), '-290308-12-21T19:59:05.224192Z'],
  ]
  for (const [micros, text] of texts) assert.equal(timestampText(micros), text)
})

it('zones are taken off; what is no point in time is none', () => {
  assert.equal(parseTimestamp('1970-01-01T01:30:00+01:30'), 0n)
  assert.equal(parseTimestamp('1969-12-31T23:00:00.000001-01:00'), 1n)
  assert.equal(parseTimestamp('2024-02-29T00:00:00Z'), 1_709_164_800_000_000n)
  const others = [
    ...['', '2024-01-01', '2024-01-01T00:00:00', '2024-01-01 00:00:00Z', '2024-01-01T00:00:00z'],
    ...[
      '2023-02-29T00:00:00Z',
      '1900-02-29T00:00:00Z',
      '2024-13-01T00:00:00Z',
      '2024-00-01T00:00:00Z',
    ],
    ...[
      '2024-01-32T00:00:00Z',
      '2024-01-01T24:00:00Z',
      '2024-01-01T00:60:00Z',
      '2024-01-01T00:00:60Z',
    ],
    ...['2024-01-01T00:00:00.Z', '2024-01-01T00:00:00.1234567Z', '2024-01-01T00:00:00+24:00'],
    ...[
      '2024-01-01T00:00:00+01:60',
      '2024-01-01T00:00:00+0100',
      '2024-01-01T00:00:00Zx',
      '2024-01-0xT00:00:00Z',
    ],
  ]
  for (const text of others) assert.equal(parseTimestamp(text), null, text)
})

it('times of a day and durations', () => {
  assert.equal(timeText(0n), '00:00:00')
  assert.equal(timeText(86_399_500_000_000n), '23:59:59.5')
  assert.equal(durationText({ months: 0, days: 0, nanos: 0n }), 'PT0S')
  assert.equal(durationText({ months: -1, days: 2, nanos: -1_500_000_000n }), 'P-1M2DT-1.5S')
})
