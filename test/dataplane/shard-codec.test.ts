/**
 * What front and core tell each other of a shard arrives as it was.
 */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import fc from 'fast-check'
import { SEARCH_PATHS } from '../../src/domain/search.ts'
import { FRAME, FrameParser } from '../../src/dataplane/frame.ts'
import { FrameWriter } from '../../src/dataplane/frame-writer.ts'
import { fromWireError, toWireError, type WireError } from '../../src/dataplane/error-codec.ts'
import * as codec from '../../src/dataplane/shard-codec.ts'
import { InvariantError } from '../../src/lib/invariant.ts'
import { VectordError } from '../../src/lib/errors.ts'

const text = fc.string({ unit: 'grapheme', maxLength: 30 })
const vector = fc.float32Array({ maxLength: 20, noNaN: true })
const lsn = fc.nat(Number.MAX_SAFE_INTEGER)
const include = fc.record({ metadata: fc.boolean(), vector: fc.boolean(), text: fc.boolean() })
const point = fc.record({
  id: text,
  version: lsn,
  metadata: fc.option(text),
  text: fc.option(text),
  vector: fc.option(vector),
})
const keywords = fc.record({
  terms: fc.array(text),
  statistics: fc.option(
    fc.record({ documents: fc.nat(), words: fc.nat(), frequencies: fc.array(fc.nat()) }),
  ),
})
const query = fc.record({
  target: fc.oneof(fc.record({ vector }), fc.record({ id: text }), fc.record({ keywords })),
  k: fc.nat(10_000),
  ef: fc.option(fc.nat(10_000)),
  exact: fc.boolean(),
  filter: fc.option(text),
  include,
})
const answer = fc.record({
  hits: fc.array(
    fc.tuple(point, fc.double()).map(([of, distance]) => ({ ...of, distance })),
    { maxLength: 10 },
  ),
  path: fc.constantFrom(...SEARCH_PATHS),
  efUsed: fc.nat(10_000),
  generation: lsn,
  exhausted: fc.boolean(),
  lsn,
})
const page = fc
  .array(fc.tuple(point, fc.record({ lsn, row: fc.nat(0xffff_ffff) })), { maxLength: 10 })
  .chain((rows) =>
    fc.record({
      points: fc.constant(rows.map(([of]) => of)),
      positions: fc.constant(rows.map(([, position]) => position)),
      done: fc.boolean(),
    }),
  )

/** Through a writer, a stream that is not aligned, and a reader. */
function across(write: (writer: FrameWriter) => void): Buffer {
  const writer = new FrameWriter()
  writer.begin({ type: FRAME.answer, id: 1, flags: 0, shard: 1, deadlineMs: 0 })
  write(writer)
  writer.end()
  const bytes = Buffer.concat([Buffer.alloc(1), ...writer.take()]).subarray(1)
  const bodies: Buffer[] = []
  new FrameParser().push(bytes, (frame) => bodies.push(frame.body))
  const [body] = bodies
  assert.ok(body !== undefined)
  return body
}

function holds<T>(
  values: fc.Arbitrary<T>,
  write: (writer: FrameWriter, value: T) => void,
  read: (body: Buffer) => unknown,
): void {
  fc.assert(
    fc.property(values, (value) => {
      const found = read(across((writer) => write(writer, value)))
      assert.deepStrictEqual(structuredClone(found), structuredClone(value))
    }),
  )
}

const asOf = fc.tuple(query, lsn).map(([of, write]) => ({ ...of, asOf: write }))
const answerAsOf = fc.tuple(answer, lsn).map(([of, from]) => ({ ...of, completeFrom: from }))
const version = fc
  .tuple(
    point,
    fc.constantFrom('live' as const, 'kept' as const, 'deleted' as const),
    fc.option(lsn),
  )
  .map(([of, kind, endedAt]) => ({ ...of, kind, endedAt }))
const versions = fc.record({
  versions: fc.array(version, { maxLength: 10 }),
  isKnown: fc.boolean(),
  done: fc.boolean(),
})

it('queries as of a write', () => holds(asOf, codec.writeQuery, codec.readQuery))
it('answers as of a write', () => holds(answerAsOf, codec.writeAnswer, codec.readAnswer))
it('versions', () => holds(versions, codec.writeVersions, codec.readVersions))
it('queries', () => holds(query, codec.writeQuery, codec.readQuery))
it('answers', () => holds(answer, codec.writeAnswer, codec.readAnswer))
it('points, and the absence of points', () =>
  holds(fc.array(fc.option(point)), codec.writePoints, codec.readPoints))
it('pages', () => holds(page, codec.writePage, codec.readPage))
it('ids', () => holds(fc.array(text), codec.writeIds, codec.readIds))
it('requests to fetch', () =>
  holds(fc.record({ ids: fc.array(text), include }), codec.writeFetch, codec.readFetch))

it('records, byte by byte, large ones too', () => {
  for (const length of [0, 1, 65_535, 65_536, 200_000]) {
    const payload = Buffer.alloc(length, 7)
    const found = codec.readApply(across((writer) => codec.writeApply(writer, { lsn: 9, payload })))
    assert.equal(found.lsn, 9)
    assert.ok(payload.equals(found.payload))
  }
})

it('a body that is cut short throws and is never read as less', () => {
  const [one] = fc.sample(answer, { numRuns: 1, seed: 5 })
  assert.ok(one !== undefined)
  const body = across((writer) => codec.writeAnswer(writer, one))
  for (let length = 0; length < body.length; length += 1) {
    assert.throws(() => codec.readAnswer(body.subarray(0, length)), InvariantError)
  }
})

it('an operating error keeps code, message, details and the time to wait', () => {
  const details = { key: 'a/b', offsets: [1, 2], inner: { deep: true } }
  const sent = new VectordError('object_corrupt', 'A part is damaged.', { details, retryAfterS: 3 })
  const found = fromWireError(JSON.parse(JSON.stringify(toWireError(sent, 'r'))) as WireError)
  assert.deepEqual(
    [found.code, found.message, found.details, found.retryAfterS],
    [sent.code, sent.message, sent.details, sent.retryAfterS],
  )
})

it('a bug becomes "internal" with the id of its request, and its text stays in the log', () => {
  const wire = toWireError(new TypeError('secret'), 'core-1-5')
  const found = fromWireError(wire)
  assert.equal(found.code, 'internal')
  assert.deepEqual(found.details, { request_id: 'core-1-5' })
  assert.doesNotMatch(found.message, /secret/)
  assert.match(wire.report ?? '', /TypeError: secret/)
})

it('requests for a page', () =>
  holds(
    fc.record({
      after: fc.option(fc.record({ lsn, row: fc.nat() })),
      limit: fc.nat(),
      filter: fc.option(text),
      include,
    }),
    codec.writeScroll,
    codec.readScroll,
  ))
