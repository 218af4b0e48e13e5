/** Records as bytes: what was written comes back, and no bytes crash or deceive the reader. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import fc from 'fast-check'
import { VectordError } from '../../src/lib/errors.ts'
import { decodeGroupHeader, encodeGroupHeader } from '../../src/log/log-header.ts'
import { decodeSegmentHeader, encodeSegmentHeader } from '../../src/log/log-header.ts'
import { encodeFrames, readFrame } from '../../src/log/record.ts'
import { fuzzParameters } from '../support/fuzz.ts'

const payloads = fc.array(fc.uint8Array({ maxLength: 60 }), { minLength: 1, maxLength: 8 })
const lsn = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER - 100 })

it('records come back as they were written, and start aligned', () => {
  fc.assert(
    fc.property(lsn, payloads, (firstLsn, all) => {
      const bytes = encodeFrames(firstLsn, all)
      let at = 0
      for (const [i, payload] of all.entries()) {
        const frame = readFrame(bytes, at)
        assert.ok(frame.kind === 'record')
        assert.equal(frame.lsn, firstLsn + i)
        assert.deepEqual(new Uint8Array(frame.payload), payload)
        assert.equal(frame.payload.byteOffset % 8, 0)
        at = frame.end
      }
      assert.equal(at, bytes.length)
    }),
  )
})

it('a record that lacks bytes says how many it needs', () => {
  const bytes = encodeFrames(9, [new Uint8Array(50)])
  for (let end = 0; end < bytes.length; end += 1) {
    const frame = readFrame(bytes.subarray(0, end), 0)
    assert.deepEqual(frame, { kind: 'short', needs: end < 24 ? 24 : bytes.length })
  }
})

it('a flipped bit never gives a record', () => {
  const bytes = encodeFrames(9, [Uint8Array.from({ length: 50 }, (_, i) => i)])
  for (let bit = 0; bit < bytes.length * 8; bit += 1) {
    const flipped = Buffer.from(bytes)
    flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7))
    assert.equal(readFrame(flipped, 0).kind, 'damaged', `bit ${bit}`)
  }
})

it('no bytes crash the reader of records or of headers', () => {
  const seeds = [
    Buffer.alloc(512),
    encodeFrames(1, [new Uint8Array(9)]),
    encodeSegmentHeader({ incarnation: 'a', firstLsn: 1, previousLsn: 0 }),
  ]
  const mutated = fc
    .tuple(fc.constantFrom(...seeds), fc.array(fc.tuple(fc.nat(511), fc.nat(255))))
    .map(([seed, changes]) => {
      const bytes = Buffer.from(seed)
      for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value
      return bytes
    })
  const bytes = fc.oneof(
    mutated,
    fc.uint8Array({ maxLength: 600 }).map((all) => Buffer.from(all)),
  )
  fc.assert(
    fc.property(bytes, (any) => {
      readFrame(any, 0)
      for (const decode of [decodeSegmentHeader, decodeGroupHeader]) {
        try {
          decode('file', any)
        } catch (error) {
          if (!(error instanceof VectordError)) throw error
        }
      }
    }),
    fuzzParameters(20_000),
  )
})

it('a group header comes back as it was written', () => {
  const header = {
    ...{ incarnation: 'one', firstLsn: 2 ** 40, previousLsn: 2 ** 40 - 1 },
    ...{ sequence: 7, epoch: 3, owner: 'sérver', nonce: 'n', records: 2, bodyBytes: 80 },
  }
  assert.deepEqual(decodeGroupHeader('g', encodeGroupHeader(header)), header)
})
