/** Cursors: what is made is taken, and nothing else. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import fc from 'fast-check'
import { CURSOR_CHARS_MAX, fromCursor, positionFrom, toCursor } from '../../src/http/cursor.ts'

it('survive the way to the client and back, whatever the id is', () => {
  const id = fc.string({ unit: 'binary', minLength: 1, maxLength: 512 })
  const position = fc.record({ lsn: fc.nat(), row: fc.nat() }, { noNullPrototype: true })
  fc.assert(
    fc.property(fc.oneof(position, fc.record({ id }, { noNullPrototype: true })), (place) => {
      const cursor = toCursor(place)
      assert.ok(cursor.length <= CURSOR_CHARS_MAX)
      assert.deepEqual(fromCursor(cursor), place)
    }),
  )
})

it('of the order of ids are none in the order of writes', () => {
  assert.throws(() => positionFrom(toCursor({ id: 'p1' })), { code: 'invalid_cursor' })
  for (const cursor of ['', 'x', 'Mjo', Buffer.from('1:2').toString('base64url')]) {
    assert.throws(() => fromCursor(cursor), { code: 'invalid_cursor' })
  }
})
