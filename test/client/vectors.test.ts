/**
 * Vectors as base64, held against Node's own.
 */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import fc from 'fast-check'
import { vectorFromBase64, vectorToBase64 } from '../../client/vectors.ts'

it('writes base64 as Node does, and reads back the same numbers', () => {
  fc.assert(
    fc.property(fc.float32Array({ maxLength: 50 }), (vector) => {
      const text = vectorToBase64(vector)
      assert.equal(text, Buffer.from(vector.buffer, 0, vector.byteLength).toString('base64'))
      assert.deepEqual(vectorFromBase64(text), vector)
    }),
  )
})

it('takes lists of numbers, and vectors longer than an argument list', () => {
  const list = Array.from({ length: 8192 }, (_, i) => i / 3)
  assert.deepEqual(vectorFromBase64(vectorToBase64(list)), Float32Array.from(list))
})

it('refuses what is no vector', () => {
  for (const text of ['A', 'AAA', 'AAA!', 'AA=A', 'AAAA', 'AAAAAA=A', '====']) {
    assert.throws(() => vectorFromBase64(text), TypeError, text)
  }
})
