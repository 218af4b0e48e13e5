/**
 * Moments go to the text of databases and back without a loss.
 */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import fc from 'fast-check'
import { microsOfText, textOfMicros } from '../../../src/ingest/sql/utc-text.ts'

/** The first and the last moment that have four digits of a year. */
const MIN = -62_135_596_800_000_000n
const MAX = 253_402_300_799_999_999n

it('every moment of the years 1 to 9999 is read back as it was written', () => {
  fc.assert(
    fc.property(fc.bigInt({ min: MIN, max: MAX }), (micros) => {
      assert.equal(microsOfText(textOfMicros(micros)), micros)
    }),
    { numRuns: 2000, examples: [[MIN], [MAX], [0n], [-1n]] },
  )
})

it('the calendar is that of the runtime, with and without a time and decimals', () => {
  fc.assert(
    fc.property(fc.bigInt({ min: MIN / 1000n, max: MAX / 1000n }), (millis) => {
      const iso = new Date(Number(millis)).toISOString()
      assert.equal(microsOfText(iso.slice(0, 23).replace('T', ' ')), millis * 1000n)
      const day = new Date(iso.slice(0, 10)).getTime()
      assert.equal(microsOfText(iso.slice(0, 10)), BigInt(day) * 1000n)
    }),
    { numRuns: 2000 },
  )
  assert.equal(microsOfText('1970-01-01 00:00:01'), 1_000_000n)
  assert.equal(microsOfText('1970-01-01 00:00:00.5'), 500_000n)
})

it('a date without a month or a day is none, and other years have no text', () => {
  for (const text of ['0000-00-00', '0000-00-00 00:00:00.000000', '2024-00-15', '2024-05-00']) {
    assert.equal(microsOfText(text), null)
  }
  assert.throws(() => textOfMicros(MIN - 1n), /years/)
  assert.throws(() => textOfMicros(MAX + 1n), /years/)
})
