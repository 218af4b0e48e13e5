/**
 * Filters: the index finds exactly what a reading of each metadata object finds.
 *
 * How: random metadata and random filters, compared with the plainest evaluator that follows the
 * words of `src/domain/filter.ts`; then the cases that people get wrong are written out.
 */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import fc from 'fast-check'
import { parseFilter, type Filter, type Scalar } from '../../src/domain/filter.ts'
import { Bitmap } from '../../src/engines/bitmap.ts'
import { FIELD_DEPTH_MAX } from '../../src/domain/metadata-fields.ts'
import { MetadataIndex, parseMetadata } from '../../src/shard/metadata-index.ts'
import { seededRandom } from '../support/vectors.ts'

type Json = Record<string, unknown>

const NAMES = ['a', 'b', 'c', 'a.b', '__proto__', 'length']
const SCALARS: Scalar[] = [0, -0, 1, 2, -1.5, '', '0', '1', 'b', 'é', true, false]

const scalar = fc.constantFrom(...SCALARS)
const value = fc.letrec((tie) => ({
  any: fc.oneof(
    { maxDepth: 3, withCrossShrink: true },
    scalar,
    fc.constant(null),
    fc.array(fc.oneof(scalar, fc.constant(null), fc.array(scalar))),
    tie('object'),
  ),
  object: fc.dictionary(fc.constantFrom(...NAMES), tie('any'), {
    maxKeys: 4,
    noNullPrototype: true,
  }),
}))
const path = fc
  .array(fc.constantFrom(...NAMES), { minLength: 1, maxLength: 3 })
  .map((names) => names.join('.'))
const bound = fc.constantFrom(...SCALARS.filter((x) => typeof x !== 'boolean'))
const condition = fc.oneof(
  scalar,
  fc.record({ $eq: scalar }),
  fc.record({ $ne: scalar }),
  fc.record({ $in: fc.array(scalar) }),
  fc.record({ $nin: fc.array(scalar) }),
  fc.record({ $gt: bound }),
  fc.record({ $gte: bound, $lt: bound }),
  fc.record({ $lte: bound }),
  fc.record({ $exists: fc.boolean() }),
)
const filter = fc.letrec((tie) => ({
  any: fc.oneof(
    { maxDepth: 3 },
    fc.dictionary(path, condition, { maxKeys: 3, noNullPrototype: true }),
    fc.record({ $and: fc.array(tie('any'), { minLength: 1, maxLength: 3 }) }),
    fc.record({ $or: fc.array(tie('any'), { minLength: 1, maxLength: 3 }) }),
    fc.record({ $not: tie('any') }),
  ),
}))

it('any filter over any metadata matches what a reading of each object matches', () => {
  const points = fc.array(fc.option(value.object, { nil: null }), { minLength: 1, maxLength: 40 })
  fc.assert(
    fc.property(points, filter.any, (objects, json) => {
      // A round trip through text: what a client can send.
      const texts = objects.map((object) => (object === null ? null : JSON.stringify(object)))
      const index = indexed(texts)
      const parsed = parseFilter(JSON.parse(JSON.stringify(json)))
      const expected = texts.flatMap((text, slot) => (holds(parsed, text) ? [slot] : []))
      assert.deepEqual(matching(index, JSON.stringify(json), texts.length), expected)
    }),
    { numRuns: 1500 },
  )
})

it('ranges stay right while values come in between them', () => {
  const random = seededRandom(5)
  const index = new MetadataIndex()
  const live = new Bitmap()
  const values: number[] = []
  for (let slot = 0; slot < 3000; slot += 1) {
    const x = Math.floor(random() * 5000) - 2500
    values.push(x)
    live.reserve(slot + 1)
    live.add(slot)
    index.add(slot, parseMetadata(JSON.stringify({ x, s: `k${x}` })))
    if (slot % 97 !== 0) continue
    index.changed()
    const low = Math.floor(random() * 5000) - 2500
    const json = JSON.stringify({ x: { $gt: low, $lte: low + 700 } })
    const expected = values.filter((value) => value > low && value <= low + 700).length
    assert.equal(index.match(json, live).count, expected)
    const text = JSON.stringify({ s: { $gte: 'k1', $lt: 'k2' } })
    const strings = values.filter((value) => `k${value}` >= 'k1' && `k${value}` < 'k2').length
    assert.equal(index.match(text, live).count, strings)
  }
})

it('an own field with the literal name wins over the path', () => {
  const index = indexed([
    '{"a.b":1,"a":{"b":2}}',
    '{"a":{"b":2}}',
    '{"a":{"b.c":1}}',
    '{"a.b":{"c":1}}',
  ])
  assert.deepEqual(matching(index, '{"a.b":1}', 4), [0])
  assert.deepEqual(matching(index, '{"a.b":2}', 4), [1])
  assert.deepEqual(matching(index, '{"a.b.c":1}', 4), [])
})

it('types do not mix, and the negations hold where a field is missing', () => {
  const index = indexed(['{"x":1}', '{"x":"1"}', '{"x":true}', '{"x":null}', '{}', null])
  assert.deepEqual(matching(index, '{"x":1}', 6), [0])
  assert.deepEqual(matching(index, '{"x":{"$gte":"0"}}', 6), [1])
  assert.deepEqual(matching(index, '{"x":{"$ne":1}}', 6), [1, 2, 3, 4, 5])
  assert.deepEqual(matching(index, '{"x":{"$exists":true}}', 6), [0, 1, 2, 3])
  assert.deepEqual(matching(index, '{}', 6), [0, 1, 2, 3, 4, 5])
})

it('a write is seen by a filter that was asked before', () => {
  const index = indexed(['{"x":1}'])
  const live = new Bitmap(64)
  live.add(0)
  assert.equal(index.match('{"x":1}', live).count, 1)
  index.add(1, parseMetadata('{"x":1}'))
  live.add(1)
  index.changed()
  assert.equal(index.match('{"x":1}', live).count, 2)
})

it('metadata nested without end costs no more than its bound', () => {
  const deep = `${'{"a":'.repeat(50_000)}1${'}'.repeat(50_000)}`
  const fields = parseMetadata(deep)
  assert.equal(fields.length, FIELD_DEPTH_MAX)
})

it('metadata that is no object is refused', () => {
  for (const json of ['1', '[]', 'null', '"x"', '{', '']) {
    assert.throws(() => parseMetadata(json), { code: 'invalid_points' })
  }
})

it('100,000 points with five fields cost tens of megabytes at most', () => {
  const index = new MetadataIndex()
  const random = seededRandom(6)
  for (let slot = 0; slot < 100_000; slot += 1) {
    const fields = parseMetadata(
      JSON.stringify({
        unique: `id-${slot}`,
        price: random(),
        year: slot % 50,
        flag: slot % 2 === 0,
        tags: ['x', `t${slot % 100}`],
      }),
    )
    index.add(slot, fields)
  }
  assert.ok(index.memoryBytes < 50e6, `${index.memoryBytes} bytes`)
})

function indexed(texts: readonly (string | null)[]): MetadataIndex {
  const index = new MetadataIndex()
  for (const [slot, text] of texts.entries()) index.add(slot, parseMetadata(text))
  return index
}

function matching(index: MetadataIndex, filterJson: string, slots: number): number[] {
  const live = new Bitmap(slots)
  for (let slot = 0; slot < slots; slot += 1) live.add(slot)
  const { slots: matches, count } = index.match(filterJson, live)
  const found = Array.from({ length: slots }, (_, slot) => slot).filter((slot) => matches.has(slot))
  assert.equal(found.length, count)
  return found
}

/** The words of `src/domain/filter.ts`, read over one object. */
function holds(parsed: Filter, text: string | null): boolean {
  const object = JSON.parse(text ?? '{}') as Json
  switch (parsed.kind) {
    case 'and':
      return parsed.of.every((one) => holds(one, text))
    case 'or':
      return parsed.of.some((one) => holds(one, text))
    case 'not':
      return !holds(parsed.of, text)
    case 'exists':
      return resolve(object, parsed.field) !== undefined
    case 'equals':
      return elements(resolve(object, parsed.field)).some((x) =>
        parsed.anyOf.some((wanted) => wanted === x),
      )
    case 'range':
      return elements(resolve(object, parsed.field)).some((x) => {
        const { bound: edge, op } = parsed
        if (typeof x !== typeof edge) return false
        if (op === '$gt') return (x as typeof edge) > edge
        if (op === '$gte') return (x as typeof edge) >= edge
        return op === '$lt' ? (x as typeof edge) < edge : (x as typeof edge) <= edge
      })
  }
}

function resolve(object: Json, field: string): unknown {
  if (Object.hasOwn(object, field)) return object[field]
  let at: unknown = object
  for (const name of field.split('.')) {
    if (typeof at !== 'object' || at === null || Array.isArray(at)) return undefined
    if (!Object.hasOwn(at, name)) return undefined
    at = (at as Json)[name]
  }
  return at
}

function elements(found: unknown): unknown[] {
  return Array.isArray(found) ? found : [found]
}
